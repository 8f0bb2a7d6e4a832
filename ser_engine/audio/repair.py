"""Replace the few invalid samples that a faulty program leaves in a recording."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import InvalidAudio

# Interpolation is inaudible over a pitch period or two; a longer gap or many of them change the voice.
MAX_GAP_S = 0.02
MAX_SHARE = 0.01
# Some programs write 32-bit integers as floats; even larger values are damage, and their squares overflow.
MAX_SAMPLE = 1e10
_INVALID = "(NaN, infinite or absurdly large)"


def mark_invalid(samples: NDArray[Any]) -> NDArray[Any]:
    """Return samples of any shape with NaN for those that are infinite or beyond `MAX_SAMPLE`."""
    valid = np.abs(samples) <= MAX_SAMPLE  # also refuses NaN
    return samples if valid.all() else np.where(valid, samples, np.nan)


def patch_invalid(samples: NDArray[np.float32], rate: int, start_s: float = 0.0) -> str | None:
    """Interpolate the NaN of float32 [n] in place; return a warning, or None where there are none.

    `start_s` is when the samples begin in the recording, in seconds. Raise InvalidAudio with the time of the invalid
    samples if a gap exceeds `MAX_GAP_S`, or all of them `MAX_SHARE` of the samples.
    """
    if np.isfinite(samples.sum(dtype=np.float64)):  # without the memory of a mask
        return None
    invalid = np.isnan(samples)
    edges = np.flatnonzero(np.diff(invalid, prepend=False, append=False))
    gaps, count = edges.reshape(-1, 2), np.count_nonzero(invalid)
    lengths = gaps[:, 1] - gaps[:, 0]
    if (long := lengths > MAX_GAP_S * rate).any() or count > MAX_SHARE * len(samples):
        first, last = (gaps[long] if long.any() else gaps)[[0, -1], [0, 1]] / rate + start_s
        raise InvalidAudio(
            f"The recording contains too many invalid samples {_INVALID}, from {first:.2f} s to {last:.2f} s."
        )
    samples[invalid] = np.interp(np.flatnonzero(invalid), np.flatnonzero(~invalid), samples[~invalid])
    first, last = gaps[0, 0] / rate + start_s, gaps[-1, 0] / rate + start_s
    when = f"at {first:.2f} s" if f"{first:.2f}" == f"{last:.2f}" else f"between {first:.2f} s and {last:.2f} s"
    subject, verb = ("sample", "was") if count == 1 else ("samples", "were")
    return f"{count} invalid {subject} {_INVALID} {when} {verb} replaced by interpolation."
