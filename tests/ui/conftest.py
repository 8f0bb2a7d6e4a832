"""What all tests of the page share: a results folder of their own, and no thread left at work behind them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ui.results.run_files import Write

THREADS = ("startup", "warm-up", "analysis", "files", "live-scores", "live-words")
"""Names of the page's threads; the first begins the second."""
END_S = 300.0
"""How long such a thread may take to end; warming up imports large libraries."""


@pytest.fixture(scope="session", autouse=True)
def let_threads_end() -> Iterator[Callable[[], None]]:
    """Return a function that waits for the page's threads; called after the last test, too.

    They are daemons, and Python aborts when it ends while one of them is half-way through importing torch.
    """

    def wait() -> None:
        for name in THREADS:
            for thread in threading.enumerate():
                if thread.name == name:
                    thread.join(END_S)

    yield wait
    wait()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty results folder that the page reads."""
    (tmp_path / "results").mkdir()
    monkeypatch.setenv("SER_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


@pytest.fixture
def write(folder: Path) -> Write:
    def run(name: str, content: dict[str, Any] | str, **files: str) -> Path:
        (folder / name).mkdir()
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name / "run.json").write_text(text)
        for file, inside in files.items():
            (folder / name / file.replace("_jsonl", ".jsonl")).write_text(inside)
        return folder / name

    return run
