"""Runs without a result: experiments that were not run, and those in training, found by their history in the cache."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ser_engine.errors import InvalidRecord, SerError
from ser_engine.evaluation.record import LearningCurves, read_curves, read_object
from ser_engine.training.config import config_name, read_entries, read_protocols
from ser_engine.training.state import FINISHED

DRY_RUNS = "dry-runs.json"
"""The file of the results folder in which `python -m tools.dry_runs` writes what each such experiment would take."""
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
class Cost:
    """What a run would take, as counted by a dry run: GB of memory, hours, and the cores of the machine."""

    memory_gb: float
    hours: float
    cores: int


def read_costs(results: Path) -> dict[str, Cost]:
    """Return the costs of experiments by their names; none where the file is missing or damaged."""
    try:
        entries = read_object(results / DRY_RUNS, DRY_RUNS)
        return {
            name: Cost(entry["memory_mb"] / 1000, float(entry["hours"]), int(entry["cores"]))
            for name, entry in entries.items()
        }
    except (InvalidRecord, KeyError, TypeError, ValueError, AttributeError):
        return {}


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
