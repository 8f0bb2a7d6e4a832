"""Silero VAD and the high-pass filter give the same without the packages that take long to load."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from silero_vad import get_speech_timestamps_from_probs, load_silero_vad

from ser_engine.audio import silero
from ser_engine.audio.highpass import highpass
from tests.speech import noise, speech


def test_probabilities_are_those_of_the_package() -> None:
    samples = np.concatenate([speech("Kids are talking by the door.")] * 8).astype(np.float32)
    assert len(samples) > silero.FRAME * silero.FRAMES  # more than are computed at once
    reference = load_silero_vad(sequence=True).audio_forward(samples)
    assert silero.speech_probabilities(samples) == pytest.approx(np.ravel(reference), abs=1e-5)
    assert len(silero.speech_probabilities(np.zeros(0, np.float32))) == 0


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5])
def test_spans_are_those_of_the_package(threshold: float) -> None:
    rng = np.random.default_rng(0)
    for frames in (1, 2, 40, 40, 40, 40):
        probabilities = rng.beta(0.4, 0.4, frames).astype(np.float32)
        length = (frames - 1) * silero.FRAME + int(rng.integers(1, silero.FRAME + 1))
        spans = get_speech_timestamps_from_probs(
            probabilities,
            threshold=threshold,
            min_speech_duration_ms=100,
            min_silence_duration_ms=300,
            speech_pad_ms=0,
            audio_length_samples=length,
        )
        ours = silero.find_spans(probabilities.tolist(), threshold, length, 1600, 4800)
        assert ours == [(span["start"], span["end"]) for span in spans]


@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
@pytest.mark.parametrize("length", [1, 256, 1000])
def test_the_filter_is_scipys(rate: int, length: int) -> None:
    samples = (noise(1)[:length] + 0.3).astype(np.float32)
    assert len(highpass(samples[:0], 80, rate)) == 0
    reference = scipy.signal.sosfilt(scipy.signal.butter(2, 80, "high", fs=rate, output="sos"), samples)
    assert highpass(samples, 80, rate) == pytest.approx(reference, abs=1e-5)
