"""The one way in which many clips are processed at once: on every core, in order, with a progress bar."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from typing import TypeVar

from tqdm import tqdm

from ser_engine.errors import SerError
from ser_engine.settings import available_cores

Clip = TypeVar("Clip")
Result = TypeVar("Result")

BATCH = 8
"""Clips that a worker takes at a time; after Ctrl-C it finishes them."""
AHEAD = 4
"""Batches that wait for each worker: enough that none idles, few enough that memory stays flat."""


def map_clips(
    function: Callable[[Clip], Result],
    clips: Iterable[Clip],
    workers: int = 0,
    description: str = "",
    batch: int = BATCH,
    total: int | None = None,
) -> Iterator[Result]:
    """Yield `function(clip)` of each clip; everything else is as in `map_batches`."""
    return map_batches(partial(_map, function), clips, workers, description, batch, total)


def map_batches(
    function: Callable[[list[Clip]], Sequence[Result]],
    clips: Iterable[Clip],
    workers: int = 0,
    description: str = "",
    batch: int = BATCH,
    total: int | None = None,
    threads: bool = False,
) -> Iterator[Result]:
    """Yield the results of batches of clips, one result for each clip in the order of the clips.

    Raise SerError if the system ended a process, as it does when memory runs out.

    Parameters
    ----------
    function : takes a list of clips and returns as many results; to be pickled unless `threads`
    clips : read as they are needed, so that memory does not grow with their number
    workers : processes of one thread each; 0 for one for each core
    description : the progress bar's
    batch : clips in a batch
    total : how many clips there are, where `clips` has no length
    threads : use threads of this process, which share its models, in place of processes
    """
    total = len(clips) if isinstance(clips, Sequence) else total
    workers = workers or available_cores()
    if total is not None:
        workers = max(1, min(workers, -(-total // batch)))
    remaining = iter(clips)
    waiting: deque[Future[Sequence[Result]]] = deque()
    pool = ThreadPoolExecutor(workers) if threads else ProcessPoolExecutor(workers, initializer=_start_worker)
    try:
        with tqdm(total=total, desc=description, unit="clip") as bar:
            while True:
                while len(waiting) < AHEAD * workers and (chosen := list(islice(remaining, batch))):
                    waiting.append(pool.submit(function, chosen))
                if not waiting:
                    return
                results = waiting.popleft().result()
                bar.update(len(results))
                yield from results
    except BrokenProcessPool:
        raise SerError(
            "The system ended a worker process, as it does when memory runs out; use fewer workers."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C or an error, nothing new is begun


def _map(function: Callable[[Clip], Result], clips: list[Clip]) -> list[Result]:
    return [function(clip) for clip in clips]


def _start_worker() -> None:
    """Make a process compute on one thread, leave Ctrl-C to its parent, and end with it, even if that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"  # for libraries that are yet to be loaded
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)
