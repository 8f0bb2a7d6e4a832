"""Figures that papers report for their own systems, from results/published.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ser_engine.errors import InvalidRecord
from ser_engine.evaluation.record import Figures, Table, figures, read_fields

FILE = "published.toml"


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
    note: str = ""
    differs: str = ""
    part_of: str = ""
    response_ms: float | None = None


def read_published(results: Path) -> dict[str, PublishedFigure]:
    """Return the figures in a results folder by id; none if there is no such file."""
    path = results / FILE
    if not path.exists():
        return {}
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("figure", [])
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        raise InvalidRecord(f"{FILE} is not readable TOML, so no published figures are shown.") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and entry.get("id") for entry in entries):
        raise InvalidRecord(f"{FILE} should hold [[figure]] tables with an id each.")
    return {str(entry["id"]): _figure(entry) for entry in entries}


def _figure(entry: Mapping[str, Any]) -> PublishedFigure:
    """Return a figure without what does not have its shape; the file has its metrics next to the other entries."""
    values, _ = read_fields(PublishedFigure, entry)
    metrics = figures({name: entry.get(name) for name in METRICS})
    return PublishedFigure(**values | {"id": str(entry["id"]), "metrics": metrics})
