"""Loudness of samples, and the gain that evens it out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Speech is brought to this level, so that distance from the microphone is not mistaken for sadness; peaks stay under
# full scale.
LEVEL_DB, PEAK = -23.0, 0.98


def rms(samples: NDArray[np.floating]) -> float:
    """Return the root mean square of float [n]; 0 for no samples."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def normalize_level(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale float32 [n] to `LEVEL_DB` (RMS), or less where peaks would exceed `PEAK`."""
    return samples * level_gain(samples)


def level_gain(samples: NDArray[np.float32]) -> np.float32:
    """Return the factor by which `normalize_level` scales float32 [n]."""
    peak = float(np.abs(samples).max(initial=0.0))
    if not peak:
        return np.float32(1.0)
    return np.float32(min(10 ** (LEVEL_DB / 20) / rms(samples), PEAK / peak))
