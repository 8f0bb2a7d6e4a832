"""Other voices from the same recording."""

from __future__ import annotations

import numpy as np
import pytest

from ser_engine.training.augment import LEAST_CHANGE, MOST_CHANGE, perturb_speed
from tests.speech import RATE, tone


def pitch(samples: np.ndarray) -> float:
    """Return the frequency (Hz) of the loudest line."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * RATE / len(samples))


@pytest.mark.parametrize("seed", range(8))
def test_faster_is_shorter_and_higher(seed: int) -> None:
    samples = perturb_speed(tone(2, 400.0), np.random.default_rng(seed))
    speed = 2 * RATE / len(samples)
    assert LEAST_CHANGE - 1e-3 <= abs(speed - 1) <= MOST_CHANGE + 1e-3
    assert pitch(samples) == pytest.approx(400 * speed, rel=0.01)
    assert samples.dtype == np.float32
    assert np.abs(samples[100:-100]).max() == pytest.approx(0.3, abs=0.02)  # as loud as before


def test_speeds_vary_both_ways_and_come_again_with_their_seed() -> None:
    lengths = [len(perturb_speed(tone(1), np.random.default_rng(seed))) for seed in range(12)]
    assert min(lengths) < RATE < max(lengths)
    assert len(set(lengths)) > 6
    assert np.array_equal(*(perturb_speed(tone(1), np.random.default_rng(5)) for _ in range(2)))
