"""A cache of what a model computed from the latest recordings."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

SIZE = 2048
"""Recordings, or windows of a long one, whose results are cached."""

Value = TypeVar("Value")


class LRUCache(Generic[Value]):
    """Results for the latest `size` recordings, by their samples; safe to share between threads."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get_or_compute(
        self, clips: Sequence[NDArray[np.float32]], compute: Callable[[list[int]], Sequence[Value]]
    ) -> list[Value]:
        """Return the value of each clip, float32 [n]; `compute` is given the rows of those that are new, once each.

        Two threads may compute the same new clip at once: no thread waits for another's encoder.
        """
        keys = [hashlib.sha256(clip.tobytes()).hexdigest() for clip in clips]
        with self._lock:
            values = {key: self._values[key] for key in keys if key in self._values}
        missing = {key: row for row, key in enumerate(keys) if key not in values}
        if missing:
            values |= dict(zip(missing, compute(list(missing.values())), strict=True))
        with self._lock:
            for key in keys:
                self._values[key] = values[key]
                self._values.move_to_end(key)
            while len(self._values) > self._size:
                self._values.popitem(last=False)
        return [values[key] for key in keys]

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            self._values.clear()
