"""A service on a free port of this computer, with a tiny model."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ser_engine.service.app import Service, create_app
from ser_engine.service.config import ServiceSettings
from ser_engine.service.logs import set_up_logs
from ser_engine.service.server import Server, listen
from ser_engine.settings import Settings
from tests.speech import speech_wav
from tests.tiny_models import write_heads

PATIENCE_S = 30.0


@dataclass
class Running:
    """A running service, what it logs, and a client of its HTTP."""

    port: int
    service: Service
    server: Server
    http: httpx2.Client
    logged: io.StringIO
    thread: threading.Thread

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def logs(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.logged.getvalue().splitlines()]

    def request_logs(self, count: int) -> list[dict[str, Any]]:
        """Return the logs of so many requests; a client has its answer before the log is written."""
        wait_for(lambda: sum(entry["event"] == "request" for entry in self.logs()) >= count)
        return [entry for entry in self.logs() if entry["event"] == "request"]

    def metric(self, name: str, **labels: str) -> float:
        return self.service.metrics.registry.get_sample_value(name, labels) or 0.0

    def connect(self) -> socket.socket:
        """Return a bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)

    def stop(self) -> None:
        """Ask for an end, as SIGTERM does."""
        self.server.should_exit = True


Serve = Callable[..., Any]


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with a tiny model and nothing else to load."""
    folder = tmp_path_factory.mktemp("service")
    write_heads(folder / "models")
    return Settings(models_dir=folder / "models", model="tiny-heads", transcribe=False, speakers="off")


@contextmanager
def run_service(settings: Settings, **given: Any) -> Iterator[Running]:
    """Run a service in a thread until the end of the context."""
    service_settings = ServiceSettings(**{"port": 0, **given})
    app = create_app(settings, service_settings, warm_up=False)
    bound = listen(service_settings)
    logged = io.StringIO()
    set_up_logs(logged)
    server = Server(app, service_settings)
    thread = threading.Thread(target=server.run, args=([bound],), name="service")
    thread.start()
    deadline = time.monotonic() + PATIENCE_S
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    port = bound.getsockname()[1]
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, trust_env=False) as http:
        running = Running(port, app.state.service, server, http, logged, thread)
        try:
            yield running
        finally:
            running.stop()
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "the service hangs"


@pytest.fixture
def serve(tiny: Settings) -> Iterator[Serve]:
    """Return a function that starts a service with settings of its own: `serve(queue=2)`."""
    from contextlib import ExitStack

    with ExitStack() as running:
        yield lambda **given: running.enter_context(run_service(given.pop("settings", tiny), **given))


@pytest.fixture(scope="session")
def shared(tiny: Settings) -> Iterator[Running]:
    """A service with the defaults, for all tests that change nothing."""
    with run_service(tiny) as running:
        yield running


@pytest.fixture(scope="session")
def wav() -> bytes:
    return speech_wav("Dogs are sitting by the door.")


@pytest.fixture
def recording(tmp_path: Path, wav: bytes) -> Path:
    path = tmp_path / "secret name.wav"
    path.write_bytes(wav)
    return path


def problem(answer: httpx2.Response) -> dict[str, Any]:
    """Return the problem of an answer, whose form is checked."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    found = answer.json()
    assert found.keys() == {"type", "title", "status", "detail"}
    assert found["status"] == answer.status_code and found["type"].startswith("urn:ser:")
    assert found["detail"].endswith((".", "?")) and "\n" not in found["detail"]
    return found
