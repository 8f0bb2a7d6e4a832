"""What outlasts a run of the page: one analysis per recording, nothing lost by an error or an interruption."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ser_engine import Analyzer
from ser_engine.types import Analysis, Baseline, CleanSpeech, Quality, Scores, SourceInfo, Span, Transcript
from ser_engine.types import Recording as Decoded
from tests.speech import speech_wav
from ui.listen.job import Job
from ui.listen.overview import Overview
from ui.session import Recording, Session


@dataclass
class Upload:
    """What Streamlit's upload field returns, as far as the session looks at it."""

    file_id: str
    name: str
    data: bytes

    def getvalue(self) -> bytes:
        return self.data


def upload(session: Session, file_id: str | None, data: bytes = b"") -> None:
    given: Any = None if file_id is None else Upload(file_id, f"{file_id}.wav", data)
    session.notice_upload(given)


def answered(session: Session) -> Analysis:
    """Give the waiting recording an answer, as the page does after an analysis."""
    assert session.waiting is not None
    quality = Quality(1.0, 1.0, 16_000, 8000.0, None, 0.0, -20.0, False)
    samples = np.zeros(16_000, np.float32)
    analysis = Analysis(
        session.waiting.name, "m", Scores(("calm",), np.ones(1, np.float32)), Transcript("Hi.", "en", (), 0.9, "w"),
        (), quality, {"total": 1.0}, Decoded(samples, 16_000, SourceInfo("a", "WAV", "PCM_16", 1, 16_000, 0)),
        CleanSpeech(samples, (Span(0, 1),), quality, baseline=session.baseline),
    )  # fmt: skip
    session.answer(session.waiting, analysis, Overview.of(analysis.recording))
    assert session.result is not None
    return session.result.analysis


def test_an_upload_waits_until_it_is_answered_and_then_no_more() -> None:
    session = Session()
    upload(session, "a", b"one")
    upload(session, "a", b"one")
    assert session.waiting is not None and session.waiting.data == b"one"
    answered(session)
    upload(session, "a", b"one")
    assert session.waiting is None and session.result is not None and session.result.words == "Hi."


def test_an_analysis_outlasts_the_run_that_began_it_and_runs_once() -> None:
    session, engine = Session(), Analyzer()
    upload(session, "a", b"not a recording")
    job = session.work(engine)
    upload(session, "a", b"not a recording")  # another run of the page, before the analysis has ended
    assert job is not None and session.work(engine) is job
    assert job.ended.wait(30)
    session.finish(job)
    assert session.waiting is None and session.work(engine) is None
    assert session.error == job.error and session.error


def test_what_replaces_a_recording_under_way_is_what_gets_answered() -> None:
    session, engine = Session(), Analyzer()
    upload(session, "a", b"")
    first = session.work(engine)
    upload(session, "b", b"not a recording")
    second = session.work(engine)
    assert first is not None and second is not None and first is not second
    assert first.ended.wait(30) and second.ended.wait(30)
    session.finish(first)
    assert session.error is None and session.waiting is second.recording
    session.finish(second)
    assert session.error == second.error != first.error


def test_a_recording_that_is_removed_has_no_analysis_any_more() -> None:
    session, engine = Session(), Analyzer()
    upload(session, "a", b"not a recording")
    assert session.work(engine) is not None
    upload(session, None)
    assert session.work(engine) is None and session.job is None and session.error is None


def test_the_same_bytes_again_keep_the_answer() -> None:
    session = Session()
    upload(session, "a", b"one")
    answered(session)
    upload(session, "b", b"one")
    assert session.waiting is None and session.result is not None


def test_an_error_keeps_the_earlier_answer_and_goes_with_the_next_recording() -> None:
    session = Session()
    upload(session, "a", b"one")
    analysis = answered(session)
    upload(session, "b", b"bad")
    session.refuse("No.")
    upload(session, "b", b"bad")
    assert session.error == "No." and session.waiting is None
    assert session.result is not None and session.result.analysis is analysis
    upload(session, "c", b"two")
    assert session.error is None and session.waiting is not None


def test_a_removed_upload_is_no_longer_analyzed() -> None:
    session = Session()
    upload(session, "a", b"one")
    upload(session, None)
    assert session.waiting is None


def test_an_answer_outlives_the_moment_in_which_one_file_takes_anothers_place() -> None:
    session = Session()
    upload(session, "a", b"one")
    analysis = answered(session)
    upload(session, None)
    upload(session, "b", b"bad")
    session.refuse("No.")
    assert session.error == "No." and session.result is not None and session.result.analysis is analysis


def test_removing_a_bad_upload_takes_its_error_away() -> None:
    session = Session()
    upload(session, "a", b"bad")
    session.refuse("No.")
    upload(session, None)
    assert session.error is None


def test_what_is_forgotten_does_not_come_back_by_itself() -> None:
    session = Session()
    upload(session, "a", b"one")
    answered(session)
    session.forget()
    upload(session, "a", b"one")
    assert session.result is None and session.waiting is None


def test_a_voice_recording_replaces_an_upload_and_outlives_its_removal() -> None:
    session = Session()
    upload(session, "a", b"one")
    answered(session)
    session.give(Recording(b"spoken", "Your recording.wav"))
    answered(session)
    upload(session, "a", b"one")
    assert session.waiting is None
    upload(session, None)
    assert session.result is not None and session.result.analysis.file == "Your recording.wav"


BASELINE = Baseline("m", np.zeros((1, 1), np.float32), 17.0)


def test_a_baseline_analyzes_what_is_shown_again_and_so_does_its_removal() -> None:
    session = Session()
    upload(session, "a", b"one")
    answered(session)
    for baseline in (BASELINE, None):
        session.calibrate(baseline)
        assert session.waiting is not None and session.waiting.data == b"one"
        answered(session)
        assert session.result is not None and session.result.baseline is baseline is session.baseline
        session.give(Recording(b"one", "the same.wav"))
        assert session.waiting is None


def test_a_baseline_on_another_page_outlasts_the_upload_field() -> None:
    session = Session()
    upload(session, "a", b"one")
    answered(session)
    session.calibrate(BASELINE)
    upload(session, None)  # Streamlit has forgotten its value
    assert session.waiting is not None


def test_an_analysis_under_way_begins_anew_with_the_baseline() -> None:
    session, engine = Session(), Analyzer()
    upload(session, "a", b"not a recording")
    first = session.work(engine)
    session.calibrate(BASELINE)
    second = session.work(engine)
    assert first is not None and second is not None and second is not first and second.baseline is BASELINE
    assert session.work(engine) is second and first.ended.wait(30) and second.ended.wait(30)


def test_each_model_has_its_own_baseline() -> None:
    session = Session()
    session.calibrate(BASELINE)
    session.choose("other")
    assert session.baseline is None
    session.choose("")
    assert session.baseline is BASELINE


def sample(session: Session, file_id: str | None, data: bytes = b"") -> None:
    given: Any = None if file_id is None else Upload(file_id, f"{file_id}.wav", data)
    session.notice_sample(given)


def test_a_calm_sample_waits_once_and_takes_its_error_along() -> None:
    session = Session()
    sample(session, "a", b"calm")
    assert session.sample == b"calm"
    session.sample, session.sample_error = None, "No."
    sample(session, "a", b"calm")
    assert session.sample is None and session.sample_error == "No."
    sample(session, None)
    assert session.sample_error is None
    sample(session, "a", b"calm")
    session.calibrate(BASELINE)
    assert session.sample is None and session.waiting is None


def test_a_closed_page_stops_the_work_and_begins_again_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ui.listen.job.GONE_S", 0.0)
    engine, recording = Analyzer(), Recording(speech_wav(), "voice.wav")
    closed = Job(engine, recording, wanted=lambda: False)
    assert closed.ended.wait(30) and closed.abandoned and closed.analysis is None
    session = Session(waiting=recording, job=closed)
    again = session.work(engine)
    assert again is not None and again is not closed and session.job is again
    again.abandon()
    assert again.ended.wait(30)


def test_a_connection_that_is_back_soon_stops_nothing() -> None:
    answers = iter([True, False, False])
    job = Job(Analyzer(), Recording(b"not a recording", "voice.wav"), wanted=lambda: next(answers, True))
    assert job.ended.wait(30) and not job.abandoned and job.error


def test_of_an_answer_only_the_speech_is_kept_in_the_tab() -> None:
    session = Session()
    upload(session, "a", b"one")
    analysis = answered(session)
    assert not len(analysis.recording.samples) and analysis.speech.recording is None and analysis.has_sound
    assert session.result is not None and session.result.sound[1] == "audio/wav"
    long = analysis.without_sound()
    session.give(Recording(b"Not a recording any more. " * 9, "long.wav"))
    assert session.waiting is not None
    session.answer(session.waiting, long, session.result.overview)
    assert session.result.speech is None
    session.result.take("Other words.", Analyzer())
    assert session.result.words == "Other words." and "not a recording" in str(session.result.problem)
