"""Batches of clips of the same or of similar length, which need little padding, and their computation by threads."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
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


def set_up_torch(threads: int) -> None:
    """Set the number of torch's threads (0: unchanged), and flush denormal numbers, which slow it down severalfold."""
    import torch

    torch.set_flush_denormal(True)
    if threads:
        torch.set_num_threads(threads)


def parallel_map(compute: Callable[[Item], Result], batches: Sequence[Item]) -> Iterator[Result]:
    """Yield `compute(batch)` of each in order, without gradients, on as many threads as torch has.

    Where torch has one thread, or there are fewer batches than threads, they are computed in turn on all threads.
    """
    import torch

    def alone(batch: Item) -> Result:
        with torch.no_grad():  # a thread's own, and not the caller's between two results
            return compute(batch)

    threads = torch.get_num_threads()
    if threads < 2 or len(batches) < threads:
        yield from map(alone, batches)
        return
    started = threading.Barrier(threads + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread's first call, of many a function, takes the number that was set last
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)  # a thread's own, too
        started.wait()

    with ThreadPoolExecutor(threads, initializer=start) as pool:
        results = pool.map(alone, batches)
        started.wait()
        torch.set_num_threads(threads)  # threads that others begin from now on get the number that was set last
        yield from results
