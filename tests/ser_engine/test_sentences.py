"""Sentences get an emotion of their own, from their own speech and words."""

from __future__ import annotations

import numpy as np
import pytest

from ser_engine.sentences import SENTENCE_S, cut_sentences, score_sentences, widen
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Quality, Scores, Span, Transcript, TranscriptSegment


@pytest.mark.parametrize(
    ("start", "end", "wide"),
    [
        (4.0, 4.5, (3.25, 5.25)),
        (0.1, 0.4, (0.0, 2.0)),
        (9.5, 9.9, (8.0, 10.0)),
        (2.0, 6.0, (2.0, 6.0)),
    ],
)
def test_a_short_sentence_is_widened_within_the_recording(start: float, end: float, wide: tuple[float, float]) -> None:
    span = widen(Span(start, end), 2.0, 10.0)
    assert (span.start, span.end) == pytest.approx(wide)


def test_a_recording_that_is_shorter_is_taken_whole() -> None:
    assert widen(Span(0.2, 0.6), 2.0, 1.2) == Span(0.0, 1.2)


def spoken(*sentences: tuple[float, float, str]) -> tuple[CleanSpeech, Transcript]:
    """Return ten seconds with speech from 0 to 4 and from 6 to 7 s, whose samples are their own seconds."""
    spans = (Span(0.0, 4.0), Span(6.0, 7.0))
    times = np.arange(10 * SAMPLE_RATE, dtype=np.float32) / SAMPLE_RATE
    samples = np.concatenate([times[: 4 * SAMPLE_RATE], times[6 * SAMPLE_RATE : 7 * SAMPLE_RATE]])
    segments = tuple(TranscriptSegment(*each, confidence=0.5) for each in sentences)
    quality = Quality(10.0, 5.0, SAMPLE_RATE, 8000.0, None, 0.0, -23.0, False)
    text = " ".join(segment.text for segment in segments)
    return CleanSpeech(samples, spans, quality), Transcript(text, "en", segments, 0.9, "whisper")


def test_each_sentence_has_its_own_speech_and_words() -> None:
    both = spoken((0.5, 3.5, "Kids are talking."), (6.2, 6.8, "No."), (8.0, 9.5, "Nobody said this."))
    cut = cut_sentences(*both, short=False, min_speech_s=0.3)
    assert list(cut) == [0, 1]  # there is no speech around the third
    speech, words = cut[0]
    assert (speech.samples[0], speech.duration_s) == (0.5, 3.0)
    assert (words.text, words.confidence, words.language) == ("Kids are talking.", 0.5, "en")
    speech, words = cut[1]
    assert words.text == "No." and speech.samples[0] == 6.0 and speech.duration_s == 1.0 < SENTENCE_S


def test_the_only_sentence_of_a_short_recording_is_not_scored_again() -> None:
    both = spoken((0.5, 3.5, "Kids are talking."))
    assert cut_sentences(*both, short=True, min_speech_s=0.3) == {}
    assert list(cut_sentences(*both, short=False, min_speech_s=0.3)) == [0]
    assert cut_sentences(both[0], None, short=True, min_speech_s=0.3) == {}


def test_scores_go_to_their_sentences() -> None:
    _, transcript = spoken((0.5, 3.5, "Kids are talking."), (6.2, 6.8, "No."))
    own, rest = (Scores(("calm", "angry"), np.array(row, np.float32)) for row in ((0.25, 0.75), (0.5, 0.5)))
    first, second = score_sentences(transcript, {0: own}, rest, 0.6).segments
    assert (first.scores, first.sure, second.scores, second.sure) == (own, True, rest, False)
    first, second = score_sentences(transcript, {0: own}, None, None).segments
    assert (first.sure, second.scores, second.sure) == (None, None, None)
    assert first.to_dict()["top"] == "angry" and first.to_dict()["scores"] == {"calm": 0.25, "angry": 0.75}
    assert "top" not in second.to_dict()
