"""Segments of speech end at pauses, once each, and none is too long for the transcriber."""

from __future__ import annotations

import numpy as np
import pytest

from ser_engine.live.ring_buffer import RingBuffer
from ser_engine.live.segmenter import LONGEST_S, WAITING, Segmenter
from ser_engine.types import SAMPLE_RATE, Span


@pytest.fixture
def audio() -> RingBuffer:
    audio = RingBuffer(30 * SAMPLE_RATE)
    audio.add(np.arange(60 * SAMPLE_RATE, dtype=np.float32))
    return audio


def segment(audio: RingBuffer, *windows: tuple[float, list[tuple[float, float]]]) -> list[tuple[float, float]]:
    """Return start and end of the segments that end in these windows (end, spans)."""
    segmenter = Segmenter(audio)
    for end, spans in windows:
        segmenter.add_window(end, [Span(*span) for span in spans])
    return [(round(part.start, 3), round(part.end, 3)) for part in segmenter.take()]


def test_a_segment_ends_at_a_pause_and_only_once(audio: RingBuffer) -> None:
    windows = [(43.0, [(40.5, 43.0)]), (43.5, [(40.5, 42.8)]), (44.0, [(41.0, 42.85)]), (47.0, [])]
    assert segment(audio, *windows) == [(40.2, 43.1)]


def test_doubts_about_the_end_of_a_segment_make_no_second_one(audio: RingBuffer) -> None:
    assert segment(audio, (43.0, [(40.5, 42.0)]), (45.0, [(42.0 - 0.1, 43.2)]), (46.0, [])) == [(40.2, 42.3)]


def test_a_short_pause_ends_nothing(audio: RingBuffer) -> None:
    assert segment(audio, (43.0, [(40.5, 41.5), (41.9, 43.0)])) == []


def test_several_segments_in_one_window_are_separated(audio: RingBuffer) -> None:
    assert segment(audio, (44.0, [(40.0, 41.0), (42.0, 43.0)])) == [(39.7, 41.3), (41.7, 43.3)]


def test_speech_without_a_pause_is_cut_before_it_is_too_long_to_transcribe(audio: RingBuffer) -> None:
    ends = np.arange(33.0, 59.5, 0.5)
    segments = segment(audio, *((float(end), [(max(31.0, end - 3), float(end))]) for end in ends))
    assert len(segments) == 2
    assert all(end - start <= LONGEST_S + 1 for start, end in segments)
    assert segments[1][0] <= segments[0][1]  # nothing between them is lost


def test_segments_not_taken_are_counted(audio: RingBuffer) -> None:
    segmenter = Segmenter(audio)
    for number in range(WAITING + 3):
        segmenter.add_window(32.0 + 2 * number, [Span(31.0 + 2 * number, 31.3 + 2 * number)])
    assert segmenter.lost == 3 and len(segmenter.take()) == WAITING and segmenter.take() == []
