"""How far a job is: what is shown while it runs, and what other processes read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

PROGRESS = "_progress.json"
State = Literal["running", "finished", "stopped", "failed"]


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes
    ----------
    state : "running"; "finished" once every recording has a row; "stopped" by Ctrl-C or `stop`; "failed" with `reason`
    done : recordings that have a row, including those of earlier runs and those that failed
    failed : of these, the ones whose row holds an error in place of an answer
    total : recordings that were found; None while the sources are still being listed
    rate : recordings a second in this run; 0 at first
    eta_s : seconds that the rest will take; None where that is not known yet
    audio_s : seconds of sound that were analyzed in this run
    elapsed_s : seconds since this run began
    earlier : recordings that had a row before this run
    skipped : files in folders that are no recordings
    changed : recordings of earlier runs that have changed since; their rows are of what they were
    reason : sentence on why the job failed or was stopped
    """

    state: State = "running"
    done: int = 0
    failed: int = 0
    total: int | None = None
    rate: float = 0.0
    eta_s: float | None = None
    audio_s: float = 0.0
    elapsed_s: float = 0.0
    earlier: int = 0
    skipped: int = 0
    changed: int = 0
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the progress as JSON-ready values."""
        return asdict(self)


OnProgress = Callable[[Progress], None]
"""Called about twice a second in the thread of `run`, and once at the end."""


def read_progress(out: str | os.PathLike[str]) -> Progress | None:
    """Return the progress of the latest run on an output folder, at most some seconds old; None where there is none.

    A run that was killed stays "running": see `output.is_locked`.
    """
    with suppress(OSError, ValueError, TypeError):
        return Progress(**json.loads((Path(out) / PROGRESS).read_text(encoding="utf-8")))
    return None
