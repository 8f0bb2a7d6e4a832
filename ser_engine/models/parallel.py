"""Threads of torch; batches in parallel, one thread each, which on a CPU beats all threads on one batch at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def set_up_torch(threads: int) -> None:
    """Set the number of torch's threads (0: unchanged), and flush denormal numbers, which slow it down severalfold."""
    torch.set_flush_denormal(True)
    if threads:
        torch.set_num_threads(threads)


def parallel_map(compute: Callable[[Batch], Result], batches: Sequence[Batch]) -> Iterator[Result]:
    """Yield `compute(batch)` of each in order, without gradients, on as many threads as torch has.

    Where torch has one thread, or there are fewer batches than threads, they are computed in turn on all threads.
    """

    def alone(batch: Batch) -> Result:
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
