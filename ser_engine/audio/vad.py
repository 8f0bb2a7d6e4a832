"""Voice activity detection by Silero VAD."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from ser_engine.audio import silero
from ser_engine.audio.quality import normalize_level
from ser_engine.audio.voice_evidence import HOP, is_voice
from ser_engine.types import SAMPLE_RATE, Span, total_s

# 0.3 rather than Silero's 0.5: sobs, shouts and whispers count as speech here, and refusing a clip costs more than
# keeping a breath.
THRESHOLD = 0.3
# Screams and sobs resemble a voice only for a moment. Where the detector finds less speech than this in total but is
# certain of that moment (music reaches 0.3), a much lower threshold applies to what surrounds it.
LITTLE_SPEECH_S, CERTAIN, SECOND_THRESHOLD = 0.5, 0.45, 0.1
# A scream or sob that is played slower, and so lower, resembles speech, and music does not. Where the detector is
# neither sure of speech nor of its absence, it is asked again at these parts of the speed, and whether there is a voice
# depends on its answers and on the sound itself (`voice_evidence`).
SURE, POSSIBLE, SLOWED = 0.97, 0.05, (0.5, 0.6, 0.75)
# Where such a voice was found for a moment only, what is this near to the loudest belongs to it.
LOUD_DB = 20.0
MIN_SPEECH_S, MIN_SILENCE_S = 0.1, 0.3


def detect_speech(samples: NDArray[np.float32]) -> tuple[Span, ...]:
    """Return the spans of speech in float32 [n] at 16 kHz, in order and without overlap.

    The level is normalized first, since the detector misses very quiet speech.
    """
    samples = normalize_level(samples)
    probabilities = speech_probabilities(samples)
    most = probabilities.max(initial=0.0)
    spans = _spans(probabilities, THRESHOLD, len(samples))
    if most >= CERTAIN and total_s(spans) < LITTLE_SPEECH_S:
        spans = _spans(probabilities, SECOND_THRESHOLD, len(samples))
    if POSSIBLE <= most < SURE:
        slowed = slowed_probabilities(samples, len(probabilities))
        if not is_voice(samples, probabilities, slowed):
            return ()
        spans = _spans(np.maximum(probabilities, slowed), SECOND_THRESHOLD, len(samples))
        if total_s(spans) < LITTLE_SPEECH_S:
            loud = _spans(_loudness(samples, len(probabilities)), THRESHOLD, len(samples))
            spans = max(spans, loud, key=total_s)
    return spans


def _spans(probabilities: NDArray[np.float32], threshold: float, length: int) -> tuple[Span, ...]:
    """Return the spans of `length` samples in which the probability of speech reaches a threshold."""
    found = silero.find_spans(
        probabilities.tolist(),
        threshold,
        length,
        round(MIN_SPEECH_S * SAMPLE_RATE),
        round(MIN_SILENCE_S * SAMPLE_RATE),
    )
    return tuple(Span(first / SAMPLE_RATE, last / SAMPLE_RATE) for first, last in found)


def _loudness(samples: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return 1 for each `HOP` samples that are loud, else 0, [count]."""
    power = np.square(np.pad(samples, (0, max(0, count * HOP - len(samples))))[: count * HOP]).reshape(count, HOP)
    levels = power.mean(axis=1)
    return np.asarray(levels >= levels.max() * 10 ** (-LOUD_DB / 10), np.float32)


def speech_probabilities(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of speech for each `HOP` samples of float32 [n] of normal level."""
    return silero.speech_probabilities(samples)


def slowed_probabilities(samples: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return the mean probability of speech of slowed copies, [count], one for each `HOP` samples."""
    centers = (np.arange(count) + 0.5) * HOP
    answers = []
    for speed in SLOWED:
        slowed = soxr.resample(samples, SAMPLE_RATE * speed, SAMPLE_RATE, quality="HQ")
        answer = speech_probabilities(normalize_level(slowed))
        answers.append(np.interp(centers, (np.arange(len(answer)) + 0.5) * HOP * speed, answer))
    return np.asarray(np.mean(answers, axis=0), np.float32)
