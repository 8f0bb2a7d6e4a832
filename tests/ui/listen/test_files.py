"""Several files at once: rows that analyze in the background, one that is shown, and nothing lost by either."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from ser_engine import Analyzer
from ser_engine.types import Analysis, CleanSpeech, Quality, Scores, SourceInfo, Span, Transcript
from ser_engine.types import Recording as Decoded
from tests.speech import speech_wav
from tests.ui.page_text import text
from tests.ui.test_session import BASELINE, Upload
from ui.listen import files
from ui.listen.files import Files, Row, list_rows, size, to_csv
from ui.listen.job import Job
from ui.listen.overview import Overview
from ui.session import Recording, Session

PROJECT = Path(__file__).resolve().parents[3]
END_S = 60.0


def uploads(*names: str) -> list[Any]:
    """Return uploads that are no recordings; each id is the position of the name."""
    return [Upload(str(number), name, b"%d is not a recording" % number) for number, name in enumerate(names)]


def analyzed(name: str, label: str = "calm", seconds: float = 1.0, sure: bool = True) -> Analysis:
    quality = Quality(seconds, 1.0, 16_000, 8000.0, None, 0.0, -20.0, False, ("It is quiet.",))
    samples = np.zeros(round(16_000 * seconds), np.float32)
    scores = Scores((label, "sad"), np.array([0.75, 0.25], np.float32))
    return Analysis(
        name, "m", scores, Transcript("Hi; “you”.", "en", (), 0.9, "w"), (), quality, {"total": 1.0},
        Decoded(samples, 16_000, SourceInfo(name, "WAV", "PCM_16", 1, 16_000, 0)),
        CleanSpeech(samples, (Span(0, 1),), quality, samples), threshold=0.7 if sure else 0.8,
    )  # fmt: skip


def overviewed(analysis: Analysis) -> tuple[Analysis, Overview]:
    return analysis, Overview.of(analysis.recording)


def wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + END_S
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def starter(engine: Analyzer) -> files.Start:
    return lambda upload: Job(engine, Recording(upload.getvalue(), upload.name, upload.file_id))


def test_files_are_analyzed_one_after_the_other_whatever_their_names() -> None:
    listed, begun = Files(), []
    listed.notice(uploads("same.wav", "same.wav", "other.wav"))
    start = starter(Analyzer())

    def note(upload: Any) -> Job:
        begun.append(upload.file_id)
        return start(upload)

    listed.work(note, "choices", lambda: True)
    listed.work(note, "choices", lambda: True)
    wait(lambda: listed.ended)
    assert begun == ["0", "1", "2"]
    assert [row.error is not None for row in listed.rows.values()] == [True] * 3
    listed.work(note, "choices", lambda: True)
    assert begun == ["0", "1", "2"]
    listed.work(note, "other choices", lambda: True)
    wait(lambda: listed.ended and len(begun) == 6)


def test_a_page_that_is_gone_ends_the_work_and_goes_on_with_it() -> None:
    listed, open_ = Files(), [True]
    listed.notice(uploads("a.wav", "b.wav", "c.wav"))
    start = starter(Analyzer())

    def close(upload: Any) -> Job:
        open_[0] = False
        return start(upload)

    listed.work(close, "choices", lambda: open_[0])
    wait(lambda: listed.done == 1 and listed.running is None)
    assert not listed.ended
    open_[0] = True
    listed.work(start, "choices", lambda: open_[0])
    wait(lambda: listed.ended)


def test_a_file_that_is_removed_has_no_row_and_no_answer_any_more() -> None:
    listed, (first, second) = Files(), uploads("a.wav", "b.wav")
    listed.notice([first, second])
    listed.take("0", *overviewed(analyzed("a.wav")))
    listed.notice([second])
    listed.take("0", *overviewed(analyzed("a.wav")))
    assert list(listed.rows) == ["1"] and listed.analysis("0") is None


def test_only_the_latest_analyses_that_fit_are_kept_and_every_row_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = Files()
    listed.notice(uploads("a.wav", "b.wav", "c.wav"))
    monkeypatch.setattr(files, "KEPT_BYTES", 2 * size(*overviewed(analyzed("a.wav"))))
    for number in range(3):
        listed.take(str(number), *overviewed(analyzed("a.wav")))
    assert [listed.analysis(str(number)) is not None for number in range(3)] == [False, True, True]
    assert listed.ended
    listed.take("2", *overviewed(analyzed("c.wav", seconds=9)))  # larger than the limit alone
    assert [listed.analysis(str(number)) is not None for number in range(3)] == [False, False, True]


def test_the_table_has_every_row_and_opens_in_excel() -> None:
    rows = [Row(upload) for upload in uploads("a;b.wav", "bad, file.wav", "waiting.wav")]
    rows[0].answer = files.Answer(*files.summarize(analyzed("a;b.wav", sure=False)))
    rows[1].error = "This is no recording."
    table = to_csv(rows)
    assert table.startswith("\ufeff")
    first, second, third = csv.DictReader(io.StringIO(table[1:]))
    assert (first["file"], first["emotion"], first["sure"], first["calm"]) == ("a;b.wav", "calm", "no", "0.750000")
    assert first["transcript"] == "Hi; “you”." and first["duration_s"] == "1.000"
    assert (second["error"], second["emotion"]) == ("This is no recording.", "")
    assert third["file"] == "waiting.wav" and third["error"] == third["emotion"] == ""


def test_a_row_shows_its_name_headline_and_seconds_or_its_error() -> None:
    listed = Files()
    listed.notice(uploads("a.wav", "b.wav", "c.wav"))
    listed.take("0", *overviewed(analyzed("a.wav", seconds=2.5)))
    listed.refuse("1", "No.")
    first, second, third = list_rows(listed, shown="0")
    assert first["seconds"] == "2.50 s" and "calm" in first["answer"]
    assert (first["state"], first["shown"]) == ("done", True)
    assert (second["answer"], second["state"], third["state"]) == ("No.", "error", "waiting")


# --- the session


def several(session: Session, *names: str) -> list[Any]:
    given = uploads(*names)
    session.note_change()
    session.notice_uploads(given)
    return given


def test_one_file_is_shown_and_more_of_them_are_rows() -> None:
    session = Session()
    (first,) = several(session, "a.wav")
    assert not session.files.rows and session.waiting is not None and session.shows_one
    session.answer(session.waiting, *overviewed(analyzed("a.wav")))
    session.notice_uploads([first, *uploads("a.wav", "b.wav", "c.wav")[1:]])
    assert list(session.files.rows) == ["0", "1", "2"] and session.waiting is None
    assert not session.files.rows["0"].waits and session.result is not None
    session.open("1")  # not analyzed yet
    assert session.waiting is None and session.opened == 0


def test_files_at_once_show_none_until_one_is_opened_and_edits_outlast_the_next_one() -> None:
    session = Session()
    several(session, "a.wav", "b.wav")
    assert session.waiting is None and session.result is None and not session.shows_one
    for number, name in enumerate(("a.wav", "b.wav")):
        session.files.take(str(number), *overviewed(analyzed(name)))
    session.open("0")
    assert session.result is not None and session.result.analysis.file == "a.wav"
    session.result.words = "Edited."
    session.open("1")
    assert session.result.analysis.file == "b.wav" and not session.result.edited
    session.open("0")
    assert session.result.words == "Edited." and session.waiting is None


def test_a_file_whose_analysis_was_not_kept_is_analyzed_again() -> None:
    session = Session()
    several(session, "a.wav", "b.wav")
    session.files.rows["0"].answer = files.Answer("Calm", 1.0, {})
    session.open("0")
    assert session.waiting is not None and session.waiting.upload_id == "0"


def test_a_file_that_is_added_to_others_is_shown_as_if_it_were_alone() -> None:
    session, engine = Session(), Analyzer()
    several(session, "a.wav")
    session.refuse("No.")
    several(session, "a.wav", "b.wav")
    assert session.error is None and session.files.rows["0"].error == "No."
    assert session.waiting is not None and session.waiting.name == "b.wav"
    job = session.work(engine)
    assert job is not None and job.ended.wait(END_S)
    session.finish(job)
    assert session.files.ended and session.error == session.files.rows["1"].error == job.error


def test_removing_the_file_that_is_shown_discards_its_answer_and_the_last_one_is_shown() -> None:
    session = Session()
    _, second, third = several(session, "a.wav", "b.wav", "c.wav")
    for number, name in enumerate(("a.wav", "b.wav", "c.wav")):
        session.files.take(str(number), *overviewed(analyzed(name)))
    session.open("0")
    session.note_change()
    session.notice_uploads([second, third])
    assert session.result is None and list(session.files.rows) == ["1", "2"]
    session.note_change()
    session.notice_uploads([third])
    assert not session.files.rows and session.waiting is None
    assert session.result is not None and session.result.analysis.file == "c.wav"
    session.notice_uploads([third])
    assert session.waiting is None


def test_rows_outlast_a_visit_to_another_page_and_go_when_they_are_discarded() -> None:
    session = Session()
    several(session, "a.wav", "b.wav")
    session.notice_uploads([])  # Streamlit has forgotten the field's value
    assert list(session.files.rows) == ["0", "1"]
    session.note_change()
    session.notice_uploads([Upload("9", "new.wav", b"new")])
    assert list(session.files.rows) == ["0", "1", "9"]
    session.discard_files()
    session.notice_uploads([])
    assert not session.files.rows and session.uploads == 1


def test_removing_all_files_leaves_no_row() -> None:
    session = Session()
    several(session, "a.wav", "b.wav")
    session.note_change()
    session.notice_uploads([])
    assert not session.files.rows and session.shows_one


def test_another_model_or_voice_analyzes_all_files_again() -> None:
    session, engine = Session(), Analyzer()
    several(session, "a.wav", "b.wav")
    session.work(engine)
    wait(lambda: session.files.ended)
    rows = list(session.files.rows.values())
    session.calibrate(BASELINE)
    session.work(engine)
    wait(lambda: session.files.ended)
    assert not set(map(id, rows)) & set(map(id, session.files.rows.values()))


def test_another_track_is_a_recording_of_its_own() -> None:
    session = Session()
    film = Recording(b"film", "film.mkv", "1")
    source = SourceInfo("film.mkv", "WEBM", "OPUS", 1, 16_000, 0, track=1, tracks=2)
    analysis = analyzed("film.mkv")
    session.answer(film, *overviewed(replace(analysis, recording=replace(analysis.recording, source=source))))
    session.choose_track(1)
    assert session.waiting is None
    session.choose_track(2)
    assert session.waiting is not None and session.waiting.track == 2
    assert session.waiting.digest != film.digest and session.waiting.upload_id == "1"


# --- the page


def test_several_files_are_answered_on_the_page_and_one_is_opened() -> None:
    page = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=300).run()
    dogs, kids = speech_wav("Dogs are sitting by the door."), speech_wav("Kids are talking by the door.")
    given = [("a.wav", dogs, "audio/wav"), ("letter.pdf", b"%PDF-1.7\n", "audio/wav"), ("a.wav", kids, "audio/wav")]
    page.file_uploader(key="upload").set_value(given).run()
    session: Session = page.session_state["session"]
    assert not page.exception and len(session.files.rows) == 3 and session.result is None
    wait(lambda: session.files.ended)
    page.run()
    assert "3 files. One could not be analyzed." in text(page) and not page.exception
    first, letter, last = session.files.rows
    session.open(last)
    page.run()
    assert not page.exception and page.text_area[0].value == "Kids are talking by the door."
    session.open(first)
    page.run()
    assert page.text_area[0].value == "Dogs are sitting by the door."
    session.open(letter)
    page.run()
    assert page.text_area[0].value == "Dogs are sitting by the door." and not page.error
    next(button for button in page.button if button.label == "Discard all files").click().run()
    assert not page.exception and session.result is None and "A probability for each" in text(page)
