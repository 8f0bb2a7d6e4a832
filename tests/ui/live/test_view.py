"""The data of the live component."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from ser_engine import Analyzer, Settings
from ser_engine.labels import EMOTIONS
from ser_engine.live.session import Update
from ser_engine.types import Scores, TranscriptSegment
from tests.ser_engine.tiny_listener import LABELS, tiny_analyzer
from tests.speech import speech_wav
from ui.live import view
from ui.live.job import LiveJob, play
from ui.live.microphone import ice_servers
from ui.live.state import LiveState


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> LiveJob:
    done = play(speech_wav("Dogs are sitting by the door."), tiny_analyzer(tmp_path_factory.mktemp("tiny")))
    assert done.ended.wait(30)
    return done


def scores(**probabilities: float) -> Scores:
    return Scores(tuple(probabilities), np.array(list(probabilities.values()), np.float32))


def update(end: float, given: Scores | None) -> Update:
    return Update(max(0.0, end - 3), end, "speech" if given else "silence", given, 1.0, -20.0)


def test_nothing_has_begun() -> None:
    data = view.moment(LiveState())
    assert data["phase"] == "idle" and data["number"] == 0 and data["level"] == 0 and "all" not in data


def test_a_moment_holds_the_last_answer_and_the_way_to_it(job: LiveJob) -> None:
    data = json.loads(json.dumps(view.moment(LiveState(job, number=3))))
    last = [one for one in job.session.timeline if one.scores][-1]
    assert last.scores is not None
    assert data["phase"] == "ended" and data["number"] == 3 and data["sentence"] == "Stopped."
    assert data["all"]["names"] == [label.capitalize() for label in LABELS]
    assert data["all"]["values"] == pytest.approx(list(last.scores.probabilities), abs=1e-3)
    assert len(data["all"]["columns"]) == len(job.session.timeline) == len(data["groups"]["columns"])
    assert sum(data["groups"]["values"]) == pytest.approx(1, abs=0.01)
    assert data["stale"] == (job.session.timeline[-1].state != "speech")


def test_who_is_not_sure_says_so() -> None:
    divided = scores(angry=0.5, happy=0.4, sad=0.1)
    assert view.scale(divided, [], 0.6)["headline"] == "Not sure: angry or happy"
    assert view.scale(divided, [], 0.4)["headline"] == view.scale(divided, [])["headline"]


def test_silence_and_noise_are_said() -> None:
    assert set(view.STATES) == {"little", "noise", "silence"}


def test_the_four_groups_have_what_their_emotions_have_and_say_what_was_left_out() -> None:
    data = view.groups(scores(neutral=0.2, angry=0.3, disgust=0.3, happy=0.1, sad=0.1), [])
    assert data is not None
    assert dict(zip(data["names"], data["values"], strict=True)) == {
        "Anger or disgust": 0.75,
        "Happiness": 0.125,
        "Sadness": 0.125,
    }
    assert data["headline"] == "Anger or disgust, 75%" and "20%" in data["note"]


def test_every_group_has_a_name_of_its_own() -> None:
    even = Scores(tuple(EMOTIONS), np.full(len(EMOTIONS), 1 / len(EMOTIONS), np.float32))
    data = view.groups(even, [])
    assert data is not None and set(data["names"]) == set(view.GROUPS.values())


def test_a_model_of_other_labels_has_no_groups() -> None:
    assert view.groups(scores(dog=0.5, siren=0.5), []) is None
    course = view.Course()
    course.follow([update(1.0, scores(dog=0.4, siren=0.6))])
    assert course.labels == [(1, pytest.approx(0.6), True)] and course.groups == [None]


def test_a_course_takes_each_window_once() -> None:
    course, timeline = view.Course(), [update(1.0, scores(sad=0.9, happy=0.1)), update(1.5, None)]
    course.follow(timeline)
    course.follow(timeline)
    course.follow([*timeline, update(2.0, scores(sad=0.2, happy=0.8))])
    assert course.labels == [(0, pytest.approx(0.9), True), None, (1, pytest.approx(0.8), True)]
    # Groups stand in an order of their own.
    assert [point[0] if point else None for point in course.groups] == [1, None, 0]


def test_a_long_timeline_keeps_its_size_and_what_most_windows_have() -> None:
    assert view.columns([]) == []
    assert view.columns([(2, 0.5, True), None]) == [[2, 0.5, 1], None]
    windows = [(1, 0.4, True), (1, 0.6, True), (0, 0.9, False), None, None, None]
    assert view.columns(windows, most=2) == [[1, 0.5, 1], None]
    hour = view.columns([(number // 3600, 0.5, True) for number in range(7200)])
    assert len(hour) == view.COLUMNS and hour[0] == [0, 0.5, 1] and hour[-1] == [1, 0.5, 1]
    assert len(json.dumps(hour)) < 4000


def test_windows_of_which_the_model_is_not_sure_are_marked_but_not_their_groups() -> None:
    course = view.Course()
    course.follow([replace(update(1.0, scores(angry=0.5, sad=0.4, happy=0.1)), sure=False)])
    assert [column[2] for column in view.columns(course.labels) if column] == [0]
    assert [column[2] for column in view.columns(course.groups) if column] == [1]
    assert view.columns([(1, 0.5, True), (1, 0.5, False), (1, 0.5, False)], most=1) == [[1, 0.5, 0]]


@pytest.mark.parametrize(("decibels", "share"), [(-120, 0), (-60, 0), (-30, 0.5), (0, 1), (3, 1)])
def test_the_level_is_a_share_of_the_meter(decibels: float, share: float) -> None:
    assert view.level(decibels) == share


def test_what_was_skipped_or_came_too_late_is_said(job: LiveJob) -> None:
    job.session.skipped = 1
    try:
        assert view.sentence(LiveState(job)) == "Stopped. The computer was busy: one window was skipped."
        job.session.skipped = 12
        assert view.sentence(LiveState(job)).endswith("twelve windows were skipped.")
    finally:
        job.session.skipped = 0


def test_the_saved_session_has_words_and_timeline(job: LiveJob) -> None:
    before, job.words = job.words, (TranscriptSegment(0.5, 1.5, "Dogs.", 0.9),)
    try:
        saved = json.loads(json.dumps(view.to_dict(job)))
        assert view.moment(LiveState(job))["words"] == ["Dogs."]
    finally:
        job.words = before
    assert saved["words"][0]["text"] == "Dogs." and saved["ending"] == "stopped"
    assert len(saved["updates"]) == len(job.session.timeline) and saved["labels"] == list(LABELS)


def test_servers_that_help_to_connect_are_those_of_the_settings(analyzer: Analyzer) -> None:
    assert ice_servers(analyzer.settings) == []
    assert ice_servers(Settings(turn="stun:a.example.org")) == [{"urls": ["stun:a.example.org"]}]
    both = Settings(turn="turn:a.example.org turns:b.example.org", turn_user="ada", turn_password="secret")
    assert ice_servers(both) == [
        {"urls": ["turn:a.example.org", "turns:b.example.org"], "username": "ada", "credential": "secret"}
    ]
    assert "secret" not in repr(both)
