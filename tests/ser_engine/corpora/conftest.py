"""What the tests of corpora share: real file names, where there are any, and small generated trees."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

NO_LISTINGS = "there are no EmoBox listings: set SER_EMOBOX, or put them into emobox/ beside SER_DATA"


@pytest.fixture(scope="session")
def listing() -> Callable[[str], list[tuple[str, str]]]:
    """Return a function that gives every file of a corpus with its label, as EmoBox lists it."""
    if os.environ.get("SER_EMOBOX"):
        folder = Path(os.environ["SER_EMOBOX"])
    elif os.environ.get("SER_DATA"):
        folder = Path(os.environ["SER_DATA"]).parent / "emobox"
    else:
        pytest.skip(NO_LISTINGS)
    if not folder.is_dir():
        pytest.skip(NO_LISTINGS)

    def read(corpus: str) -> list[tuple[str, str]]:
        with (folder / f"{corpus}.csv").open(encoding="utf-8", newline="") as file:
            return [(row["file"], row["label"]) for row in csv.DictReader(file)]

    return read


def touched(folder: Path, *names: str) -> Path:
    """Make empty files; the readers look at names alone."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def tone(path: Path, seconds: float = 0.5, pitch: float = 220.0, level: float = 0.3, rate: int = 16_000) -> Path:
    """Write a tone in place of a clip; `level` 0 is silence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(int(seconds * rate)) / rate
    soundfile.write(path, (level * np.sin(2 * np.pi * pitch * times)).astype(np.float32), rate)
    return path
