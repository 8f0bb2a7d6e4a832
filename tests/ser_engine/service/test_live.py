"""Live sessions over a WebSocket, as programs use them."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from ser_engine.analyzer import Analyzer
from ser_engine.live.session import LiveSession
from ser_engine.settings import Settings
from tests.ser_engine.service.conftest import Running, Serve, wait_for
from tests.speech import RATE, speech

END = json.dumps({"type": "end"})


def open_live(running: Running, query: str = f"rate={RATE}", **options: Any) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{running.port}/v1/live?{query}", proxy=None, **options)


def receive(connection: ClientConnection) -> list[dict[str, Any]]:
    """Return all messages until the connection is closed."""
    messages = []
    with suppress(ConnectionClosed):
        while True:
            messages.append(json.loads(connection.recv(20)))
    return messages


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return speech("Kids are talking by the door. Dogs are sitting by the door.")


@pytest.fixture(scope="module")
def expected(tiny: Settings, sound: np.ndarray) -> list[dict[str, Any]]:
    """The updates of the engine's own session."""
    session = LiveSession(Analyzer(tiny))
    return [update.to_dict() for update in [*session.push(sound, RATE), *session.finish()]]


def test_a_file_gets_the_updates_of_the_engine(shared: Running, sound: np.ndarray, expected: list[Any]) -> None:
    with open_live(shared, f"rate={RATE}&format=f32le&skip=false") as connection:
        data = sound.astype("<f4").tobytes()
        size = 6402  # ends amid a sample
        for first in range(0, len(data), size):
            connection.send(data[first : first + size])
        connection.send(END)
        first, *updates, last = receive(connection)
    assert first == {"type": "ready", "model": "tiny-heads", "labels": ["neutral", "happy", "sad", "angry"]}
    assert last["type"] == "end" and last["duration_s"] == pytest.approx(len(sound) / RATE, abs=0.01)
    assert connection.close_code == 1000
    assert [update.pop("type") for update in updates] == ["update"] * len(expected)
    assert [(update["start"], update["end"], update["top"]) for update in updates] == [
        (update["start"], update["end"], update["top"]) for update in expected
    ]
    scored = [(a["scores"], b["scores"]) for a, b in zip(updates, expected, strict=True) if b["scores"]]
    assert scored and all(mine == pytest.approx(theirs, abs=1e-4) for mine, theirs in scored)


def test_stereo_in_16_bits_and_groups(shared: Running, sound: np.ndarray) -> None:
    with open_live(shared, f"rate={RATE}&channels=2&groups=true&hop=1&skip=false") as connection:
        connection.send((np.repeat(sound[:, None], 2, axis=1) * 32767).astype("<i2").tobytes())
        connection.send(END)
        *updates, last = receive(connection)[1:]
    assert last["duration_s"] == pytest.approx(len(sound) / RATE, abs=0.01)
    assert {update["end"] for update in updates} >= {1.0, 2.0, 3.0}
    assert next(update for update in updates if update["scores"])["scores"].keys() != {"neutral", "happy"}


@pytest.mark.parametrize(
    "query", ["", "rate=1", "rate=16000&format=mp3", "rate=16000&hop=9&window=3", "rate=16000&model=x", "rate=8000&a=1"]
)
def test_wrong_options_are_refused_with_a_sentence(query: str, shared: Running) -> None:
    with pytest.raises(InvalidStatus) as refused, open_live(shared, query):
        pass
    assert refused.value.response.status_code == 422
    problem = json.loads(refused.value.response.body or b"")
    assert problem["type"] == "urn:ser:invalid-option" and problem["detail"].endswith(".")


@pytest.mark.parametrize(
    ("message", "kind", "code"),
    [
        (np.full(1600, np.nan, "<f4").tobytes(), "invalid-audio", 1007),
        ("hello", "bad-request", 1008),
        ('{"type": "stop"}', "bad-request", 1008),
    ],
)
def test_garbage_ends_a_session_with_a_sentence(message: Any, kind: str, code: int, shared: Running) -> None:
    with open_live(shared, f"rate={RATE}&format=f32le") as connection:
        connection.send(message)
        *_, last = receive(connection)
    assert last["type"] == "error" and last["problem"]["type"] == f"urn:ser:{kind}"
    assert connection.close_code == code


def test_a_message_that_is_too_large_ends_the_session_alone(shared: Running) -> None:
    with pytest.raises(ConnectionClosed), open_live(shared) as connection:
        connection.send(b"\0" * (2**20 + 2))
        while True:
            connection.recv(10)
    assert shared.http.get("/healthz").status_code == 200


def test_sessions_are_as_many_as_there_may_be(serve: Serve, sound: np.ndarray) -> None:
    running = serve(sessions=1)
    with open_live(running) as connection:
        connection.recv(10)
        with pytest.raises(InvalidStatus) as refused, open_live(running):
            pass
        assert refused.value.response.status_code == 503 and "Retry-After" in refused.value.response.headers
        connection.send(END)
        receive(connection)
    wait_for(lambda: not running.service.sessions.open)
    with open_live(running) as connection:
        connection.recv(10)  # and leaves without a word
    wait_for(lambda: not running.service.sessions.open)
    wait_for(lambda: running.metric("ser_live_sessions") == 0)


def test_a_silent_client_is_sent_away(serve: Serve) -> None:
    running = serve(idle_s=0.3)
    with open_live(running) as connection:
        *_, last = receive(connection)
    assert last["problem"]["type"] == "urn:ser:too-slow"


def test_a_stop_lets_a_session_finish(serve: Serve, sound: np.ndarray) -> None:
    running = serve()
    with open_live(running, f"rate={RATE}&format=f32le") as connection:
        connection.recv(10)
        connection.send(sound.astype("<f4").tobytes())
        while json.loads(connection.recv(10))["end"] < 2:
            pass
        threading.Thread(target=running.stop).start()
        *updates, last = receive(connection)
    assert last["type"] == "end" and last["stopping"] and updates
    assert connection.close_code == 1001


def test_a_web_site_cannot_open_a_session(shared: Running) -> None:
    with pytest.raises(InvalidStatus) as refused, open_live(shared, origin="https://example.org"):  # type: ignore[arg-type]
        pass
    assert refused.value.response.status_code == 403
