"""Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTED = 130
"""The exit code of what was ended by Ctrl-C."""


@contextmanager
def stop_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process on the spot, without a traceback.

    A KeyboardInterrupt that is raised while a decoder reads would be printed by its callback, and be lost.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield
        return

    def stop(*_: object) -> None:
        os.write(2, b"\nInterrupted.\n")
        os._exit(INTERRUPTED)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
