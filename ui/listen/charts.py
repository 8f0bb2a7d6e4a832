"""Plotly figures of an `Analysis`.

Two colours serve both themes: an accent and a grey of middling lightness, each at least 3:1 against the light and
the dark background. Order and written values carry the meaning, so that nothing is lost without colour.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from html import escape, unescape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ser_engine.types import Recording, Scores, SourceInfo, Span, TimelineWindow
from ui.theme import ACCENT, ACCENT_SOFT, GREY, GREY_SOFT
from ui.wording import OPINIONS, name, percent

if TYPE_CHECKING:
    import plotly.graph_objects as go

MAX_POINTS = 1500
"""Points of a waveform's envelope: more than a wide screen has columns, few enough to draw at once."""
MAX_COLUMNS = 600
"""Columns of a spectrogram; beyond them frames are averaged."""
FRAMES_PER_COLUMN = 8
"""Frames averaged into one column of a long recording, spread evenly over it: memory stays small for half an hour."""
MEL_BANDS = 64
TOP_HZ = 8000.0
"""Half of the rate at which the models listen: they hear nothing above."""
FLOOR_DB = -70.0
"""What is quieter than this under the loudest moment is drawn as silence."""
HZ_TICKS = (500, 1000, 2000, 4000, 8000)
ROW = 36
"""Pixels per emotion in a chart."""
MOST = 12
"""Rows of a chart; a model of sounds in general has hundreds of labels, and the table has them all."""
LINE_CHARACTERS, LINE, CHARACTER = 18, 19, 7.8
"""How many characters of a label stand in one line, and a line's height and a character's width in pixels."""

TIMELINE_ROW = 46
OPINION_BAR = 19
"""Pixels per bar where each emotion has several."""
LEFT = 56
"""Pixels left of the waveform and the spectrogram, the same for both, so that their seconds line up."""

CONFIG = {"displayModeBar": False, "scrollZoom": False, "doubleClick": False}
"""For st.plotly_chart: pictures that a finger can scroll past, without a toolbar."""


def emotion_bars(scores: Scores) -> go.Figure:
    """Draw one horizontal bar per emotion, the most probable on top, each with its value written out."""
    import plotly.graph_objects as go

    ranked = scores.ranked()[:MOST]
    labels = [written_label(label) for label, _ in ranked]
    left, lines = margin(labels), 1 + max(label.count("<br>") for label in labels)
    labels[0] = f"<b>{labels[0]}</b>"
    values = [probability for _, probability in ranked]
    written = [percent(value) for value in values]
    written[0] = f"<b>{written[0]}</b>"
    figure = go.Figure(
        go.Bar(
            x=values,
            y=labels,
            orientation="h",
            text=written,
            textposition="outside",
            cliponaxis=False,
            textfont_size=14,
            marker_color=[ACCENT] + [GREY] * (len(values) - 1),
            marker_cornerradius=3,
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    )
    plain(figure, height=max(ROW, LINE * lines) * len(values) + 16)
    figure.update_layout(bargap=0.42, margin_l=left, margin_r=52)
    # The longest bar fills the width whatever its value would hide how sure the answer is: the axis is always 0 to 1.
    figure.update_xaxes(visible=False, range=[0, 1])
    _label_rows(figure)
    return figure


def opinion_bars(opinions: Mapping[str, Scores]) -> go.Figure:
    """Draw for each emotion one bar by the voice, one by the words and one by both, each with its value written out.

    The emotions stand in the order of both together. Outline, stripes and a full bar tell the three apart, whatever
    the colours.
    """
    import plotly.graph_objects as go

    labels = [label for label, _ in opinions["fused"].ranked()[:MOST]]
    rows = [written_label(label) for label in labels]
    left, lines = margin(rows), 1 + max(row.count("<br>") for row in rows)
    rows[0] = f"<b>{rows[0]}</b>"
    figure = go.Figure()
    for kind, title in OPINIONS.items():
        if kind not in opinions:
            continue
        values = opinions[kind].to_dict()
        figure.add_bar(
            x=[values[label] for label in labels],
            y=rows,
            name=title,
            orientation="h",
            text=[percent(values[label]) for label in labels],
            textposition="outside",
            textfont_size=12,
            cliponaxis=False,
            marker=OPINION_MARKS[kind],
            hovertemplate=f"%{{y}}, {title.lower()}: %{{x:.1%}}<extra></extra>",
        )
    bars = len(figure.data)
    plain(figure, height=max(OPINION_BAR * bars + 14, LINE * lines) * len(rows) + 16)
    figure.update_layout(barmode="group", bargap=0.28, bargroupgap=0.18, margin_l=left, margin_r=48)
    figure.update_xaxes(visible=False, range=[0, 1])
    _label_rows(figure)
    return figure


OPINION_MARKS: Mapping[str, Mapping[str, object]] = {
    "audio": {"color": "rgba(0,0,0,0)", "line": {"color": GREY, "width": 1.5}},
    "text": {
        "color": GREY,
        "line": {"color": GREY, "width": 1.5},
        "pattern": {"shape": "/", "fillmode": "replace", "fgcolor": GREY, "size": 6, "solidity": 0.4},
    },
    "fused": {"color": ACCENT, "line": {"color": ACCENT, "width": 1.5}},
}
OPINION_SIGNS = {"audio": "□", "text": "▨", "fused": "■"}
"""The same marks in a line of text."""


def written_label(label: str) -> str:
    """Return a model's label for Plotly, which reads some HTML: as it is written, in lines of a bearable length."""
    lines = textwrap.wrap(name(label), LINE_CHARACTERS) or [label]
    return "<br>".join(escape(line, quote=False) for line in lines)


def margin(rows: Sequence[str], least: int = 92) -> int:
    """Return the pixels that the names of the rows need at the left."""
    longest = max((len(unescape(line)) for row in rows for line in row.split("<br>")), default=0)
    return max(least, round(CHARACTER * longest) + 16)


def _label_rows(figure: go.Figure) -> None:
    """Let the labels stand at the left, the first on top; a label that is a number is still only a name."""
    figure.update_yaxes(
        type="category", autorange="reversed", tickfont_size=14, ticks="", showgrid=False, ticklabelstandoff=8
    )


def envelope(samples: NDArray[np.float32], points: int = MAX_POINTS) -> tuple[NDArray, NDArray]:
    """Return the lowest and highest sample of each of at most `points` equal stretches, float32 [points] each."""
    if len(samples) <= points:
        return samples, samples
    starts = np.linspace(0, len(samples), points, endpoint=False).astype(np.int64)
    return np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)


def waveform(recording: Recording, segments: Sequence[Span]) -> go.Figure:
    """Draw the recording's envelope over its seconds, with the stretches of speech shaded."""
    import plotly.graph_objects as go

    lowest, highest = envelope(recording.samples)
    times = np.linspace(0, recording.duration_s, len(lowest), endpoint=False)
    peak = float(max(np.abs(lowest).max(), np.abs(highest).max(), 1e-4)) if len(lowest) else 1.0
    line = {"color": GREY, "width": 1}
    figure = go.Figure(
        [
            go.Scatter(x=times, y=lowest, mode="lines", line=line, hoverinfo="skip"),
            go.Scatter(x=times, y=highest, mode="lines", line=line, fill="tonexty", fillcolor=GREY, hoverinfo="skip"),
        ]
    )
    for span in segments:
        _shade(figure, span)
    plain(figure, height=128)
    figure.update_layout(margin_l=LEFT, margin_r=8, margin_b=24)
    _seconds_axis(figure, recording.duration_s)
    figure.update_yaxes(range=[-1.05 * peak, 1.05 * peak], visible=False)
    return figure


def mel_decibels(recording: Recording, columns: int = MAX_COLUMNS) -> NDArray[np.float32]:
    """Return the mel spectrogram in dB under its loudest moment, float32 [MEL_BANDS, at most about `columns`]."""
    import librosa

    samples, rate = recording.samples, recording.rate
    window = 2 ** round(np.log2(0.04 * rate))
    hop = window // 4
    if len(samples) > columns * hop:
        hop = int(np.ceil(len(samples) / (columns * FRAMES_PER_COLUMN)))
    power = librosa.feature.melspectrogram(
        y=samples, sr=rate, n_fft=window, hop_length=hop, n_mels=MEL_BANDS, fmax=min(TOP_HZ, rate / 2)
    )
    if power.shape[1] > columns:
        pooled = int(np.ceil(power.shape[1] / columns))
        starts = np.arange(0, power.shape[1], pooled)
        power = np.add.reduceat(power, starts, axis=1) / np.diff(np.append(starts, power.shape[1]))
    loudest = max(float(power.max()), 1e-10)
    decibels = 10 * np.log10(np.maximum(power / loudest, 10 ** (FLOOR_DB / 10)))
    return decibels.astype(np.float32)


def warm_up() -> None:
    """Load the library behind the spectrogram, which takes seconds the first time."""
    mel_decibels(Recording(np.zeros(8000, np.float32), 8000, SourceInfo("", "", "", 1, 8000, 0)))


def spectrogram(recording: Recording) -> go.Figure:
    """Draw the mel spectrogram over the same seconds as the waveform, up to what the models can hear."""
    import librosa
    import plotly.graph_objects as go

    decibels = mel_decibels(recording)
    step = recording.duration_s / decibels.shape[1]
    figure = go.Figure(
        go.Heatmap(
            z=np.round(decibels).astype(np.int8),
            x0=step / 2,
            dx=step,
            colorscale=[
                [0, "rgba(31,154,143,0)"],
                [0.3, "rgba(31,154,143,0.08)"],
                [0.8, "rgba(31,154,143,0.85)"],
                [1, ACCENT],
            ],
            showscale=False,
            hoverinfo="skip",
            zmin=FLOOR_DB,
            zmax=0,
        )
    )
    top = min(TOP_HZ, recording.rate / 2)
    ticks = [hz for hz in HZ_TICKS if hz <= top]
    edges = librosa.mel_frequencies(n_mels=MEL_BANDS + 2, fmin=0, fmax=top)[1:-1]
    plain(figure, height=200)
    figure.update_layout(margin_l=LEFT, margin_r=8, margin_b=24)
    _seconds_axis(figure, recording.duration_s)
    figure.update_yaxes(
        tickvals=[float(np.interp(hz, edges, np.arange(MEL_BANDS))) for hz in ticks],
        ticktext=[f"{hz / 1000:g} kHz" for hz in ticks],
        showgrid=False,
        ticks="",
    )
    return figure


def timeline(windows: Sequence[TimelineWindow], duration_s: float) -> go.Figure:
    """Draw each emotion's probability over time in a row of its own, the one that is strongest overall on top.

    Rows that are named at their left need no legend and no colours; a row's full height is a probability of one.
    """
    import plotly.graph_objects as go

    labels = windows[0].scores.labels
    curves = np.array([window.scores.probabilities for window in windows])
    times = [(window.start + window.end) / 2 for window in windows]
    # The first and last windows speak for the recording's ends, too.
    times = [windows[0].start, *times, windows[-1].end]
    curves = np.vstack([curves[:1], curves, curves[-1:]])
    order = np.argsort(-curves.mean(axis=0), kind="stable")[:MOST]
    names = [written_label(labels[index]) for index in order]
    figure = go.Figure()
    for row, index in enumerate(order):
        ground, values = -float(row), curves[:, index]
        first = row == 0
        figure.add_scatter(
            x=times,
            y=[ground] * len(times),
            mode="lines",
            line={"color": GREY_SOFT, "width": 1},
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=times,
            y=ground + 0.86 * values,
            mode="lines",
            line={"color": ACCENT if first else GREY, "width": 1.5},
            fill="tonexty",
            fillcolor=ACCENT_SOFT if first else GREY_SOFT,
            name=names[row],
            meta=names[row],
            text=[percent(float(value)) for value in values],
            hovertemplate="%{x:.1f} s, %{meta}: %{text}<extra></extra>",
        )
    plain(figure, height=TIMELINE_ROW * len(names) + 32)
    figure.update_layout(margin_l=margin(names), margin_r=8, margin_b=24)
    _seconds_axis(figure, duration_s)
    rows_axis(figure, names, bottom=0.9, top=0.95, raised=0.25)
    return figure


def plain(figure: go.Figure, height: int) -> None:
    """Take away all that is no data: background, legend, zoom by dragging; keep the margins that labels need."""
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 0, "t": 8, "b": 4, "pad": 0},
        showlegend=False,
        dragmode=False,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(fixedrange=True)
    figure.update_yaxes(fixedrange=True)


def rows_axis(figure: go.Figure, names: Sequence[str], bottom: float, top: float, raised: float = 0.0) -> None:
    """Name the rows of a chart, which lie at 0, -1, -2 and so on.

    `raised` is how far above its row a name stands; the axis goes from `bottom` above the row that would follow the
    last to `top` above the first.
    """
    figure.update_yaxes(
        tickvals=[raised - row for row in range(len(names))],
        ticktext=list(names),
        range=[bottom - len(names), top],
        showgrid=False,
        zeroline=False,
        ticks="",
        tickfont_size=14,
        ticklabelstandoff=8,
    )


def _seconds_axis(figure: go.Figure, duration_s: float) -> None:
    """Count the seconds along the bottom, up to the recording's end."""
    figure.update_xaxes(
        range=[0, duration_s], ticksuffix=" s", nticks=7, showgrid=False, zeroline=False, ticks="", automargin=False
    )


def _shade(figure: go.Figure, span: Span) -> None:
    """Shade a stretch of speech behind the curve, and underline it, so that it shows without colour."""
    shape = {"type": "rect", "xref": "x", "yref": "paper", "x0": span.start, "x1": span.end, "line_width": 0}
    figure.add_shape(**shape, y0=0, y1=1, fillcolor=ACCENT, opacity=0.13, layer="below")
    figure.add_shape(**shape, y0=0, y1=0.03, fillcolor=ACCENT)
