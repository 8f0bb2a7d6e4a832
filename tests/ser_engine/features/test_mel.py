"""Mel spectra in numpy are librosa's."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from ser_engine.features.mel import FRAMES, mel_frequencies, mel_power


@pytest.mark.parametrize("top", [800.0, 8000.0])
def test_frequencies_are_librosas(top: float) -> None:
    assert mel_frequencies(66, top) == pytest.approx(librosa.mel_frequencies(n_mels=66, fmin=0, fmax=top))


@pytest.mark.parametrize(("rate", "length"), [(8000, 1), (16_000, 20_000), (48_000, (FRAMES + 5) * 512)])
def test_power_is_librosas(rate: int, length: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, length).astype(np.float32)
    options = {"sr": rate, "n_fft": 1024, "hop_length": 512, "n_mels": 64, "fmax": rate / 2}
    reference = librosa.feature.melspectrogram(y=samples, **options)
    assert mel_power(samples, rate, 1024, 512, 64, rate / 2) == pytest.approx(reference, rel=1e-3, abs=1e-6)
