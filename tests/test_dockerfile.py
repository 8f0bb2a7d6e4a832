"""The image cannot be built in every place, so each path and command of the Dockerfile is checked against the tree."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path, PurePosixPath
from threading import Thread

import pytest

from ser_engine.service.keys import new_key
from ser_engine.settings import Settings
from tests.tiny_models import write_heads
from tools.run_dockerfile import stage_instructions

ROOT = Path(__file__).resolve().parent.parent
NEEDED_AT_RUN_TIME = (".streamlit", "app.py", "configs", "models", "pages", "results", "ser_engine", "ui")


STAGES = ("page", "service")
PORTS = {"page": 8501, "service": 8000}


def instructions(stage: str = "page") -> list[tuple[str, str]]:
    """Return (INSTRUCTION, what follows) of a stage and its base; comments dropped, continued lines joined."""
    return stage_instructions((ROOT / "Dockerfile").read_text(), stage)


def all_of(name: str, stage: str = "page") -> list[str]:
    """Return what follows each instruction called `name`, in order."""
    return [rest for instruction, rest in instructions(stage) if instruction == name]


def copied(stage: str = "page") -> list[str]:
    """Return the sources of all COPY instructions, without slashes at their ends."""
    return [source.rstrip("/") for rest in all_of("COPY", stage) for source in shlex.split(rest)[:-1]]


def environment(stage: str = "page") -> dict[str, str]:
    """Return what ENV sets."""
    return dict(item.split("=", 1) for rest in all_of("ENV", stage) for item in shlex.split(rest))


def command(stage: str = "page") -> list[str]:
    """Return the one CMD, which is in its exec form."""
    (rest,) = all_of("CMD", stage)
    return json.loads(rest)


def health_command(stage: str = "page") -> list[str]:
    """Return the command of the HEALTHCHECK, which is in its exec form."""
    (rest,) = all_of("HEALTHCHECK", stage)
    return json.loads(rest.split("CMD", 1)[1])


def run_health_check(port: int, stage: str = "page") -> int:
    """Run the HEALTHCHECK against another port than the image's; return its exit status."""
    python, *arguments = health_command(stage)
    assert python == "python"
    arguments = [argument.replace(str(PORTS[stage]), str(port)) for argument in arguments]
    return subprocess.run([sys.executable, *arguments], capture_output=True, timeout=30).returncode


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("stage", STAGES)
def test_every_copied_path_exists_and_holds_something(stage: str) -> None:
    for source in copied(stage):
        path = ROOT / source
        assert path.is_file() or (path.is_dir() and any(path.iterdir())), source


def test_all_that_the_page_needs_is_copied() -> None:
    assert set(NEEDED_AT_RUN_TIME) <= set(copied())
    code = [ROOT / "app.py", *(file for name in ("pages", "ui", "ser_engine") for file in (ROOT / name).rglob("*.py"))]
    for file in code:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for top in {name.split(".")[0] for name in names}:
                local = [path for path in (top, f"{top}.py") if top and (ROOT / path).exists()]
                assert not local or local[0] in copied(), f"{file.name} imports {top}, which is not copied"


def test_the_build_context_holds_what_is_copied_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    taken = {line[1:].rstrip("/") for line in lines if line.startswith("!")}
    assert taken == {source for stage in STAGES for source in copied(stage)}
    assert ".streamlit/secrets.toml" in lines


@pytest.mark.parametrize("stage", STAGES)
def test_requirements_are_copied_before_they_are_installed_and_code_after(stage: str) -> None:
    order = [f"{name} {rest}" for name, rest in instructions(stage)]
    install = next(i for i, line in enumerate(order) if "pip install" in line)
    requirement_files = [i for i, line in enumerate(order) if line.startswith("COPY") and "requirements.txt" in line]
    code = [i for i, line in enumerate(order) if line.startswith("COPY") and "requirements" not in line]
    assert requirement_files[0] < install < min(code)
    mentioned = re.findall(r"[\w-]+\.txt", order[install] + (ROOT / "requirements.txt").read_text())
    assert {name for name in mentioned if (ROOT / name).exists()} <= set(copied(stage))
    installs = [i for i, line in enumerate(order) if "pip install" in line]
    assert max(installs) < min(code)


def test_base_is_slim_and_of_a_python_that_the_project_takes() -> None:
    (base,) = all_of("FROM")
    assert re.fullmatch(r"python:3\.1[1-4]-slim-bookworm", base)


@pytest.mark.parametrize("stage", STAGES)
def test_the_user_is_not_root_and_nothing_after_it_needs_root(stage: str) -> None:
    names = [name for name, _ in instructions(stage)]
    (user,) = all_of("USER", stage)
    assert user not in ("root", "0")
    assert any(f"useradd --create-home --uid 1000 {user}" in rest for rest in all_of("RUN", stage))
    assert not {"RUN", "COPY", "ADD"} & set(names[names.index("USER") :])


@pytest.mark.parametrize("stage", STAGES)
def test_caches_lie_in_a_volume_that_the_user_may_write(stage: str) -> None:
    (volume,) = all_of("VOLUME", stage)
    (user,) = all_of("USER", stage)
    assert any(f"install --directory --owner={user} --group={user} {volume}" in rest for rest in all_of("RUN"))
    folders = {name: value for name, value in environment().items() if value.startswith("/")}
    assert {"XDG_CACHE_HOME", "SER_WHISPER_DIR", "HF_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR"} <= folders.keys()
    for name, folder in folders.items():
        assert PurePosixPath(folder).is_relative_to(volume), name


def test_settings_in_the_environment_are_settings_of_ours() -> None:
    known = {f"SER_{field.name.upper()}" for field in fields(Settings)}
    ours = {name: value for name, value in environment().items() if name.startswith("SER_")}
    assert ours.keys() <= known
    assert Settings.from_env(ours).whisper_dir == Path(ours["SER_WHISPER_DIR"])


def test_one_port_throughout_and_open_to_the_outside() -> None:
    (port,) = all_of("EXPOSE")
    assert f"--server.port={port}" in command()
    assert f"'localhost', {port}" in health_command()[-1]
    assert "--server.address=0.0.0.0" in command()


def test_the_service_has_a_port_of_its_own_and_all_that_it_imports() -> None:
    (port,) = all_of("EXPOSE", "service")
    assert f"--port={port}" in command("service") and f"'localhost', {port}" in health_command("service")[-1]
    assert "--host=0.0.0.0" in command("service")
    assert {"configs", "models", "ser_engine", "requirements-service.txt"} <= set(copied("service"))
    assert not {"ui", "pages", "app.py"} & set(copied("service"))


def test_the_page_is_what_is_built_where_no_target_is_named() -> None:
    assert instructions("") == instructions("page")


def test_the_command_of_the_service_starts_one_that_the_health_check_finds_well(tmp_path: Path) -> None:
    write_heads(tmp_path / "models")
    _, lines = new_key("test")
    port, digest = free_port(), lines.split('"')[1]
    swaps = {"python": sys.executable, "--port=8000": f"--port={port}", "--host=0.0.0.0": "--host=127.0.0.1"}
    assert swaps.keys() <= set(command("service"))
    arguments = [swaps.get(argument, argument) for argument in command("service")]
    given = {"SER_MODELS_DIR": str(tmp_path / "models"), "SER_MODEL": "tiny-heads", "SER_SERVE_KEYS": f"test:{digest}"}
    process = subprocess.Popen(arguments, cwd=ROOT, env={**os.environ, **given}, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while run_health_check(port, "service") != 0:
            assert process.poll() is None and time.monotonic() < deadline, "the service did not become healthy"
            time.sleep(0.3)
    finally:
        process.terminate()
        assert process.wait(30) == 0


@contextmanager
def page(tmp_path: Path) -> Iterator[int]:
    """Start the image's command on a page of one line, on this computer alone; yield its port."""
    port = free_port()
    swaps = {
        "python": sys.executable,
        "app.py": "page.py",
        "--server.port=8501": f"--server.port={port}",
        "--server.address=0.0.0.0": "--server.address=127.0.0.1",
    }
    assert swaps.keys() <= set(command())
    (tmp_path / "page.py").write_text("import streamlit\nstreamlit.write('here')\n")
    arguments = [swaps.get(argument, argument) for argument in command()]
    quiet = ["--server.headless=true", "--browser.gatherUsageStats=false"]
    process = subprocess.Popen([*arguments, *quiet], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)


def test_the_command_starts_a_page_that_the_health_check_finds_well(tmp_path: Path) -> None:
    assert (ROOT / "app.py").is_file()
    with page(tmp_path) as port:
        deadline = time.monotonic() + 60
        while run_health_check(port) != 0:
            assert time.monotonic() < deadline, "the page did not become healthy"
            time.sleep(0.3)


@pytest.mark.parametrize(("status", "exit_status"), [(200, 0), (500, 1), (404, 1)])
def test_health_check_tells_well_from_unwell(status: int, exit_status: int) -> None:
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.handle_request, daemon=True).start()
        assert run_health_check(server.server_port) == exit_status
    assert asked == ["/_stcore/health"]


def test_health_check_fails_where_nothing_listens() -> None:
    assert run_health_check(free_port()) != 0
