"""Mel spectra in numpy are librosa's."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from ser_engine.features.mel import FRAMES, kaldi_mel, mel_frequencies, mel_power
from tests.speech import speech


@pytest.mark.parametrize("top", [800.0, 8000.0])
def test_frequencies_are_librosas(top: float) -> None:
    assert mel_frequencies(66, top) == pytest.approx(librosa.mel_frequencies(n_mels=66, fmin=0, fmax=top))


@pytest.mark.parametrize(("rate", "length"), [(8000, 1), (16_000, 20_000), (48_000, (FRAMES + 5) * 512)])
def test_power_is_librosas(rate: int, length: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, length).astype(np.float32)
    options = {"sr": rate, "n_fft": 1024, "hop_length": 512, "n_mels": 64, "fmax": rate / 2}
    reference = librosa.feature.melspectrogram(y=samples, **options)
    assert mel_power(samples, rate, 1024, 512, 64, rate / 2) == pytest.approx(reference, rel=1e-3, abs=1e-6)


# Of 1.6 s from half a second of each clip on, computed once by kaldi-native-fbank 1.23.0 without dither: the mean, the
# first bands of frame 50, and some of frame 100.
KALDI = {
    "man": (
        "Dogs are sitting by the door.",
        14.855783,
        [11.357667, 13.198149, 15.111265],
        [17.942429, 7.879056, 8.359810],
    ),
    "woman": (
        "Kids are talking by the door.",
        12.821750,
        [11.441238, 10.681574, 12.018462],
        [20.275066, 14.646965, 10.844790],
    ),
}


@pytest.mark.parametrize("voice", KALDI)
def test_the_spectrogram_is_kaldis(voice: str) -> None:
    text, mean, first, some = KALDI[voice]
    mel = kaldi_mel(speech(text, voice)[None, 8000 : 8000 + 25600], 80)
    assert mel.shape == (1, 158, 80) and mel.dtype == np.float32
    assert mel.mean() == pytest.approx(mean, abs=1e-3)
    assert mel[0, 50, :3] == pytest.approx(first, abs=1e-3)
    assert mel[0, 100, [10, 40, 79]] == pytest.approx(some, abs=1e-3)
