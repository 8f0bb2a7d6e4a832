"""Words belong to the windows in which they were spoken, and edited ones take the places of those they replace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ser_engine.transcription.alignment import MANUAL, replace_words, select_words
from ser_engine.types import Span, Transcript, TranscriptSegment

TWO = Transcript(
    "Kids are talking now. Dogs sit.",
    "en",
    (TranscriptSegment(0.0, 4.0, "Kids are talking now.", 0.9), TranscriptSegment(6.0, 8.0, "Dogs sit.", 0.8)),
    0.85,
    "whisper",
)
SPEECH = (Span(0.0, 4.0), Span(6.0, 8.0))


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        (0.0, 2.0, "Kids are"),
        (1.6, 3.0, "talking"),
        (2.0, 7.0, "talking now. Dogs"),
        (4.0, 6.0, ""),
        (0.0, 9.0, "Kids are talking now. Dogs sit."),
    ],
)
def test_a_window_has_the_words_whose_middle_lies_in_it(start: float, end: float, text: str) -> None:
    assert select_words(TWO, start, end) == replace(TWO, text=text, segments=())


def test_windows_side_by_side_lose_no_word_and_repeat_none() -> None:
    selected = [
        select_words(TWO, start, start + 0.7).text for start in (0.0, 0.7, 1.4, 2.1, 2.8, 3.5, 4.2, 4.9, 5.6, 6.3, 7.0)
    ]
    assert " ".join(filter(None, [*selected, select_words(TWO, 7.7, 9.0).text])) == TWO.text


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("Kids are talking now. Cats sit.", "Kids are talking now.", "Cats sit."),
        ("Kids were talking now. Dogs sit.", "Kids were talking now.", "Dogs sit."),
        ("All kids are talking now. Dogs sit down here.", "All kids are talking now.", "Dogs sit down here."),
        ("Dogs sit.", "", "Dogs sit."),
        ("", "", ""),
    ],
)
def test_edited_words_stand_where_those_stood_that_they_replace(text: str, first: str, second: str) -> None:
    changed = replace_words(TWO, text, SPEECH)
    assert changed.text == text
    # Whisper's doubts were about other words.
    assert {changed.confidence, *(part.confidence for part in changed.segments)} == {1.0} != {TWO.confidence}
    assert [(part.start, part.end, part.text) for part in changed.segments] == [(0.0, 4.0, first), (6.0, 8.0, second)]


def test_the_same_words_are_no_edit() -> None:
    assert replace_words(TWO, TWO.text, SPEECH) == TWO


def test_words_without_a_transcript_are_spread_over_the_speech() -> None:
    silent = replace(TWO, text="", segments=())
    for transcript, engine in ((silent, "whisper"), (None, MANUAL)):
        written = replace_words(transcript, "some words", SPEECH)
        (segment,) = written.segments
        assert (segment.start, segment.end, segment.text) == (0.0, 8.0, "some words") and written.engine == engine


def test_one_edit_after_another_is_as_the_last_one_alone() -> None:
    once = replace_words(replace_words(TWO, "", SPEECH), "Kids are talking now.", SPEECH)
    assert once.text == "Kids are talking now." and " ".join(part.text for part in once.segments).strip() == once.text
