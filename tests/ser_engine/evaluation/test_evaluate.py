"""What a run writes about itself follows from its predictions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ser_engine.data.corpora.base import Utterance
from ser_engine.evaluation.calibration import expected_calibration_error
from ser_engine.evaluation.evaluate import (
    decide,
    fold_entries,
    listeners,
    measure_external,
    measure_run,
    run_entry,
    write_json,
)
from ser_engine.evaluation.metrics import unweighted_accuracy
from ser_engine.training.config import TrainingConfig

CONFIG = TrainingConfig("tiny", "whisper-statistics", ("ravdess", "tess"), labels=("neutral", "happy", "sad"))
UNIFORM = np.full(3, -np.log(3), np.float32)


def spoken(*clips: str) -> list[Utterance]:
    """Return utterances written as "corpus speaker gender label"."""
    return [
        Utterance(corpus, Path(f"{i}.wav"), label, f"{corpus}/{speaker}", gender)
        for i, (corpus, speaker, gender, label) in enumerate(clip.split() for clip in clips)
    ]


UTTERANCES = spoken(
    "ravdess 01 male neutral", "ravdess 01 male happy", "ravdess 01 male sad", "ravdess 02 female neutral",
    "ravdess 02 female happy", "ravdess 02 female sad", "tess YAF female neutral", "tess YAF female sad",
    "tess OAF female neutral", "tess OAF female sad",
)  # fmt: skip
FOLDS = np.array([1, 1, 1, 2, 2, 2, 1, 1, 2, 2])


def opinions(*chosen: str, certainty: float = 0.8) -> np.ndarray:
    """Return log-probabilities that prefer the chosen labels; "?" stands for no speech."""
    rows = np.full((len(chosen), 3), np.log((1 - certainty) / 2), np.float32)
    for row, label in zip(rows, chosen, strict=True):
        row[:] = UNIFORM if label == "?" else row
        if label != "?":
            row[CONFIG.labels.index(label)] = np.log(certainty)
    return rows


# Right but for RAVDESS 02's happy clip; no speech was found in TESS's last.
HEARD = opinions("neutral", "happy", "sad", "neutral", "sad", "sad", "neutral", "sad", "neutral", "?")


@pytest.fixture
def measured() -> dict:
    return measure_run(UTTERANCES, HEARD, FOLDS, {1: 1.0, 2: 1.0}, CONFIG.labels)


def test_no_speech_counts_as_wrong_whatever_was_said() -> None:
    for true in (0, 1, 2):
        predicted, silent = decide(np.stack([UNIFORM]), np.array([true]))
        assert predicted[0] != true and silent[0]
    predicted, silent = decide(opinions("sad", "?"), np.array([2, 0]))
    assert predicted[0] == 2 and silent.tolist() == [False, True]


def test_the_figures_are_those_of_the_predictions(measured: dict) -> None:
    assert measured["metrics"]["WA"] == 80.0
    assert measured["metrics"]["UA"] == pytest.approx(100 * (1 + 1 / 2 + 3 / 4) / 3, abs=0.01)
    assert measured["no_speech_found"] == 1
    assert [sum(row) for row in measured["confusion"]] == [4, 2, 4]
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured


def test_the_figures_are_taken_apart(measured: dict) -> None:
    by_corpus = measured["by_corpus"]
    assert {name: row["clips"] for name, row in by_corpus.items()} == {"ravdess": 6, "tess": 4}
    assert by_corpus["tess"]["WA"] == by_corpus["tess"]["UA"] == 75.0  # among the two labels it has
    assert by_corpus["ravdess"]["WA"] == pytest.approx(83.33)
    assert by_corpus["ravdess"]["UA_ci95"] == pytest.approx([66.67, 100.0])
    assert {name: row["WA"] for name, row in measured["by_speaker"].items()} == {
        "ravdess/01": 100.0, "ravdess/02": 66.67, "tess/OAF": 50.0, "tess/YAF": 100.0,
    }  # fmt: skip
    assert {name: row["clips"] for name, row in measured["by_gender"].items()} == {"female": 7, "male": 3}


def test_each_fold_is_calibrated_by_its_own_temperature_on_what_was_heard() -> None:
    cool, warm = ({1: 0.5, 2: t} for t in (0.5, 3.0))
    found = [measure_run(UTTERANCES, HEARD, FOLDS, t, CONFIG.labels) for t in (cool, warm)]
    true = np.array([CONFIG.labels.index(str(utterance.label)) for utterance in UTTERANCES])
    heard = np.ptp(HEARD, axis=1) > 0
    for temperatures, one in zip((cool, warm), found, strict=True):
        powers = np.exp(HEARD) ** np.array([[1 / temperatures[fold]] for fold in FOLDS])
        probabilities = powers / powers.sum(axis=1, keepdims=True)
        expected = expected_calibration_error(true[heard], probabilities[heard])
        assert one["metrics"]["ECE"] == pytest.approx(100 * expected, abs=0.01)
        assert sum(row["clips"] for row in one["confidence"]["reliability"]) == heard.sum() == len(UTTERANCES) - 1
    assert found[0]["metrics"]["ECE"] != found[1]["metrics"]["ECE"]


def test_temperatures_do_not_change_what_is_predicted(measured: dict) -> None:
    other = measure_run(UTTERANCES, HEARD, FOLDS, {1: 0.3, 2: 4.0}, CONFIG.labels)
    assert other["confusion"] == measured["confusion"]


def test_a_corpus_that_was_not_learned_is_judged_among_its_own_labels_too() -> None:
    utterances = spoken("emodb 03 male neutral", "emodb 03 male sad", "emodb 08 female neutral", "emodb 08 female sad")
    heard = opinions("neutral", "happy", "neutral", "sad")
    heard[1] = np.log([0.1, 0.6, 0.3])  # happy above all, but sad rather than neutral
    figures = measure_external(utterances, heard, CONFIG.labels)
    assert figures["shared_labels"] == ["neutral", "sad"]
    assert (figures["clips"], figures["UA"], figures["UA_among_shared_labels"]) == (4, 75.0, 100.0)
    assert figures["UA_among_shared_labels_ci95"] == [100.0, 100.0]


def test_how_sure_it_is_of_a_corpus_that_was_not_learned() -> None:
    utterances = spoken("emodb 03 male neutral", "emodb 08 female sad")
    heard = np.log(np.array([[0.8, 0.1, 0.1], [0.5, 0.2, 0.3]], np.float32))
    sure = measure_external(utterances, heard, CONFIG.labels, below=0.6)["confidence"]
    assert sure == {"mean": 0.65, "coverage": 0.5, "accuracy": 1.0}
    assert measure_external(utterances, heard, CONFIG.labels, temperature=3.0)["confidence"]["mean"] < 0.6
    assert measure_external(utterances, heard, CONFIG.labels, below=0.9)["confidence"]["accuracy"] is None


def test_folds_say_who_was_tested() -> None:
    entries = fold_entries(UTTERANCES, FOLDS, HEARD, CONFIG.labels)
    assert {fold: entry["test_speakers"] for fold, entry in entries.items()} == {
        "1": ["ravdess/01", "tess/YAF"],
        "2": ["ravdess/02", "tess/OAF"],
    }
    assert [(entry["clips"], entry["WA"]) for entry in entries.values()] == [(5, 100.0), (5, 60.0)]
    true = np.array([0, 1, 2, 0, 2])
    assert entries["2"]["UA"] == round(unweighted_accuracy(true, np.array([0, 2, 2, 0, 0])), 2)


def test_a_run_says_what_it_was(measured: dict) -> None:
    entry = run_entry("ours-tiny", CONFIG, measured, 12.345)
    assert (entry["id"], entry["model"], entry["seconds"]) == ("ours-tiny", "tiny", 12.3)
    assert entry["corpora"] == ["ravdess", "tess"] and entry["labels"] == ["neutral", "happy", "sad"]
    assert entry["protocol"] == "speaker-independent" and "moments" not in entry["features"]
    assert "moments" in run_entry("x", replace(CONFIG, attentive=1), measured, 1.0)["features"]
    assert entry["metrics"] is measured["metrics"]
    again = {
        name: tuple(v) if isinstance(v, list) else v for name, v in json.loads(json.dumps(entry["config"])).items()
    }
    assert TrainingConfig(**again) == CONFIG


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "run.json"
    write_json(path, {"text": "ä"})
    with pytest.raises(TypeError):
        write_json(path, {"text": object()})
    assert json.loads(path.read_text(encoding="utf-8")) == {"text": "ä"}
    assert [file.name for file in path.parent.iterdir()] == ["run.json"]


def test_listeners_who_were_divided_count_half(measured: dict) -> None:
    heard = [("neutral",), ("neutral", "sad"), ("neutral",)]
    some = [
        replace(utterance, perceived_labels=votes)
        for utterance, votes in zip(
            spoken("cremad 1001 male neutral", "cremad 1001 male sad", "cremad 1002 female sad"), heard, strict=True
        )
    ]
    assert listeners([*some, *UTTERANCES]) == {
        "cremad": {"agreement": 50.0, "clips": 3, "per_label": {"neutral": 100.0, "sad": 25.0}}
    }
    assert measured["listeners"] == {}
