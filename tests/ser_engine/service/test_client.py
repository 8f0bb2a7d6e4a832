"""The Python client against a running service."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_engine.service.client import Client, ServiceError
from ser_engine.service.keys import new_key
from tests.ser_engine.service.conftest import Running, Serve
from tests.speech import RATE, silence, speech


@pytest.fixture
def client(shared: Running) -> Client:
    return Client(shared.url)


def test_a_path_bytes_and_an_open_file_get_the_same_typed_answer(client: Client, recording: Path) -> None:
    with recording.open("rb") as file:
        answers = [client.analyze(each) for each in (recording, str(recording), recording.read_bytes(), file)]
    assert {answer.top for answer in answers} == {answers[0].top}
    assert answers[0].file == recording.name and answers[2].file == ""
    assert sum(answers[0].scores.values()) == pytest.approx(1, abs=1e-5)
    assert answers[0].transcript is None and answers[0].quality.sample_rate == RATE


def test_an_error_is_its_sentence(client: Client) -> None:
    with pytest.raises(ServiceError, match="empty") as raised:
        client.analyze(b"")
    assert (raised.value.kind, raised.value.status, raised.value.retry_s) == ("not-audio", 415, None)
    with pytest.raises(ServiceError, match="no emotion model"):
        client.analyze(b"x", model="none")


def test_models_and_a_key(serve: Serve) -> None:
    secret, lines = new_key("a")
    running = serve(keys=f"a:{lines.split(chr(34))[1]}")
    with Client(running.url) as client, pytest.raises(ServiceError, match="needs a key"):
        client.models()
    with Client(running.url + "/", key=secret) as client:
        (model,) = client.models()
        assert model.default and model.name == "tiny-heads"
        updates = list(client.live([speech(), silence(1.0)], RATE, skip=False))
    assert updates[-1].end > 2 and any(update.top for update in updates)
    with Client(running.url, key="wrong") as client, pytest.raises(ServiceError, match="does not know"):
        next(client.live([silence(1.0)], RATE))


def test_a_busy_service_is_asked_again(serve: Serve, wav: bytes) -> None:
    running = serve(at_once=1, queue=0)
    turn = running.service.analyses.queue.join("another")
    with Client(running.url) as client, pytest.raises(ServiceError) as raised:
        client.analyze(wav)
    assert raised.value.retry_s is not None
    import threading

    threading.Timer(0.5, turn.leave).start()
    with Client(running.url, retries=3) as client:
        assert client.analyze(wav).model == "tiny-heads"


def test_errors_of_a_live_session_are_raised(client: Client) -> None:
    with pytest.raises(ServiceError, match="rate"):
        list(client.live([silence(1.0)], 1))
    with pytest.raises(ServiceError):
        list(client.live([np.full(1600, np.nan)], RATE))
