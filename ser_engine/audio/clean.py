"""Turn a decoded recording into the models' input: 16 kHz speech at an even level, without long silences.

The steps are those of Sharma (2023), III.A: sample rate, noise reduction, silence removal. Two differences suit
recordings of any quality: silence is found by voice activity detection rather than by loudness, and noise is reduced
only where there is some, since noise reduction degrades clean speech.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import soxr
from numpy.typing import NDArray

from ser_engine.audio.decode import SILENCE_PEAK
from ser_engine.audio.quality import NOISE_REDUCED, level_gain, measure_quality
from ser_engine.audio.vad import detect_speech
from ser_engine.errors import NoSpeech
from ser_engine.settings import Settings, variable
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Recording, Span, total_s

# Added around every segment of speech for its onset and end; less than half of `vad.MIN_SILENCE_S`, so that segments
# stay apart.
PAD_S = 0.1
# Below this ratio of speech to background, noise reduction helps more than it hurts.
LOW_SNR_DB = 10.0
# A larger constant offset (of full scale) is a fault of the recorder, which would count as loudness.
MAX_OFFSET = 0.01


def clean_speech(
    recording: Recording, settings: Settings | None = None, speech: tuple[Span, ...] | None = None
) -> CleanSpeech:
    """Resample, detect speech, reduce noise where there is some, remove silence and normalize the level.

    `speech` is that of the recording where it was detected before. The result is float32 [m] at 16 kHz, with the spans
    of the recording that it consists of and a quality report.

    Raises
    ------
    NoSpeech
        Silence, tone, noise or music alone, or less than `min_speech_s` of speech.
    """
    settings = settings or Settings()
    samples = resample(recording.samples, recording.rate)
    offset = samples.mean() if len(samples) else np.float32(0)
    if abs(offset) > MAX_OFFSET:
        samples = samples - offset
    if np.abs(samples).max(initial=0.0) < SILENCE_PEAK:
        raise NoSpeech("The recording is silent, so there is no voice to analyze; was the microphone muted?")
    speech = detect_speech(samples) if speech is None else speech
    seconds = total_s(speech)
    if not speech:
        raise NoSpeech("No speech was found in this recording, so no emotion is predicted.")
    if seconds < settings.min_speech_s:
        needed = f"at least {settings.min_speech_s:g} s is needed to analyze a voice ({variable('min_speech_s')})"
        raise NoSpeech(f"Only {seconds:.2f} s of speech was found; {needed}.", seconds)
    quality = measure_quality(recording, speech)
    noisy = quality.snr_db is not None and quality.snr_db < LOW_SNR_DB
    if settings.noise_reduction == "always" or (settings.noise_reduction == "auto" and noisy):
        samples = reduce_noise(samples, speech)
        quality = replace(quality, noise_reduced=True, warnings=(*quality.warnings, NOISE_REDUCED))
    end = len(samples) / SAMPLE_RATE
    segments = tuple(Span(max(0.0, span.start - PAD_S), min(end, span.end + PAD_S)) for span in speech)
    samples = samples * level_gain(cut_spans(samples, segments))
    return CleanSpeech(cut_spans(samples, segments), segments, quality, recording=samples)


def resample(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Resample float32 [n] at `rate` Hz to float32 [m] at 16 kHz, band-limited (soxr, high quality)."""
    return samples if rate == SAMPLE_RATE else soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ")


def reduce_noise(samples: NDArray[np.float32], speech: tuple[Span, ...]) -> NDArray[np.float32]:
    """Apply spectral gating to float32 [n] at 16 kHz; the noise is estimated from the pauses where there are some."""
    import noisereduce

    pause = np.ones(len(samples), bool)
    for span in speech:
        pause[_slice(span)] = False
    noise = samples[pause] if pause.sum() >= SAMPLE_RATE // 4 else None
    cleaned = noisereduce.reduce_noise(
        y=samples, sr=SAMPLE_RATE, y_noise=noise, stationary=noise is not None, prop_decrease=0.9
    )
    return np.ascontiguousarray(cleaned, np.float32)


def cut_spans(samples: NDArray[np.float32], spans: tuple[Span, ...]) -> NDArray[np.float32]:
    """Return the spans of float32 [n] at 16 kHz, one after the other."""
    return np.concatenate([samples[_slice(span)] for span in spans])


def _slice(span: Span) -> slice:
    return slice(round(span.start * SAMPLE_RATE), round(span.end * SAMPLE_RATE))
