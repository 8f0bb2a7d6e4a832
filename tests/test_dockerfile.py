"""The image cannot be built in every place, so each path and command of the Dockerfile is checked against the tree."""

from __future__ import annotations

import ast
import json
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

from ser_engine.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
NEEDED_AT_RUN_TIME = (".streamlit", "app.py", "configs", "models", "pages", "results", "ser_engine", "ui")


def instructions() -> list[tuple[str, str]]:
    """Return (INSTRUCTION, what follows) of the Dockerfile, comments dropped and continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines if line.strip()]


def all_of(name: str) -> list[str]:
    """Return what follows each instruction called `name`, in order."""
    return [rest for instruction, rest in instructions() if instruction == name]


def copied() -> list[str]:
    """Return the sources of all COPY instructions, without slashes at their ends."""
    return [source.rstrip("/") for rest in all_of("COPY") for source in shlex.split(rest)[:-1]]


def environment() -> dict[str, str]:
    """Return what ENV sets."""
    return dict(item.split("=", 1) for rest in all_of("ENV") for item in shlex.split(rest))


def command() -> list[str]:
    """Return the one CMD, which is in its exec form."""
    (rest,) = all_of("CMD")
    return json.loads(rest)


def health_command() -> list[str]:
    """Return the command of the HEALTHCHECK, which is in its exec form."""
    (rest,) = all_of("HEALTHCHECK")
    return json.loads(rest.split("CMD", 1)[1])


def run_health_check(port: int) -> int:
    """Run the HEALTHCHECK against another port than the image's; return its exit status."""
    python, *arguments = health_command()
    assert python == "python"
    arguments = [argument.replace("8501", str(port)) for argument in arguments]
    return subprocess.run([sys.executable, *arguments], capture_output=True, timeout=30).returncode


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_every_copied_path_exists_and_holds_something() -> None:
    for source in copied():
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
    assert sorted(line[1:].rstrip("/") for line in lines if line.startswith("!")) == sorted(copied())
    assert ".streamlit/secrets.toml" in lines


def test_requirements_are_copied_before_they_are_installed_and_code_after() -> None:
    order = [f"{name} {rest}" for name, rest in instructions()]
    install = next(i for i, line in enumerate(order) if "pip install" in line)
    requirement_files = [i for i, line in enumerate(order) if line.startswith("COPY") and "requirements.txt" in line]
    code = [i for i, line in enumerate(order) if line.startswith("COPY") and "requirements.txt" not in line]
    assert requirement_files[0] < install < min(code)
    mentioned = re.findall(r"[\w-]+\.txt", order[install] + (ROOT / "requirements.txt").read_text())
    assert {name for name in mentioned if (ROOT / name).exists()} <= set(copied())


def test_base_is_slim_and_of_a_python_that_the_project_takes() -> None:
    (base,) = all_of("FROM")
    assert re.fullmatch(r"python:3\.1[1-4]-slim-bookworm", base)


def test_the_user_is_not_root_and_nothing_after_it_needs_root() -> None:
    names = [name for name, _ in instructions()]
    (user,) = all_of("USER")
    assert user not in ("root", "0")
    assert any(f"useradd --create-home --uid 1000 {user}" in rest for rest in all_of("RUN"))
    assert not {"RUN", "COPY", "ADD"} & set(names[names.index("USER") :])


def test_caches_lie_in_a_volume_that_the_user_may_write() -> None:
    (volume,) = all_of("VOLUME")
    (user,) = all_of("USER")
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
