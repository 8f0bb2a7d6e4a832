"""Parts of Plotly figures that all pages share.

Two colors serve both themes: an accent and a gray of medium lightness, each at least 3:1 against the light and the
dark background. Shapes, order and written values repeat what a color says.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape, unescape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from ui.theme import ACCENT, ACCENT_SOFT, GRAY, GRAY_SOFT
from ui.wording import MINUTE_S, clock, name

LINE_CHARACTERS, LINE, CHARACTER = 18, 19, 7.8
"""How many characters of a label stand in one line, and a line's height and a character's width in pixels."""
MEL_COLORS = [(0, "rgba(31,154,143,0)"), (0.3, "rgba(31,154,143,0.08)"), (0.8, "rgba(31,154,143,0.85)"), (1, ACCENT)]
LINE_STYLE = {"color": GRAY, "width": 1}
HIDDEN = {"mode": "lines", "hoverinfo": "skip"}
"""For lines that carry no value of their own."""
TICKS = 7
"""Moments at a time axis, at most."""
TICK_STEPS_S = (10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 2400, 3600, 7200)
LAST_TICK = 0.03
"""Share of a time axis at its end for which no tick is written: half of the text would be cut off."""
DISC = {"symbol": "circle", "size": 14, "color": ACCENT}
RING = {"symbol": "circle-open", "size": 13, "color": GRAY, "line": {"width": 2.5}}
CROSS = {"symbol": "x-thin", "size": 11, "color": GRAY, "line": {"width": 3, "color": GRAY}}
DIAMOND = {"symbol": "diamond-open", "size": 12, "color": GRAY, "line": {"width": 2}}
DOT = {"color": ACCENT_SOFT, "line": {"width": 1.5, "color": ACCENT}}


def plain(figure: go.Figure, height: int, left: int = 0, right: int = 8, bottom: int = 28) -> go.Figure:
    """Remove background, legend, ticks and zooming from a figure, set its margins, and return it."""
    figure.update_layout(
        height=height,
        margin={"l": left, "r": right, "t": 8, "b": bottom, "pad": 0},
        showlegend=False,
        dragmode=False,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(fixedrange=True, zeroline=False, ticks="")
    figure.update_yaxes(fixedrange=True, zeroline=False, ticks="")
    return figure


def time_axis(figure: go.Figure, duration_s: float) -> None:
    """Count the seconds along the bottom, up to the end of the recording; from a minute on, minutes and seconds."""
    figure.update_xaxes(range=[0, duration_s], showgrid=False, automargin=False)
    if duration_s < MINUTE_S:
        figure.update_xaxes(ticksuffix=" s", nticks=TICKS)
        return
    step = next((step for step in TICK_STEPS_S if duration_s / step <= TICKS), TICK_STEPS_S[-1])
    ticks = np.arange(0, duration_s * (1 - LAST_TICK), step).tolist()
    figure.update_xaxes(tickvals=ticks, ticktext=[clock(tick) for tick in ticks])


def percent_axis(figure: go.Figure) -> None:
    """Let the x axis go from 0 to 100%."""
    ticks = (0, 25, 50, 75, 100)
    figure.update_xaxes(range=[0, 103], tickvals=ticks, ticktext=[f"{tick}%" for tick in ticks])


def rows_axis(figure: go.Figure, names: Sequence[str], bottom: float, top: float, raised: float = 0.0) -> None:
    """Name the rows of a chart, which lie at 0, -1, -2 and so on.

    `raised` is how far above its row a name stands; the axis goes from `bottom` above the row that would follow the
    last to `top` above the first.
    """
    figure.update_yaxes(
        tickvals=[raised - row for row in range(len(names))],
        ticktext=list(names),
        range=[bottom - len(names), top],
    )
    label_rows(figure)


def label_rows(figure: go.Figure) -> None:
    """Style the labels at the left of a chart with one row per label."""
    figure.update_yaxes(showgrid=False, tickfont_size=14, ticklabelstandoff=8)


def written_label(label: str) -> str:
    """Return a label for Plotly, which reads some HTML: escaped, capitalized if it is ours, wrapped into lines."""
    lines = textwrap.wrap(name(label), LINE_CHARACTERS) or [label]
    return "<br>".join(escape(line, quote=False) for line in lines)


def label_width(labels: Sequence[str], least: int = 92) -> int:
    """Return the pixels that written labels need at the left."""
    longest = max((len(unescape(line)) for label in labels for line in label.split("<br>")), default=0)
    return max(least, round(CHARACTER * longest) + 16)


def label_lines(labels: Sequence[str]) -> int:
    """Return the number of lines of the longest written label."""
    return 1 + max(label.count("<br>") for label in labels)


def outline(figure: go.Figure, duration_s: float, lowest: NDArray[Any], highest: NDArray[Any], **cell: int) -> None:
    """Draw a waveform as the area between its lowest and highest samples; `cell` is a row and column of subplots."""
    times = np.linspace(0, duration_s, len(lowest), endpoint=False)
    figure.add_scatter(x=times, y=lowest, line=LINE_STYLE, **HIDDEN, **cell)
    figure.add_scatter(x=times, y=highest, line=LINE_STYLE, fill="tonexty", fillcolor=GRAY, **HIDDEN, **cell)


def mel_heatmap(decibels: NDArray[Any], duration_s: float, floor_db: float) -> go.Heatmap:
    """Return a mel spectrogram in dB below its peak, shape (bands, columns), over the seconds of the recording."""
    step = duration_s / decibels.shape[1]
    return go.Heatmap(
        z=np.round(decibels).astype(np.int8), x0=step / 2, dx=step, zmin=floor_db, zmax=0,
        colorscale=MEL_COLORS, showscale=False, hoverinfo="skip",
    )  # fmt: skip


def range_band(figure: go.Figure, x: Sequence[float], lowest: Sequence[float], highest: Sequence[float]) -> None:
    """Shade the range between two curves."""
    figure.add_scatter(x=x, y=lowest, line_width=0, **HIDDEN)
    figure.add_scatter(x=x, y=highest, line_width=0, fill="tonexty", fillcolor=GRAY_SOFT, **HIDDEN)
