"""Several speakers of one recording: each has an answer, and all together have one."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from ser_engine import Analysis
from ser_engine.speakers.lanes import Lane, merge_answers, select_speaker
from ser_engine.types import (
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

QUALITY = Quality(20.0, 8.0, 16_000, 8000.0, None, 0.0, -23.0, False)
RECORDING = Recording(np.zeros(20 * 16_000, np.float32), 16_000, SourceInfo("call.wav", "WAV", "PCM_16", 2, 16_000, 1))


def lane(name: str, channel: int, *spans: Span) -> Lane:
    length = round(sum(span.duration_s for span in spans) * 16_000)
    return Lane(CleanSpeech(np.zeros(length, np.float32), spans, QUALITY), name, channel)


def answer(own: Lane, happy: float, sentences: dict[float, str], language: str = "en") -> Analysis:
    scores = Scores(("happy", "sad"), np.array([happy, 1 - happy], np.float32))
    segments = tuple(TranscriptSegment(start, start + 1, text, 0.9) for start, text in sentences.items())
    transcript = Transcript(" ".join(sentences.values()), language, segments, 0.9, "whisper")
    windows = tuple(TimelineWindow(start, start + 3, scores) for start in sentences)
    return Analysis(
        "call.wav", "ours", scores, transcript, windows, own.speech.quality, {"total": 1.0}, RECORDING, own.speech
    )


@pytest.fixture
def call() -> Analysis:
    agent = lane("agent", 1, Span(0.0, 2.0), Span(6.0, 10.0))
    customer = lane("customer", 2, Span(2.0, 4.0))
    whole = lane("", 0, Span(0.0, 4.0), Span(6.0, 10.0)).speech
    answers = [
        answer(agent, 0.9, {0.0: "Good morning.", 6.0: "I see."}),
        answer(customer, 0.1, {2.0: "Nein.", 3.0: ""}, "de"),
    ]
    speakers = [
        Speaker(each.name, each.channel, 0.0, own) for each, own in zip((agent, customer), answers, strict=True)
    ]
    return merge_answers(RECORDING, whole, speakers, (Span(4.0, 5.0),))


def test_the_answer_to_all_is_the_mean_weighted_by_speech(call: Analysis) -> None:
    assert call.scores.to_dict()["happy"] == pytest.approx((6 * 0.9 + 2 * 0.1) / 8)
    assert [speaker.share for speaker in call.speakers] == [0.75, 0.25]
    assert [speaker.answer.scores.top for speaker in call.speakers] == ["happy", "sad"]


def test_sentences_and_windows_are_in_the_order_of_time_with_their_speakers(call: Analysis) -> None:
    assert call.transcript is not None
    assert call.transcript.text == "agent: Good morning.\ncustomer: Nein.\nagent: I see."
    assert call.transcript.language == "en"
    assert [segment.speaker for segment in call.transcript.segments] == ["agent", "customer", "customer", "agent"]
    assert [(window.start, window.speaker) for window in call.timeline] == [
        (0.0, "agent"), (2.0, "customer"), (3.0, "customer"), (6.0, "agent"),
    ]  # fmt: skip


def test_the_words_of_one_speaker_can_be_selected(call: Analysis) -> None:
    assert call.transcript is not None
    own = select_speaker(call.transcript, "agent")
    assert own.text == "Good morning. I see."
    assert [(segment.start, segment.speaker) for segment in own.segments] == [(0.0, ""), (6.0, "")]


def test_without_transcription_there_are_no_words(call: Analysis) -> None:
    silent = [replace(each, answer=replace(each.answer, transcript=None)) for each in call.speakers]
    assert merge_answers(RECORDING, call.speech, silent).transcript is None


def test_the_json_names_the_speakers(call: Analysis) -> None:
    answer = json.loads(json.dumps(call.to_dict(), allow_nan=False))
    agent, customer = answer["speakers"]
    assert (agent["name"], agent["channel"], agent["share"], agent["top"]) == ("agent", 1, 0.75, "happy")
    assert customer["turns"] == [{"start": 2.0, "end": 4.0}]
    assert answer["overlaps"] == [{"start": 4.0, "end": 5.0}]
    assert answer["transcript"]["segments"][1]["speaker"] == "customer"
    assert answer["timeline"][0]["speaker"] == "agent"
