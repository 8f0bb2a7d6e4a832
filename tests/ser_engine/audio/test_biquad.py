"""Filters without scipy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.signal
from numpy.typing import NDArray

from ser_engine.audio.biquad import highpass, lowpass
from tests.speech import noise

Filter = Callable[[NDArray[np.float32], float, int], NDArray[np.float32]]


@pytest.mark.parametrize(
    "kind, filtered, hertz", [("high", highpass, 80), ("high", highpass, 200), ("low", lowpass, 3500)]
)
@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
@pytest.mark.parametrize("length", [1, 256, 1000])
def test_a_filter_is_scipys(kind: str, filtered: Filter, hertz: float, rate: int, length: int) -> None:
    samples = (noise(1)[:length] + 0.3).astype(np.float32)
    assert len(filtered(samples[:0], hertz, rate)) == 0
    reference = scipy.signal.sosfilt(scipy.signal.butter(2, hertz, kind, fs=rate, output="sos"), samples)
    assert filtered(samples, hertz, rate) == pytest.approx(reference, abs=1e-5)
