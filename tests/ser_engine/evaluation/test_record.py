"""Records are written and read in one schema; damaged ones are reported in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ser_engine.errors import InvalidRecord
from ser_engine.evaluation.record import RunRecord, find_records, read_curves, read_record, read_records
from ser_engine.settings import PROJECT

RECORD = RunRecord(
    id="ours/tiny/paper",
    model="tiny",
    protocol="paper",
    labels=("neutral", "sad"),
    corpora=("tess",),
    metrics={"UA": 50.0, "WA": 60.0},
    interval=(40.0, 60.0),
    per_class={"sad": {"recall": 50.0, "precision": 50.0}},
    confusion=((3, 1, 0), (1, 2, 1)),
    no_speech=1,
    by_corpus={"tess": {"UA": 50.0, "WA": 60.0, "clips": 8}},
    published=("sharma/table-8/CNN-1D",),
    config={"epochs": 3},
    details={"words": {"changed": 0.0}},
)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    assert read_record(tmp_path, RECORD.id) == RECORD
    assert list(find_records(tmp_path)) == [RECORD.id]
    assert not RECORD.leaky


@pytest.mark.parametrize("id", list(find_records(PROJECT / "results")))
def test_the_committed_records_are_sound(id: str) -> None:
    record = read_record(PROJECT / "results", id)
    assert record.problems == () and record.id == id
    assert record.to_dict() == json.loads((PROJECT / "results" / id / "run.json").read_text(encoding="utf-8"))
    if record.kind == "emotion":
        assert sum(map(sum, record.confusion)) == record.tested
        assert sum(row[-1] for row in record.confusion) == record.no_speech
        for label, row in zip(record.labels, record.confusion, strict=True):
            if sum(row):
                recall = 100 * row[record.labels.index(label)] / sum(row)
                assert record.per_class[label]["recall"] == pytest.approx(recall, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"version": 0}, "is of version 0, not 1"),
        ({"metrics": {}}, "has no unweighted accuracy"),
        ({"metrics": {"UA": "high"}}, "has no unweighted accuracy"),
    ],
)
def test_a_record_without_figures_is_an_error(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    file = RECORD.write(tmp_path) / "run.json"
    file.write_text(json.dumps(RECORD.to_dict() | changes), encoding="utf-8")
    with pytest.raises(InvalidRecord, match=sentence):
        read_record(tmp_path, RECORD.id)
    assert read_records(tmp_path)[0] == [] and sentence in read_records(tmp_path)[1][0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("confusion", [[1, 2], [3, 4]]),
        ("confusion", [[1, 2, 3]]),
        ("confusion", "none"),
        ("confusion", [[1, 2, -3], [0, 0, 0]]),
        ("per_class", {"sad": 3}),
        ("by_corpus", []),
        ("interval", [1]),
        ("labels", "sad"),
        ("kind", "poem"),
        ("config", None),
    ],
)
def test_an_entry_of_the_wrong_shape_is_left_out_and_reported(tmp_path: Path, name: str, value: Any) -> None:
    file = RECORD.write(tmp_path) / "run.json"
    file.write_text(json.dumps(RECORD.to_dict() | {name: value}), encoding="utf-8")
    record = read_record(tmp_path, RECORD.id)
    assert record.metrics == RECORD.metrics and any(name.split("_")[0] in problem for problem in record.problems)
    assert getattr(record, name) == getattr(RunRecord(id=""), name)


def test_figures_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    file = RECORD.write(tmp_path) / "run.json"
    text = json.dumps(RECORD.to_dict() | {"metrics": {"UA": 50.0, "WA": "x", "ECE": True}})
    file.write_text(text.replace('"x"', "NaN"), encoding="utf-8")
    assert read_record(tmp_path, RECORD.id).metrics == {"UA": 50.0}


def test_files_that_are_no_records_are_errors(tmp_path: Path) -> None:
    file = RECORD.write(tmp_path) / "run.json"
    for text, sentence in (("{", "is not JSON: line 1"), ("[1]", "should hold one JSON object")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(InvalidRecord, match=sentence):
            read_record(tmp_path, RECORD.id)
    with pytest.raises(InvalidRecord, match=r"absent has no run\.json"):
        read_record(tmp_path, "absent")


def test_curves_are_means_over_trainings(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    lines = [{"fold": fold, "epoch": epoch, "loss": fold * epoch} for fold in (1, 3) for epoch in (1, 2)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    curves = read_curves("run", [file, tmp_path / "absent"])
    assert curves.trainings == 2 and curves.curves == {"loss": [(1, 2.0, 1, 3), (2, 4.0, 2, 6)]}
    file.write_text('{"epoch": "one"}\n', encoding="utf-8")
    assert "is damaged" in read_curves("run", [file]).problem
