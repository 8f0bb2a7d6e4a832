"""Measured readers of words: they have no speakers and other figures, so they stand in a section of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from ui import theme, wording
from ui.panels import shown
from ui.results import one_run
from ui.results.run_files import History, Unreadable, json_object, number, numbers, read_history

TEXT = "text"
"""What run.json calls the modality of such a run."""


@dataclass(frozen=True)
class WordRun:
    """A reader of words as run.json tells of it, as far as it can be believed; figures in per cent.

    `macro_f1` is None where there is none, `interval` its 95% interval as text. `per_class` has precision, recall, f1
    and support of each label; `abstains` for each acted corpus the share of its sentences without a vote.
    """

    id: str
    model: str
    protocol: str
    macro_f1: float | None
    weighted_f1: float | None
    interval: str | None
    per_class: Mapping[str, Mapping[str, float]]
    abstains: Mapping[str, float]
    size_mb: float | None
    history: History


def read(results: Path, names: Iterable[str]) -> list[WordRun]:
    """Return those of the named runs that read words, the best first; what cannot be read is no such run."""
    found = []
    for name in names:
        try:
            entry = json_object(results / name / "run.json", f"{name}/run.json")
        except Unreadable:
            continue
        if entry.get("modality") == TEXT:
            found.append(_run(results / name, entry))
    return sorted(found, key=lambda run: -(run.macro_f1 or 0))


def _run(folder: Path, entry: Mapping[str, Any]) -> WordRun:
    figures = _table(entry.get("metrics")).get("macro_f1_ci95")
    bounds = [number(bound) for bound in figures] if isinstance(figures, list) else []
    whole = len(bounds) == 2 and None not in bounds
    metrics = numbers(entry.get("metrics"))
    acted = {str(name): number(_table(row).get("abstains")) for name, row in _table(entry.get("acted")).items()}
    return WordRun(
        id=folder.name,
        model=str(entry.get("model") or folder.name),
        protocol=str(entry.get("protocol") or "not named"),
        macro_f1=metrics.get("macro_f1"),
        weighted_f1=metrics.get("weighted_f1"),
        interval=f"{bounds[0]:.1f} – {bounds[1]:.1f}" if whole else None,
        per_class={str(label): numbers(row) for label, row in _table(entry.get("per_class")).items()},
        abstains={name: share for name, share in acted.items() if share is not None},
        size_mb=number(entry.get("size_mb")),
        history=read_history(folder.name, [folder / "history.jsonl"]),
    )


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def show(runs: Sequence[WordRun]) -> None:
    """Draw the section; nothing where there are no such runs."""
    if not runs:
        return
    st.space("small")
    st.header("Emotion in words", anchor=False)
    st.html(
        theme.line(
            "quiet",
            "What reads the words beside a voice, measured on written sentences, of which each may have several "
            "emotions: the mean of the emotions' F1, in per cent. Acted corpora say sentences without emotion, on "
            "which it should abstain and leave the answer to the voice.",
        )
    )
    st.table(
        {
            "Model": [run.model for run in runs],
            "Macro F1": [shown(run.macro_f1) for run in runs],
            "95% interval": [shown(run.interval) for run in runs],
            "Weighted F1": [shown(run.weighted_f1) for run in runs],
            "Protocol": [run.protocol for run in runs],
            "Abstains on acted sentences": [abstentions(run) for run in runs],
            "Size": ["–" if run.size_mb is None else f"{run.size_mb:.1f} MB" for run in runs],
        },
        hide_index=True,
    )
    for run in runs:
        with st.expander(f"{run.model}: emotion by emotion, and its learning curves"):
            names = {"precision": "Precision", "recall": "Recall", "f1": "F1", "support": "Sentences"}
            columns = {
                title: [
                    f"{row[key]:.0f}" if key == "support" and key in row else shown(row.get(key))
                    for row in run.per_class.values()
                ]
                for key, title in names.items()
            }
            st.table({"Emotion": list(run.per_class), **columns}, hide_index=True)
            if run.history.problem:
                st.warning(run.history.problem, icon=":material/draft:")
            one_run.draw_curves(run.history, f"words-{run.id}")


def abstentions(run: WordRun) -> str:
    """Return on how much of each acted corpus a reader abstains: "RAVDESS 100%, CREMA-D 92%"."""
    return ", ".join(f"{wording.CORPORA.get(name, name)} {share:.0f}%" for name, share in run.abstains.items()) or "–"
