"""Memory of the process."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

PRIMITIVES = 64
"""Compiled operations that oneDNN keeps: more than one batch has; its own default is 1024."""


def trim_memory() -> None:
    """Give unused memory back to the system, where the C library can.

    glibc keeps what was freed between small objects that live on, such as answers, and so grows with their number.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library than glibc
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def limit_primitives() -> None:
    """Bound what torch's oneDNN keeps of operations it compiled, one of 0.1 MB for each length of sound; call it first.

    Sentences and windows all have lengths of their own. oneDNN reads the variable at its first operation.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(PRIMITIVES))
