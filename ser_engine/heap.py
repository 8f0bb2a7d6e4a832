"""The C library's heap, in processes that answer for long."""

from __future__ import annotations

import ctypes
import platform

LARGE = 4 * 2**20
"""Bytes of a block that returns to the system as soon as it is freed."""
_M_MMAP_THRESHOLD = -3


def return_large_blocks() -> None:
    """Let large blocks return to the system when they are freed, where the C library is glibc.

    It would otherwise raise its own limit to the largest block so far, 32 MB, and keep such blocks for each thread.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE)
