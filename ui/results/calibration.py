"""Calibration of a run: accuracy by confidence, and by coverage where the model may abstain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from ser_engine.evaluation.record import RunRecord, figures
from ui import theme
from ui.charts import DOT, LINE_STYLE, plain
from ui.panels import as_table, draw, note
from ui.results.charts import curve
from ui.wording import abstention, percent

Points = list[dict[str, float]]


def show(run: RunRecord) -> None:
    """Draw reliability and coverage; nothing of a run that did not measure them."""
    bins = points(run.calibration.get("reliability"), ("confidence", "accuracy", "clips"))
    coverage = points(run.calibration.get("coverage"), ("coverage", "accuracy"))
    if not bins or not coverage:
        return
    st.subheader("Calibration", anchor=False)
    left, right = st.columns(2, gap="large")
    with left:
        _panel("Accuracy by confidence", "confidence", bins, _reliability(bins))
    with right:
        _panel("Accuracy by coverage", "coverage", coverage, _curve(coverage, "coverage", {"size": 6}))
    threshold = points([run.calibration.get("threshold")], ("below", "coverage", "accuracy", "without"))
    sentences = abstention({"not_sure": threshold[0]}) if threshold else ""
    note(f"The dashed line is perfect calibration. {sentences}".strip())


def _panel(title: str, x: str, rows: Points, figure: go.Figure) -> None:
    st.html(theme.line("caption", title))
    alt = "; ".join(f"{x} {percent(row[x])}, accuracy {percent(row['accuracy'])}" for row in rows)
    draw(figure, f"{title}: {alt}", x)
    columns = {name.capitalize(): [percent(row[name]) for row in rows] for name in (x, "accuracy")}
    if "clips" in rows[0]:
        columns["Clips"] = [f"{row['clips']:.0f}" for row in rows]
    as_table(columns)


def points(entries: Any, names: Sequence[str]) -> Points:
    """Return the rows of a list in a record that have all of these numbers."""
    rows = [figures(entry) for entry in entries] if isinstance(entries, list) else []
    return [row for row in rows if set(names) <= set(row)]


def _reliability(bins: Points) -> go.Figure:
    """Draw accuracy over confidence; a marker is the larger the more clips it stands for."""
    most = max(row["clips"] for row in bins)
    marker = {**DOT, "size": [6 + 12 * (row["clips"] / most) ** 0.5 for row in bins]}
    figure = _curve(bins, "confidence", marker, ", %{customdata} clips")
    figure.update_traces(customdata=[row["clips"] for row in bins])
    return figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={**LINE_STYLE, "dash": "dash"})


def _curve(rows: Points, x: str, marker: Mapping[str, object], more: str = "") -> go.Figure:
    """Draw accuracy over another share; `more` ends what is written at a point."""
    hover = f"{x} %{{x:.0%}}, accuracy %{{y:.0%}}{more}"
    figure = go.Figure(curve([row[x] for row in rows], [row["accuracy"] for row in rows], 2, hover, marker=marker))
    plain(figure, 280, left=52, right=12, bottom=44)
    axis = {"range": [-0.02, 1.04], "tickvals": [0, 0.25, 0.5, 0.75, 1], "tickformat": ".0%"}
    figure.update_xaxes(title_text=x, **axis)
    return figure.update_yaxes(title_text="accuracy", **axis)
