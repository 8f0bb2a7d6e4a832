"""Threads of the library that multiplies numpy's matrices (OpenBLAS), beside those of onnxruntime."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator
from functools import cache
from typing import Any


class OneBlasThread(ContextDecorator):
    """Keeps numpy's matrices to one thread in the whole process until the last of those who asked for it is done.

    OpenBLAS's other threads spin for a while after each product, and take the cores from onnxruntime's: the models
    multiply small matrices in numpy between large ones in onnxruntime.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._done = threading.Event()
        self._keeper: threading.Thread | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._keeper is None:
                limited = threading.Event()
                self._done.clear()
                self._keeper = threading.Thread(target=self._keep, args=[limited], name="one-blas-thread", daemon=True)
                self._keeper.start()
                limited.wait()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users and self._keeper is not None:
                self._done.set()
                self._keeper.join()
                self._keeper = None

    def _keep(self, limited: threading.Event) -> None:
        """Limit the threads until `_done`: threadpoolctl lets one thread do so at a time, and the users may be many."""
        with _libraries().limit(limits=1, user_api="blas"):
            limited.set()
            self._done.wait()


one_blas_thread = OneBlasThread()


@cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
