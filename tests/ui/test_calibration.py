"""“Calibrate to my voice” on both pages, with a tiny model that can be calibrated."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from ser_engine import Analyzer
from ser_engine.types import Baseline
from tests.speech import CALM, RATE, encode, speech, speech_wav
from tests.tiny_models import write_heads, write_models
from tests.ui.listen.test_page import PROJECT, healthy, result, session, upload
from tests.ui.live.test_page import data
from tests.ui.page_text import text
from ui import calibration, engine, wording
from ui.live.state import LiveState

OFFER, RELATIVE = "Calibrate to my voice", "Relative to your calm voice"


@pytest.fixture(scope="module", autouse=True)
def models(tmp_path_factory: pytest.TempPathFactory, let_threads_end: Callable[[], None]) -> Iterator[None]:
    """Let the pages use the tiny model, without a transcript."""
    folder = write_models(tmp_path_factory.mktemp("tiny") / "models")
    write_heads(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"MODELS_DIR": str(folder), "MODEL": "tiny-heads", "TRANSCRIBE": "no"}.items():
            patch.setenv(f"SER_{name}", value)
        st.cache_resource.clear()
        yield
        let_threads_end()
        st.cache_resource.clear()


@pytest.fixture
def page() -> AppTest:
    """The Listen page, once the model has been loaded."""
    made = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=300).run()
    assert engine.warm_up("").wait(120)
    return made.run()


@pytest.fixture(scope="module")
def calm() -> bytes:
    return speech_wav(CALM)


def give(page: AppTest, sample: bytes) -> AppTest:
    return page.file_uploader(key="calm-upload").set_value(("calm.wav", sample, "audio/wav")).run()


def offered(page: AppTest) -> bool:
    return OFFER in [expander.label for expander in page.expander]


def baseline(page: AppTest) -> Baseline:
    known = session(page).baseline
    assert known is not None
    return known


def test_it_is_offered_once_the_model_is_loaded(let_threads_end: Callable[[], None]) -> None:
    let_threads_end()
    st.cache_resource.clear()
    page = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=300).run()
    assert healthy(page) and not offered(page) and engine.can_calibrate("") is None
    assert engine.warm_up("").wait(120)
    page.run()
    assert healthy(page) and offered(page) and "The sample stays in this session." in text(page)
    assert f"for {calibration.SECONDS} seconds" in text(page) and RELATIVE not in text(page)


def test_the_answer_becomes_relative_to_the_calm_voice_and_back(page: AppTest, calm: bytes) -> None:
    upload(page, "dogs.wav", speech_wav())
    before = result(page).analysis
    give(page, calm)
    shown, known = result(page), baseline(page)
    assert healthy(page) and not page.error and not offered(page)
    assert f"Calibrated with {known.speech_s:.0f} s of your voice." in text(page) and known.speech_s > 15
    assert wording.relative_to(known) in text(page)
    expected = engine.analyzer("").analyze(speech_wav(), baseline=known)
    assert shown.baseline is known and shown.recording.name == "dogs.wav"
    assert shown.analysis.scores.to_dict() == pytest.approx(expected.scores.to_dict(), abs=1e-5)
    assert shown.analysis.scores.to_dict() != pytest.approx(before.scores.to_dict(), abs=1e-3)
    page.run()
    assert result(page) is shown
    upload(page, "eleven.wav", speech_wav("It is eleven o'clock."))
    assert result(page).baseline is known and RELATIVE in text(page)
    page.button(key="calm-remove").click().run()
    assert healthy(page) and offered(page) and RELATIVE not in text(page) and result(page).baseline is None
    assert result(page).analysis.file == "eleven.wav"


def test_a_recorded_sample_calibrates_too(page: AppTest) -> None:
    samples = np.resize(speech(CALM), calibration.SECONDS * RATE)
    page.session_state["calm-recorder-arrived"] = "recording", base64.b64encode(encode(samples)).decode()
    page.run()
    assert healthy(page) and not page.error and baseline(page).speech_s > 15
    assert session(page).sample is None


def test_a_sample_that_cannot_be_used_is_one_sentence(page: AppTest, calm: bytes) -> None:
    give(page, speech_wav())
    (error,) = (error.value for error in page.error)
    assert "at least 15 s is needed" in error and error.endswith(".") and healthy(page) and offered(page)
    page.run()
    assert [one.value for one in page.error] == [error]
    give(page, b"%PDF-1.7 not a recording")
    assert len(page.error) == 1 and page.error[0].value != error and healthy(page)
    give(page, calm)
    assert healthy(page) and not page.error and session(page).baseline is not None


def test_a_failure_nobody_foresaw_is_one_sentence(
    page: AppTest, calm: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken in a new way")

    monkeypatch.setattr(Analyzer, "calibrate", fail)
    give(page, calm)
    assert [error.value for error in page.error] == [calibration.UNEXPECTED] and healthy(page)
    assert "broken in a new way" in caplog.text and session(page).sample is None


def test_a_model_that_cannot_be_calibrated_offers_nothing(page: AppTest, calm: bytes) -> None:
    give(page, calm)
    known = baseline(page)
    page.selectbox(key="model").set_value("tiny-foreign").run()
    assert engine.warm_up("tiny-foreign").wait(120)
    page.run()
    assert healthy(page) and not offered(page) and "Calibrated" not in text(page)
    upload(page, "dogs.wav", speech_wav())
    assert healthy(page) and not page.error and result(page).baseline is None
    page.selectbox(key="model").set_value("").run()
    assert healthy(page) and result(page).baseline is known and RELATIVE in text(page)


def test_both_pages_share_the_calm_voice(page: AppTest, calm: bytes) -> None:
    upload(page, "dogs.wav", speech_wav())
    page.switch_page("pages/live.py").run()
    assert healthy(page) and offered(page)
    give(page, calm)
    known = baseline(page)
    assert healthy(page) and "It applies from the next session on." in text(page)

    live: LiveState = page.session_state["live"]
    live.start(engine.analyzer(""), known)
    first = live.job
    assert first is not None
    first.end("unreachable")
    assert first.ended.wait(60)
    page.run()
    samples = np.resize(speech(rate=48_000), 144_000)
    page.session_state["live-recorder-arrived"] = "recording", base64.b64encode(encode(samples, 48_000)).decode()
    page.run()
    assert live.job is not None and live.job is not first and live.job.ended.wait(60)
    page.run()
    assert healthy(page) and live.job.session.baseline is known and RELATIVE in data(page)["sentence"]

    page.switch_page("pages/listen.py").run()
    assert healthy(page) and result(page).baseline is known and RELATIVE in text(page)
    page.button(key="calm-remove").click().run()
    page.switch_page("pages/live.py").run()
    assert healthy(page) and offered(page)
