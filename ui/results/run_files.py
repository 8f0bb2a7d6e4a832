"""Measured runs as the results page needs them: read from files alone, and what is broken becomes a sentence.

A results folder holds one folder a run with run.json, and beside them published.toml. Nothing here
trusts what is in them: a figure that is no number is absent, a table of the wrong shape is absent and told.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

PUBLISHED = "published.toml"
TRAP = "augmented-before-split"
"""The protocol that is there to show a leak; it is never set beside the others as their equal."""
METRICS = ("UA", "WA", "UA_plus_WA", "macro_f1", "weighted_f1")
PROBED = ("encoder", "model", "chance")


class Unreadable(Exception):
    """A file of the results folder cannot be used; `str` is the sentence that says why."""


@dataclass(frozen=True)
class Published:
    """A figure that a paper reports for its own system; per cent, None where the paper gives none.

    `derived` names figures that the paper does not print but its table implies; `per_class` is like a run's.
    """

    id: str
    paper: str
    table: str
    system: str
    protocol: str
    speaker_independent: bool
    corpora: tuple[str, ...]
    metrics: Mapping[str, float]
    derived: tuple[str, ...]
    per_class: Mapping[str, Mapping[str, float]]
    note: str


@dataclass(frozen=True)
class Run:
    """One measured run: what run.json says, as far as it can be believed.

    Attributes
    ----------
    id
        The name of its folder; deep links use it.
    metrics
        Of `METRICS`, in per cent, those that there are.
    confusion
        Rows true, columns predicted, in clips; empty where there is none or it does not fit the labels.
    by_corpus, by_speaker, by_gender
        UA, WA and clips of each.
    conditions
        UA, WA and the points of UA that are lost of the same clips heard worse, by `conditions.TITLES`.
    corpus_probe
        How often a probe names a clip's corpus, in per cent: from the "encoder", from the "model", and by "chance".
    parts
        UA and WA of "speech" alone and of "text" alone, of a network that has both.
    problems
        Sentences about parts of the file that could not be used.
    """

    id: str
    model: str
    features: str
    protocol: str
    speaker_independent: bool
    corpora: tuple[str, ...]
    labels: tuple[str, ...]
    metrics: Mapping[str, float]
    interval: tuple[float, float] | None
    per_class: Mapping[str, Mapping[str, float]]
    confusion: tuple[tuple[int, ...], ...]
    by_corpus: Mapping[str, Mapping[str, float]]
    by_speaker: Mapping[str, Mapping[str, float]]
    by_gender: Mapping[str, Mapping[str, float]]
    conditions: Mapping[str, Mapping[str, float]]
    corpus_probe: Mapping[str, float]
    parts: Mapping[str, Mapping[str, float]]
    seconds: float | None
    size_mb: float | None
    note: str
    published: str
    config: Mapping[str, Any]
    audit: Mapping[str, Any] | None
    confidence: Mapping[str, Any] | None
    missing_corpora: tuple[str, ...]
    problems: tuple[str, ...]
    path: Path = field(repr=False)

    @property
    def leaky(self) -> bool:
        """Whether the run copies a leak on purpose."""
        return TRAP in (self.protocol, self.config.get("protocol")) or self.protocol.startswith(TRAP)

    @property
    def kinship(self) -> tuple[object, ...]:
        """What two runs share that differ in nothing but protocol and seed: model, features, corpora and emotions."""
        return self.model, self.features, tuple(sorted(self.corpora)), tuple(sorted(self.labels))

    @property
    def seed(self) -> int:
        """What chance began with; 0 where the run does not say."""
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else 0


@dataclass(frozen=True)
class Results:
    """A whole results folder: runs with those on unheard voices first, what else was measured, what is broken."""

    runs: tuple[Run, ...] = ()
    published: Mapping[str, Published] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class History:
    """A training's course: for each quantity, over epochs counted from 1, (epoch, mean, lowest, highest) over folds."""

    curves: Mapping[str, Sequence[tuple[int, float, float, float]]] = field(default_factory=dict)
    trainings: int = 0
    problem: str = ""


def read(folder: Path) -> Results:
    """Return all that the folder holds; whatever is wrong with it is in `problems`, one sentence each."""
    runs, others, problems = [], [], []
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return Results(problems=(f"There is no results folder {folder}; SER_RESULTS says where it is.",))
    for entry in entries:
        try:
            run = read_run(entry / "run.json")
        except Unreadable as error:
            problems.append(str(error))
            continue
        if isinstance(run, Run):
            runs.append(run)
        else:
            others.append(run)
    published: Mapping[str, Published] = {}
    try:
        published = read_published(folder / PUBLISHED)
    except Unreadable as error:
        problems.append(str(error))
    problems += [
        f"{run.id}: {PUBLISHED} has no figure “{run.published}” to set beside it."
        for run in runs
        if published and run.published and run.published not in published
    ]
    return Results(tuple(sorted(runs, key=_rank)), published, tuple(others), tuple(problems))


def read_run(path: Path) -> Run | str:
    """Return a run, or the name of a folder that measures something other than the naming of emotions in voices.

    Raises
    ------
    Unreadable
        There is no such file, it is not JSON, or it has no figures.
    """
    try:
        stamp = path.stat()
    except OSError:
        raise Unreadable(f"{path.parent.name} holds no run.json; it may still be at work, or was stopped.") from None
    return _read_run(path, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=512)
def _read_run(path: Path, _changed: int, _size: int) -> Run | str:
    """Read run.json, once for each time it has changed: the page looks at all of them at every click."""
    name = path.parent.name
    entry = json_object(path, f"{name}/run.json")
    if ("metrics" not in entry and "model" not in entry) or entry.get("modality") == "text":
        return name
    metrics = numbers(entry.get("metrics"), METRICS)
    if "UA" not in metrics:
        raise Unreadable(f"{name}/run.json gives no unweighted accuracy (metrics → UA), so the run cannot be compared.")
    if "WA" in metrics:
        metrics.setdefault("UA_plus_WA", round(metrics["UA"] + metrics["WA"], 2))
    problems: list[str] = []
    labels = _words(entry.get("labels"))
    audit, config, confidence = (entry.get(key) for key in ("audit", "config", "confidence"))
    return Run(
        id=name,
        model=_text(entry.get("model")) or name,
        features=_text(entry.get("features")),
        protocol=_text(entry.get("protocol")) or "not named",
        speaker_independent=entry.get("speaker_independent") is True,
        corpora=_words(entry.get("corpora")),
        labels=labels,
        metrics=metrics,
        interval=_interval(entry["metrics"].get("UA_ci95")),
        per_class=_table(entry, "per_class", name, problems),
        confusion=_confusion(entry.get("confusion"), len(labels), name, problems),
        by_corpus=_table(entry, "by_corpus", name, problems),
        by_speaker=_table(entry, "by_speaker", name, problems),
        by_gender=_table(entry, "by_gender", name, problems),
        conditions=_table(entry, "conditions", name, problems),
        corpus_probe=numbers(entry.get("corpus_probe"), PROBED),
        parts=_table(entry, "parts", name, problems),
        seconds=number(entry.get("seconds")),
        size_mb=number(entry.get("size_mb")),
        note=_text(entry.get("note")),
        published=_text(entry.get("published")),
        config=config if isinstance(config, dict) else {},
        audit=audit if isinstance(audit, dict) else None,
        confidence=confidence if isinstance(confidence, dict) else None,
        missing_corpora=_words(entry.get("missing_corpora")),
        problems=tuple(problems),
        path=path,
    )


def read_published(path: Path) -> dict[str, Published]:
    """Return the papers' figures by id; none where there is no such file.

    Raises
    ------
    Unreadable
        The file is not TOML, or its figures are not a list of tables.
    """
    try:
        figures = tomllib.loads(path.read_text(encoding="utf-8")).get("figure", [])
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise Unreadable(f"{path.name} is not readable TOML, so nothing published is shown beside the runs.") from None
    if not isinstance(figures, list) or not all(isinstance(figure, dict) and figure.get("id") for figure in figures):
        raise Unreadable(f"{path.name} should hold [[figure]] tables with an id each.")
    return {str(figure["id"]): _published(figure) for figure in figures}


def _published(figure: Mapping[str, Any]) -> Published:
    return Published(
        id=str(figure["id"]),
        paper=_text(figure.get("paper")),
        table=_text(figure.get("table")),
        system=_text(figure.get("system")),
        protocol=_text(figure.get("protocol")) or "not described",
        speaker_independent=figure.get("speaker_independent") is True,
        corpora=_words(figure.get("corpora")),
        metrics=numbers(figure, METRICS),
        derived=_words(figure.get("derived")),
        per_class=_table(figure, "per_class", "", []),
        note=_text(figure.get("note")),
    )


def read_history(name: str, files: Iterable[Path]) -> History:
    """Return the learning curves of the run `name`, the mean and range over its folds and members.

    A file that is not there is no problem.
    """
    points: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    trainings = set()
    try:
        for line in (line for file in files if file.exists() for line in file.read_text("utf-8").splitlines()):
            entry = json.loads(line)
            epoch = entry["epoch"]
            if not isinstance(epoch, int):
                raise TypeError
            trainings.add((str(entry.get("fold")), str(entry.get("member"))))
            for key, value in entry.items():
                if key not in ("fold", "member", "epoch") and (measured := number(value)) is not None:
                    points[key][epoch].append(measured)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return History(problem=f"{name}/history.jsonl is damaged, so its learning curves are not drawn.")
    curves = {
        key: [(epoch, sum(found) / len(found), min(found), max(found)) for epoch, found in sorted(epochs.items())]
        for key, epochs in points.items()
    }
    return History(curves, len(trainings))


def number(value: object) -> float | None:
    """Return a finite number as it is, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def numbers(value: object, keys: Iterable[str] | None = None) -> dict[str, float]:
    """Return the entries of a table that are numbers, of `keys` alone where they are given."""
    if not isinstance(value, dict):
        return {}
    found = {key: number(value.get(key)) for key in (value if keys is None else keys)}
    return {key: one for key, one in found.items() if one is not None}


def json_object(path: Path, name: str) -> dict[str, Any]:
    """Return the object in a JSON file, or raise Unreadable in a sentence that calls it `name`."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise Unreadable(f"{name} is not JSON: line {error.lineno} cannot be read.") from None
    except (OSError, UnicodeDecodeError, RecursionError):
        raise Unreadable(f"{name} cannot be read.") from None
    if not isinstance(entry, dict):
        raise Unreadable(f"{name} should hold one JSON object, and does not.")
    return entry


def _table(entry: Mapping[str, Any], key: str, name: str, problems: list[str]) -> dict[str, dict[str, float]]:
    """Return {row: {column: number}} and tell what is no such table; an absent one is no problem."""
    value = entry.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(row, dict) for row in value.values()):
        problems.append(f"{name}/run.json has a “{key}” that is no table, so it is not shown.")
        return {}
    return {str(row): numbers(columns) for row, columns in value.items()}


def _confusion(value: Any, size: int, name: str, problems: list[str]) -> tuple[tuple[int, ...], ...]:
    """Return the confusion matrix if it is one: as many rows and columns as labels, no count below zero."""
    if value is None:
        return ()
    square = isinstance(value, list) and len(value) == size
    if not square or not all(isinstance(row, list) and len(row) == size and all(map(_count, row)) for row in value):
        problems.append(f"{name}/run.json has a confusion matrix that does not fit its {size} labels; it is not shown.")
        return ()
    return tuple(tuple(int(cell) for cell in row) for row in value)


def _count(value: object) -> bool:
    found = number(value)
    return found is not None and found >= 0


def _interval(value: object) -> tuple[float, float] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return None if low is None or high is None else (low, high)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _words(value: object) -> tuple[str, ...]:
    return tuple(str(word) for word in value) if isinstance(value, list) else ()


def _rank(run: Run) -> tuple[bool, bool, float, str]:
    """Order runs: those on unheard voices first, traps last, the best on top."""
    return not run.speaker_independent, run.leaky, -run.metrics["UA"], run.id
