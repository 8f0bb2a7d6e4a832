"""Batches of clips of the same or of similar length, which need no or little padding."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

MAX_WASTE = 0.15
"""Largest share of padding in a batch."""
MAX_CLIPS = 16
MAX_SAMPLES = 16 * 10 * 16_000
"""Samples of a batch with its padding, which bounds memory: sixteen clips of ten seconds."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_alike(
    compute: Callable[[list[Item]], Iterable[Result]], items: Sequence[Item], key: Callable[[Item], Hashable], size: int
) -> list[Result]:
    """Return the result for each item, computed in batches of at most `size` items that have the same key."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for row, item in enumerate(items):
        groups[key(item)].append(row)
    results: dict[int, Result] = {}
    for rows in groups.values():
        for first in range(0, len(rows), size):
            batch = rows[first : first + size]
            results |= dict(zip(batch, compute([items[row] for row in batch]), strict=True))
    return [results[row] for row in range(len(items))]


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
