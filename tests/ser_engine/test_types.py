"""What flows through the engine: times that fit the recording, and the JSON that users get."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from ser_engine.settings import PROJECT
from ser_engine.transcription.language import warn_of_languages
from ser_engine.types import (
    SAMPLE_RATE,
    STAGES,
    Analysis,
    Baseline,
    CleanSpeech,
    ModelLanguages,
    Quality,
    Recording,
    Scores,
    SourceInfo,
    Span,
    TimelineWindow,
    Transcript,
    TranscriptSegment,
)
from tests.speech import noise

QUALITY = Quality(12.3456, 4.5678, 48_000, 7912.4, 23.456, 0.0001234, -23.456, False, ("It is noisy.",))
# Of 20 s of recording, speech from 2 to 4, from 7 to 8 and from 15 to 18 s.
SPANS = (Span(2.0, 4.0), Span(7.0, 8.0), Span(15.0, 18.0))


def spoken(spans: tuple[Span, ...] = SPANS, seconds: float = 20.0) -> CleanSpeech:
    """Return speech whose samples say of which moment of the recording they are, in seconds."""
    recording = (np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE).astype(np.float32)
    pieces = [recording[round(s.start * SAMPLE_RATE) : round(s.end * SAMPLE_RATE)] for s in spans]
    return CleanSpeech(np.concatenate([recording[:0], *pieces]), spans, QUALITY, recording)


def scores(*probabilities: float) -> Scores:
    return Scores(("neutral", "happy", "sad")[: len(probabilities)], np.array(probabilities, np.float32))


# --- times of the recording and of what is left of it


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.999, 2.5, 3.2, 5.9])
def test_a_moment_of_the_speech_is_where_its_sample_came_from(moment: float) -> None:
    speech = spoken()
    sample = speech.samples[round(moment * SAMPLE_RATE)]
    assert speech.original_time(moment) == pytest.approx(sample, abs=1e-3)


def test_moments_outside_of_the_speech_are_its_ends() -> None:
    assert spoken().original_time(-1.0) == 2.0
    assert spoken().original_time(6.0) == spoken().original_time(99.0) == 18.0
    assert spoken(()).original_time(1.5) == 1.5


def test_the_end_of_a_stretch_is_not_the_beginning_of_the_next() -> None:
    assert spoken().original_time(2.0) == 4.0
    assert spoken().original_time(2.0 + 1e-6) == pytest.approx(7.0, abs=1e-3)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0.5, 1.5, (2.5, 3.5)),  # inside of one stretch
        (0.0, 2.0, (2.0, 4.0)),  # exactly one stretch
        (2.0, 3.0, (7.0, 8.0)),  # exactly the next: not from the end of the one before
        (1.0, 2.5, (3.0, 7.5)),  # two: the silence between them lies inside
        (0.0, 6.0, (2.0, 18.0)),  # all
        (1.9, 2.8, (7.0, 7.8)),  # touches the one before
        (2.2, 3.1, (7.2, 8.0)),  # touches the one after
        (1.9, 3.1, (7.0, 8.0)),  # touches both
        (1.95, 2.1, (7.0, 7.1)),  # hardly anything: where most of it is
        (5.5, 9.0, (17.5, 18.0)),  # further than there is speech
    ],
)
def test_some_of_the_speech_is_a_stretch_of_the_recording(
    start: float, end: float, expected: tuple[float, float]
) -> None:
    span = spoken().original_span(start, end)
    assert (span.start, span.end) == pytest.approx(expected)


def test_no_time_at_all_is_one_moment() -> None:
    assert spoken().original_span(1.0, 1.0) == Span(3.0, 3.0)
    assert spoken().original_span(7.0, 8.0) == Span(18.0, 18.0)
    assert spoken(()).original_span(1.0, 2.0) == Span(1.0, 2.0)


def test_a_stretch_in_the_middle_of_three_counts_however_short_the_others_reach() -> None:
    span = spoken((Span(1.0, 3.0), Span(5.0, 5.3), Span(9.0, 12.0))).original_span(1.0, 4.0)
    assert (span.start, span.end) == pytest.approx((2.0, 10.7))


@pytest.mark.parametrize(
    ("start", "end", "moments"),
    [
        (0.0, 20.0, [(2, 4), (7, 8), (15, 18)]),
        (0.0, 2.0, []),
        (4.5, 6.5, []),
        (2.5, 3.5, [(2.5, 3.5)]),
        (3.0, 7.25, [(3, 4), (7, 7.25)]),
        (7.5, 16.0, [(7.5, 8), (15, 16)]),
        (16.0, 99.0, [(16, 18)]),
    ],
)
def test_between_two_moments_lies_the_speech_that_was_said_then(
    start: float, end: float, moments: list[tuple[float, float]]
) -> None:
    expected = spoken(tuple(Span(*moment) for moment in moments)).samples
    assert np.array_equal(spoken().between(start, end), expected)


def test_between_two_moments_of_nothing_is_nothing() -> None:
    assert len(spoken(()).between(0.0, 5.0)) == 0


def test_consecutive_windows_hold_every_sample_once() -> None:
    edges = np.arange(0.0, 20.1, 0.7)
    parts = [spoken().between(start, end) for start, end in pairwise(edges)]
    assert np.array_equal(np.concatenate(parts), spoken().samples)


def test_what_lies_around_the_speech_can_be_heard_too() -> None:
    wide = spoken().widened(0.5)
    assert wide.segments == (Span(1.5, 4.5), Span(6.5, 8.5), Span(14.5, 18.5))
    assert np.array_equal(wide.samples, spoken(wide.segments).samples)
    assert wide.quality == QUALITY


def test_stretches_that_meet_when_widened_become_one() -> None:
    wide = spoken().widened(1.5)
    assert wide.segments == (Span(0.5, 9.5), Span(13.5, 19.5))
    assert np.array_equal(wide.samples, spoken(wide.segments).samples)
    everything = spoken().widened(60.0)
    assert everything.segments == (Span(0.0, 20.0),)
    assert np.array_equal(everything.samples, spoken().recording)


def test_speech_whose_recording_nobody_kept_stays_as_it_is() -> None:
    speech = replace(spoken(), recording=None)
    assert speech.widened(0.5) is speech


def test_durations_are_seconds() -> None:
    assert spoken().duration_s == 6.0
    assert Span(1.5, 4.0).duration_s == 2.5
    assert Recording(noise(2, rate=8000), 8000, SOURCE).duration_s == 2.0


# --- probabilities


def test_the_ranking_begins_with_the_most_probable() -> None:
    assert scores(0.2, 0.7, 0.1).top == "happy"
    assert [label for label, _ in scores(0.2, 0.7, 0.1).ranked()] == ["happy", "neutral", "sad"]
    assert dict(scores(0.2, 0.7, 0.1).ranked()) == scores(0.2, 0.7, 0.1).to_dict()


def test_equals_stay_in_the_models_order() -> None:
    assert [label for label, _ in scores(0.25, 0.5, 0.25).ranked()] == ["happy", "neutral", "sad"]
    assert list(scores(0.2, 0.7, 0.1).to_dict()) == ["neutral", "happy", "sad"]


@pytest.mark.parametrize("shape", [(2,), (4,), (1, 3), ()])
def test_labels_and_probabilities_belong_together(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="3 labels"):
        Scores(("neutral", "happy", "sad"), np.zeros(shape, np.float32))


# --- the JSON

SOURCE = SourceInfo("call.ogg", "OGG", "OPUS", 2, 48_000, 12_345)
TRANSCRIPT = Transcript(
    "Ça va? Oui.",
    "fr",
    (
        TranscriptSegment(2.0, 3.98765, "Ça va?", 0.87654, language="fr"),
        TranscriptSegment(7.1, 7.9, "Oui.", 0.5, language="fr", language_doubtful=True),
    ),
    0.76543,
    "whisper-base (int8 weights)",
)


def rounded(*probabilities: float) -> Any:
    """Return what equals the JSON of `scores(...)`, which are only float32."""
    return pytest.approx(dict(zip(("neutral", "happy", "sad"), probabilities, strict=True)))


@pytest.fixture
def analysis() -> Analysis:
    timeline = (
        TimelineWindow(0.0, 3.0, scores(0.5, 0.3, 0.2), sure=False),
        TimelineWindow(1.5, 4.56789, scores(0.1, 0.1, 0.8)),
    )
    seconds = dict.fromkeys((*STAGES, "total"), 0.123456)
    waveform = Recording(noise(20), SAMPLE_RATE, SOURCE)
    return Analysis(
        "call.ogg", "ours", scores(0.2, 0.7, 0.1), TRANSCRIPT, timeline, QUALITY, seconds, waveform, spoken()
    )


@pytest.mark.parametrize(("below", "sure"), [(None, None), (0.69, True), (0.71, False)])
def test_an_answer_is_sure_from_the_threshold_of_its_model_on(
    analysis: Analysis, below: float | None, sure: bool | None
) -> None:
    answer = replace(analysis, threshold=below)
    assert answer.sure is sure and answer.to_dict()["sure"] is sure


def test_the_json_names_the_track_of_several(analysis: Analysis) -> None:
    assert "track" not in analysis.to_dict()
    film = replace(analysis.recording, source=replace(SOURCE, track=2, tracks=3))
    answer = replace(analysis, recording=film).to_dict()
    assert (answer["track"], answer["tracks"]) == (2, 3)


def test_the_json_is_what_was_agreed(analysis: Analysis) -> None:
    answer = json.loads(json.dumps(analysis.to_dict(), allow_nan=False))
    assert answer == {
        "file": "call.ogg",
        "model": "ours",
        "scores": rounded(0.2, 0.7, 0.1),
        "top": "happy",
        "sure": None,
        "transcript": {
            "text": "Ça va? Oui.",
            "language": "fr",
            "languages": ["fr"],
            "engine": "whisper-base (int8 weights)",
            "confidence": 0.765,
            "segments": [
                {
                    "start": 2.0,
                    "end": 3.99,
                    "text": "Ça va?",
                    "language": "fr",
                    "language_doubtful": False,
                    "confidence": 0.877,
                },
                {
                    "start": 7.1,
                    "end": 7.9,
                    "text": "Oui.",
                    "language": "fr",
                    "language_doubtful": True,
                    "confidence": 0.5,
                },
            ],
        },
        "unmeasured_languages": [],
        "model_languages": None,
        "timeline": [
            {"start": 0.0, "end": 3.0, "top": "neutral", "sure": False, "scores": rounded(0.5, 0.3, 0.2)},
            {"start": 1.5, "end": 4.57, "top": "sad", "sure": None, "scores": rounded(0.1, 0.1, 0.8)},
        ],
        "quality": {
            "duration_s": 12.346,
            "speech_s": 4.568,
            "sample_rate": 48_000,
            "bandwidth_hz": 7912,
            "snr_db": 23.5,
            "clipping": 0.00012,
            "level_db": -23.5,
            "noise_reduced": False,
            "warnings": ["It is noisy."],
            "voice_kinds": [],
        },
        "baseline_s": None,
        "seconds": {"decode": 0.1235, "clean": 0.1235, "transcribe": 0.1235, "classify": 0.1235, "total": 0.1235},
    }


def test_the_keys_come_in_the_order_of_reading(analysis: Analysis) -> None:
    expected = [
        "file", "model", "scores", "top", "sure", "transcript", "unmeasured_languages", "model_languages", "timeline",
        "quality", "baseline_s", "seconds",
    ]  # fmt: skip
    assert list(analysis.to_dict()) == expected
    assert list(analysis.to_dict()["seconds"]) == [*STAGES, "total"]


def test_the_json_says_how_much_calm_speech_it_is_relative_to(analysis: Analysis) -> None:
    baseline = Baseline("ours", np.zeros((1, 1), np.float32), 17.23456)
    related = replace(analysis, speech=replace(analysis.speech, baseline=baseline))
    assert related.to_dict()["baseline_s"] == 17.235


def test_what_is_not_there_is_null_or_empty(analysis: Analysis) -> None:
    quality = replace(QUALITY, snr_db=None, warnings=())
    bare = replace(analysis, transcript=None, timeline=(), quality=quality).to_dict()
    assert bare["transcript"] is None
    assert bare["timeline"] == []
    assert bare["quality"]["snr_db"] is None
    assert bare["quality"]["warnings"] == []


def test_nothing_heard_is_a_transcript_all_the_same() -> None:
    assert Transcript("", None, (), 0.0, "whisper").to_dict() == {
        "text": "", "language": None, "languages": [], "engine": "whisper", "confidence": 0.0, "segments": [],
    }  # fmt: skip


def test_probabilities_are_not_rounded(analysis: Analysis) -> None:
    exact = replace(analysis, scores=scores(1e-6, 1 - 2e-6, 1e-6)).to_dict()["scores"]
    assert exact["neutral"] == pytest.approx(1e-6, rel=1e-4)
    assert sum(exact.values()) == pytest.approx(1.0)


def test_sound_stays_out_of_what_is_printed(analysis: Analysis) -> None:
    assert "waveform" not in repr(analysis) and "speech=" not in repr(analysis)
    assert "recording" not in repr(spoken())


def test_an_answer_does_not_change(analysis: Analysis) -> None:
    for thing, name in ((analysis, "model"), (QUALITY, "snr_db"), (analysis.scores, "labels"), (TRANSCRIPT, "text")):
        with pytest.raises(FrozenInstanceError):
            setattr(thing, name, "other")


def test_a_page_can_draw_an_answer_without_any_model() -> None:
    heavy = "{'torch', 'whisper', 'scipy', 'soundfile', 'av', 'streamlit'}"
    code = (
        "import sys, importlib.util, types;"
        "sys.modules['ser_engine'] = package = types.ModuleType('ser_engine'); package.__path__ = ['ser_engine'];"
        f"import ser_engine.types; print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_words_in_other_languages_become_blanks() -> None:
    parts = [("Dogs sit.", "en"), ("Ja, gut.", "de"), ("Kids talk.", None)]
    segments = tuple(TranscriptSegment(n, n + 1.0, text, 0.9, language=code) for n, (text, code) in enumerate(parts))
    both = Transcript("Dogs  sit. Ja, gut. Kids talk.", "en", segments, 0.9, "whisper")
    assert both.languages == ("en", "de")
    assert both.text_in(("en",)) == "Dogs  sit.          Kids talk."  # words keep their places
    assert both.text_in(("de",)).split() == ["Ja,", "gut."]  # a sentence without a language is in that of the recording
    assert both.text_in(("de", "en")) == both.text
    assert Transcript("Hi.", "de", (), 0.9, "").text_in(("en",)) == ""
    assert Transcript("Hi.", None, (), 0.9, "").text_in(("en",)) == "Hi."


def test_a_language_in_which_the_model_was_not_measured_is_named_unless_its_detection_is_doubtful(
    analysis: Analysis,
) -> None:
    measured = replace(analysis, languages=ModelLanguages(("en",), ("de", "en")))
    assert measured.unmeasured_languages == ("fr",)
    assert measured.to_dict()["model_languages"] == {"trained": ["en"], "measured": ["de", "en"]}
    assert "French" in warn_of_languages(measured) and "German" in warn_of_languages(measured)
    doubtful = tuple(replace(segment, language_doubtful=True) for segment in TRANSCRIPT.segments)
    unclear = replace(measured, transcript=replace(TRANSCRIPT, segments=doubtful))
    assert unclear.unmeasured_languages == () and warn_of_languages(unclear) == ""
    assert analysis.unmeasured_languages == () and warn_of_languages(analysis) == ""  # nothing is known of the model
