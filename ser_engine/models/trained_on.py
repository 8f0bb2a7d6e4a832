"""The recordings that a model was trained on, so that nobody tests it on them by mistake.

The model folder holds a sorted file of the first eight bytes of each training clip's SHA-256. It recognizes identical
files only: a clip that was cut or re-encoded is another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_engine.io import atomic_write

FILE = "trained_on.bin"
WIDTH = 8
WARNING = "The model was trained on this very recording, so its answer says nothing about how well it does with others."


def write_digests(folder: Path, clips: Iterable[Path]) -> int:
    """Write the folder's file from the training clips; return how many there are."""
    digests = sorted({hashlib.sha256(clip.read_bytes()).digest()[:WIDTH] for clip in clips})
    with atomic_write(folder / FILE) as part:
        part.write_bytes(b"".join(digests))
    return len(digests)


def read_digests(folder: Path) -> NDArray[np.uint64]:
    """Return the folder's digests, uint64 [n], sorted; empty where there is no such file."""
    try:
        return np.frombuffer((folder / FILE).read_bytes(), ">u8").astype(np.uint64)
    except (OSError, ValueError):  # missing or truncated: a warning less, but no reason not to answer
        return np.zeros(0, np.uint64)


def contains(digests: NDArray[np.uint64], sha256: str) -> bool:
    """Whether a recording with this checksum (hexadecimal, empty if unknown) is among the digests."""
    return bool(sha256) and np.uint64(int(sha256[: 2 * WIDTH], 16)) in digests
