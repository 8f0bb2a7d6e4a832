"""Several speakers and several channels on the page, run in process with the real engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from tests.speech import encode, speech
from tests.ui.page_text import text
from ui import wording
from ui.listen import downloads
from ui.session import Result

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_file(str(PROJECT / "app.py"), default_timeout=300).run()


def upload(page: AppTest, name: str, data: bytes) -> None:
    page.file_uploader(key="upload").set_value((name, data, "audio/wav")).run()


def result(page: AppTest) -> Result:
    shown: Result = page.session_state["session"].result
    return shown


@pytest.fixture(scope="module")
def call() -> bytes:
    left = speech("Dogs are sitting by the door. It is eleven o'clock.")
    right = speech("Kids are talking by the door.", "woman")
    channels = [np.concatenate([left, 0 * right]), np.concatenate([0 * left, right])]
    return encode(np.stack(channels, axis=1))


def test_a_call_has_an_answer_for_each_side_and_names_that_can_be_changed(page: AppTest, call: bytes) -> None:
    upload(page, "call.wav", call)
    assert not page.exception and not page.error
    shown = result(page)
    left, right = shown.analysis.speakers
    assert "Two speakers" in [header.value for header in page.header]
    for speaker in (left, right):
        assert wording.headline(speaker.answer.scores, speaker.answer.threshold) in text(page)
    assert "lanes" in result(page).figures
    assert wording.explanation(left.answer.scores, left.answer.threshold) in text(page)

    page.segmented_control[0].set_value(1).run()
    assert not page.exception
    assert wording.explanation(right.answer.scores, right.answer.threshold) in text(page)
    assert result(page).shown.speech is right.answer.speech

    (field,) = (each for each in page.text_input if each.label == "Speaker 2")
    field.set_value("customer").run()
    assert not page.exception
    assert [each.name for each in result(page).analysis.speakers] == ["Left", "customer"]
    (words,) = page.text_area
    assert words.value.splitlines()[-1].startswith("customer: ")
    assert not result(page).edited
    assert "customer" in downloads.FILES["CSV"][2](result(page).analysis, result(page).words, None)
    (field,) = (each for each in page.text_input if each.label == "Speaker 1")
    field.set_value("customer").run()
    assert [each.name for each in result(page).analysis.speakers] == ["Left", "customer"]


def test_a_dead_channel_is_named_with_the_quality_of_both(page: AppTest) -> None:
    samples = speech("Dogs are sitting by the door.")
    upload(page, "dead.wav", encode(np.stack([0 * samples, samples], axis=1)))
    assert not page.exception
    assert "The left channel is silent; the right channel alone is used." in text(page)
    (table,) = (each.value for each in page.table if "In the answer" in each.value)
    assert table["In the answer"].tolist() == ["no", "yes"]
