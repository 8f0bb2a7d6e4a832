"""Figures that papers report for their own systems, from results/published.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_engine.errors import InvalidRecord
from ser_engine.evaluation.record import figures

FILE = "published.toml"


@dataclass(frozen=True)
class PublishedFigure:
    """What a paper reports for one of its systems.

    Attributes
    ----------
    id : "<paper>/<table>/<system>"
    paper, table : key of docs/papers.bib, and where in the paper
    system, protocol, corpora : as the paper describes them
    speaker_independent : whether no tested speaker is in training
    metrics : UA, WA, macro_f1, weighted_f1 in percent, those that the paper gives
    derived : metrics that the paper does not print but its table implies
    per_class : precision, recall and f1 by emotion, in percent
    note : what the paper leaves open
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
    per_class = entry.get("per_class", {})
    return PublishedFigure(
        id=str(entry["id"]),
        paper=str(entry.get("paper", "")),
        table=str(entry.get("table", "")),
        system=str(entry.get("system", "")),
        protocol=str(entry.get("protocol", "not described")),
        speaker_independent=entry.get("speaker_independent") is True,
        corpora=tuple(map(str, entry.get("corpora", ()))),
        metrics=figures({key: entry.get(key) for key in ("UA", "WA", "UA_plus_WA", "macro_f1", "weighted_f1")}) or {},
        derived=tuple(map(str, entry.get("derived", ()))),
        per_class={label: row for label in per_class if (row := figures(per_class[label]))},
        note=str(entry.get("note", "")),
    )
