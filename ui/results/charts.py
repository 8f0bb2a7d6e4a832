"""Plotly figures of runs; the style is that of `ui.charts`.

Runs on unseen speakers are a disc, on seen speakers a ring, leaks a cross and figures of papers a diamond. All values
are written out or in a table next to the figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ser_engine.evaluation.published import PublishedFigure
from ser_engine.evaluation.record import LearningCurves, RunRecord
from ui.charts import CROSS, DIAMOND, DISC, DOT, HIDDEN, RING, percent_axis, plain, range_band, rows_axis
from ui.results.comparison import Gap, emotions, features_name, model_name, protocol, source
from ui.theme import ACCENT, GRAY, GRAY_SOFT
from ui.wording import CORPORA

GAP_ROW, CLASS_ROW, CORPUS_ROW = 80, 38, 84
"""Pixels of a system (its name is above its line), of an emotion, and of a corpus."""
BELOW = 0.2
"""How far below its line a paper's figure is drawn, in rows, so that it covers no measured one."""


def protocol_gap(gaps: Sequence[Gap], published: Mapping[str, PublishedFigure], metric: str = "UA") -> go.Figure:
    """Draw each pair as a line from its figure on unseen speakers to those of random protocols."""
    gaps = [gap for gap in gaps if gap.points(metric) is not None]
    figure = go.Figure()
    values: list[float] = []
    for place, gap in enumerate(gaps):
        y = -float(place)
        points = [(gap.unseen, DISC), *((run, RING) for run in gap.seen), *((run, CROSS) for run in gap.leaked)]
        drawn = [(run.metrics[metric], protocol(run), marker) for run, marker in points if metric in run.metrics]
        ends = [value for value, _, _ in drawn]
        papers = (published[id] for id in gap.unseen.published if id in published)
        drawn += [
            (paper.metrics[metric], f"{source(paper)}: {paper.protocol}", DIAMOND)
            for paper in papers
            if metric in paper.metrics
        ]
        figure.add_scatter(x=[min(ends), max(ends)], y=[y, y], line={"color": GRAY_SOFT, "width": 6}, **HIDDEN)
        for value, title, marker in drawn:
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
                hovertemplate=f"{title}: {value:.1f}%<extra></extra>",
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
            text=f"<b>{model_name(gap.unseen)}</b>  {emotions(gap.unseen)}<br>{features_name(gap.unseen)}",
        )
    plain(figure, GAP_ROW * len(gaps) + 40, left=4, right=4)
    low = max(0, 10 * np.floor(min(values, default=0) / 10 - 0.6))
    high = min(104, 10 * np.ceil(max(values, default=90) / 10 + 0.6))
    figure.update_xaxes(range=[low, high], ticksuffix="%", nticks=6, showgrid=True)
    return figure.update_yaxes(range=[-len(gaps) + 0.65, 0.7], visible=False)


def per_class(run: RunRecord, paper: PublishedFigure | None = None) -> go.Figure:
    """Draw each emotion's recall (disc), precision (ring) and the recall of a paper (diamond)."""
    labels = [label for label in run.labels if label in run.per_class] or list(run.per_class)
    figure = go.Figure()
    for place, name in enumerate(labels):
        scores = run.per_class[name]
        reported = paper.per_class.get(name, {}) if paper else {}
        ends = [scores[key] for key in ("precision", "recall") if key in scores]
        figure.add_scatter(x=ends, y=[-place] * len(ends), line={"color": GRAY_SOFT, "width": 5}, **HIDDEN)
        for row, key, marker in ((scores, "precision", RING), (scores, "recall", DISC), (reported, "recall", DIAMOND)):
            if key not in row:
                continue
            title = f"{key} in {source(paper)}" if paper and marker is DIAMOND else key
            deviation = row.get(f"{key}_std")
            figure.add_scatter(
                x=[row[key]],
                y=[-place],
                mode="markers",
                marker=marker,
                error_x={"array": [deviation], "color": GRAY, "thickness": 1, "width": 3} if deviation else None,
                hovertemplate=f"{name.capitalize()}, {title}: {row[key]:.1f}%<extra></extra>",
            )
    plain(figure, CLASS_ROW * len(labels) + 36, left=88, right=12)
    percent_axis(figure)
    rows_axis(figure, [name.capitalize() for name in labels], bottom=0.4, top=0.6)
    return figure


def speakers(run: RunRecord) -> go.Figure:
    """Draw every speaker's UA, one row per corpus, with the row's median as a vertical stroke."""
    rows: dict[str, list[tuple[str, float]]] = {}
    for speaker, scores in run.by_speaker.items():
        if "UA" in scores:
            rows.setdefault(speaker.split("/")[0], []).append((speaker, scores["UA"]))
    figure = go.Figure()
    rng = np.random.default_rng(0)
    for place, points in enumerate(rows.values()):
        values = np.array([value for _, value in points])
        jitter = 0.27 * rng.uniform(-1, 1, len(points)) if len(points) > 2 else np.zeros(len(points))
        figure.add_scatter(
            x=values,
            y=jitter - place,
            mode="markers",
            text=[name for name, _ in points],
            marker={**DOT, "size": 9},
            hovertemplate="%{text}: %{x:.1f}%<extra></extra>",
        )
        median = float(np.median(values))
        figure.add_scatter(
            x=[median, median],
            y=[-place - 0.4, -place + 0.4],
            mode="lines",
            line={"color": GRAY, "width": 3},
            hovertemplate=f"median {median:.1f}%<extra></extra>",
        )
    plain(figure, CORPUS_ROW * len(rows) + 36, left=88, right=12)
    percent_axis(figure)
    rows_axis(figure, [CORPORA.get(name, name) for name in rows], bottom=0.45, top=0.55)
    return figure


def curve(x: Sequence[object], y: Sequence[float], width: float, hover: str, **style: Any) -> go.Scatter:
    """Return a line through marked points; `hover` is Plotly's template of what is written at a point."""
    line = {"color": ACCENT, "width": width}
    return go.Scatter(x=x, y=y, mode="lines+markers", line=line, hovertemplate=f"{hover}<extra></extra>", **style)


def learning_curve(history: LearningCurves, quantity: str) -> go.Figure:
    """Draw one quantity over epochs: the mean of all trainings, and their range shaded."""
    epochs, means, lowest, highest = zip(*history.curves[quantity], strict=True)
    figure = go.Figure()
    range_band(figure, epochs, lowest, highest)
    figure.add_trace(curve(epochs, means, 2.5, f"epoch %{{x}}, {quantity}: %{{y:.3f}}", marker_size=6))
    plain(figure, 240, left=48, bottom=40)
    figure.update_xaxes(title_text="epoch", showgrid=False, nticks=8)
    return figure.update_yaxes(nticks=5)


def response_times(segments: Sequence[Mapping[str, object]]) -> go.Figure:
    """Draw the milliseconds until each segment's prediction (Islam et al., figure 34), and their median."""
    values = [float(str(segment["response_ms"])) for segment in segments]
    ends = [segment["end"] for segment in segments]
    answers = [segment["predicted"] or segment["state"] for segment in segments]
    marker = {"size": 6, "color": ACCENT}
    figure = go.Figure(curve(ends, values, 1.5, "%{x:.0f} s: %{y:.0f} ms, %{text}", marker=marker, text=answers))
    figure.add_hline(y=float(np.median(values)), line={"color": GRAY, "width": 1.5, "dash": "dash"})
    plain(figure, 260, left=60)
    figure.update_xaxes(ticksuffix=" s", showgrid=False, nticks=7)
    return figure.update_yaxes(ticksuffix=" ms", rangemode="tozero", nticks=5)
