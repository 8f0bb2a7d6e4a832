"""Trials of a recipe's parts on the results page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.ui.results.run_files import Write, entry
from tests.ui.results.test_page import page

TITLE = "What each part adds"


def trial(ua: float, note: str, folds: tuple[str, ...] = ("1",), **changed: Any) -> dict[str, Any]:
    return {
        "run": "ours/heads", "changed": {"frozen": 0} | changed, "folds": list(folds), "UA": ua, "WA": 60.0,
        "by_corpus": {"ravdess": ua, "tess": 70.0}, "note": note,
    }  # fmt: skip


def write_trials(write: Write, folder: Path, *trials: dict[str, Any]) -> Path:
    write("voice", entry())
    file = folder / "trials.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in trials), encoding="utf-8")
    return file


def test_a_recipe_is_compared_with_itself_without_a_part(write: Write, folder: Path) -> None:
    others = [trial(40.0, "alone", folds=("2",), mixes=0), trial(55.0, "without mixes", mixes=0) | {"ordinary": 12.5}]
    write_trials(write, folder, *others, trial(62.5, "as it is"))
    at = page()
    assert not at.exception and TITLE in [header.value for header in at.header]
    table = next(part.value for part in at.table if "Recipe" in part.value)
    assert list(table["Recipe"]) == ["as it is", "without mixes"]
    assert list(table["UA"]) == ["62.5", "55.0"] and list(table["RAVDESS"]) == ["62.5", "55.0"]
    assert list(table["Emotional, of ordinary talk"]) == ["–", "12.5"]


@pytest.mark.parametrize("damage", ["{", "[]", '{"run": 3}'])
def test_damaged_trials_leave_the_page_as_it_is(damage: str, write: Write, folder: Path) -> None:
    file = write_trials(write, folder, trial(62.5, "as it is"), trial(55.0, "without mixes", mixes=0))
    with file.open("a", encoding="utf-8") as lines:
        lines.write(damage + "\n")
    at = page()
    assert not at.exception and TITLE not in [header.value for header in at.header]
