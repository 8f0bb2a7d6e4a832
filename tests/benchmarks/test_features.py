"""The measure of feature extraction, on a handful of clips."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.features import CLIP_S, clip, measure
from ser_engine.features import ACOUSTIC
from tests.speech import RATE


def test_the_factor_is_that_of_the_slower_feature_set() -> None:
    measured = measure(clips=6, workers=1)
    milliseconds = measured["feature_ms_per_clip"]
    assert set(milliseconds) == set(ACOUSTIC)
    assert all(0.1 < value < 1000 for value in milliseconds.values())
    assert measured["feature_realtime_factor"] == pytest.approx(1000 * CLIP_S / max(milliseconds.values()), abs=1)


def test_no_two_clips_are_the_same_and_all_are_heard() -> None:
    clips = [clip(number) for number in range(20)]
    assert {len(samples) for samples in clips} == {round(CLIP_S * RATE)}
    assert len({samples.tobytes() for samples in clips}) == 20
    assert all(samples.dtype == np.float32 and np.abs(samples).max() > 1e-3 for samples in clips)
    assert np.array_equal(clip(3), clips[3])
