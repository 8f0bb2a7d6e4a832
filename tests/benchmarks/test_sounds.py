"""The sounds of the benchmark are the same every time, of every kind, and are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.sounds import KINDS, generate
from benchmarks.speech_detection import SOUNDS, measure_sounds
from ser_engine.settings import Settings
from tests.speech import RATE


def test_sounds_are_of_every_kind_and_the_same_for_the_same_seed() -> None:
    sounds, again = list(generate(2 * len(KINDS))), list(generate(2 * len(KINDS)))
    assert [kind for kind, _ in sounds] == [*KINDS] * 2
    for (_, one), (_, other), (_, repeated) in zip(sounds, sounds[len(KINDS) :], again, strict=False):
        assert len(one) == 4 * RATE and one.dtype == np.float32 and np.isfinite(one).all() and np.abs(one).max() < 2
        np.testing.assert_array_equal(one, repeated)
        assert not np.array_equal(one, other)
    assert not np.array_equal(sounds[0][1], next(generate(1, seed=1))[1])


def test_without_recorded_instruments_all_sounds_are_generated(tmp_path: Path) -> None:
    figures = measure_sounds(Settings(data=tmp_path))
    assert figures["music_files"] == dict.fromkeys(KINDS, SOUNDS // len(KINDS))
    assert isinstance(figures["music_accepted"], float) and figures["music_accepted"] <= 5
