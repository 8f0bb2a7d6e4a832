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
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ui.engine import MAX_BYTES

ROOT = Path(__file__).resolve().parent.parent
LOCK_FILES = (
    "requirements.txt", "requirements-service.txt", "requirements-train.txt", "requirements-dev.txt",
    "constraints-cuda.txt",
)  # fmt: skip
FILES_OF_MAKE = ("Makefile", "tools", *LOCK_FILES)
TARGETS = ("app", "venv", "test", "quick", "slow", "lint", "wheels", "bench", "clean", "help")
SET_BY_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "PYTHON", "PORT", "HOST", "CHROMIUM")
# torch names these itself, each exactly; constraints-cuda.txt holds what it leaves open.
CUDA = re.compile(r"nvidia-|cuda-")


LOCKS = {
    "requirements.txt": (),
    "requirements-service.txt": ("requirements.txt",),
    "requirements-train.txt": ("requirements.txt",),
    "requirements-dev.txt": ("requirements-train.txt", "requirements-service.txt"),
}
# Named by others, imported by nothing that the page runs: openai-whisper needs triton on a GPU alone, where torch
# brings it; noisereduce needs matplotlib for its plots alone.
LEFT_OUT = {("openai-whisper", "triton"), ("noisereduce", "matplotlib")}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def pins(file: str) -> dict[str, Requirement]:
    """Return the requirements in `file` and in those that it includes, by canonical name."""
    lines = re.findall(r"^\w.*$", (ROOT / file).read_text(), re.MULTILINE)
    included = {name: pin for other in LOCKS[file] for name, pin in pins(other).items()}
    return included | {canonicalize_name(pin.name): pin for pin in map(Requirement, lines)}


def in_use(requirement: Requirement, python: str) -> bool:
    """Whether a requirement holds on Linux on x86-64 with that Python, without an extra."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    environment |= {"platform_machine": "x86_64", "platform_system": "Linux", "extra": ""}
    return requirement.marker is None or requirement.marker.evaluate(environment)


# Requirements


@pytest.mark.parametrize("file", [*LOCKS, "constraints-cuda.txt"])
def test_every_requirement_is_exact_and_names_no_host(file: str) -> None:
    lines = [line for line in (ROOT / file).read_text().splitlines() if line and not line.startswith("#")]
    for line in lines:
        if line.startswith("-"):
            assert line in ("-c constraints-cuda.txt", *(f"-r {other}" for other in LOCKS[file]))
        else:
            assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*( ; [a-z_]+ (>=|[!=]=) .*)?", line), line
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("file", LOCKS)
def test_what_a_lock_requires_is_in_it_and_fits(file: str, python: str) -> None:
    lock = {name: pin for name, pin in pins(file).items() if in_use(pin, python)}
    for name in lock.keys() - {"audioop-lts", "standard-aifc", "standard-chunk", "standard-sunau"}:  # not in 3.12
        for line in importlib.metadata.distribution(name).requires or []:
            requirement = Requirement(line)
            needed = canonicalize_name(requirement.name)
            if not in_use(requirement, python) or CUDA.match(needed) or (name, "triton") == ("torch", needed):
                continue
            if needed not in lock and (name, needed) in LEFT_OUT:
                continue
            assert needed in lock, f"{name} needs {requirement}, which is not pinned"
            (pin,) = lock[needed].specifier
            assert requirement.specifier.contains(pin.version, prereleases=True), f"{name} needs {requirement}"


def test_the_owners_packages_stay_in_the_pages_lock() -> None:
    names = ("streamlit", "streamlit-webrtc", "torch", "transformers", "openai-whisper", "librosa", "noisereduce")
    assert {*names, "soundfile", "plotly"} <= pins("requirements.txt").keys()


def test_the_locks_hold_what_the_package_asks_for_in_versions_that_it_takes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for file, lines in {
        "requirements.txt": project["dependencies"] + extras["app"],
        "requirements-service.txt": extras["service"],
        "requirements-train.txt": extras["train"] + extras["papers"][1:],
    }.items():
        for requirement in map(Requirement, lines):
            (pin,) = pins(file)[canonicalize_name(requirement.name)].specifier
            assert requirement.specifier.contains(pin.version), requirement


def imported(*places: str) -> dict[str, str]:
    """Return {distribution: a file that imports it} for all code under `places`, lazy imports included."""
    distributions = importlib.metadata.packages_distributions()
    paths = [ROOT / place for place in places]
    files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])]
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


def test_what_the_code_imports_is_a_dependency_of_the_package_or_of_an_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    def names(lines: list[str]) -> set[str]:
        return {canonicalize_name(Requirement(line).name) for line in lines}

    core = names(project["dependencies"])
    for place in ("analyzer.py", "process.py", "audio", "transcription", "live", "cli"):
        for name, file in imported(f"ser_engine/{place}").items():
            assert name in core, f"{file} imports {name}"
    for name, file in imported("app.py", "pages", "ui").items():
        assert name in core | names(extras["app"]), f"{file} imports {name}"
    for name, file in imported("ser_engine").items():
        known = core.union(*(names(extras[extra]) for extra in ("service", "train", "papers", "batch", "export")))
        # Whoever wants pyannote.audio installs it; a test has one of its parts.
        assert name in known or name.startswith("pyannote-"), f"{file} imports {name}"
    for name, file in imported("tests", "benchmarks", "tools").items():
        assert name in pins("requirements-dev.txt"), f"{file} imports {name}"


# The wheel


@pytest.mark.slow
def test_the_wheel_carries_weights_types_license_and_script(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=600)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    default = (ROOT / "models/DEFAULT").read_text().strip()
    assert {"ser_engine/py.typed", f"ser_engine/bundled/models/{default}/config.json"} <= names
    for suffix in ("model.safetensors", "README.md", "whisper-base/LICENSE", "trained_on.bin", "models/DEFAULT"):
        assert any(name.startswith("ser_engine/bundled/models/") and name.endswith(suffix) for name in names), suffix
    assert "ser_engine/bundled/configs/ours/svm.toml" in names
    assert not [name for name in names if "encoders/" in name or "__pycache__" in name or name.startswith("tests")]
    entry_points = next((tmp_path / "installed").glob("*.dist-info/entry_points.txt")).read_text()
    assert "ser = ser_engine.cli.main:main" in entry_points

    # Next to nothing of the checkout: the weights inside the package are found, and a clip is analyzed.
    script = "import sys; from ser_engine.cli.main import main; sys.exit(main(sys.argv[1:]))"
    clip = ROOT / "tests/data/man_dogs.ogg"
    done = call([sys.executable, "-c", script, "analyze", str(clip)], tmp_path, PYTHONPATH=str(tmp_path / "installed"))
    assert done.returncode == 0, done.stderr
    assert "Dogs are sitting by the door." in done.stdout


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
        arguments, cwd=folder, env=inherited | environment, capture_output=True, text=True, timeout=300
    )


# Enough of a Python for make: it has a version, makes a venv of copies of itself, and notes what pip should install.
STAND_IN = """case "$*" in
-c*version_info*) echo 3.12 ;;
"-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
"-m pip install "*requirements*) for last; do :; done; echo "$last" >> installed && [ ! -e no-network ] ;;
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
    order = ("-m venv .venv", "pip install torch", "--no-deps -r requirements.txt", "streamlit run app.py")
    places = [steps.index(step) for step in order]
    assert places == sorted(places)
    assert '--server.address "0.0.0.0" --server.port "9123"' in steps
    assert '--server.address "127.0.0.1" --server.port "8501"' in call(["make", "-n", "app", given[-1]], clone).stdout


def test_torch_without_cuda_is_taken_unless_there_is_a_gpu_or_pip_has_places_to_look(clone: Path) -> None:
    fakes = clone / "fakes"
    program(fakes, "uname", "echo Linux")
    path = f"{fakes}:{os.environ['PATH']}"
    places = {"PIP_INDEX_URL": "", "PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": "", "PATH": path}
    command = ["make", "-n", "venv", f"PYTHON={sys.executable}"]
    assert "whl/cpu" not in call(command, clone, **places | {"PIP_FIND_LINKS": "/wheels"}).stdout
    assert "whl/cpu" in call(command, clone, **places).stdout or shutil.which("nvidia-smi")
    program(fakes, "nvidia-smi", "exit 0")
    assert "whl/cpu" not in call(command, clone, **places).stdout


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
    [("requirements.txt", True), ("constraints-cuda.txt", True), ("requirements-train.txt", False)],
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


def test_a_wrong_python_is_reported_in_one_line(clone: Path) -> None:
    old = program(clone / "fakes", "python3.9", "echo 3.9")
    answer = call(["make", "venv", f"PYTHON={old}"], clone)
    assert answer.returncode != 0
    (line,) = (answer.stdout + answer.stderr).splitlines()
    assert f"Python 3.11 to 3.14 is needed; {old} is 3.9. Give another with PYTHON=…" in line
    assert not (clone / ".venv").exists()


def test_a_python_that_does_not_start_and_one_without_venv_are_reported_too(clone: Path) -> None:
    bare = program(clone / "fakes", "python3.12", 'case "$2" in *ensurepip*) exit 1;; *) echo 3.12;; esac')
    assert "/nowhere/python does not start." in call(["make", "venv", "PYTHON=/nowhere/python"], clone).stderr
    answer = call(["make", "venv", f"PYTHON={bare}"], clone)
    assert "cannot make a venv (on Debian: apt-get install python3.12-venv)" in answer.stderr
    assert not (clone / ".venv").exists()


def test_the_first_python_that_fits_is_taken(clone: Path) -> None:
    fakes = clone / "fakes"
    program(fakes, "python3.11", "exit 127")
    program(fakes, "python3.12", "echo 3.12")
    program(fakes, "python3.13", "exit 127")
    program(fakes, "python3.14", "exit 127")
    program(fakes, "python3", "echo 3.15")
    steps = call(["make", "-n", "venv"], clone, PATH=f"{fakes}:{os.environ['PATH']}")
    assert '"python3.12" -m venv .venv' in steps.stdout
    program(fakes, "python3.12", "exit 127")
    answer = call(["make", "-n", "venv"], clone, PATH=f"{fakes}:{os.environ['PATH']}")
    assert "Python 3.11 to 3.14 is needed; python3 is 3.15." in answer.stderr


# Chromium


def find_chromium(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return call([sys.executable, str(ROOT / "tools/find_chromium.py")], tmp_path, **environment)


def test_the_chromium_that_is_named_goes_first(tmp_path: Path) -> None:
    fakes = tmp_path / "fakes"
    named = program(fakes, "mine", "echo Chromium 1")
    other = program(fakes, "chromium", "echo Chromium 2")
    assert find_chromium(tmp_path, CHROMIUM=str(named), PATH=str(fakes)).stdout.strip() == str(named)
    assert find_chromium(tmp_path, PATH=str(fakes)).stdout.strip() == str(other)


def test_a_chromium_that_does_not_start_is_passed_over_or_reported(tmp_path: Path) -> None:
    fakes = tmp_path / "fakes"
    broken = program(fakes, "chromium", "exit 1")
    works = program(fakes, "google-chrome", "echo Google Chrome 3")
    assert find_chromium(tmp_path, PATH=str(fakes)).stdout.strip() == str(works)
    answer = find_chromium(tmp_path, CHROMIUM=str(broken), PATH=str(fakes))
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == f"CHROMIUM names {broken}, which does not start.\n"


# The page's configuration


def test_the_page_stays_on_its_host_and_shares_the_engines_limit() -> None:
    config = tomllib.loads((ROOT / ".streamlit/config.toml").read_text())
    assert config["browser"] == {"gatherUsageStats": False}
    assert config["server"] == {
        "address": "127.0.0.1",
        "headless": True,
        "fileWatcherType": "none",
        "maxUploadSize": MAX_BYTES / 2**20,
        "disconnectedSessionTTL": 900,
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


def test_ci_runs_lint_then_wheels_then_tests_with_the_corpora_next_to_the_checkout(tmp_path: Path) -> None:
    checkout = tmp_path / "a checkout"
    shutil.copytree(ROOT / ".ci", checkout / ".ci")
    fakes = tmp_path / "fakes"
    program(fakes, "make", 'echo "$1 ${SER_DATA:-none}"; [ "$1" != "$BREAKS" ]')
    path = f"{fakes}:{os.environ['PATH']}"
    without = call(["bash", str(checkout / ".ci/run")], tmp_path, PATH=path, SER_DATA="", BREAKS="nothing")
    assert (without.returncode, without.stdout.split()) == (0, ["lint", "none", "wheels", "none", "test", "none"])
    (tmp_path / "shared/data").mkdir(parents=True)
    beside = call(["bash", str(checkout / ".ci/run")], tmp_path, PATH=path, SER_DATA="", BREAKS="nothing")
    assert beside.stdout.splitlines() == [f"{step} {tmp_path}/shared/data" for step in ("lint", "wheels", "test")]
    broken = call(["bash", str(checkout / ".ci/run")], tmp_path, PATH=path, SER_DATA="", BREAKS="lint")
    assert broken.returncode != 0
    assert len(broken.stdout.splitlines()) == 1, "the tests ran although lint failed"
    assert os.access(ROOT / ".ci/run", os.X_OK)
