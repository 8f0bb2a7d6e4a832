"""Utterances for a transcriber beside the scores."""

from __future__ import annotations

import numpy as np
import pytest

from ser_engine import Analyzer
from ser_engine.live.ring_buffer import RingBuffer
from ser_engine.live.transcript import LONGEST_S, WAITING, Segmenter, Utterance
from ser_engine.types import SAMPLE_RATE, Span
from tests.speech import noise, silence, speech


@pytest.fixture
def latest() -> RingBuffer:
    latest = RingBuffer(30 * SAMPLE_RATE)
    latest.add(np.arange(60 * SAMPLE_RATE, dtype=np.float32))
    return latest


def heard(latest: RingBuffer, *windows: tuple[float, list[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Return start and end of the stretches that end in these windows (end, spans)."""
    stretches = Segmenter(latest)
    for end, spans in windows:
        stretches.window(end, [Span(*span) for span in spans])
    return [(round(one.start, 3), round(one.end, 3)) for one in stretches.take()]


def test_a_stretch_ends_at_a_pause_and_only_once(latest: RingBuffer) -> None:
    windows = [(43.0, [(40.5, 43.0)]), (43.5, [(40.5, 42.8)]), (44.0, [(41.0, 42.85)]), (47.0, [])]
    assert heard(latest, *windows) == [(40.2, 43.1)]


def test_doubts_about_where_a_stretch_ended_make_no_second_one(latest: RingBuffer) -> None:
    assert heard(latest, (43.0, [(40.5, 42.0)]), (45.0, [(42.0 - 0.1, 43.2)]), (46.0, [])) == [(40.2, 42.3)]


def test_a_short_pause_ends_nothing(latest: RingBuffer) -> None:
    assert heard(latest, (43.0, [(40.5, 41.5), (41.9, 43.0)])) == []


def test_several_stretches_in_one_window_are_told_apart(latest: RingBuffer) -> None:
    assert heard(latest, (44.0, [(40.0, 41.0), (42.0, 43.0)])) == [(39.7, 41.3), (41.7, 43.3)]


def test_who_speaks_on_is_cut_before_it_is_too_long_to_transcribe(latest: RingBuffer) -> None:
    ends = np.arange(33.0, 59.5, 0.5)
    found = heard(latest, *((float(end), [(max(31.0, end - 3), float(end))]) for end in ends))
    assert len(found) == 2
    assert all(end - start <= LONGEST_S + 1 for start, end in found)
    assert found[1][0] <= found[0][1]  # nothing between them is lost


def test_what_nobody_takes_is_counted(latest: RingBuffer) -> None:
    stretches = Segmenter(latest)
    for number in range(WAITING + 3):
        stretches.window(32.0 + 2 * number, [Span(31.0 + 2 * number, 31.3 + 2 * number)])
    assert stretches.lost == 3 and len(stretches.take()) == WAITING and stretches.take() == []


def test_words_have_their_times_in_the_session(analyzer: Analyzer) -> None:
    spoken = Utterance(100.0, np.concatenate([speech("Dogs are sitting by the door."), silence(0.3)]))
    (segment,) = spoken.transcribe(analyzer.transcriber, analyzer.settings)
    assert segment.text == "Dogs are sitting by the door."
    assert 100.0 <= segment.start < 101.0 < segment.end <= spoken.end


def test_where_nobody_spoke_after_all_there_are_no_words(analyzer: Analyzer) -> None:
    assert Utterance(0.0, noise(2.0)).transcribe(analyzer.transcriber, analyzer.settings) == ()
