"""`ser serve` as a process: what it needs, how it starts, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import pytest

from ser_engine.cli.main import main
from ser_engine.service.client import Client
from ser_engine.settings import PROJECT, Settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(tiny: Settings, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `ser serve` with the tiny model; yield the process and where it is."""
    port = free_port()
    environment = {"SER_MODELS_DIR": str(tiny.models_dir), "SER_MODEL": "tiny-heads", "SER_TRANSCRIBE": "no"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ser_engine", "serve", "--port", str(port), "--speakers", "off", *options],
        cwd=PROJECT, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx2.get(f"{url}/readyz", trust_env=False).status_code == 200:
                    break
            except httpx2.TransportError:
                pass
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        yield process, url
    finally:
        process.kill()
        process.wait()


def test_sigterm_under_load_loses_no_answer_and_ends_with_success(tiny: Settings, wav: bytes) -> None:
    with served(tiny, "--at-once", "1") as (process, url), ThreadPoolExecutor(8) as pool, Client(url) as client:
        client.analyze(wav)

        def ask(_: int) -> str:
            return client.analyze(wav).model

        asked = [pool.submit(ask, number) for number in range(8)]
        time.sleep(0.15)
        process.send_signal(signal.SIGTERM)
        answers = [each.exception() or each.result() for each in asked]
        _, logged = process.communicate(timeout=30)
    assert process.returncode == 0
    entries = [json.loads(line) for line in logged.splitlines()]
    events = [entry["event"] for entry in entries]
    assert events[0] == "listening" and events[-1] == "stopped"
    accepted = [entry for entry in entries if entry.get("route") == "/v1/analyze"]
    assert all(entry["status"] == 200 for entry in accepted)
    # Those that came too late were refused a connection; nobody was cut off.
    assert all(answer == "tiny-heads" or isinstance(answer, httpx2.ConnectError) for answer in answers), answers
    assert len(accepted) - 1 == answers.count("tiny-heads") > 0


def test_a_port_in_use_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 2
    out, err = capsys.readouterr()
    assert not out and "cannot listen" in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [["--port", "70000"], ["--queue", "-1"], ["--sessions", "0"], ["--origins", "example.org"], ["--model", "none"]],
)
def test_wrong_options_are_one_sentence(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *options]) == 2
    out, err = capsys.readouterr()
    assert not out and len(err.splitlines()) == 1


def test_the_engine_and_the_command_line_do_without_the_service(wav: bytes) -> None:
    script = (
        "import sys\n"
        "for name in ('fastapi', 'uvicorn', 'prometheus_client', 'starlette'): sys.modules[name] = None\n"
        "import ser_engine\n"
        "from ser_engine.cli.main import build_parser, main\n"
        "build_parser()\n"
        "assert not any(name.startswith('ser_engine.service') for name in sys.modules)\n"
        "sys.exit(main(['serve']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 2 and done.stderr.startswith("ser serve needs ")
    assert 'pip install "ser-engine[service]"' in done.stderr and len(done.stderr.splitlines()) == 1
