"""Butterworth filters of second order in numpy: scipy.signal takes longer to load than a clip to analyze."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLOCK = 256
"""Samples that are filtered by one product of matrices; only the state between blocks is computed one by one."""


def highpass(samples: NDArray[np.float32], hertz: float, rate: int) -> NDArray[np.float32]:
    """Return float32 [n] without what is below `hertz`, as `scipy.signal.butter(2, hertz, "high")` and `sosfilt` do."""
    return _butterworth(samples, hertz, rate, (1.0, -2.0, 1.0))


def lowpass(samples: NDArray[np.float32], hertz: float, rate: int) -> NDArray[np.float32]:
    """Return float32 [n] without what is above `hertz`, as `scipy.signal.butter(2, hertz, "low")` and `sosfilt` do."""
    power = math.tan(math.pi * hertz / rate) ** 2
    return _butterworth(samples, hertz, rate, (power, 2 * power, power))


def _butterworth(
    samples: NDArray[np.float32], hertz: float, rate: int, numerator: Sequence[float]
) -> NDArray[np.float32]:
    """Filter by the poles of the cutoff frequency and a numerator, before it is scaled as they are."""
    tangent = math.tan(math.pi * hertz / rate)
    scale = 1 / (1 + math.sqrt(2) * tangent + tangent**2)
    b0, b1, b2 = (scale * each for each in numerator)
    a1, a2 = 2 * (tangent**2 - 1) * scale, (1 - math.sqrt(2) * tangent + tangent**2) * scale
    # The transposed direct form II: y = b0 x + s1, and the state (s1, s2) goes on by `step` and `take`.
    step, take = np.array([[-a1, 1.0], [-a2, 0.0]]), np.array([b1 - a1 * b0, b2 - a2 * b0])
    powers = [np.eye(2)]
    for _ in range(BLOCK):
        powers.append(powers[-1] @ step)
    response = np.array([b0, *(float((power @ take)[0]) for power in powers[: BLOCK - 1])])
    lag = np.subtract.outer(np.arange(BLOCK), np.arange(BLOCK))
    within = np.where(lag >= 0, response[np.maximum(lag, 0)], 0).astype(np.float32)
    from_state = np.array([power[0] for power in powers[:BLOCK]], np.float32)
    to_state = np.array([power @ take for power in powers[BLOCK - 1 :: -1]], np.float32)
    count = -(-len(samples) // BLOCK)
    blocks = np.pad(samples, (0, count * BLOCK - len(samples))).reshape(count, BLOCK).astype(np.float32)
    (p, q), (r, s) = powers[BLOCK].tolist()
    first, second, states = 0.0, 0.0, []
    for one, two in (blocks @ to_state).tolist():
        states.append((first, second))
        first, second = p * first + q * second + one, r * first + s * second + two
    filtered = blocks @ within.T + np.array(states, np.float32).reshape(-1, 2) @ from_state.T
    return np.asarray(filtered.ravel()[: len(samples)], np.float32)
