"""Features that systems compute from `CleanSpeech`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ser_engine.features import acoustic94, acoustic173, acoustic371

Extractor = Callable[[NDArray[np.float32], int], NDArray[np.float32]]
"""Compute one row of features of mono float32 [n] at a rate in Hz."""

ACOUSTIC: dict[str, Extractor] = {
    "acoustic94": acoustic94.extract,
    "acoustic173": acoustic173.extract,
    "acoustic371": acoustic371.extract,
}
"""The feature sets of classical systems, by name."""
