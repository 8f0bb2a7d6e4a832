"""Runs that are being trained now, found by what they write into the cache: one line an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ui.results.run_files import History, read_history

QUIET_S = 1800.0
"""A run that has told nothing for so long is taken for stopped."""
FINISHED = "finished"
"""The file by which a run says that its result is written."""


@dataclass(frozen=True)
class Training:
    """A run under way: its name, what it has learned so far, and how long ago it told of an epoch, in seconds."""

    name: str
    history: History
    ago_s: float


def read(cache: Path, now: float) -> list[Training]:
    """Return the runs in `cache` that told of an epoch lately and have no result yet, the latest first.

    `now` is the time in seconds since the epoch, as `time.time` returns it.
    """
    found = []
    for folder in (cache / "runs").glob("*-*"):
        files = sorted(folder.glob("history*.jsonl"))
        if not files or (folder / FINISHED).exists():
            continue
        ago = now - max(file.stat().st_mtime for file in files)
        if ago < QUIET_S:
            name = folder.name.rpartition("-")[0]  # without what tells it from other attempts
            found.append(Training(name, read_history(name, files), ago))
    return sorted(found, key=lambda training: training.ago_s)
