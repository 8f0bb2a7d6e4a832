"""Memory of the process."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress


def trim_memory() -> None:
    """Give unused memory back to the system, where the C library can.

    glibc keeps what was freed between small objects that live on, such as answers, and so grows with their number.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)
