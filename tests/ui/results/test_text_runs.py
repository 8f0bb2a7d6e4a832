"""Text models on the results page: in a section of their own, and not in the table of runs."""

from __future__ import annotations

import json
from typing import Any

from tests.ui.results.run_files import Write, entry
from tests.ui.results.test_page import page

HISTORY = '{"fold": "dev", "epoch": 1, "loss": 0.5, "validation_macro_f1": 40.0}\n'


def text_run(**given: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "kind": "text-emotion",
        "model": "goemotions-minilm",
        "protocol": "authors-split",
        "labels": ["neutral", "happy"],
        "metrics": {"macro_f1": 61.25, "weighted_f1": 70.5},
        "interval": [59.5, 63.0],
        "per_class": {"happy": {"precision": 80.0, "recall": 75.0, "f1": 77.4, "support": 2104}},
        "details": {"acted": {"ravdess": {"abstains": 100.0}, "cremad": {"abstains": 91.67}}},
        "size_mb": 23.5,
    } | given


def test_the_page_has_a_section_for_them(write: Write) -> None:
    write("voice", entry())
    write("reader", text_run(), history_jsonl=HISTORY)
    at = page()
    assert not at.exception and not at.warning and "Emotion in text" in [header.value for header in at.header]
    assert list(at.dataframe[0].value["run"]) == ["voice"]
    tables = json.dumps([table.value.to_dict() for table in at.table], default=str)
    for cell in ("goemotions-minilm", "61.2", "RAVDESS 100%, CREMA-D 92%", "2104"):
        assert cell in tables


def test_the_best_comes_first_and_broken_parts_are_absent(write: Write) -> None:
    write("worse", text_run(model="worse", metrics={"macro_f1": 50.0}))
    write("better", text_run(model="better"))
    write("odd", text_run(model="odd", metrics={}, per_class={}, details={"acted": {"tess": 1, "ravdess": {}}}))
    at = page()
    assert not at.exception
    table = next(part.value for part in at.table if "Macro F1" in part.value)
    assert list(table["Model"]) == ["better", "worse", "odd"]
    assert list(table["Macro F1"])[2] == "–" and list(table["Abstains on acted sentences"])[2] == "–"
