"""Confusion matrices: the chart, its description and its table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from ui.charts import label_rows, label_width, plain, written_label
from ui.panels import as_table, draw

COLORS = [(0, "rgba(138,146,152,0.10)"), (0.02, "rgba(31,154,143,0.10)"), (1, "rgba(31,154,143,0.80)")]
NO_SPEECH = "no speech"

Counts = Sequence[Sequence[float]]


def show(counts: Counts, labels: Sequence[str], unit: str, key: str) -> None:
    """Draw a confusion matrix of `unit` ("clips"); its rows are true labels, its columns predicted ones.

    A column beyond the labels counts clips without speech; it is shown unless it is empty.
    """
    counts, columns = trimmed(counts, labels)
    draw(chart(counts, labels, columns, unit), describe(counts, labels, columns), key)
    as_table({"True": labels, **{name: [row[i] for row in counts] for i, name in enumerate(columns)}})


def trimmed(counts: Counts, labels: Sequence[str]) -> tuple[Counts, tuple[str, ...]]:
    """Return the counts without an empty column of clips without speech, and the names of the columns."""
    if any(any(row[len(labels) :]) for row in counts):
        return counts, (*labels, NO_SPEECH)
    return [row[: len(labels)] for row in counts], tuple(labels)


def chart(counts: Counts, labels: Sequence[str], columns: Sequence[str], unit: str) -> go.Figure:
    """Draw the counts in percent of each row."""
    values = np.array(counts, float)
    shares = 100 * values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    rows, names = ([written_label(name.capitalize()) for name in side] for side in (labels, columns))
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=names,
            y=rows,
            zmin=0,
            zmax=100,
            showscale=False,
            xgap=2,
            ygap=2,
            colorscale=COLORS,
            text=[[f"{share:.0f}" if share >= 0.5 else "" for share in row] for row in shares],
            texttemplate="%{text}",
            textfont_size=13,
            customdata=values,
            hovertemplate=f"True: %{{y}}, predicted: %{{x}}: %{{z:.1f}}%, %{{customdata:.0f}} {unit}<extra></extra>",
        )
    )
    width = label_width(names, least=78)
    plain(figure, 46 * len(rows) + 84, left=width, right=0, bottom=width - 2)
    label_rows(figure)
    figure.update_xaxes(showgrid=False, tickangle=-45, tickfont_size=13)
    return figure.update_yaxes(autorange="reversed", tickfont_size=13, ticklabelstandoff=4)


def describe(counts: Counts, labels: Sequence[str], columns: Sequence[str], most: int = 5) -> str:
    """Return the most frequent confusions in words."""
    shares = [
        (cell / sum(row), true, predicted)
        for true, row in zip(labels, counts, strict=True)
        for predicted, cell in zip(columns, row, strict=True)
        if true != predicted and cell
    ]
    pairs = [f"{true} as {predicted} {share:.0%}" for share, true, predicted in sorted(shares, reverse=True)[:most]]
    return "Most frequent confusions: " + ", ".join(pairs) if pairs else "No confusions"
