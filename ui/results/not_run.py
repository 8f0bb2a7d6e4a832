"""Experiments that the project describes and that have no result in the folder: told as such, never as measured."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ser_engine.errors import SerError
from ser_engine.training.config import ExperimentConfig, TrainingConfig, read_config


@dataclass(frozen=True)
class NotRun:
    """A configuration without a result: what it would repeat, what it takes, and the command that runs it."""

    name: str
    published: str
    hardware: str
    command: str


def read(configs: Path, measured: Collection[str]) -> tuple[list[NotRun], list[str]]:
    """Return the configurations in a folder whose runs are not among those measured, and what could not be read."""
    found, problems = [], []
    for path in sorted(configs.glob("*.toml")):
        if path.stem in measured:
            continue
        try:
            config = read_config(path)
        except SerError as error:
            problems.append(str(error))
            continue
        published = config.published if isinstance(config, ExperimentConfig) else ""
        hardware = "" if isinstance(config, TrainingConfig) else config.hardware
        command = f"python -m ser_engine train {configs.name}/{path.name}"
        found.append(NotRun(path.stem, published, hardware or "any computer", command))
    return found, problems
