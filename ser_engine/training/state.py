"""The state of a run on disk: what is finished, how long it took, and how training goes; a stopped run resumes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.io import atomic_write, write_arrays, write_text

FINISHED = "finished"
"""The file by which the results page knows that a run's record is written."""


def is_main_process() -> bool:
    """Return whether this is the one among the processes of one training (torch's RANK) that writes for all."""
    return os.environ.get("RANK", "0") == "0"


@dataclass(frozen=True)
class RunState:
    """The folder in which a run keeps its finished parts."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def timed(self, fold: str) -> Iterator[None]:
        """Add to the seconds that a fold takes, however often it is interrupted."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            if is_main_process():
                with (self.folder / f"fold-{fold}.seconds").open("a", encoding="utf-8") as file:
                    file.write(f"{time.perf_counter() - begun:.3f}\n")

    def seconds(self, folds: Iterable[str]) -> float:
        """Return the seconds of some folds."""
        files = [self.folder / f"fold-{fold}.seconds" for fold in folds]
        return sum(float(line) for file in files for line in file.read_text(encoding="utf-8").split())

    def outputs(self, number: int) -> dict[str, NDArray[np.float32]] | None:
        """Return the outputs of a finished fold, None if it is not finished."""
        file = self.folder / f"outputs-{number}.npz"
        if not file.exists():
            return None
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)

    def save_outputs(self, number: int, outputs: Mapping[str, NDArray[np.float32]]) -> None:
        """Save the outputs of a finished fold."""
        write_arrays(self.folder / f"outputs-{number}.npz", **outputs)

    def history(self, number: int, fold: str, keep: int = 0, members: int = 0) -> History:
        """Return the history of a fold's training, without what an earlier attempt wrote beyond its saved state."""
        return History(self.folder / f"history-{number:04}.jsonl", fold, keep, members)

    def history_files(self) -> list[Path]:
        """Return the history of every fold in order."""
        return sorted(self.folder.glob("history-*.jsonl"))

    @property
    def size(self) -> int:
        """The size in bytes of the first fold's model, 0 if unknown."""
        file = self.folder / "size"
        return int(file.read_text(encoding="utf-8")) if file.exists() else 0

    def save_size(self, size: int) -> None:
        """Save the size in bytes of the first fold's model."""
        write_text(self.folder / "size", str(size))

    def finish(self) -> None:
        """Mark the run as finished."""
        (self.folder / FINISHED).touch()


class History:
    """Appends one JSON object a line, {fold, epoch, loss, …}, so that a run can be watched while it trains.

    Lines of an earlier attempt are dropped, except the first `keep` epochs and all of the first `members` members.
    """

    def __init__(self, path: Path, fold: str, keep: int = 0, members: int = 0) -> None:
        self.path, self.fold = path, fold
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            valid = (
                entry["epoch"] <= keep or entry.get("member", members) < members for entry in map(json.loads, lines)
            )
            write_text(path, "".join(compress(lines, valid)))

    def __call__(self, entry: Mapping[str, float]) -> None:
        """Append one line."""
        rounded = {key: round(value, 5) for key, value in entry.items()}
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps({"fold": self.fold, **rounded}) + "\n")


def load_checkpoint(file: Path, progress: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """Restore torch modules, optimizers and schedules, and return their progress; if there is no file, `progress`."""
    import torch

    if file.exists():
        progress = torch.load(file, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(progress.pop(name))
    return progress


def save_checkpoint(file: Path, progress: Mapping[str, Any], **parts: Any) -> None:
    """Save what `load_checkpoint` reads."""
    import torch

    with atomic_write(file) as part_file:
        torch.save({**progress, **{name: part.state_dict() for name, part in parts.items()}}, part_file)


def copy_weights(module: Any) -> dict[str, Any]:
    """Return a copy of a torch module's tensors on the CPU, by name."""
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
