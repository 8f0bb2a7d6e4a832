"""What a fresh clone rests on: pins, make targets, the page's configuration and what CI calls."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ser_engine.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
FILES_OF_MAKE = ("Makefile", "requirements.txt", "requirements-dev.txt", "constraints-cuda.txt", "tools")
TARGETS = ("app", "venv", "test", "lint", "bench", "clean", "help")
SET_BY_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "PYTHON", "PORT", "HOST", "CHROMIUM")
# Imported by the engine, but only in commands that developers run.
DEVELOPERS_ONLY = {"jiwer"}
# torch names these itself, each exactly; constraints-cuda.txt holds what it leaves open.
CUDA = re.compile(r"nvidia-|cuda-")


def pins(file: str) -> tuple[dict[str, Requirement], dict[str, Requirement]]:
    """Return the direct requirements of `file` and the rest, both by canonical name."""
    direct, rest = (ROOT / file).read_text().split("# The rest", 1)
    return tuple(
        {canonicalize_name(pin.name): pin for pin in map(Requirement, re.findall(r"^\w.*$", part, re.MULTILINE))}
        for part in (direct, rest.split("\n", 1)[1])
    )  # type: ignore[return-value]


RUN_TIME, RUN_TIME_REST = pins("requirements.txt")
DEVELOPMENT, DEVELOPMENT_REST = pins("requirements-dev.txt")
EVERY_PIN = RUN_TIME | RUN_TIME_REST | DEVELOPMENT | DEVELOPMENT_REST


# Requirements


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt", "constraints-cuda.txt"])
def test_every_requirement_is_exact_and_names_no_host(file: str) -> None:
    lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]
    for line in lines:
        if line.startswith("-"):
            assert re.fullmatch(r"-r requirements\.txt|-c constraints-cuda\.txt", line)
        else:
            assert re.fullmatch(r'[a-z0-9-]+==[0-9][0-9a-z.]*( ; sys_platform == "linux")?', line), line
    assert len(lines) == len(set(lines))


def test_nothing_is_pinned_twice() -> None:
    sections = (RUN_TIME, RUN_TIME_REST, DEVELOPMENT, DEVELOPMENT_REST)
    assert sum(map(len, sections)) == len(EVERY_PIN)


def required_by(name: str, python: str) -> Iterator[Requirement]:
    """Yield what the installed package `name` requires on Linux with that Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux", "extra": ""}
    for line in importlib.metadata.distribution(name).requires or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield requirement


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_what_the_requirements_require_is_pinned_too_and_fits(python: str) -> None:
    for name in EVERY_PIN:
        for requirement in required_by(name, python):
            needed = canonicalize_name(requirement.name)
            if CUDA.match(needed):
                continue
            assert needed in EVERY_PIN, f"{name} needs {requirement}, which is not pinned"
            (pin,) = EVERY_PIN[needed].specifier
            assert requirement.specifier.contains(pin.version, prereleases=True), f"{name} needs {requirement}"


def imported(*places: str) -> dict[str, str]:
    """Return {distribution: a file that imports it} for all code under `places`, lazy imports included."""
    distributions = importlib.metadata.packages_distributions()
    files = [
        file for place in places for file in ((ROOT / place).rglob("*.py") if place[-3:] != ".py" else [ROOT / place])
    ]
    found: dict[str, str] = {}
    for file in files:
        local = {path.stem for path in (*ROOT.iterdir(), *file.parent.iterdir())}
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            for top in {name.split(".")[0] for name in names} - local - set(sys.stdlib_module_names):
                for distribution in distributions.get(top, [top]):
                    found[canonicalize_name(distribution)] = str(file.relative_to(ROOT))
    return found


def test_what_the_code_imports_is_a_direct_requirement() -> None:
    for name, file in imported("app.py", "pages", "ui", "ser_engine").items():
        assert name in RUN_TIME.keys() | DEVELOPERS_ONLY, f"{file} imports {name}"
    for name, file in imported("tests", "benchmarks", "tools").items():
        assert name in EVERY_PIN, f"{file} imports {name}"


# Make


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder, with a space in its name, that holds what make needs and no venv yet."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in FILES_OF_MAKE:
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy2)(ROOT / name, folder / name)
    return folder


def program(folder: Path, name: str, script: str) -> Path:
    """Write a small shell program and return its path."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def call(arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`, without what the make around these tests has put into the environment."""
    inherited = {
        k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHON", "CHROMIUM")
    }
    return subprocess.run(
        arguments, cwd=folder, env=inherited | environment, capture_output=True, text=True, timeout=60
    )


# Enough of a Python for make: it has a version, makes a venv of copies of itself, and notes what pip should install.
STAND_IN = """case "$*" in
-c*version_info*) echo 3.12 ;;
"-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
"-m pip install "*) echo "$5" >> installed && [ ! -e no-network ] ;;
esac"""


def make(clone: Path, *targets: str) -> list[str]:
    """Run make for real with a stand-in for Python; return the requirement files that it has installed."""
    python = program(clone / "fakes", "python", STAND_IN)
    call(["make", *targets, f"PYTHON={python}"], clone)
    log = clone / "installed"
    installed = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return installed


@pytest.mark.parametrize("target", TARGETS)
def test_target_exists(clone: Path, target: str) -> None:
    answer = call(["make", "-n", target, f"PYTHON={sys.executable}"], clone)
    assert answer.returncode == 0, answer.stderr
    assert f"make {target}" in call(["make"], clone).stdout


def test_app_installs_then_starts_on_the_port_and_host_given(clone: Path) -> None:
    given = ["PORT=9123", "HOST=0.0.0.0", f"PYTHON={sys.executable}"]
    steps = call(["make", "-n", "app", *given], clone).stdout
    assert steps.index("-m venv .venv") < steps.index("-r requirements.txt") < steps.index("streamlit run app.py")
    assert '--server.address "0.0.0.0" --server.port "9123"' in steps
    assert '--server.address "127.0.0.1" --server.port "8501"' in call(["make", "-n", "app", given[-1]], clone).stdout


def test_running_a_target_twice_installs_nothing_twice(clone: Path) -> None:
    assert make(clone, "venv") == ["requirements.txt"]
    assert make(clone, "venv") == make(clone, "app") == []
    assert make(clone, "lint") == ["requirements-dev.txt"]
    assert make(clone, "lint", "test", "app", "venv") == []


def test_development_install_is_enough_for_the_page(clone: Path) -> None:
    assert make(clone, "lint") == ["requirements-dev.txt"]
    assert make(clone, "app") == []


@pytest.mark.parametrize(
    ("changed", "page_too"),
    [("requirements.txt", True), ("constraints-cuda.txt", True), ("requirements-dev.txt", False)],
)
def test_changed_requirements_are_installed_again(clone: Path, changed: str, page_too: bool) -> None:
    make(clone, "lint")
    later = (clone / ".venv/.installed-dev").stat().st_mtime + 5
    os.utime(clone / changed, (later, later))
    assert ("pip install" in call(["make", "-n", "venv"], clone).stdout) == page_too
    assert make(clone, "lint") == ["requirements-dev.txt"]


def test_an_installation_that_broke_off_is_taken_up_again(clone: Path) -> None:
    (clone / "no-network").touch()
    assert make(clone, "venv") == ["requirements.txt"]
    (clone / "no-network").unlink()
    assert make(clone, "venv") == ["requirements.txt"]
    assert make(clone, "venv") == []


def test_a_wrong_python_is_told_in_one_line(clone: Path) -> None:
    old = program(clone / "fakes", "python3.9", "echo 3.9")
    answer = call(["make", "venv", f"PYTHON={old}"], clone)
    assert answer.returncode != 0
    (line,) = (answer.stdout + answer.stderr).splitlines()
    assert f"Python 3.11 or 3.12 is needed; {old} is 3.9. Give another with PYTHON=…" in line
    assert not (clone / ".venv").exists()


def test_a_python_that_does_not_start_and_one_without_venv_are_told_too(clone: Path) -> None:
    bare = program(clone / "fakes", "python3.12", 'case "$2" in *ensurepip*) exit 1;; *) echo 3.12;; esac')
    assert "/nowhere/python does not start." in call(["make", "venv", "PYTHON=/nowhere/python"], clone).stderr
    answer = call(["make", "venv", f"PYTHON={bare}"], clone)
    assert "cannot make a venv (on Debian: apt-get install python3.12-venv)" in answer.stderr
    assert not (clone / ".venv").exists()


def test_the_first_python_that_fits_is_taken(clone: Path) -> None:
    fakes = clone / "fakes"
    program(fakes, "python3.11", "exit 127")
    program(fakes, "python3.12", "echo 3.12")
    program(fakes, "python3", "echo 3.13")
    steps = call(["make", "-n", "venv"], clone, PATH=f"{fakes}:{os.environ['PATH']}")
    assert '"python3.12" -m venv .venv' in steps.stdout
    program(fakes, "python3.12", "exit 127")
    answer = call(["make", "-n", "venv"], clone, PATH=f"{fakes}:{os.environ['PATH']}")
    assert "Python 3.11 or 3.12 is needed; python3 is 3.13." in answer.stderr


# Chromium


def find_chromium(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return call([sys.executable, str(ROOT / "tools/find_chromium.py")], tmp_path, **environment)


def test_the_chromium_that_is_named_goes_first(tmp_path: Path) -> None:
    fakes = tmp_path / "fakes"
    named = program(fakes, "mine", "echo Chromium 1")
    other = program(fakes, "chromium", "echo Chromium 2")
    assert find_chromium(tmp_path, CHROMIUM=str(named), PATH=str(fakes)).stdout.strip() == str(named)
    assert find_chromium(tmp_path, PATH=str(fakes)).stdout.strip() == str(other)


def test_a_chromium_that_does_not_start_is_passed_over_or_told(tmp_path: Path) -> None:
    fakes = tmp_path / "fakes"
    broken = program(fakes, "chromium", "exit 1")
    works = program(fakes, "google-chrome", "echo Google Chrome 3")
    assert find_chromium(tmp_path, PATH=str(fakes)).stdout.strip() == str(works)
    answer = find_chromium(tmp_path, CHROMIUM=str(broken), PATH=str(fakes))
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == f"CHROMIUM names {broken}, which does not start.\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")
def test_without_a_chromium_root_installs_debians(tmp_path: Path) -> None:
    fakes = tmp_path / "fakes"
    package = program(tmp_path, "package", "echo Chromium 4")
    program(
        fakes, "apt-get", f'echo "$@"; case "$*" in install*chromium) /bin/cp "{package}" "{fakes}/chromium";; esac'
    )
    answer = find_chromium(tmp_path, PATH=str(fakes))
    assert answer.stdout == f"{fakes}/chromium\n"
    assert answer.stderr.splitlines()[0] == "update"


# The page's configuration


def test_the_page_stays_on_its_host_and_shares_the_engines_limit() -> None:
    config = tomllib.loads((ROOT / ".streamlit/config.toml").read_text())
    assert config["browser"] == {"gatherUsageStats": False}
    assert config["server"] == {
        "address": "127.0.0.1",
        "headless": True,
        "fileWatcherType": "none",
        "maxUploadSize": Settings().max_bytes / 2**20,
        "enableXsrfProtection": True,
        "enableCORS": True,
    }
    assert config["client"] == {"toolbarMode": "minimal", "showErrorDetails": "none"}
    assert "http" not in str(config.get("theme", ""))


def test_streamlit_knows_every_option_of_the_configuration() -> None:
    from streamlit import config as streamlit_config

    known = streamlit_config.get_config_options()
    config = tomllib.loads((ROOT / ".streamlit/config.toml").read_text())
    for section in ("browser", "server", "client"):
        for option in config[section]:
            assert f"{section}.{option}" in known


# CI


def test_ci_runs_lint_then_tests_with_the_corpora_that_lie_beside(tmp_path: Path) -> None:
    checkout = tmp_path / "a checkout"
    shutil.copytree(ROOT / ".ci", checkout / ".ci")
    fakes = tmp_path / "fakes"
    program(fakes, "make", 'echo "$1 ${SER_DATA:-none}"; [ "$1" != "$BREAKS" ]')
    path = f"{fakes}:{os.environ['PATH']}"
    without = call(["bash", str(checkout / ".ci/run")], tmp_path, PATH=path, SER_DATA="", BREAKS="nothing")
    assert (without.returncode, without.stdout.split()) == (0, ["lint", "none", "test", "none"])
    (tmp_path / "shared/data").mkdir(parents=True)
    beside = call(["bash", str(checkout / ".ci/run")], tmp_path, PATH=path, SER_DATA="", BREAKS="nothing")
    assert beside.stdout.splitlines() == [f"{step} {tmp_path}/shared/data" for step in ("lint", "test")]
    broken = call(["bash", str(checkout / ".ci/run")], tmp_path, PATH=path, SER_DATA="", BREAKS="lint")
    assert broken.returncode != 0
    assert len(broken.stdout.splitlines()) == 1, "the tests ran although lint failed"
    assert os.access(ROOT / ".ci/run", os.X_OK)
