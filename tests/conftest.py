"""What all tests share: default settings, the real corpora where there are some, and a word on what was left out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ser_engine import Analyzer, Settings

# Tests that run side by side share the cores: torch's threads would mostly wait for each other. Read when torch is
# first imported, which importing ser_engine does not do.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))

NO_CORPORA = "SER_DATA is not set: needs the real corpora"


@pytest.fixture(scope="session")
def settings() -> Settings:
    """The defaults, whatever the environment says."""
    return Settings()


@pytest.fixture(scope="session")
def analyzer(settings: Settings) -> Analyzer:
    """One Analyzer on the shipped weights, which are loaded when first used."""
    return Analyzer(settings)


@pytest.fixture(autouse=True)
def _own_main(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave `__main__` as it was: Streamlit puts the page there, which processes started afterwards would run first."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread throughout a module: tiny models gain nothing by more."""
    from tests.threads import computing_on  # only now: it imports torch

    with computing_on(1):
        yield


@pytest.fixture(scope="session")
def ser_data() -> Path:
    """The folder of the real corpora; the test is skipped where SER_DATA does not name one."""
    if not os.environ.get("SER_DATA"):
        pytest.skip(NO_CORPORA)
    folder = Path(os.environ["SER_DATA"])
    assert folder.is_dir(), f"SER_DATA names {folder}, which is no folder"
    return folder


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked `corpora` where there are none, whether or not it asks for `ser_data`."""
    if item.get_closest_marker("corpora") and not os.environ.get("SER_DATA"):
        pytest.skip(NO_CORPORA)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were skipped for want of corpora."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if NO_CORPORA in str(report.longrepr)]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} skipped for want of corpora: set SER_DATA to run them too.")
