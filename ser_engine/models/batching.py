"""Batches of clips of similar length, so that little of what is computed is padding."""

from __future__ import annotations

from collections.abc import Sequence

MAX_WASTE = 0.15
"""Share of a batch that may be padding."""
MAX_CLIPS = 16
MAX_SAMPLES = 16 * 10 * 16_000
"""Samples of a batch with its padding, so that memory is bounded: sixteen clips of ten seconds."""


def length_groups(lengths: Sequence[int], clips: int = MAX_CLIPS, waste: float = MAX_WASTE) -> list[list[int]]:
    """Return batches of row numbers, shortest clips first; no batch has more than a share `waste` of padding."""
    groups: list[list[int]] = []
    held = 0  # samples in the last group, without padding
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        length = lengths[row]
        padded = (len(groups[-1]) + 1) * length if groups else 0
        fits = groups and len(groups[-1]) < clips and padded <= MAX_SAMPLES
        if fits and padded - held - length <= waste * padded:
            groups[-1].append(row)
            held += length
        else:
            groups.append([row])
            held = length
    return groups


def padding_waste(lengths: Sequence[int], groups: Sequence[Sequence[int]]) -> float:
    """Return which share (0 to 1) of all samples in these batches is padding."""
    padded = sum(len(group) * max(lengths[row] for row in group) for group in groups)
    return 1 - sum(lengths[row] for group in groups for row in group) / padded if padded else 0.0
