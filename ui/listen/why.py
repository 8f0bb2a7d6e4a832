"""Why this answer: the moments and words that weighed most, and the voice beside typical ranges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
import streamlit as st

from ser_engine import Analyzer
from ser_engine.errors import SerError
from ser_engine.types import Explanation, Voice, WeightedSpan
from ui import panels, theme
from ui.charts import DISC, label_width, plain, rows_axis, time_axis
from ui.listen import wording as sentences
from ui.listen.charts import LEFT
from ui.session import Result
from ui.theme import ACCENT_RGB, GRAY, GRAY_SOFT
from ui.wording import verbatim

LEAST_EXTENT = 0.25
"""Difference of the weights from which the heaviest moment has the full color: it is six percentage points at most."""
LEAST_WORD_EXTENT, MOST_SHADE = 1.0, 0.6
"""Weight from which a word has the strongest shade, and its opacity: the word has to stay legible."""
ROW = 34


@dataclass(frozen=True)
class Scale:
    """The row of a measurement: its `unit`, the ends of its axis, and typical ranges with their names."""

    title: str
    unit: str
    lowest: float
    highest: float
    typical: tuple[tuple[float, float, str], ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies on the axis, 0 to 1."""
        ends = (self.lowest, value, self.highest)
        low, here, high = map(math.log, ends) if self.logarithmic else ends
        return min(1.0, max(0.0, (here - low) / (high - low)))


# Pitch: Baken and Orlikoff (2000), p. 177. The others: the middle 80 percent of 251 adults reading aloud
# (Panayotov et al., 2015), measured by the same code: results/explanations.json.
SCALES = {
    "pitch_hz": Scale("Pitch", "Hz", 60, 400, ((85, 155, "men"), (165, 255, "women")), logarithmic=True),
    "pitch_range_semitones": Scale("Pitch range", "semitones", 0, 20, ((5.3, 12.1, ""),)),
    "level_range_db": Scale("Loudness range", "dB", 0, 30, ((15.2, 18.2, ""),)),
    "syllables_per_s": Scale("Speaking rate", "peaks/s", 0, 8, ((2.4, 3.8, ""),)),
}


def show(result: Result, engine: Analyzer) -> None:
    """Show the explanation of a result, computed the first time."""
    analysis = result.shown
    if result.explanation is None:
        try:
            with st.spinner("Weighing the moments of the recording"):
                result.explanation = engine.explain(analysis)
        except SerError as error:
            st.error(verbatim(str(error)))
            return
    explanation = result.explanation
    duration = analysis.quality.duration_s
    panels.draw(moment_strip(explanation, duration), sentences.heaviest(explanation, duration), "moments")
    panels.note(sentences.occlusion(explanation.label, bool(analysis.transcript and analysis.modalities)))
    if explanation.words and analysis.transcript:
        st.subheader("Words", anchor=False)
        st.html(shaded_words(analysis.transcript.text, explanation))
        panels.note(sentences.word_occlusion(explanation.words_label))
    st.subheader("Voice", anchor=False)
    measured = measurements(explanation.voice)
    if not measured:
        panels.note("Too little of the speech is voiced to measure pitch, loudness and rate.")
        return
    alt = "; ".join(f"{SCALES[key].title} {text}" for key, text in measured.items())
    panels.draw(voice_rows(explanation.voice), alt, "voice")
    panels.note(sentences.TYPICAL)


def moment_strip(explanation: Explanation, duration_s: float) -> go.Figure:
    """Draw the weights of the moments over the time of the recording; the strongest color weighed most."""
    moments = explanation.moments
    figure = go.Figure(
        go.Bar(
            x=[(moment.start + moment.end) / 2 for moment in moments],
            width=[moment.duration_s for moment in moments],
            y=[1] * len(moments),
            marker={"color": shades(moments), "line": {"color": GRAY, "width": 0.5}},
            customdata=[sentences.moment(moment, explanation.label, duration_s) for moment in moments],
            hovertemplate="%{customdata}<extra></extra>",
        )
    )
    plain(figure, 64, left=LEFT, bottom=24)
    time_axis(figure, duration_s)
    return figure.update_yaxes(range=[0, 1], visible=False)


def shades(moments: Sequence[WeightedSpan]) -> list[str]:
    """Return the color of each moment: one hue, from none for the least weight to the full color for the greatest."""
    weights = [moment.weight for moment in moments]
    least, extent = min(weights), max(LEAST_EXTENT, max(weights) - min(weights))
    return [f"rgba({ACCENT_RGB},{(weight - least) / extent:.2f})" for weight in weights]


def shaded_words(text: str, explanation: Explanation) -> str:
    """Return the transcript as HTML; the words without which the odds fall are colored, the strongest weighed most."""
    extent = max(LEAST_WORD_EXTENT, *(word.weight for word in explanation.words))
    spans = []
    for word in explanation.words:
        color = f"rgba({ACCENT_RGB},{MOST_SHADE * max(0.0, word.weight) / extent:.2f})"
        spans.append((word.start, word.end, color, sentences.odds_without(word.weight, explanation.words_label)))
    return theme.shaded(text, spans)


def measurements(voice: Voice) -> dict[str, str]:
    """Return the written value of each measurement that there is, by its key in `SCALES`."""
    pairs = ((key, getattr(voice, key)) for key in SCALES)
    return {key: sentences.measurement(value, SCALES[key].unit) for key, value in pairs if value is not None}


def voice_rows(voice: Voice) -> go.Figure:
    """Draw each measurement as a disc on an axis of its own, over the typical range."""
    figure, written = go.Figure(), measurements(voice)
    for row, (key, scale) in enumerate(SCALES.items()):
        for low, high, name in scale.typical:
            start, end = scale.place(low), scale.place(high)
            figure.add_shape(
                type="rect", x0=start, x1=end, y0=-row - 0.3, y1=-row + 0.3, fillcolor=GRAY_SOFT, line_width=0,
                layer="below",
            )  # fmt: skip
            if name:
                figure.add_annotation(x=(start + end) / 2, y=-row + 0.5, text=name, showarrow=False, font_size=11)
        figure.add_shape(type="line", x0=0, x1=1, y0=-row, y1=-row, line={"color": GRAY, "width": 1}, layer="below")
        if text := written.get(key):
            x = [scale.place(getattr(voice, key))]
            figure.add_scatter(x=x, y=[-row], mode="markers", marker=DISC, hovertemplate=f"{text}<extra></extra>")
            at = {"x": 1, "xref": "paper", "xanchor": "left", "xshift": 12, "y": -row}
            figure.add_annotation(**at, text=text, showarrow=False, font_size=13)
    names = [scale.title for scale in SCALES.values()]
    plain(figure, ROW * len(names) + 24, left=label_width(names), right=116, bottom=4)
    figure.update_xaxes(range=[-0.02, 1.02], visible=False)
    rows_axis(figure, names, bottom=0.4, top=0.7)
    return figure
