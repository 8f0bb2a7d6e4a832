"""What the tests of corpora share: real file names, where there are any."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path

import pytest

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
