"""Plotly figures of what the corpora hold and of what augmentation does to a clip: the numbers of `ui.corpora`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ui.listen.charts import plain
from ui.results.charts import DISC
from ui.results.corpora import Contents, Picture, Spread
from ui.theme import ACCENT, GREY
from ui.wording import CORPORA

if TYPE_CHECKING:
    import plotly.graph_objects as go

PATTERNS = ("", "/", ".", "x", "-")
"""How stacked corpora are told apart without colour; the two colours take turns."""
NAMES = {"stretch": "Slower or faster", "pitch": "Another pitch", "gain": "Louder or softer", "noise": "Noise",
         "background": "Background noise", "shift": "Shifted in time", "original": "As recorded"}  # fmt: skip


def distribution(corpora: Mapping[str, Contents], emotions: Sequence[str]) -> go.Figure:
    """Draw how many clips of each emotion there are, stacked by corpus (paper-1, figure 2)."""
    import plotly.graph_objects as go

    figure = go.Figure()
    names = [emotion.capitalize() for emotion in emotions]
    for place, (corpus, contents) in enumerate(corpora.items()):
        colour = ACCENT if place % 2 == 0 else GREY
        figure.add_bar(
            x=[contents.by_emotion.get(emotion, 0) for emotion in emotions],
            y=names,
            orientation="h",
            name=CORPORA.get(corpus, corpus),
            marker={
                "color": colour,
                "line_width": 0,
                "pattern": {
                    "shape": PATTERNS[place % len(PATTERNS)],
                    "fgcolor": colour,
                    "bgcolor": "rgba(138,146,152,0.18)",
                    "size": 7,
                },
            },
            hovertemplate=f"%{{y}}, {CORPORA.get(corpus, corpus)}: %{{x:,}} clips<extra></extra>",
        )
    totals = [sum(contents.by_emotion.get(emotion, 0) for contents in corpora.values()) for emotion in emotions]
    figure.add_scatter(
        x=totals,
        y=names,
        mode="text",
        text=[f"  {total:,}" for total in totals],
        textposition="middle right",
        textfont_size=14,
        showlegend=False,
        hoverinfo="skip",
        cliponaxis=False,
    )
    plain(figure, height=36 * len(emotions) + 60)
    figure.update_layout(
        barmode="stack",
        bargap=0.4,
        margin_l=88,
        margin_r=56,
        margin_t=40,
        showlegend=True,
        legend={
            "orientation": "h",
            "y": 1.0,
            "yanchor": "bottom",
            "x": 0,
            "font_size": 13,
            "itemclick": False,
            "itemdoubleclick": False,
            "traceorder": "normal",
        },
    )
    figure.update_xaxes(visible=False, range=[0, 1.02 * max(totals, default=1)])
    figure.update_yaxes(autorange="reversed", tickfont_size=14, ticks="", showgrid=False, ticklabelstandoff=8)
    return figure


def class_means(means: Mapping[str, Spread], quantity: str) -> go.Figure:
    """Draw a quantity's mean for each emotion, with its deviation between clips (paper-1, figures 3 and 4)."""
    import plotly.graph_objects as go

    hertz = quantity.endswith("_hz")
    shown = sorted(means.items(), key=lambda item: item[1].mean)
    figure = go.Figure(
        go.Scatter(
            x=[spread.mean for _, spread in shown],
            y=[label.capitalize() for label, _ in shown],
            mode="markers",
            marker={**DISC, "size": 11},
            error_x={
                "type": "data",
                "array": [spread.std for _, spread in shown],
                "color": GREY,
                "thickness": 2,
                "width": 5,
            },
            hovertemplate="%{y}: %{x:,.0f} Hz<extra></extra>" if hertz else "%{y}: %{x:.3f}<extra></extra>",
        )
    )
    plain(figure, height=34 * len(shown) + 40)
    figure.update_layout(margin_l=88, margin_r=12, margin_b=28)
    figure.update_xaxes(rangemode="tozero", zeroline=False, ticks="", nticks=5, ticksuffix=" Hz" if hertz else "")
    figure.update_yaxes(showgrid=False, zeroline=False, ticks="", tickfont_size=14, ticklabelstandoff=8)
    return figure


def augmented(picture: Picture, longest_s: float, peak: float) -> go.Figure:
    """Draw a clip's outline above its mel spectrogram, in the scale that it shares with its copies."""
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=2, cols=1, row_heights=[0.4, 0.6], vertical_spacing=0.06, shared_xaxes=True)
    times = np.linspace(0, picture.seconds, len(picture.low), endpoint=False)
    line = {"color": GREY, "width": 1}
    figure.add_scatter(x=times, y=picture.low, mode="lines", line=line, hoverinfo="skip", row=1, col=1)
    figure.add_scatter(
        x=times,
        y=picture.high,
        mode="lines",
        line=line,
        fill="tonexty",
        fillcolor=GREY,
        hoverinfo="skip",
        row=1,
        col=1,
    )
    mel = np.array(picture.mel, np.int8)
    step = picture.seconds / mel.shape[1]
    figure.add_heatmap(
        z=mel,
        x0=step / 2,
        dx=step,
        zmin=-70,
        zmax=0,
        showscale=False,
        hoverinfo="skip",
        row=2,
        col=1,
        colorscale=[
            [0, "rgba(31,154,143,0)"],
            [0.3, "rgba(31,154,143,0.08)"],
            [0.8, "rgba(31,154,143,0.85)"],
            [1, ACCENT],
        ],
    )
    plain(figure, height=210)
    figure.update_layout(margin_b=24)
    figure.update_xaxes(range=[0, longest_s], showgrid=False, zeroline=False, ticks="", nticks=5)
    figure.update_xaxes(ticksuffix=" s", row=2, col=1)
    figure.update_yaxes(visible=False)
    figure.update_yaxes(range=[-1.05 * peak, 1.05 * peak], row=1, col=1)
    return figure
