"""Runs without a result: experiments that were not run, and those in training, found by their history in the cache."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ser_engine.errors import SerError
from ser_engine.evaluation.record import LearningCurves, read_curves
from ser_engine.training.config import config_name, read_entries, read_protocols
from ser_engine.training.state import FINISHED

QUIET_S = 1800.0
"""Without a finished epoch for so long, a run is taken for stopped."""


@dataclass(frozen=True)
class NotRun:
    """A configuration without a result: the figure that it repeats, its hardware, and the command that runs it."""

    name: str
    published: str
    hardware: str
    command: str


def find_not_run(configs: Path, measured: Collection[str]) -> tuple[list[NotRun], list[str]]:
    """Return the experiments of a folder that are not measured, and a sentence for each unreadable file."""
    waiting, problems = [], []
    for path in sorted(configs.glob("*/*.toml")):
        try:
            entries, protocols = read_entries(path), read_protocols(path)
        except SerError as error:
            problems.append(str(error))
            continue
        name = config_name(path)
        for protocol in protocols:
            if (id := f"{name}/{protocol}") not in measured:
                hardware = str(entries.get("hardware") or "any computer")
                command = f"ser train {configs.name}/{name}.toml --protocol {protocol}"
                waiting.append(NotRun(id, str(entries.get("published", "")), hardware, command))
    return waiting, problems


@dataclass(frozen=True)
class Training:
    """A run in training: its name, its learning curves so far, and the seconds since its last epoch."""

    name: str
    history: LearningCurves
    ago_s: float


def find_trainings(cache: Path, now: float) -> list[Training]:
    """Return the unfinished runs in `cache` with an epoch in the last half hour, the latest first.

    `now` is a time as returned by `time.time`.
    """
    runs = cache / "runs"
    trainings = []
    for folder in sorted({path.parent for path in runs.rglob("history*.jsonl")}):
        files = sorted(folder.glob("history*.jsonl"))
        ago = now - max(file.stat().st_mtime for file in files)
        if ago < QUIET_S and not (folder / FINISHED).exists():
            name = folder.parent.relative_to(runs).as_posix()  # without the fingerprint of its configuration
            trainings.append(Training(name, read_curves(name, files), ago))
    return sorted(trainings, key=lambda training: training.ago_s)
