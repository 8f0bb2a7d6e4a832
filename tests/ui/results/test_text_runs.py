"""Readers of words on the results page: in a section of their own, and never in the table of voices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.ui.results.run_files import Write, entry
from tests.ui.results.test_page import page, text
from ui.results import run_files, text_runs

HISTORY = '{"fold": "dev", "epoch": 1, "loss": 0.5, "validation_macro_f1": 40.0}\n'


def words(**given: Any) -> dict[str, Any]:
    return {
        "model": "goemotions-minilm",
        "modality": "text",
        "protocol": "authors' parts",
        "labels": ["neutral", "happy"],
        "metrics": {"macro_f1": 61.25, "weighted_f1": 70.5, "macro_f1_ci95": [59.5, 63.0]},
        "per_class": {"happy": {"precision": 80.0, "recall": 75.0, "f1": 77.4, "f1_ci95": [76, 78], "support": 2104}},
        "acted": {"ravdess": {"sentences": 2, "abstains": 100.0}, "cremad": {"sentences": 12, "abstains": 91.67}},
        "size_mb": 23.5,
    } | given


def test_they_are_told_apart_from_runs_on_voices(write: Write, folder: Path) -> None:
    write("voice", entry())
    write("reader", words())
    found = run_files.read(folder)
    assert [run.id for run in found.runs] == ["voice"] and found.others == ("reader",) and not found.problems
    (reader,) = text_runs.read(folder, found.others)
    assert (reader.macro_f1, reader.interval, reader.size_mb) == (61.25, "59.5 – 63.0", 23.5)
    assert text_runs.abstentions(reader) == "RAVDESS 100%, CREMA-D 92%"


def test_the_page_has_a_section_for_them(write: Write) -> None:
    write("voice", entry())
    write("reader", words(), history_jsonl=HISTORY)
    at = page()
    assert not at.exception and not at.warning and "Emotion in words" in [header.value for header in at.header]
    tables = json.dumps([table.value.to_dict() for table in at.table], default=str)
    assert "goemotions-minilm" in tables and "61.2" in tables and "RAVDESS 100%" in tables
    assert "measuring other things" not in text(at)
    assert "Also in the folder" not in text(at)


def test_the_best_comes_first_and_what_is_broken_is_absent(write: Write, folder: Path) -> None:
    write("worse", words(metrics={"macro_f1": 50.0}))
    write("better", words())
    write("odd", words(metrics=[1], per_class={"happy": 3}, acted={"tess": 1, "ravdess": {"abstains": "all"}}))
    found = text_runs.read(folder, run_files.read(folder).others)
    assert [run.id for run in found] == ["better", "worse", "odd"]
    assert found[2].macro_f1 is None and found[2].per_class == {"happy": {}} and not found[2].abstains
    assert not page().exception
