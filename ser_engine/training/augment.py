"""Other voices from the same recordings, for training alone: never for what is tested."""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

# Faster speech is higher, too, as if by a smaller speaker; within these shares a man does not become a child.
LEAST_CHANGE, MOST_CHANGE = 0.04, 0.13


def perturb_speed(samples: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return float32 [n] played faster or slower, by 4 to 13% (Ko et al., Interspeech 2015), as float32 [m]."""
    change = rng.uniform(LEAST_CHANGE, MOST_CHANGE) * rng.choice([-1, 1])
    return soxr.resample(samples, 1000.0 * (1.0 + change), 1000.0, quality="HQ")
