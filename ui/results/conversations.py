"""Live sessions on labelled conversations as the results page needs them; see `training.evaluate_conversation`.

Like `ui.results`, this reads files alone, and what is broken becomes a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ui.results.run_files import Unreadable, json_object, number, numbers

KIND = "conversation"
METRICS = ("accuracy", "weighted_f1", "macro_f1")


@dataclass(frozen=True)
class Measured:
    """What was right, over the four groups or over all emotions: figures in per cent, rows of the confusion true."""

    labels: tuple[str, ...]
    tested: int
    unanswered: int
    metrics: Mapping[str, float]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Segment:
    """Two seconds: what was meant (nothing in a pause), what was heard, and the milliseconds until it was known."""

    start: float
    end: float
    true: str
    heard: str
    response_ms: float | None


@dataclass(frozen=True)
class Conversation:
    """One run: the system, whether the voices are new to it, and its figures; either kind of figures may be absent."""

    id: str
    system: str
    note: str
    new_voices: bool
    duration_s: float
    speakers: tuple[str, ...]
    session: Mapping[str, Any]
    silent: int
    groups: Measured | None
    emotions: Measured | None
    response_ms: Mapping[str, float]
    segments: tuple[Segment, ...]
    published: tuple[str, ...]


def read(folder: Path) -> tuple[list[Conversation], list[str]]:
    """Return the conversations of a results folder by name, and a sentence for each that cannot be shown."""
    found, problems = [], []
    paths = sorted(folder.glob("*/run.json")) if folder.is_dir() else []
    for path in paths:
        try:
            entry = json_object(path, f"{path.parent.name}/run.json")
        except Unreadable:
            continue  # the page tells of it where it reads the runs
        if entry.get("kind") != KIND:
            continue
        try:
            found.append(_conversation(path.parent.name, entry))
        except (KeyError, TypeError, ValueError, AttributeError):
            again = "python -m ser_engine evaluate --conversation writes it anew"
            problems.append(f"{path.parent.name}/run.json is not as it should be, so it is not shown; {again}.")
    return found, problems


def _conversation(name: str, entry: Mapping[str, Any]) -> Conversation:
    return Conversation(
        id=name,
        system=str(entry["system"]),
        note=str(entry["note"]),
        new_voices=entry["speaker_independent"] is True,
        duration_s=float(entry["duration_s"]),
        speakers=tuple(str(speaker) for speaker in entry["speakers"]),
        session=dict(entry["session"]),
        silent=int(entry["silent"]),
        groups=_measured(entry["groups"]),
        emotions=_measured(entry["emotions"]),
        response_ms=numbers(entry["response_ms"]),
        segments=tuple(_segment(row) for row in entry["timeline"]),
        published=tuple(str(id) for id in entry["published"]),
    )


def _measured(entry: Mapping[str, Any]) -> Measured | None:
    if not entry:
        return None
    labels = tuple(str(label) for label in entry["labels"])
    confusion = tuple(tuple(int(count) for count in row) for row in entry["confusion"])
    if len(confusion) != len(labels) or any(len(row) != len(labels) or min(row) < 0 for row in confusion):
        raise ValueError
    return Measured(
        labels, int(entry["tested"]), int(entry["unanswered"]), numbers(entry["metrics"], METRICS), confusion
    )


def _segment(row: Mapping[str, Any]) -> Segment:
    heard = row["heard"] or {"little": "too little speech"}.get(str(row["state"]), row["state"])
    return Segment(
        float(row["start"]), float(row["end"]), str(row["true"] or ""), str(heard or ""), number(row["response_ms"])
    )
