"""The microphone's connection: what the browser is asked for, and that it is there only while a session goes on."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from ser_engine import Analyzer
from tests.ser_engine.tiny_listener import tiny_analyzer
from ui.live.job import LiveJob
from ui.live.state import LiveState

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Analyzer:
    return tiny_analyzer(tmp_path_factory.mktemp("tiny"))


def test_the_connection_is_there_from_start_to_stop_and_asks_for_plain_sound(
    tiny: Analyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Streamlit's stand-in for a server knows no sessions.
    monkeypatch.setattr("streamlit_webrtc.component.get_this_session_info", lambda: None)
    page = AppTest.from_file(str(PROJECT / "app.py"), default_timeout=120).run()
    # A clock that stands still: it waits for a browser for as long as this test takes.
    state = LiveState(LiveJob(tiny, clock=lambda: 0.0), number=7)
    assert state.job is not None
    page.session_state["live"] = state
    page.switch_page("pages/live.py").run()
    assert not page.exception and state.phase == "connecting"
    (connection,) = [one.proto for one in page.get("component_instance")]
    asked = json.loads(connection.json_args)
    assert asked["mode"] == "SENDONLY" and asked["desired_playing_state"] is None
    assert asked["rtc_configuration"] == {"iceServers": []}
    plain = {"echoCancellation": False, "noiseSuppression": False, "autoGainControl": False}
    assert asked["media_stream_constraints"] == {"audio": plain, "video": False}
    assert state.microphone == "live-microphone-7" and state.microphone in page.session_state
    sink = state.job.sink
    # A fragment's runs are no visits to other pages: the library may not count them.
    page.session_state[state.microphone]._last_rendered_run_count = 1
    page.run()
    assert state.job.sink is sink and page.get("component_instance")

    state.stop()
    assert state.job.ended.wait(10)
    page.run()
    assert not page.exception and not page.get("component_instance")
    assert page.session_state[state.microphone]._get_worker() is None
    assert not [thread.name for thread in threading.enumerate() if thread.name in ("live-scores", "process_offer_0")]
