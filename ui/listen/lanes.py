"""The turns of several speakers over time, one lane each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import plotly.graph_objects as go

from ser_engine.types import Analysis, Scores, Span, Speaker
from ui.charts import LINE_STYLE, label_width, plain, rows_axis, time_axis, written_label
from ui.theme import ACCENT, ACCENT_SOFT, GRAY, GRAY_SOFT
from ui.wording import interval, name, percent

LANE, BAR = 62, 0.36
"""Pixels of a lane, and the part of them that its bars have; the names of emotions stand above the bars."""
NARROW_PX, CHARACTER_PX = 220, 7
"""Width of the chart on a narrow screen, for which there must be room between two names, and of a character."""
EDGE_S = 0.5
"""Differences up to this between sentences and turns are not drawn."""
SIGNS = {"sure": "■", "unsure": "▨", "plain": "□", "overlap": "▩"}
MEANINGS = {
    "sure": "emotion",
    "unsure": "not sure",
    "plain": "no words",
    "overlap": "several speak at once, not scored",
}
"""Kinds of bars: how the legend shows them, and what they mean."""
MARKERS = {
    "plain": {"color": GRAY_SOFT, "line": {"width": 0}},
    "sure": {"color": ACCENT_SOFT, "line": {"width": 1.5, "color": ACCENT}},
    "unsure": {
        "color": "rgba(0,0,0,0)",
        "line": {"width": 1, "color": GRAY},
        "pattern": {"shape": "/", "fillmode": "replace", "fgcolor": GRAY, "size": 7, "solidity": 0.25},
    },
    "overlap": {
        "color": "rgba(0,0,0,0)",
        "line": {"width": 0},
        "pattern": {"shape": "x", "fillmode": "replace", "fgcolor": GRAY, "size": 6, "solidity": 0.3},
    },
}


@dataclass(frozen=True)
class Bar(Span):
    """A part of a lane: its `kind`, a key of `SIGNS`, and its scores."""

    kind: str
    scores: Scores | None = None

    @property
    def emotion(self) -> str:
        """The most probable emotion, with a question mark where the model is not sure; empty without scores."""
        if self.scores is None:
            return ""
        return name(self.scores.top) + ("?" if self.kind == "unsure" else "")


def turn_bars(speaker: Speaker) -> list[Bar]:
    """Return the turns of a speaker, cut into sentences with their emotions, else into stretches of windows."""
    answer = speaker.answer
    parts = [each for each in (answer.transcript.segments if answer.transcript else ()) if each.scores and each.text]
    bars = [Bar(each.start, each.end, _kind(each.sure), each.scores) for each in parts]
    if not bars and answer.timeline:
        middles = [(each.start + each.end) / 2 for each in answer.timeline]
        edges = [0.0, *((one + other) / 2 for one, other in pairwise(middles)), float("inf")]
        for window, (start, end) in zip(answer.timeline, pairwise(edges), strict=True):
            bars.append(Bar(start, end, _kind(window.sure), window.scores))
    elif not bars:
        bars = [Bar(0.0, float("inf"), _kind(answer.sure), answer.scores)]
    return [part for turn in answer.speech.segments for part in _cut(turn, bars)]


def _cut(turn: Span, bars: Sequence[Bar]) -> list[Bar]:
    """Return the parts of a turn that are in bars, and plain ones between them; equal neighbors are joined."""
    parts: list[Bar] = []
    done = turn.start
    for bar in [*bars, Bar(turn.end, turn.end, "plain")]:
        start, end = max(bar.start, done), min(bar.end, turn.end)
        if end < start or start > turn.end:
            continue
        if start - done > EDGE_S:
            parts.append(Bar(done, start, "plain"))
        else:
            start = done  # Whisper's times and those of turns differ a little
        if end <= start or bar.kind == "plain":
            continue
        if parts and parts[-1].end == start and parts[-1].emotion == bar.emotion:
            start = parts.pop().start
        parts.append(Bar(start, end, bar.kind, bar.scores))
        done = end
    if parts and 0 < turn.end - done <= EDGE_S:
        parts[-1] = replace(parts[-1], end=turn.end)
    return parts


def _kind(sure: bool | None) -> str:
    return "unsure" if sure is False else "sure"


def lanes(analysis: Analysis) -> go.Figure:
    """Draw the turns of each speaker in a lane, and over them the emotions; hatched where the model is not sure."""
    figure = go.Figure()
    duration, speakers = analysis.quality.duration_s, analysis.speakers
    overlaps = [Bar(each.start, each.end, "overlap") for each in analysis.overlaps]
    for row, speaker in enumerate(speakers):
        figure.add_shape(type="line", x0=0, x1=duration, y0=-row, y1=-row, line=LINE_STYLE, opacity=0.35, layer="below")
        turns = turn_bars(speaker)
        for bars in (turns, overlaps):
            _add_bars(figure, row, [described(bar, speaker.name, duration) for bar in bars], bars)
        for bar in _with_room(turns, duration):
            figure.add_annotation(
                x=bar.start, y=-row + BAR / 2, text=written_label(bar.emotion), xanchor="left", yanchor="bottom",
                showarrow=False, font_size=12,
            )  # fmt: skip
    names = [written_label(speaker.name) for speaker in speakers]
    shares = [f"{label}<br>{percent(each.share)}" for label, each in zip(names, speakers, strict=True)]
    plain(figure, LANE * len(speakers) + 32, left=label_width(names, least=60), bottom=24)
    figure.update_layout(barmode="overlay")
    time_axis(figure, duration)
    rows_axis(figure, shares, bottom=0.6, top=0.6)
    return figure


def _add_bars(figure: go.Figure, row: int, notes: Sequence[str], bars: Sequence[Bar]) -> None:
    for kind, marker in MARKERS.items():
        own = [bar for bar in bars if bar.kind == kind]
        if own:
            figure.add_bar(
                orientation="h", base=[bar.start for bar in own], x=[bar.duration_s for bar in own],
                y=[-row] * len(own), width=BAR, marker=marker, name=kind,
                customdata=[note for note, bar in zip(notes, bars, strict=True) if bar.kind == kind],
                hovertemplate="%{customdata}<extra></extra>",
            )  # fmt: skip


def described(bar: Bar, speaker: str, duration_s: float) -> str:
    """Return what a bar shows of a recording of so many seconds, in words."""
    scores = bar.scores
    emotion = MEANINGS[bar.kind] if scores is None else f"{bar.emotion} {percent(float(scores.probabilities.max()))}"
    return f"{written_label(speaker)}, {interval(bar, duration_s)}: {emotion}"


def _with_room(bars: Sequence[Bar], duration_s: float) -> list[Bar]:
    """Return the bars whose emotions can be written without overlap on a narrow screen, sure ones first."""
    placed: list[Bar] = []
    taken: list[Span] = []
    for bar in sorted(bars, key=lambda bar: (bar.kind != "sure", bar.start)):
        width_s = duration_s * CHARACTER_PX * (len(bar.emotion) + 1) / NARROW_PX
        own = Span(bar.start, bar.start + width_s)
        if bar.emotion and own.end <= duration_s and all(own.end <= t.start or t.end <= own.start for t in taken):
            placed.append(bar)
            taken.append(own)
    return placed


def legend(analysis: Analysis) -> list[tuple[str, str]]:
    """Return the signs of the kinds of bars in the chart and their meanings; none where all are sure."""
    kinds = {bar.kind for speaker in analysis.speakers for bar in turn_bars(speaker)}
    kinds |= {"overlap"} if analysis.overlaps else set()
    return [(SIGNS[kind], MEANINGS[kind]) for kind in SIGNS if kind in kinds] if kinds != {"sure"} else []
