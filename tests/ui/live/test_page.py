"""The live page's states, run in process with a real engine and a tiny model."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import streamlit as st
from streamlit.testing.v1 import AppTest

from ser_engine import Analyzer
from tests.ser_engine.tiny_listener import tiny_analyzer
from tests.speech import silence, speech, speech_wav
from tests.ui.page_text import text
from ui.live.job import LiveJob, play
from ui.live.state import LiveState

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    return tiny_analyzer(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def page() -> AppTest:
    made = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=60)
    return made


def visit(page: AppTest, state: LiveState | None = None) -> AppTest:
    """Show the live page, in a session that knows this already."""
    if state is not None:
        page.session_state["live"] = state
    page.run()
    return page.switch_page("pages/live.py").run()


def played(analyzer: Analyzer, wav: bytes) -> LiveState:
    job = play(wav, analyzer)
    assert job.ended.wait(30) and job.transcribed.wait(30)
    return LiveState(job, number=1)


def buttons(page: AppTest) -> list[str]:
    return [button.label for button in page.get("button")] + [one.proto.label for one in page.get("download_button")]


def data(page: AppTest) -> dict:
    """Return the data of the component."""
    (chart,) = [one.proto for one in page.get("bidi_component") if one.proto.component_name == "live_chart"]
    return json.loads(chart.json or chart.mixed.json)


def test_it_asks_to_begin_and_has_no_connection(page: AppTest) -> None:
    visit(page)
    assert not page.exception and not page.error
    assert page.title[0].value == "How do you sound right now?"
    assert data(page)["phase"] == "idle" and "nothing is kept unless you save it" in text(page)
    assert LiveState().microphone not in page.session_state
    assert not page.get("markdown"), "a string that stands alone in the script is printed"


def test_a_session_that_ended_can_be_played_saved_and_discarded(page: AppTest, tiny: Analyzer) -> None:
    state = played(tiny, speech_wav())
    visit(page, state)
    assert not page.exception and data(page)["phase"] == "ended"
    assert page.get("audio") and "Session" in [header.value for header in page.header]
    assert {"Save recording", "Timeline as CSV", "Timeline as JSON", "Discard this session"} <= set(buttons(page))
    (discard,) = [button for button in page.button if button.label == "Discard this session"]
    discard.click().run()
    assert not page.exception and state.job is None and data(page)["phase"] == "idle" and not page.get("audio")


def test_a_session_of_silence_says_that_nothing_was_scored(page: AppTest, tiny: Analyzer) -> None:
    wav = io.BytesIO()
    soundfile.write(wav, silence(2.0) + 1e-5, 16_000, format="WAV")
    visit(page, played(tiny, wav.getvalue()))
    assert not page.exception and data(page)["notice"] == "Silence" and "all" not in data(page)
    assert "0 of" in text(page)


def test_without_a_connection_the_recorder_answers_instead(page: AppTest, tiny: Analyzer) -> None:
    job = LiveJob(tiny)
    job.end("unreachable")
    assert job.ended.wait(5)
    state = LiveState(job, number=1)
    visit(page, state)
    assert not page.exception and "Record your voice instead" in text(page)
    assert "could not connect within ten seconds" in data(page)["sentence"] and not page.get("audio")
    samples = np.resize(speech(rate=48_000), 144_000)
    wav = io.BytesIO()
    soundfile.write(wav, samples, 48_000, "PCM_16", format="WAV")
    page.session_state["live-recorder-arrived"] = "recording", base64.b64encode(wav.getvalue()).decode()
    page.run()
    assert not page.exception and state.job is not job and state.job is not None
    assert state.job.ended.wait(60) and state.job.session.duration_s == pytest.approx(3.0)
    page.run()
    assert not page.exception and "Record your voice instead" not in text(page)
    assert state.job.transcribed.wait(60)
    page.run()
    assert page.get("audio")


def test_settings_that_make_no_sense_are_one_sentence(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SER_TURN", "turn.example.org")
    st.cache_resource.clear()
    try:
        visit(page)
        assert not page.exception and "turn.example.org" in page.error[0].value
    finally:
        st.cache_resource.clear()
