"""What all tests of the page share: none leaves a thread of the page at work behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

THREADS = {"warm-up", "analysis"}
END_S = 300.0
"""How long such a thread may take to end; warming up imports large libraries."""


@pytest.fixture(scope="session", autouse=True)
def let_threads_end() -> Iterator[Callable[[], None]]:
    """Return a function that waits for the page's threads; called after the last test, too.

    They are daemons, and Python aborts when it ends while one of them is half-way through importing torch.
    """

    def wait() -> None:
        for thread in threading.enumerate():
            if thread.name in THREADS:
                thread.join(END_S)

    yield wait
    wait()
