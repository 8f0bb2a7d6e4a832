"""Threads of the library that multiplies numpy's matrices (OpenBLAS), beside those of onnxruntime."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator
from functools import cache
from typing import Any


class OneBlasThread(ContextDecorator):
    """Keeps numpy's matrices to one thread in the whole process until the last of those who asked for it is done.

    OpenBLAS's other threads spin for some 25 ms after each product, and take that time from onnxruntime's: the models
    multiply small matrices in numpy between large ones in onnxruntime, which then ran at half its speed on two cores.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._limit = _libraries().limit(limits=1, user_api="blas")
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._limit.restore_original_limits()


one_blas_thread = OneBlasThread()


@cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
