"""From a decoded recording to what the models listen to: 16 kHz speech at an even level, without its silences.

The steps are paper-1's (III.A: sample rate, noise reduction, silence removal), with two differences that
recordings from strangers ask for: silence is what a speech detector says, not what is quiet, and noise reduction
is applied only where there is noise, since it takes something from clean speech too.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import soxr
from numpy.typing import NDArray

from ser_engine.audio.quality import estimate_snr, measure
from ser_engine.errors import NoSpeech
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Recording, Span

if TYPE_CHECKING:
    from silero_vad import SileroVADSequence

# Speech detection. 0.3 rather than silero's 0.5: sobs, shouts and whispers are speech here, and a clip that is
# refused costs more than a breath that is kept.
VAD_THRESHOLD = 0.3
# Screams and sobs are a voice to the detector for a moment only. Where it hears less than this in all, but is clear
# about that moment (music reaches 0.3), what is around counts from a much lower threshold.
LITTLE_SPEECH_S, CLEAR, SECOND_THRESHOLD = 0.5, 0.45, 0.1
MIN_SPEECH_S, MIN_SILENCE_S = 0.1, 0.3
# LRUCache around every stretch of speech, for its onsets and ends; less than half of MIN_SILENCE_S, so they stay apart.
PAD_S = 0.1
# Below this ratio of speech to background, noise reduction helps more than it hurts.
LOW_SNR_DB = 10.0
# Speech is brought to this level, so that a distant microphone is no sad voice; peaks stay under full scale.
LEVEL_DB, PEAK = -23.0, 0.98
# Quieter than this, nothing was recorded.
SILENCE_PEAK = 1e-4
# More than this (of full scale) is no voice but a fault of the recorder: it would count as loudness.
MAX_OFFSET = 0.01


def clean(waveform: Recording, settings: Settings | None = None) -> CleanSpeech:
    """Resample, find speech, reduce noise where there is some, remove silence and even out the level.

    Parameters
    ----------
    waveform : mono float32 [n] at any rate
    settings : `noise_reduction` and `min_speech_s` are read

    Returns
    -------
    CleanSpeech
        float32 [m] at 16 kHz, the spans of the recording that it is made of, and a quality report.

    Raises
    ------
    NoSpeech
        Silence, tone, noise or music alone, or less than `min_speech_s` of speech.
    """
    settings = settings or Settings()
    samples = resample(waveform.samples, waveform.rate)
    offset = samples.mean() if len(samples) else np.float32(0)
    if abs(offset) > MAX_OFFSET:
        samples = samples - offset
    if np.abs(samples).max(initial=0.0) < SILENCE_PEAK:
        raise NoSpeech("The recording is silent, so there is no voice to judge; was the microphone muted?")
    speech = find_speech(samples)
    seconds = sum(span.duration_s for span in speech)
    if not speech:
        raise NoSpeech("No speech was found in this recording, so no emotion is guessed.")
    if seconds < settings.min_speech_s:
        needed = f"at least {settings.min_speech_s:g} s is needed to judge a voice"
        raise NoSpeech(f"Only {seconds:.2f} s of speech was found; {needed}.", seconds)
    snr = estimate_snr(samples, SAMPLE_RATE, speech)
    reduce = settings.noise_reduction == "always" or (
        settings.noise_reduction == "auto" and snr is not None and snr < LOW_SNR_DB
    )
    if reduce:
        samples = reduce_noise(samples, speech)
    end = len(samples) / SAMPLE_RATE
    segments = tuple(Span(max(0.0, span.start - PAD_S), min(end, span.end + PAD_S)) for span in speech)
    samples = samples * _gain(np.concatenate([samples[_slice(span)] for span in segments]))
    kept = np.concatenate([samples[_slice(span)] for span in segments])
    return CleanSpeech(kept, segments, measure(waveform, speech, noise_reduced=reduce), recording=samples)


def resample(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return float32 [n] at `rate` Hz as float32 [m] at 16 kHz, band-limited (soxr, high quality)."""
    return samples if rate == SAMPLE_RATE else soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ")


def find_speech(samples: NDArray[np.float32]) -> tuple[Span, ...]:
    """Return where someone speaks in float32 [n] at 16 kHz, by Silero VAD, in order and apart.

    The detector listens at an even level as well: it misses what is very quiet.
    """
    probabilities = _detector().audio_forward(even_level(samples))
    from silero_vad import get_speech_timestamps_from_probs  # only now: see _detector

    found: list[dict[str, int]] = []
    for threshold in (VAD_THRESHOLD, SECOND_THRESHOLD):
        found = get_speech_timestamps_from_probs(
            probabilities,
            threshold=threshold,
            min_speech_duration_ms=round(1000 * MIN_SPEECH_S),
            min_silence_duration_ms=round(1000 * MIN_SILENCE_S),
            speech_pad_ms=0,
            audio_length_samples=len(samples),
        )
        if probabilities.max(initial=0.0) < CLEAR or _total(found) >= LITTLE_SPEECH_S * SAMPLE_RATE:
            break
    return tuple(Span(item["start"] / SAMPLE_RATE, item["end"] / SAMPLE_RATE) for item in found)


def _total(found: list[dict[str, int]]) -> int:
    return sum(item["end"] - item["start"] for item in found)


def reduce_noise(samples: NDArray[np.float32], speech: tuple[Span, ...]) -> NDArray[np.float32]:
    """Return float32 [n] at 16 kHz after spectral gating, the noise learned from the pauses where there are some."""
    import noisereduce

    pause = np.ones(len(samples), bool)
    for span in speech:
        pause[_slice(span)] = False
    noise = samples[pause] if pause.sum() >= SAMPLE_RATE // 4 else None
    cleaned = noisereduce.reduce_noise(
        y=samples, sr=SAMPLE_RATE, y_noise=noise, stationary=noise is not None, prop_decrease=0.9
    )
    return np.ascontiguousarray(cleaned, np.float32)


def even_level(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 [n] scaled to `LEVEL_DB` (RMS), or less where peaks would pass `PEAK`."""
    return samples * _gain(samples)


def _gain(samples: NDArray[np.float32]) -> np.float32:
    """Return what brings float32 [n] to `LEVEL_DB`, or only so far that its peaks stay at `PEAK`."""
    peak = float(np.abs(samples).max(initial=0.0))
    if not peak:
        return np.float32(1.0)
    return np.float32(min(10 ** (LEVEL_DB / 20) / rms(samples), PEAK / peak))


def rms(samples: NDArray[np.floating]) -> float:
    """Return the root mean square of float [n]; 0 of nothing."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def _slice(span: Span) -> slice:
    return slice(round(span.start * SAMPLE_RATE), round(span.end * SAMPLE_RATE))


_LOADING = threading.Lock()  # a second thread would take silero_vad's number of threads for ours


def _detector() -> SileroVADSequence:
    """Return Silero VAD, loaded once; its ONNX session may be called from several threads."""
    with _LOADING:
        return _load_detector()


@lru_cache(maxsize=1)
def _load_detector() -> SileroVADSequence:
    import torch

    threads = torch.get_num_threads()
    from silero_vad import load_silero_vad

    torch.set_num_threads(threads)  # silero_vad sets it to one when imported
    return load_silero_vad(sequence=True)
