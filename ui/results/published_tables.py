"""What the papers print of single emotions, beside the run here that repeats it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import streamlit as st

from ser_engine.evaluation.published import PublishedFigure
from ser_engine.evaluation.record import Figures, RunRecord
from ui.panels import note, section, table
from ui.results import comparison, confusion

FIGURES = {"precision": "Precision", "recall": "Recall", "f1": "F1"}


def show(published: Mapping[str, PublishedFigure], runs: Sequence[RunRecord]) -> None:
    """Let the person choose a table of a paper, and show it beside ours; nothing where there is none."""
    printed = {id: figure for id, figure in published.items() if figure.per_class or figure.confusion}
    if not printed:
        return
    section("Single emotions", "What the papers print of each emotion, beside the run here that repeats it.")
    # The run under the paper's own protocol, if there is one: the last that is set.
    order = sorted(runs, key=lambda run: (not run.leaky, not run.speaker_independent))
    repeated = {id: run for run in order for id in run.published if id in printed}
    first = next(iter(repeated), next(iter(printed)))
    ids = sorted(printed, key=lambda id: id not in repeated)
    chosen = st.selectbox("Table", ids, ids.index(first), format_func=lambda id: title(printed[id]), key="classes")
    show_one(printed[chosen], repeated.get(chosen))


def title(figure: PublishedFigure) -> str:
    """Return the name of a paper's table: "Islam et al., table 8: VGG16 on MFCC images, TESS"."""
    number = figure.classes_table or figure.table
    place = replace(figure, table=f"table {number}" if set(number) <= set("IVX") else number)
    corpora = comparison.corpora_names(figure.corpora)
    return f"{comparison.source(place)}: {figure.system}" + (f", {corpora}" if corpora else "")


def show_one(figure: PublishedFigure, run: RunRecord | None) -> None:
    """Show the figures and the confusion matrix of a paper, and those of a run."""
    there, here = st.columns(2, gap="large")
    with there:
        st.subheader("In the paper", anchor=False)
        if figure.confusion:
            confusion.show(figure.confusion, figure.confusion_labels, "percent", "published-confusion")
        _show_figures(figure.per_class)
        if figure.classes_note:
            note(figure.classes_note)
    with here:
        st.subheader("Here", anchor=False)
        if run is None:
            note("No run here repeats it yet; the list of experiments without a result has its command.")
            return
        if figure.confusion and run.confusion:
            confusion.show(run.confusion, run.labels, "clips", "repeated-confusion")
        ordered = [label for label in figure.per_class if label in run.per_class]
        own = {label: run.per_class[label] for label in dict.fromkeys((*ordered, *run.per_class))}
        _show_figures(own)
        note(f"{run.id}: {comparison.speakers(run)[2:]} speakers.")


def _show_figures(per_class: Mapping[str, Figures]) -> None:
    """Show precision, recall and F1 of each emotion."""
    if per_class:
        rows = per_class.values()
        columns = {name: [comparison.spread(row, key) for row in rows] for key, name in FIGURES.items()}
        table({"Emotion": [label.capitalize() for label in per_class], **columns})
