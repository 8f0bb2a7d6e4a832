"""Batches of clips of similar length, which need little padding."""

from __future__ import annotations

from collections.abc import Sequence

MAX_WASTE = 0.15
"""Largest share of padding in a batch."""
MAX_CLIPS = 16
MAX_SAMPLES = 16 * 10 * 16_000
"""Samples of a batch with its padding, which bounds memory: sixteen clips of ten seconds."""


def length_groups(lengths: Sequence[int], clips: int = MAX_CLIPS, waste: float = MAX_WASTE) -> list[list[int]]:
    """Return batches of row numbers, shortest clips first; the share of padding is at most `waste`."""
    groups: list[list[int]] = []
    samples = 0  # of the last group, without padding
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        length = lengths[row]
        padded = (len(groups[-1]) + 1) * length if groups else 0
        fits = groups and len(groups[-1]) < clips and padded <= MAX_SAMPLES
        if fits and padded - samples - length <= waste * padded:
            groups[-1].append(row)
            samples += length
        else:
            groups.append([row])
            samples = length
    return groups
