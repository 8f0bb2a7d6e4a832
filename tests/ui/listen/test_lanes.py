"""The lanes of several speakers: turns, sentences, sureness, overlaps, and names that do not collide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from ser_engine.types import (
    Analysis,
    CleanSpeech,
    Quality,
    Recording,
    Scores,
    SourceInfo,
    Span,
    Speaker,
    TimelineWindow,
    Transcript,
    TranscriptSegment,
)
from ui.listen import lanes

LENGTH_S = 20.0


def scores(angry: float) -> Scores:
    return Scores(("calm", "angry"), np.array([1 - angry, angry], np.float32))


def answer(turns: tuple[Span, ...], transcript: Transcript | None = None, *timeline: TimelineWindow) -> Analysis:
    quality = Quality(LENGTH_S, 5.0, 16_000, 8000.0, None, 0.0, -20.0, False)
    nothing = np.zeros(16_000, np.float32)
    recording = Recording(nothing, 16_000, SourceInfo("call.wav", "WAV", "PCM_16", 2, 16_000, 0))
    speech = CleanSpeech(nothing, turns, quality)
    return Analysis("call.wav", "m", scores(0.9), transcript, timeline, quality, {"total": 1.0}, recording, speech)


def sentence(start: float, end: float, angry: float | None, sure: bool = True) -> TranscriptSegment:
    own = None if angry is None else scores(angry)
    return TranscriptSegment(start, end, "Words.", 0.9, (), own, sure if own else None)


def speaker(name: str, own: Analysis, share: float = 0.5) -> Speaker:
    return Speaker(name, None, share, own)


def bars(own: Analysis) -> list[tuple[float, float, str, str]]:
    return [(bar.start, bar.end, bar.kind, bar.emotion) for bar in lanes.turn_bars(speaker("x", own))]


def test_turns_are_cut_into_sentences() -> None:
    said = Transcript("", "en", (sentence(1.2, 3, 0.9), sentence(3, 4.8, 0.2, False), sentence(10, 11, None)), 1.0, "")
    turns = (Span(1, 5), Span(9, 12))
    assert bars(answer(turns, said)) == [
        (1, 3, "sure", "Angry"), (3, 5, "unsure", "Calm?"), (9, 12, "plain", ""),
    ]  # fmt: skip


def test_a_sentence_over_a_pause_is_in_both_turns() -> None:
    said = Transcript("", "en", (sentence(1, 8, 0.9),), 1.0, "")
    assert bars(answer((Span(1, 3), Span(6, 10)), said)) == [
        (1, 3, "sure", "Angry"), (6, 8, "sure", "Angry"), (8, 10, "plain", ""),
    ]  # fmt: skip


def test_without_words_turns_are_cut_into_stretches_of_windows() -> None:
    windows = [
        TimelineWindow(0, 3, scores(0.9), sure=True), TimelineWindow(2, 5, scores(0.8), sure=True),
        TimelineWindow(4, 7, scores(0.1), sure=False),
    ]  # fmt: skip
    assert bars(answer((Span(0, 4), Span(4.5, 7)), None, *windows)) == [
        (0, 4, "sure", "Angry"), (4.5, 7, "unsure", "Calm?"),
    ]  # fmt: skip
    assert bars(answer((Span(1, 2),))) == [(1, 2, "sure", "Angry")]


@pytest.fixture
def call() -> Analysis:
    said = Transcript(
        "", "en", tuple(sentence(t, t + 0.5, 0.9, bool(t % 2 < 1)) for t in np.arange(1, 9, 0.5)), 1.0, ""
    )
    speakers = (
        speaker("agent <b>", answer((Span(1, 9),), said), 0.75),
        speaker("customer", answer((Span(9, 12),)), 0.25),
    )
    return replace(answer((Span(1, 12),)), speakers=speakers, overlaps=(Span(12, 13),))


def test_each_speaker_has_a_lane_with_name_and_share(call: Analysis) -> None:
    figure = lanes.lanes(call)
    assert list(figure.layout.yaxis.ticktext) == ["agent &lt;b&gt;<br>75%", "customer<br>25%"]
    rows = {(bar.name, y) for bar in figure.data for y in bar.y}
    assert {("sure", 0), ("unsure", 0), ("sure", -1), ("overlap", 0), ("overlap", -1)} == rows
    assert figure.layout.xaxis.range == (0, LENGTH_S)


def test_names_of_emotions_do_not_collide_on_a_narrow_screen(call: Analysis) -> None:
    notes: list[go.layout.Annotation] = list(lanes.lanes(call).layout.annotations)
    per_s = lanes.NARROW_PX / LENGTH_S
    for one in notes:
        for other in notes:
            if one is not other and one.y == other.y and one.x <= other.x:
                assert (other.x - one.x) * per_s >= lanes.CHARACTER_PX * len(one.text)
    assert 1 < len(notes) < 9


def test_the_legend_explains_only_what_is_drawn(call: Analysis) -> None:
    assert [meaning for _, meaning in lanes.legend(call)] == [
        "emotion", "not sure", "several speak at once, not scored",
    ]  # fmt: skip
    plain = replace(call, speakers=call.speakers[1:], overlaps=())
    assert lanes.legend(plain) == []
