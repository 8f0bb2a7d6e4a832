"""Plotly figures of an `Analysis`; the style is that of `ui.charts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from ser_engine.features.mel import mel_frequencies
from ser_engine.types import Scores, Span, TimelineWindow
from ui.charts import (
    HIDDEN,
    LINE,
    label_lines,
    label_rows,
    label_width,
    mel_heatmap,
    outline,
    plain,
    rows_axis,
    time_axis,
    written_label,
)
from ui.listen.overview import MAX_POINTS, MEL_BANDS, TOP_HZ, Overview
from ui.theme import ACCENT, ACCENT_SOFT, GRAY, GRAY_SOFT
from ui.wording import MODALITIES, moment, percent

FLOOR_DB = -70.0
"""Level below the peak, in dB, that is drawn as silence."""
HZ_TICKS = (500, 1000, 2000, 4000, 8000)
ROW, TIMELINE_ROW, MODALITY_BAR = 36, 46, 19
"""Pixels per emotion in a chart, per emotion in the timeline, and per bar where each emotion has several."""
MOST = 12
"""Rows of a chart; a general model of sounds has hundreds of labels, and the table has them all."""
LEFT = 56
"""Pixels left of the waveform and the spectrogram, the same for both, so that their times line up."""
MODALITY_MARKS: Mapping[str, Mapping[str, object]] = {
    "audio": {"color": "rgba(0,0,0,0)", "line": {"color": GRAY, "width": 1.5}},
    "text": {
        "color": GRAY,
        "line": {"color": GRAY, "width": 1.5},
        "pattern": {"shape": "/", "fillmode": "replace", "fgcolor": GRAY, "size": 6, "solidity": 0.4},
    },
    "fused": {"color": ACCENT, "line": {"color": ACCENT, "width": 1.5}},
}
"""Outline, stripes and a solid bar tell the three apart without color."""
UNSURE_NOTE, GAP_NOTE = " (not sure)", " (no speech)"
UNSURE_MARK = {
    "color": "rgba(0,0,0,0)",
    "line": {"width": 0},
    "pattern": {"shape": "/", "fillmode": "replace", "fgcolor": GRAY_SOFT, "size": 8, "solidity": 0.3},
}
"""Stripes behind the windows in which the model is not sure."""


def emotion_bars(scores: Scores) -> go.Figure:
    """Draw one horizontal bar per emotion, the most probable on top, each with its value written out."""
    ranked = scores.ranked()[:MOST]
    rows = [written_label(label) for label, _ in ranked]
    values = [probability for _, probability in ranked]
    colors = [ACCENT] + [GRAY] * (len(values) - 1)
    return _bars(go.Figure(_bar(rows, values, 14, marker_color=colors, marker_cornerradius=3)), rows, ROW, 52)


def modality_bars(modalities: Mapping[str, Scores]) -> go.Figure:
    """Draw for each emotion one bar per modality, each with its value written out, in the order of the fused scores."""
    labels = [label for label, _ in modalities["fused"].ranked()[:MOST]]
    rows = [written_label(label) for label in labels]
    bars = [
        _bar(rows, [modalities[key].to_dict()[label] for label in labels], 12, name=title, marker=MODALITY_MARKS[key])
        for key, title in MODALITIES.items()
        if key in modalities
    ]
    figure = _bars(go.Figure(bars), rows, MODALITY_BAR * len(bars) + 14, 48)
    return figure.update_layout(barmode="group", bargap=0.28, bargroupgap=0.18)


def _bar(rows: Sequence[str], values: Sequence[float], size: int, **style: object) -> go.Bar:
    shares = [percent(value) for value in values]
    if "name" not in style:
        shares[0] = f"<b>{shares[0]}</b>"
    return go.Bar(
        x=values,
        y=[f"<b>{rows[0]}</b>", *rows[1:]],
        orientation="h",
        text=shares,
        textposition="outside",
        textfont_size=size,
        cliponaxis=False,
        hovertemplate=f"%{{y}}: %{{x:.1%}}<extra>{style.get('name', '')}</extra>",
        **style,
    )


def _bars(figure: go.Figure, rows: Sequence[str], row: int, right: int) -> go.Figure:
    height = max(row, LINE * label_lines(rows)) * len(rows) + 16
    plain(figure, height, left=label_width(rows), right=right, bottom=4)
    figure.update_layout(bargap=0.42)
    # An axis that fits the longest bar would hide how confident the model is: it always goes from 0 to 1.
    figure.update_xaxes(visible=False, range=[0, 1])
    # A label that is a number is still only a name.
    figure.update_yaxes(type="category", autorange="reversed")
    label_rows(figure)
    return figure


def waveform(overview: Overview, segments: Sequence[Span]) -> go.Figure:
    """Draw the envelope of the recording, with the speech segments shaded and underlined."""
    lowest, highest = (np.nan_to_num(side, posinf=0, neginf=0) for side in (overview.lowest, overview.highest))
    peak = 1.05 * max(float(np.abs(side).max(initial=1e-4)) for side in (lowest, highest))
    figure = go.Figure()
    outline(figure, overview.duration_s, lowest, highest)
    shapes: list[dict[str, object]] = []
    for span in _join_close(segments, overview.duration_s / MAX_POINTS):
        shape = {"type": "rect", "xref": "x", "yref": "paper", "x0": span.start, "x1": span.end, "line": {"width": 0}}
        shapes.append(shape | {"y0": 0, "y1": 1, "fillcolor": ACCENT, "opacity": 0.13, "layer": "below"})
        shapes.append(shape | {"y0": 0, "y1": 0.03, "fillcolor": ACCENT})
    figure.update_layout(shapes=shapes)  # at once: adding many one by one takes seconds
    plain(figure, 128, left=LEFT, bottom=24)
    time_axis(figure, overview.duration_s)
    return figure.update_yaxes(range=[-peak, peak], visible=False)


def _join_close(spans: Sequence[Span], seconds: float) -> list[Span]:
    """Join spans that are less than so many seconds apart."""
    joined: list[Span] = []
    for span in spans:
        if joined and span.start - joined[-1].end < seconds:
            span = Span(joined.pop().start, span.end)
        joined.append(Span(span.start, span.end))
    return joined


def mel_decibels(overview: Overview) -> NDArray[np.float32]:
    """Return the mel spectrogram in dB below its peak, float32 [MEL_BANDS, columns]."""
    power = overview.power
    peak = max(float(power.max()), 1e-10)
    decibels = 10 * np.log10(np.maximum(power / peak, 10 ** (FLOOR_DB / 10)))
    return decibels.astype(np.float32)


def spectrogram(overview: Overview) -> go.Figure:
    """Draw the mel spectrogram over the same time as the waveform, up to the highest frequency that models use."""
    figure = go.Figure(mel_heatmap(mel_decibels(overview), overview.duration_s, FLOOR_DB))
    top = min(TOP_HZ, overview.rate / 2)
    ticks = [hz for hz in HZ_TICKS if hz <= top]
    edges = mel_frequencies(MEL_BANDS + 2, top)[1:-1]
    plain(figure, 200, left=LEFT, bottom=24)
    time_axis(figure, overview.duration_s)
    return figure.update_yaxes(
        tickvals=[float(np.interp(hz, edges, np.arange(MEL_BANDS))) for hz in ticks],
        ticktext=[f"{hz / 1000:g} kHz" for hz in ticks],
        showgrid=False,
    )


def timeline(windows: Sequence[TimelineWindow], duration_s: float) -> go.Figure:
    """Draw each emotion's probability over time in a row of its own, the strongest overall on top.

    Rows that are named at their left need no legend and no colors; a row's full height is a probability of one.
    Where the model is not sure, the background is hatched.
    """
    curves = np.array([window.scores.probabilities for window in windows])
    times = [(window.start + window.end) / 2 for window in windows]
    order = np.argsort(-curves.mean(axis=0), kind="stable")[:MOST]
    names = [written_label(windows[0].scores.labels[index]) for index in order]
    notes = [UNSURE_NOTE if window.sure is False else "" for window in windows]
    times, curves, notes = _with_ends(windows, times, curves, notes)
    moments = [moment(time, duration_s) for time in times]
    figure = go.Figure()
    bottom, top = 0.9 - len(names), 0.95
    if spans := unsure_spans(windows):
        figure.add_bar(
            x=[(span.start + span.end) / 2 for span in spans], width=[span.duration_s for span in spans],
            y=[top - bottom] * len(spans), base=[bottom] * len(spans), marker=UNSURE_MARK, hoverinfo="skip",
        )  # fmt: skip
    for row, index in enumerate(order):
        values = curves[:, index]
        figure.add_scatter(x=times, y=[-row] * len(times), line={"color": GRAY_SOFT, "width": 1}, **HIDDEN)
        figure.add_scatter(
            x=times,
            y=0.86 * values - row,
            mode="lines",
            line={"color": GRAY if row else ACCENT, "width": 1.5},
            fill="tonexty",
            fillcolor=GRAY_SOFT if row else ACCENT_SOFT,
            name=names[row],
            meta=names[row],
            text=[percent(float(value)) + note for value, note in zip(values, notes, strict=True)],
            customdata=moments,
            hovertemplate="%{customdata}, %{meta}: %{text}<extra></extra>",
        )
    plain(figure, TIMELINE_ROW * len(names) + 32, left=label_width(names), bottom=24)
    time_axis(figure, duration_s)
    rows_axis(figure, names, bottom=0.9, top=top, raised=0.25)
    return figure


def _with_ends(
    windows: Sequence[TimelineWindow], times: Sequence[float], curves: NDArray[np.float32], notes: Sequence[str]
) -> tuple[list[float], NDArray[np.float32], list[str]]:
    """Let the first and last windows stand for the ends of the recording, and curves fall to zero in gaps."""
    points = [(windows[0].start, curves[0], notes[0])]
    for row, window in enumerate(windows):
        points.append((times[row], curves[row], notes[row]))
        if row + 1 < len(windows) and windows[row + 1].start > window.end:
            nothing, start = np.zeros_like(curves[row]), windows[row + 1].start
            points += [(window.end, curves[row], notes[row]), (window.end, nothing, GAP_NOTE)]
            points += [(start, nothing, GAP_NOTE), (start, curves[row + 1], notes[row + 1])]
    points.append((windows[-1].end, curves[-1], notes[-1]))
    x, y, texts = zip(*points, strict=True)
    return list(x), np.array(y), list(texts)


def unsure_spans(windows: Sequence[TimelineWindow]) -> list[Span]:
    """Return the parts of a timeline in which the model is not sure; each window counts up to halfway to the next."""
    middles = [(window.start + window.end) / 2 for window in windows]
    halfway = [(one + other) / 2 for one, other in pairwise(middles)]
    spans: list[Span] = []
    for window, start, end in zip(windows, [windows[0].start, *halfway], [*halfway, windows[-1].end], strict=True):
        start, end = max(start, window.start), min(end, window.end)
        if window.sure is False and spans and spans[-1].end == start:
            spans[-1] = Span(spans[-1].start, end)
        elif window.sure is False:
            spans.append(Span(start, end))
    return spans
