"""Levels are evened out, and peaks stay under full scale."""

from __future__ import annotations

import numpy as np
import pytest

from ser_engine.audio.quality import LEVEL_DB, PEAK, normalize_level, rms
from tests.speech import clicks, noise, silence, tone


def test_levels_are_even_and_peaks_safe() -> None:
    assert 20 * np.log10(rms(normalize_level(noise(1, 0.001)))) == pytest.approx(LEVEL_DB, abs=0.01)
    assert 20 * np.log10(rms(normalize_level(tone(1, level=1.0)))) == pytest.approx(LEVEL_DB, abs=0.01)
    assert np.abs(normalize_level(clicks(1))).max() == pytest.approx(PEAK)
    assert normalize_level(noise(1)).dtype == np.float32
    assert np.array_equal(normalize_level(silence(1)), silence(1))
    assert len(normalize_level(silence(0))) == 0
