"""Plotly figures of measured runs and of what they were trained on; the style is that of `ui.charts`.

New voices are a filled disc, voices heard before a ring, a leak a cross and a paper's figure a diamond: shape says it,
colour repeats it. Every figure has its values written out or in a table beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ui.listen.charts import margin, plain, rows_axis, written_label
from ui.results.comparison import Gap, emotions, features_name, model_name
from ui.results.run_files import History, Published, Run
from ui.theme import ACCENT, ACCENT_SOFT, GREY, GREY_SOFT
from ui.wording import CORPORA

if TYPE_CHECKING:
    import plotly.graph_objects as go

GAP_ROW = 80
"""Pixels for one system in the picture of the gap: its name stands above its line."""
CLASS_ROW = 38
TICKS = (0, 25, 50, 75, 100)
BELOW = 0.2
"""How far under its line a paper's figure stands, in rows, so that it covers no measured one."""
RING = {"symbol": "circle-open", "size": 13, "color": GREY, "line": {"width": 2.5}}
DISC = {"symbol": "circle", "size": 14, "color": ACCENT}
CROSS = {"symbol": "x-thin", "size": 11, "color": GREY, "line": {"width": 3, "color": GREY}}
DIAMOND = {"symbol": "diamond-open", "size": 12, "color": GREY, "line": {"width": 2}}


def protocol_gap(gaps: Sequence[Gap], published: Mapping[str, Published], metric: str = "UA") -> go.Figure:
    """Draw each pair as a line from what a system reaches on new voices to what random protocols say."""
    import plotly.graph_objects as go

    gaps = [gap for gap in gaps if gap.points(metric) is not None]
    figure = go.Figure()
    values: list[float] = []
    for place, gap in enumerate(gaps):
        y = -float(place)
        points = [(gap.new, DISC), *((run, RING) for run in gap.heard), *((run, CROSS) for run in gap.leaked)]
        drawn = [(run.metrics[metric], run.protocol, marker) for run, marker in points if metric in run.metrics]
        ends = [value for value, _, _ in drawn]
        paper = published.get(gap.new.published)
        if paper and metric in paper.metrics:
            drawn.append((paper.metrics[metric], f"{paper.paper}: {paper.protocol}", DIAMOND))
        figure.add_scatter(
            x=[min(ends), max(ends)], y=[y, y], mode="lines", line={"color": GREY_SOFT, "width": 6}, hoverinfo="skip"
        )
        for value, protocol, marker in drawn:
            end = marker is not DIAMOND and value in (min(ends), max(ends))
            left = value == min(ends) and (value < max(ends) or marker is DISC)
            figure.add_scatter(
                x=[value],
                y=[y - BELOW if marker is DIAMOND else y],
                mode="markers+text" if end else "markers",
                marker=marker,
                text=[f"{value:.0f}  " if left else f"  {value:.0f}"],
                textfont_size=14,
                textposition="middle left" if left else "middle right",
                cliponaxis=False,
                hovertemplate=f"{protocol}: {value:.1f}%<extra></extra>",
            )
            values.append(value)
        figure.add_annotation(
            x=0,
            xref="paper",
            xanchor="left",
            y=y,
            yshift=32,
            showarrow=False,
            align="left",
            font_size=14,
            text=f"<b>{model_name(gap.new)}</b>  {emotions(gap.new)}<br>{features_name(gap.new)}",
        )
    plain(figure, height=GAP_ROW * len(gaps) + 40)
    figure.update_layout(margin_l=4, margin_r=4, margin_b=28)
    low, high = (
        max(0, 10 * np.floor(min(values, default=0) / 10 - 0.6)),
        min(104, 10 * np.ceil(max(values, default=90) / 10 + 0.6)),
    )
    figure.update_xaxes(range=[low, high], ticksuffix="%", nticks=6, showgrid=True, zeroline=False, ticks="")
    figure.update_yaxes(range=[-len(gaps) + 0.65, 0.7], visible=False)
    return figure


def confusion(run: Run) -> go.Figure:
    """Draw what each emotion was taken for, in per cent of its clips; a row is what was meant."""
    return confusion_of(run.confusion, run.labels, "clips")


def confusion_of(confusion: Sequence[Sequence[int]], names: Sequence[str], counted: str) -> go.Figure:
    """Draw a confusion matrix, rows true, in per cent of each row; `counted` says what its counts are of."""
    import plotly.graph_objects as go

    counts = np.array(confusion, float)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    labels = [written_label(label.capitalize()) for label in names]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=labels,
            y=labels,
            zmin=0,
            zmax=100,
            showscale=False,
            xgap=2,
            ygap=2,
            colorscale=[[0, "rgba(138,146,152,0.10)"], [0.02, "rgba(31,154,143,0.10)"], [1, "rgba(31,154,143,0.80)"]],
            text=[[f"{share:.0f}" if share >= 0.5 else "" for share in row] for row in shares],
            texttemplate="%{text}",
            textfont_size=13,
            customdata=counts,
            hovertemplate=f"%{{y}} heard as %{{x}}: %{{z:.1f}}%, %{{customdata:.0f}} {counted}<extra></extra>",
        )
    )
    plain(figure, height=46 * len(labels) + 84)
    left = margin(labels, least=78)
    figure.update_layout(margin_l=left, margin_b=left - 2)
    figure.update_xaxes(showgrid=False, ticks="", tickangle=-45, tickfont_size=13)
    figure.update_yaxes(autorange="reversed", showgrid=False, ticks="", tickfont_size=13, ticklabelstandoff=4)
    return figure


def per_class(run: Run, paper: Published | None = None) -> go.Figure:
    """Draw each emotion's recall (disc), precision (ring) and, where a paper gives one, its figure (diamond)."""
    import plotly.graph_objects as go

    labels = [label for label in run.labels if label in run.per_class] or list(run.per_class)
    figure = go.Figure()
    for place, name in enumerate(labels):
        scores, y = run.per_class[name], -float(place)
        ends = [scores[key] for key in ("precision", "recall") if key in scores]
        figure.add_scatter(
            x=ends, y=[y] * len(ends), mode="lines", line={"color": GREY_SOFT, "width": 5}, hoverinfo="skip"
        )
        for key, marker in (("precision", RING), ("recall", DISC)):
            if key in scores:
                figure.add_scatter(
                    x=[scores[key]],
                    y=[y],
                    mode="markers",
                    marker=marker,
                    error_x=_deviation(scores.get(f"{key}_std")),
                    hovertemplate=f"{name.capitalize()}, {key}: {scores[key]:.1f}%<extra></extra>",
                )
        theirs = paper.per_class.get(name, {}) if paper else {}
        if paper and "recall" in theirs:
            figure.add_scatter(
                x=[theirs["recall"]],
                y=[y],
                mode="markers",
                marker=DIAMOND,
                hovertemplate=f"{name.capitalize()}, recall in {paper.paper}: {theirs['recall']:.1f}%<extra></extra>",
            )
    plain(figure, height=CLASS_ROW * len(labels) + 36)
    figure.update_layout(margin_l=88, margin_r=12, margin_b=28)
    figure.update_xaxes(
        range=[0, 103], tickvals=TICKS, ticktext=[f"{tick}%" for tick in TICKS], zeroline=False, ticks=""
    )
    rows_axis(figure, [name.capitalize() for name in labels], bottom=0.4, top=0.6)
    return figure


def _deviation(deviation: float | None) -> dict[str, object] | None:
    """Return an error bar of that length to either side; none where no deviation is known."""
    if not deviation:
        return None
    return {"type": "data", "array": [deviation], "color": GREY, "thickness": 1, "width": 3}


def speakers(run: Run) -> go.Figure:
    """Draw every speaker's UA, one row a corpus, with the row's median as an upright stroke."""
    import plotly.graph_objects as go

    rows: dict[str, list[tuple[str, float]]] = {}
    for speaker, scores in run.by_speaker.items():
        if "UA" in scores:
            rows.setdefault(speaker.split("/")[0], []).append((speaker, scores["UA"]))
    figure = go.Figure()
    rng = np.random.default_rng(0)
    for place, found in enumerate(rows.values()):
        values = np.array([value for _, value in found])
        spread = 0.27 * rng.uniform(-1, 1, len(found)) if len(found) > 2 else np.zeros(len(found))
        figure.add_scatter(
            x=values,
            y=-place + spread,
            mode="markers",
            text=[name for name, _ in found],
            marker={"size": 9, "color": ACCENT_SOFT, "line": {"width": 1.5, "color": ACCENT}},
            hovertemplate="%{text}: %{x:.1f}%<extra></extra>",
        )
        middle = float(np.median(values))
        figure.add_scatter(
            x=[middle, middle],
            y=[-place - 0.4, -place + 0.4],
            mode="lines",
            line={"color": GREY, "width": 3},
            hovertemplate=f"median {middle:.1f}%<extra></extra>",
        )
    plain(figure, height=84 * len(rows) + 36)
    figure.update_layout(margin_l=88, margin_r=12, margin_b=28)
    figure.update_xaxes(
        range=[0, 102], tickvals=TICKS, ticktext=[f"{tick}%" for tick in TICKS], zeroline=False, ticks=""
    )
    rows_axis(figure, [CORPORA.get(name, name) for name in rows], bottom=0.45, top=0.55)
    return figure


def learning_curve(history: History, quantity: str) -> go.Figure:
    """Draw one quantity over epochs: the mean of all trainings, and shaded between their lowest and highest."""
    import plotly.graph_objects as go

    epochs, means, lowest, highest = zip(*history.curves[quantity], strict=True)
    figure = go.Figure(
        [
            go.Scatter(x=epochs, y=lowest, mode="lines", line={"width": 0}, hoverinfo="skip"),
            go.Scatter(
                x=epochs,
                y=highest,
                mode="lines",
                line={"width": 0},
                fill="tonexty",
                fillcolor=GREY_SOFT,
                hoverinfo="skip",
            ),
            go.Scatter(
                x=epochs,
                y=means,
                mode="lines+markers",
                line={"color": ACCENT, "width": 2.5},
                marker_size=6,
                hovertemplate=f"epoch %{{x}}, {quantity}: %{{y:.3f}}<extra></extra>",
            ),
        ]
    )
    plain(figure, height=240)
    figure.update_layout(margin_l=48, margin_r=8, margin_b=40)
    figure.update_xaxes(title_text="epoch", showgrid=False, zeroline=False, ticks="", nticks=8)
    figure.update_yaxes(zeroline=False, ticks="", nticks=5)
    return figure
