"""What a model made of the latest recordings, kept so that other words can be scored without listening again."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

KEPT = 2048
"""Of how many recordings, or windows of a long one, something is kept."""

Found = TypeVar("Found")


class LRUCache(Generic[Found]):
    """What was found in recordings, by their samples, the latest `size` of them; safe to share between threads."""

    def __init__(self, size: int = KEPT) -> None:
        self._size = size
        self._found: OrderedDict[str, Found] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, clips: Sequence[NDArray[np.float32]], find: Callable[[list[int]], Sequence[Found]]) -> list[Found]:
        """Return what was found in each clip, float32 [n]; `find` is given the rows of those that are new, once each.

        Two threads may look into the same new clip at once: nobody waits for another's encoder.
        """
        keys = [hashlib.sha256(clip.tobytes()).hexdigest() for clip in clips]
        with self._lock:
            known = {key: self._found[key] for key in keys if key in self._found}
        missing = {key: row for row, key in enumerate(keys) if key not in known}
        if missing:
            known |= dict(zip(missing, find(list(missing.values())), strict=True))
        with self._lock:
            for key in keys:
                self._found[key] = known[key]
                self._found.move_to_end(key)
            while len(self._found) > self._size:
                self._found.popitem(last=False)
        return [known[key] for key in keys]

    def forget(self) -> None:
        """Forget everything, as a measurement of time has to."""
        with self._lock:
            self._found.clear()
