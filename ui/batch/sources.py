"""What a batch of the page may read: files that were dropped, and folders below the one that the operator offers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from ser_engine.batch.plan import PLAN
from ser_engine.errors import InvalidSettings

MOST_FOLDERS = 2000
"""Folders that the page lists; a folder below the others is chosen with them."""
NAME_BYTES = 150


class Upload(Protocol):
    """A file that was dropped."""

    name: str

    def getbuffer(self) -> memoryview:
        """Return its bytes."""


def save_uploads(uploads: Iterable[Upload], folder: Path) -> Path:
    """Write dropped files into a folder, each into one of its own, and return the manifest that lists them."""
    folder.mkdir(parents=True)
    manifest = folder / "uploads.jsonl"
    with manifest.open("w", encoding="utf-8") as lines:
        for number, upload in enumerate(uploads, 1):
            target = folder / f"{number:06d}" / safe_name(upload.name)
            target.parent.mkdir()
            target.write_bytes(upload.getbuffer())
            lines.write(json.dumps({"path": str(target)}) + "\n")
    return manifest


def safe_name(name: str) -> str:
    """Return the last part of a file's name, short enough for any file system, with its ending."""
    last = name.replace("\\", "/").replace("\0", "").rsplit("/", 1)[-1].strip(". ")
    path = Path(last or "recording")
    room = NAME_BYTES - len(path.suffix.encode())
    return path.stem.encode()[: max(room, 1)].decode(errors="ignore") + path.suffix[:NAME_BYTES]


def list_folders(root: Path) -> tuple[list[str], list[str]]:
    """Return the folders below `root`, relative to it, "." first, and those of them that are results of batches.

    The former have no hidden ones, no links, and no results.
    """
    folders: list[str] = []
    outputs: list[str] = []
    for number, (place, below, _) in enumerate(os.walk(root), 1):
        here = Path(place)
        is_output = (here / PLAN).is_file()
        (outputs if is_output else folders).append(str(here.relative_to(root)))
        if number == MOST_FOLDERS:
            break
        kept = [] if is_output else [name for name in below if name[0] != "." and not (here / name).is_symlink()]
        below[:] = sorted(kept)
    return folders, outputs


def resolve_inside(root: Path, name: str) -> Path:
    """Return a folder or file below `root`; raise InvalidSettings where it lies elsewhere, also by a symbolic link."""
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise InvalidSettings(f"“{name}” lies outside of the folder that this page may read.")
    if not path.exists():
        raise InvalidSettings(f"“{name}” is not there any more.")
    return path
