"""Experiments that have a configuration but no result."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ser_engine.errors import SerError
from ser_engine.training.config import config_name, read_entries, read_protocols


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
