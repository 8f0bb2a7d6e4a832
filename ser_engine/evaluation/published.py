"""Figures that papers report for their own systems, from results/published.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ser_engine.errors import InvalidRecord
from ser_engine.evaluation.record import Figures, Table, figures, read_fields

FILE, TABLES = "published.toml", "published-tables.toml"
"""The figures, and what the papers print of single emotions."""


METRICS = ("UA", "WA", "UA_plus_WA", "macro_f1", "weighted_f1")


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """What a paper reports for one of its systems.

    Attributes
    ----------
    id : "<paper>/<table>/<system>"
    paper, table : key of docs/papers.bib, and where in the paper
    system, protocol, corpora : as the paper describes them
    speaker_independent : whether no tested speaker is in training
    metrics : those of `METRICS` that the paper gives, in percent
    derived : metrics that the paper does not print but its table implies
    per_class : precision, recall and f1 by emotion, in percent
    confusion, confusion_labels : confusion matrix, in percent of each row, and the emotions of its rows and columns
    classes_table, classes_note : where the paper has those of single emotions, and what is wrong with them
    note : what the paper leaves open
    differs : what is measured here instead, where no configuration repeats the figure
    part_of : id of the figure of the same system on all its corpora, where this one is of `corpora` alone
    response_ms : mean time of an answer, in milliseconds
    """

    id: str
    paper: str = ""
    table: str = ""
    system: str = ""
    protocol: str = "not described"
    speaker_independent: bool = False
    corpora: tuple[str, ...] = ()
    metrics: Figures = field(default_factory=dict)
    derived: tuple[str, ...] = ()
    per_class: Table = field(default_factory=dict)
    confusion: tuple[tuple[float, ...], ...] = ()
    confusion_labels: tuple[str, ...] = ()
    classes_table: str = ""
    classes_note: str = ""
    note: str = ""
    differs: str = ""
    part_of: str = ""
    response_ms: float | None = None


def read_published(results: Path) -> dict[str, PublishedFigure]:
    """Return the figures in a results folder by id; none if there is no such file."""
    found = {figure.id: figure for figure in map(_figure, _read(results / FILE, "figure", "id"))}
    for entry in _read(results / TABLES, "table", "figure"):
        if (id := str(entry["figure"])) not in found:
            raise InvalidRecord(f"{TABLES} has a table of {id}, which is not in {FILE}.")
        found[id] = _with_classes(found[id], entry)
    return found


def _read(path: Path, name: str, key: str) -> list[dict[str, Any]]:
    """Return the tables [[name]] of a TOML file, each of which has an entry `key`; none if there is no such file."""
    if not path.exists():
        return []
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get(name, [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise InvalidRecord(f"{path.name} is not readable TOML, so no published figures are shown.") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and entry.get(key) for entry in entries):
        with_key = "an id each" if key == "id" else f"a {key} each"
        raise InvalidRecord(f"{path.name} should hold [[{name}]] tables with {with_key}.")
    return entries


def _with_classes(figure: PublishedFigure, entry: Mapping[str, Any]) -> PublishedFigure:
    """Return a figure with what the paper prints of single emotions; a matrix that fits no labels is left out."""
    named = {"confusion": entry.get("confusion", []), "confusion_labels": entry.get("labels", [])}
    values, _ = read_fields(PublishedFigure, {**named, "per_class": entry.get("per_class", figure.per_class)})
    size = len(values.get("confusion_labels", ()))
    if [len(row) for row in values.get("confusion", ())] != [size] * size:
        values |= {"confusion": (), "confusion_labels": ()}
    table, note = str(entry.get("table", "")), str(entry.get("note", ""))
    return replace(figure, **values, classes_table=table, classes_note=note)


def _figure(entry: Mapping[str, Any]) -> PublishedFigure:
    """Return a figure without what does not have its shape; the file has its metrics next to the other entries."""
    values, _ = read_fields(PublishedFigure, entry)
    metrics = figures({name: entry.get(name) for name in METRICS})
    return PublishedFigure(**values | {"id": str(entry["id"]), "metrics": metrics})
