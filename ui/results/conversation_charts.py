"""Plotly figures of live sessions on conversations; the style is that of `ui.charts`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ui.listen.charts import plain
from ui.results.conversations import Segment
from ui.theme import ACCENT, GREY

if TYPE_CHECKING:
    import plotly.graph_objects as go


def response_times(segments: Sequence[Segment]) -> go.Figure:
    """Draw the milliseconds until each segment's answer (paper-3, figure 34), and their median."""
    import plotly.graph_objects as go

    times = [segment.end for segment in segments]
    values = [segment.response_ms for segment in segments]
    figure = go.Figure(
        go.Scatter(
            x=times,
            y=values,
            mode="lines+markers",
            line={"color": ACCENT, "width": 1.5},
            marker={"size": 6, "color": ACCENT},
            text=[segment.heard for segment in segments],
            hovertemplate="%{x:.0f} s: %{y:.0f} ms, %{text}<extra></extra>",
        )
    )
    middle = float(np.median([value for value in values if value is not None]))
    figure.add_hline(y=middle, line={"color": GREY, "width": 1.5, "dash": "dash"})
    plain(figure, height=260)
    figure.update_layout(margin_l=60, margin_r=8, margin_b=28)
    figure.update_xaxes(ticksuffix=" s", showgrid=False, zeroline=False, ticks="", nticks=7)
    figure.update_yaxes(ticksuffix=" ms", rangemode="tozero", zeroline=False, ticks="", nticks=5)
    return figure
