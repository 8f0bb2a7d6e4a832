"""Silero VAD gives what its package does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from silero_vad import get_speech_timestamps_from_probs, load_silero_vad

from ser_engine.audio import silero
from tests.speech import speech
from tools.bundle_speech_detector import unroll


def test_probabilities_are_those_of_the_package() -> None:
    samples = np.concatenate([speech("Kids are talking by the door.")] * 8).astype(np.float32)
    assert len(samples) > silero.FRAME * silero.FRAMES  # more than are computed at once
    reference = load_silero_vad(sequence=True).audio_forward(samples)
    assert silero.speech_probabilities(samples) == pytest.approx(np.ravel(reference), abs=1e-4)
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


@pytest.mark.parametrize("length, stride", [(4, 1), (4, 2), (2, 2), (1, 1)])
def test_a_convolution_is_a_matrix(length: int, stride: int) -> None:
    torch.manual_seed(0)
    kernel, x = torch.randn(5, 3, 3), torch.randn(7, 3, length)
    reference = torch.nn.functional.conv1d(x, kernel, padding=1, stride=stride).transpose(1, 2).flatten(1)
    found = x.transpose(1, 2).flatten(1).numpy() @ unroll(kernel.numpy(), length, stride).T
    np.testing.assert_allclose(found, reference, atol=1e-5)
