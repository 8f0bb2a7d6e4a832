"""Charts of a batch."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from ui import charts
from ui.theme import ACCENT, GRAY_SOFT

ROW = 34


def emotion_counts(counts: Mapping[str, tuple[int, int]]) -> go.Figure:
    """Draw for each label how many answers are sure, and behind them in gray those that are not."""
    labels = sorted(counts, key=lambda label: -sum(counts[label]))
    names = [charts.written_label(label) for label in labels]
    rows = [-row for row in range(len(labels))]
    sure, unsure = zip(*(counts[label] for label in labels), strict=True)
    figure = go.Figure()
    for values, color, note in ((sure, ACCENT, "sure"), (unsure, GRAY_SOFT, "not sure")):
        figure.add_bar(
            x=values, y=rows, orientation="h", marker_color=color, width=0.55, name=note,
            hovertemplate=f"%{{x}} {note}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack")
    charts.plain(figure, ROW * len(labels) + 40, left=charts.label_width(names), right=16)
    charts.rows_axis(figure, names, bottom=0.4, top=0.6)
    # Whole numbers alone; of many, Plotly chooses them itself.
    few = max(map(sum, counts.values()), default=0) <= 10
    figure.update_xaxes(showgrid=True, tickformat=",d", rangemode="tozero", dtick=1 if few else None)
    return figure
