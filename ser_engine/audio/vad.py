"""Voice activity detection by Silero VAD."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ser_engine.audio.quality import normalize_level
from ser_engine.types import SAMPLE_RATE, Span

if TYPE_CHECKING:
    from silero_vad import SileroVADSequence

# 0.3 rather than Silero's 0.5: sobs, shouts and whispers count as speech here, and refusing a clip costs more than
# keeping a breath.
THRESHOLD = 0.3
# Screams and sobs resemble a voice only for a moment. Where the detector finds less speech than this in total but is
# certain of that moment (music reaches 0.3), a much lower threshold applies to what surrounds it.
LITTLE_SPEECH_S, CERTAIN, SECOND_THRESHOLD = 0.5, 0.45, 0.1
MIN_SPEECH_S, MIN_SILENCE_S = 0.1, 0.3

_LOADING = threading.Lock()  # a second thread would mistake silero_vad's number of threads for ours


def detect_speech(samples: NDArray[np.float32]) -> tuple[Span, ...]:
    """Return the spans of speech in float32 [n] at 16 kHz, in order and without overlap.

    The level is normalized first, since the detector misses very quiet speech.
    """
    probabilities = _detector().audio_forward(normalize_level(samples))
    from silero_vad import get_speech_timestamps_from_probs  # only now: see _detector

    segments: list[dict[str, int]] = []
    for threshold in (THRESHOLD, SECOND_THRESHOLD):
        segments = get_speech_timestamps_from_probs(
            probabilities,
            threshold=threshold,
            min_speech_duration_ms=round(1000 * MIN_SPEECH_S),
            min_silence_duration_ms=round(1000 * MIN_SILENCE_S),
            speech_pad_ms=0,
            audio_length_samples=len(samples),
        )
        total = sum(segment["end"] - segment["start"] for segment in segments)
        if probabilities.max(initial=0.0) < CERTAIN or total >= LITTLE_SPEECH_S * SAMPLE_RATE:
            break
    return tuple(Span(segment["start"] / SAMPLE_RATE, segment["end"] / SAMPLE_RATE) for segment in segments)


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
