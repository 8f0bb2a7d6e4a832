"""The part of the results page for text models, whose figures are other ones and which have no speakers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

from ser_engine.evaluation.record import RunRecord, figures
from ui import wording
from ui.panels import section, table
from ui.results import one_run
from ui.results.comparison import interval, protocol


def show(runs: Sequence[RunRecord], folder: Path) -> None:
    """Show the text models of a results folder; nothing where there are none."""
    if not runs:
        return
    section(
        "Emotion in text",
        "Text models, measured on written sentences, each with one or several emotions: the mean F1 of the emotions, "
        "in percent. The sentences of acted corpora carry no emotion; a text model should abstain on them and leave "
        "the decision to the audio.",
    )
    runs = sorted(runs, key=lambda run: -run.metrics.get("macro_f1", 0))
    table(
        {
            "Model": [run.model for run in runs],
            "Macro F1": [run.metrics.get("macro_f1") for run in runs],
            "95% interval": [interval(run) for run in runs],
            "Weighted F1": [run.metrics.get("weighted_f1") for run in runs],
            "Protocol": [protocol(run) for run in runs],
            "Abstains on acted sentences": [abstentions(run) for run in runs],
            "Size": [None if run.size_mb is None else f"{run.size_mb:.1f} MB" for run in runs],
        }
    )
    for run in runs:
        with st.expander(f"{run.model}: figures by emotion, learning curves"):
            columns: Mapping[str, list[object]] = {
                title: [row.get(key) for row in run.per_class.values()]
                for key, title in {"precision": "Precision", "recall": "Recall", "f1": "F1"}.items()
            }
            support = [f"{row.get('support', 0):.0f}" for row in run.per_class.values()]
            table({"Emotion": list(run.per_class), **columns, "Sentences": support})
            one_run.show_curves(run, folder, f"text-{run.id}")


def abstentions(run: RunRecord) -> str | None:
    """Return the share of each acted corpus on which the model abstains: "RAVDESS 100%, CREMA-D 92%"."""
    acted = run.details.get("acted")
    shares = {name: figures(row).get("abstains") for name, row in (acted or {}).items()}
    named = {wording.CORPORA.get(name, name): share for name, share in shares.items() if share is not None}
    return ", ".join(f"{name} {share:.0f}%" for name, share in named.items()) or None
