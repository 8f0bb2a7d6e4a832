"""Plotly figures of `ui.results.corpora`: the contents of the corpora, and augmented clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ui.charts import DISC, label_rows, mel_heatmap, outline, plain
from ui.results.corpora import Contents, Picture, Spread
from ui.theme import ACCENT, GRAY, GRAY_SOFT
from ui.wording import CORPORA

PATTERNS = ("", "/", ".", "x", "-")
"""Patterns that distinguish stacked corpora without color; the two colors alternate."""
NAMES = {"stretch": "Slower or faster", "pitch": "Pitch shifted", "gain": "Louder or softer", "noise": "Noise added",
         "background": "Background noise", "shift": "Shifted in time", "original": "Original"}  # fmt: skip


def distribution(corpora: Mapping[str, Contents], emotions: Sequence[str]) -> go.Figure:
    """Draw the number of clips of each emotion, stacked by corpus (Sharma, figure 2)."""
    figure = go.Figure()
    names = [emotion.capitalize() for emotion in emotions]
    for place, (corpus, contents) in enumerate(corpora.items()):
        color = ACCENT if place % 2 == 0 else GRAY
        shape = PATTERNS[place % len(PATTERNS)]
        figure.add_bar(
            x=[contents.by_emotion.get(emotion, 0) for emotion in emotions],
            y=names,
            orientation="h",
            name=CORPORA.get(corpus, corpus),
            marker={
                "color": color,
                "line_width": 0,
                "pattern": {"shape": shape, "fgcolor": color, "bgcolor": GRAY_SOFT, "size": 7},
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
    plain(figure, 36 * len(emotions) + 60, left=88, right=56, bottom=4)
    figure.update_layout(
        barmode="stack",
        bargap=0.4,
        margin_t=40,
        showlegend=True,
        legend={
            "orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font_size": 13, "itemclick": False,
            "itemdoubleclick": False, "traceorder": "normal",
        },
    )  # fmt: skip
    figure.update_xaxes(visible=False, range=[0, 1.02 * max(totals, default=1)])
    figure.update_yaxes(autorange="reversed")
    label_rows(figure)
    return figure


def class_means(means: Mapping[str, Spread], quantity: str) -> go.Figure:
    """Draw the mean of a quantity for each emotion, with its deviation between clips (Sharma, figures 3 and 4)."""
    hertz = quantity.endswith("_hz")
    labels = sorted(means, key=means.__getitem__)
    averages, deviations = zip(*(means[label] for label in labels), strict=True)
    figure = go.Figure(
        go.Scatter(
            x=averages,
            y=[label.capitalize() for label in labels],
            mode="markers",
            marker={**DISC, "size": 11},
            error_x={"array": deviations, "color": GRAY, "thickness": 2, "width": 5},
            hovertemplate="%{y}: %{x:,.0f} Hz<extra></extra>" if hertz else "%{y}: %{x:.3f}<extra></extra>",
        )
    )
    plain(figure, 34 * len(labels) + 40, left=88, right=12)
    figure.update_xaxes(rangemode="tozero", nticks=5, ticksuffix=" Hz" if hertz else "")
    label_rows(figure)
    return figure


def augmented(picture: Picture, longest_s: float, peak: float) -> go.Figure:
    """Draw the outline of a clip above its mel spectrogram, in the scale that it shares with its copies."""
    figure = make_subplots(rows=2, cols=1, row_heights=[0.4, 0.6], vertical_spacing=0.06, shared_xaxes=True)
    outline(figure, picture.seconds, np.array(picture.low), np.array(picture.high), row=1, col=1)
    figure.add_trace(mel_heatmap(np.array(picture.mel), picture.seconds, -70), row=2, col=1)
    plain(figure, 210, right=0, bottom=24)
    figure.update_xaxes(range=[0, longest_s], showgrid=False, nticks=5)
    figure.update_xaxes(ticksuffix=" s", row=2, col=1)
    figure.update_yaxes(visible=False)
    return figure.update_yaxes(range=[-1.05 * peak, 1.05 * peak], row=1, col=1)
