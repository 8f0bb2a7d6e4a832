"""The part of the results page for live sessions on conversations (Islam et al., table 48 and figure 34)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from ser_engine.evaluation.published import PublishedFigure
from ser_engine.evaluation.record import RunRecord
from ui import theme
from ui.panels import as_table, draw, note, section, table, written
from ui.results import charts, comparison, confusion
from ui.wording import seconds

CLASSES = {"groups": "Four groups", "emotions": "All emotions"}
METRICS = {"accuracy": "Accuracy", "weighted_f1": "Weighted F1", "macro_f1": "Macro F1"}
F1 = ("weighted_f1", "macro_f1")


def show(runs: Sequence[RunRecord], published: Mapping[str, PublishedFigure]) -> None:
    """Show the table of all conversations, and one of them; nothing where there are none."""
    runs = [run for run in runs if any(run.details.get(kind) for kind in CLASSES)]
    if not runs:
        return
    section(
        "Live sessions on conversations",
        "Clips of two speakers in turns, with pauses in between, played to a live session. Every two seconds the "
        "prediction is compared with the label; a segment taken for silence or noise counts as an error.",
    )
    show_table(runs, published)
    names = {run.id: run for run in runs}
    chosen = st.selectbox("Conversation", list(names), key="conversation") if len(names) > 1 else runs[0].id
    try:
        show_one(names[chosen])
    except (KeyError, TypeError, ValueError):
        st.warning(f"{chosen}/run.json lacks figures of a conversation; measure it again.", icon=":material/draft:")


def show_table(runs: Sequence[RunRecord], published: Mapping[str, PublishedFigure]) -> None:
    """Show the figures of all conversations and of the paper."""
    rows = []
    for run in runs:
        for kind, title in CLASSES.items():
            if measured := run.details.get(kind):
                figures = (
                    measured["metrics"].get("accuracy"),
                    _interval(measured),
                    *(measured["metrics"].get(key) for key in F1),
                )
                tested = f"{measured['tested']} segments of {run.details['recording']}"
                rows.append((comparison.model_name(run), comparison.speakers(run), title, *figures, tested))
    for id in dict.fromkeys(id for run in runs for id in run.published if id in published):
        paper = published[id]
        figures = (paper.metrics.get("WA"), "–", *(paper.metrics.get(key) for key in F1))
        rows.append((paper.system, comparison.source(paper), CLASSES["groups"], *figures, paper.protocol))
    names = ("System", "Speakers", "Classes", "Accuracy", "95% interval", *(METRICS[key] for key in F1), "Test data")
    table(dict(zip(names, zip(*rows, strict=True), strict=True)))


def show_one(run: RunRecord) -> None:
    """Show the figures, confusions and response times of one conversation."""
    st.html(theme.line("finding", run.note))
    kinds = [kind for kind in CLASSES if run.details.get(kind)]
    kind = st.segmented_control(
        "Classes", kinds, format_func=CLASSES.__getitem__, default=kinds[0], required=True,
        key="conversation-kind", label_visibility="collapsed",
    )  # fmt: skip
    measured = run.details[kind]
    st.html(theme.facts(facts(run.details, measured)))
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Confusion matrix", anchor=False)
        confusion.show(measured["confusion"], measured["labels"], "segments", f"conversation-confusion-{kind}")
    with right:
        show_response_times(run.details)


def facts(details: Mapping[str, Any], measured: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the figures of a conversation as (name, value) pairs."""
    session, times = details["session"], details["response_ms"]
    return [
        *((title, f"{written(measured['metrics'].get(key))}%") for key, title in METRICS.items()),
        *((("95% interval of accuracy", _interval(measured)),) if measured.get("interval") else ()),
        ("Segments", f"{measured['tested']}, {measured['unanswered']} of them without a prediction"),
        ("Conversation", f"{seconds(details['duration_s'])}, {len(details['speakers']) or 'unknown'} speakers"),
        ("Window and hop", f"{session['window_s']} s, {session['hop_s']} s"),
        ("Median response time", f"{times['p50']:.0f} ms" if "p50" in times else "–"),
        ("95th percentile", f"{times['p95']:.0f} ms" if "p95" in times else "–"),
    ]


def _interval(measured: Mapping[str, Any]) -> str:
    """Return the 95% interval of the accuracy; a dash for records of before there was one."""
    low, high = measured.get("interval") or (None, None)
    return "–" if low is None else f"{low:.1f} – {high:.1f}"


def show_response_times(details: Mapping[str, Any]) -> None:
    """Draw the response time of each segment."""
    st.subheader("Response time", anchor=False)
    timed = [segment for segment in details["timeline"] if segment["response_ms"] is not None]
    if not timed:
        note("No response times were measured.")
        return
    titles = {"p50": "median", "p95": "95th percentile", "most": "maximum"}
    times = ", ".join(f"{title} {details['response_ms'][key]:.0f}" for key, title in titles.items())
    text = f"Milliseconds from the end of a window to its prediction, {len(timed)} segments: {times}"
    draw(charts.response_times(timed), text, "response-times")
    note(f"{text}. Islam et al. report a mean of 491 for the server alone, with three models.")
    as_table(
        {
            "From": [f"{segment['start']:.0f} s" for segment in details["timeline"]],
            "True": [segment["true"] for segment in details["timeline"]],
            "Predicted": [segment["predicted"] or segment["state"] for segment in details["timeline"]],
            "Milliseconds": [segment["response_ms"] for segment in details["timeline"]],
        }
    )
