"""Files that are either whole or absent: everything is written next to its target and then renamed."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Yield a path to write to, which becomes `target` if all went well and is removed otherwise.

    The folder is made if need be. Processes and threads may write the same target at once: the last one wins.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text with `atomic_write`."""
    with atomic_write(target) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def write_json(target: Path, value: Any) -> None:
    """Write indented JSON with `atomic_write`."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_array(target: Path, array: ArrayLike) -> None:
    """Write a .npy file with `atomic_write`."""
    with atomic_write(target) as part, part.open("wb") as file:
        np.save(file, array)


def write_arrays(target: Path, **arrays: ArrayLike) -> None:
    """Write a compressed .npz file with `atomic_write`."""
    with atomic_write(target) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
