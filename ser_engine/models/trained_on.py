"""Which recordings a model was trained on, so that nobody tests it on them by mistake.

Beside the weights lies a file with the first eight bytes of each training clip's SHA-256, sorted. It tells of the very
same file only: a clip that was cut or encoded anew is another.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = "trained_on.bin"
WIDTH = 8
WARNING = "The model was trained on this very recording, so its answer says nothing about how well it does with others."


def write(folder: Path, clips: Iterable[Path]) -> int:
    """Write the folder's file from the training clips, beside and renamed; return how many there are."""
    digests = sorted({hashlib.sha256(clip.read_bytes()).digest()[:WIDTH] for clip in clips})
    beside = folder / f".{FILE}.{os.getpid()}.part"
    beside.write_bytes(b"".join(digests))
    beside.replace(folder / FILE)
    return len(digests)


def read(folder: Path) -> NDArray[np.uint64]:
    """Return what the folder's file holds, uint64 [n] in order; nothing where there is no such file."""
    try:
        return np.frombuffer((folder / FILE).read_bytes(), ">u8").astype(np.uint64)
    except (OSError, ValueError):  # not there, or cut off: a warning less, no reason not to answer
        return np.zeros(0, np.uint64)


def holds(known: NDArray[np.uint64], source: bytes | str | Path) -> bool:
    """Say whether a recording, its bytes or its path, is among those that `read` returned."""
    if not len(known):
        return False
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    digest = np.uint64(int.from_bytes(hashlib.sha256(data).digest()[:WIDTH]))
    place = int(np.searchsorted(known, digest))
    return place < len(known) and bool(known[place] == digest)
