"""Voices are embedded such that the cosine separates them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_engine.errors import WeightsUnavailable
from ser_engine.models.voice_embedder import WIDTH, load_embedder
from ser_engine.settings import Settings
from ser_engine.speakers.clustering import normalize
from tests.speech import RATE, speech


def test_parts_of_one_voice_are_closer_than_those_of_two() -> None:
    parts = [
        speech(text, voice)[8000 : 8000 + 8 * RATE // 5]
        for voice in ("man", "woman")
        for text in ("Kids are talking by the door.", "I wonder what this is about.")
    ]
    vectors = normalize(load_embedder(Settings()).embed(np.stack(parts)))
    assert vectors.shape == (4, WIDTH)
    cosines = vectors @ vectors.T
    assert min(cosines[0, 1], cosines[2, 3]) > cosines[:2, 2:].max() + 0.2


def test_missing_weights_are_named(tmp_path: Path) -> None:
    (tmp_path / "campplus").mkdir()
    with pytest.raises(WeightsUnavailable, match="campplus"):
        load_embedder(Settings(models_dir=tmp_path))
