"""The encoder computes what Resemblyzer's package computes, and its projection tells voices apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.speaker_encoder import PART, WIDTH, load_encoder
from ser_engine.settings import Settings
from tests.speech import speech

# Of 1.6 s from half a second of each clip on, computed once by Resemblyzer 0.1.4: the mean of the mel spectrogram, the
# first bands of its frame 50, and the first values of the embedding that are not 0, with their places.
PACKAGE = {
    "man": (
        "Dogs are sitting by the door.",
        0.04475529,
        [0.02080052, 0.02250552, 0.02379916, 0.02982808, 0.06380307],
        [0, 5, 6, 8, 9, 10, 11, 14, 16],
        [0.11942, 0.05774, 0.02789, 0.12819, 0.15313, 0.16044, 0.04706, 0.00599, 0.11451],
    ),
    "woman": (
        "Kids are talking by the door.",
        0.050886907,
        [0.0007737, 0.2675726, 0.33419025, 0.02975637, 0.19500218],
        [0, 8, 9, 10, 11, 16, 20, 25, 32],
        [0.0101, 0.03037, 0.26036, 0.164, 0.24909, 0.03715, 0.08676, 0.17384, 0.00354],
    ),
}


def part(text: str, voice: str) -> torch.Tensor:
    return torch.from_numpy(speech(text, voice)[8000 : 8000 + PART])[None]


@pytest.mark.parametrize("voice", PACKAGE)
def test_mel_spectrogram_and_embedding_are_those_of_the_package(voice: str) -> None:
    text, mean, bands, places, values = PACKAGE[voice]
    encoder = load_encoder(Settings())
    mel = encoder.mel(part(text, voice))[0].numpy()
    assert mel.shape == (160, 40)
    assert mel.mean() == pytest.approx(mean, rel=2e-3)
    assert mel[50, :5] == pytest.approx(bands, rel=2e-3)
    embedding = encoder.states(part(text, voice))[0, -WIDTH:].numpy()
    assert np.flatnonzero(embedding)[: len(places)].tolist() == places
    assert embedding[places] == pytest.approx(values, abs=2e-3)


def test_parts_of_one_voice_are_closer_than_those_of_two() -> None:
    encoder = load_encoder(Settings())
    parts = [
        part(text, voice)
        for voice in ("man", "woman")
        for text in ("Kids are talking by the door.", "I wonder what this is about.")
    ]
    vectors = torch.nn.functional.normalize(encoder(torch.cat(parts)))
    cosines = (vectors @ vectors.T).numpy()
    assert min(cosines[0, 1], cosines[2, 3]) > cosines[:2, 2:].max() + 0.2


def test_missing_weights_are_named(tmp_path: Path) -> None:
    (tmp_path / "ge2e").mkdir()
    with pytest.raises(WeightsUnavailable, match="ge2e"):
        load_encoder(Settings(models_dir=tmp_path))
