"""Whatever is uploaded that cannot be judged: the engine's one sentence on the page, and then the next file's answer.

The recordings are those that the engine and the command line are tried with.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests.ser_engine.test_bad_input import BAD, one_sentence
from tests.speech import speech_wav
from ui.session import Session

APP = Path(__file__).resolve().parents[3] / "app.py"
GOOD = speech_wav("It is eleven o'clock.")


@pytest.fixture(scope="module", autouse=True)
def without_words() -> Iterator[None]:
    """Let the page of these tests transcribe nothing: words are of no matter here, and would take their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SER_TRANSCRIBE", "no")
        st.cache_resource.clear()
        yield
    st.cache_resource.clear()


@pytest.fixture
def settings_of_the_case(kind: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the page have the settings of the case; it has one engine for all that need none."""
    settings = BAD[kind].settings
    for name, value in settings.items():
        monkeypatch.setenv(f"SER_{name.upper()}", str(value))
    if settings:
        st.cache_resource.clear()
    yield
    if settings:
        st.cache_resource.clear()


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.usefixtures("settings_of_the_case")
def test_the_page_says_one_sentence_and_answers_the_next_file(kind: str) -> None:
    page = AppTest.from_file(str(APP), default_timeout=300).run()
    upload(page, "bad.wav", BAD[kind].data)
    (said,) = (error.value for error in page.error)
    assert BAD[kind].said in said and not page.exception
    one_sentence(said)
    upload(page, "good.wav", GOOD)
    session: Session = page.session_state["session"]
    assert not page.error and not page.exception
    assert session.result is not None and session.result.analysis.file == "good.wav"


def upload(page: AppTest, name: str, data: bytes) -> None:
    page.file_uploader(key="upload").set_value((name, data, "audio/wav")).run()
