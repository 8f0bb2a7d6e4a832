"""Words belong to the windows in which they were spoken, and edited ones take the places of those they replace."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ser_engine.transcription.alignment import MANUAL, fit_to_speech, replace_words, select_words
from ser_engine.types import Span, Transcript, TranscriptSegment, Word

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
    chosen = select_words(TWO, start, end)
    assert chosen.text == text == " ".join(segment.text for segment in chosen.segments)
    assert set(chosen.segments) <= {replace(each, text=part.text) for each in TWO.segments for part in chosen.segments}


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


TIMED = replace(
    TWO,
    segments=(
        replace(
            TWO.segments[0],
            words=(
                Word(0.1, 1.0, "Kids", 0.9),
                Word(1.0, 2.0, "are", 0.9),
                Word(2.0, 3.0, "talking", 0.9),
                Word(3.0, 4.0, "now.", 0.9),
            ),
        ),
        replace(TWO.segments[1], words=(Word(6.0, 7.0, "Dogs", 0.9), Word(7.0, 8.0, "sit.", 0.9))),
    ),
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Cats are now. Dogs sit.", [("Cats", 0.1, 1.0), ("are", 1.0, 2.0), ("now.", 3.0, 4.0)]),
        (
            "Kids are not talking now. Dogs sit.",
            [("Kids", 0.1, 1.0), ("are", 1.0, 1.5), ("not", 1.5, 2.0), ("talking", 2.0, 3.0), ("now.", 3.0, 4.0)],
        ),
    ],
)
def test_edited_words_have_the_times_of_those_that_they_replace(
    text: str, words: list[tuple[str, float, float]]
) -> None:
    first, second = replace_words(TIMED, text, SPEECH).segments
    assert [(word.text, word.start, word.end) for word in first.words] == words
    assert second.words == TIMED.segments[1].words


def test_words_that_do_not_make_up_their_sentence_are_dropped_with_an_edit() -> None:
    odd = replace(TIMED.segments[0], words=TIMED.segments[0].words[:2])
    first, _ = replace_words(replace(TIMED, segments=(odd, TIMED.segments[1])), "Kids sit. Dogs sit.", SPEECH).segments
    assert first.words == ()


def test_a_word_that_begins_with_a_pause_is_fitted_to_its_speech() -> None:
    words = (Word(3.7, 6.5, "Dogs", 0.9), Word(6.5, 8.4, "sit.", 0.9), Word(9.0, 9.5, "Well.", 0.9))
    fitted = fit_to_speech(replace(TWO.segments[1], words=words), SPEECH).words
    assert [(word.start, word.end) for word in fitted] == [(6.0, 6.5), (6.5, 8.0), (9.0, 9.5)]
