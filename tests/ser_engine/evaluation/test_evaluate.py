"""The figures of a run follow from its predictions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from ser_engine.data.corpora.base import Utterance
from ser_engine.evaluation.calibration import expected_calibration_error
from ser_engine.evaluation.evaluate import (
    calibrated,
    fold_entries,
    fold_temperatures,
    measure_external,
    measure_listeners,
    measure_predictions,
)
from ser_engine.evaluation.metrics import unweighted_accuracy
from ser_engine.evaluation.predictions import MAIN, Predictions, predicted_classes

LABELS = ("neutral", "happy", "sad")


def clips(*descriptions: str) -> list[Utterance]:
    """Return utterances written as "corpus speaker gender label"."""
    return [
        Utterance(corpus, Path(f"{i}.wav"), label, f"{corpus}/{speaker}", gender)
        for i, (corpus, speaker, gender, label) in enumerate(text.split() for text in descriptions)
    ]


UTTERANCES = clips(
    "ravdess 01 male neutral", "ravdess 01 male happy", "ravdess 01 male sad", "ravdess 02 female neutral",
    "ravdess 02 female happy", "ravdess 02 female sad", "tess YAF female neutral", "tess YAF female sad",
    "tess OAF female neutral", "tess OAF female sad",
)  # fmt: skip
FOLDS = np.array(list("1112221122"))


def log_probs(*chosen: str, certainty: float = 0.8) -> np.ndarray:
    """Return log-probabilities that prefer the chosen labels; "?" stands for no speech."""
    rows = np.full((len(chosen), 3), np.log((1 - certainty) / 2), np.float32)
    for row, label in zip(rows, chosen, strict=True):
        if label == "?":
            row[:] = np.nan
        else:
            row[LABELS.index(label)] = np.log(certainty)
    return rows


def predictions(utterances: list[Utterance], main: np.ndarray, folds: np.ndarray | None = None) -> Predictions:
    targets = np.array([LABELS.index(str(utterance.label)) for utterance in utterances])
    return Predictions(
        utterances, LABELS, targets, np.full(len(utterances), "1") if folds is None else folds, {MAIN: main}
    )


# Right but for RAVDESS 02's happy clip; no speech was detected in TESS's last.
OUTPUT = log_probs("neutral", "happy", "sad", "neutral", "sad", "sad", "neutral", "sad", "neutral", "?")
PREDICTIONS = predictions(UTTERANCES, OUTPUT, FOLDS)


@pytest.fixture
def measured() -> dict[str, Any]:
    return measure_predictions(PREDICTIONS)


def test_no_speech_is_no_prediction_of_any_class() -> None:
    assert predicted_classes(log_probs("sad", "?", "neutral")).tolist() == [2, -1, 0]


def test_the_figures_are_those_of_the_predictions(measured: dict[str, Any]) -> None:
    assert measured["metrics"]["WA"] == 80.0
    assert measured["metrics"]["UA"] == pytest.approx(100 * (1 + 1 / 2 + 3 / 4) / 3, abs=0.01)
    assert measured["no_speech"] == 1
    assert measured["confusion"] == [[4, 0, 0, 0], [0, 1, 1, 0], [0, 0, 3, 1]]
    assert measured["per_class"]["sad"]["recall"] == 75.0 and measured["per_class"]["sad"]["precision"] == 75.0
    assert measured["per_class"]["neutral"]["precision"] == 100.0  # the clip without speech is no neutral one
    assert json.loads(json.dumps(measured, allow_nan=False)) == measured


def test_the_figures_by_group(measured: dict[str, Any]) -> None:
    by_corpus = measured["by_corpus"]
    assert {name: row["clips"] for name, row in by_corpus.items()} == {"ravdess": 6, "tess": 4}
    assert by_corpus["tess"]["WA"] == by_corpus["tess"]["UA"] == 75.0  # among the two labels it has
    assert by_corpus["ravdess"]["WA"] == pytest.approx(83.33)
    assert [by_corpus["ravdess"][key] for key in ("UA_low", "UA_high")] == pytest.approx([66.67, 100.0])
    assert {name: row["WA"] for name, row in measured["by_speaker"].items()} == {
        "ravdess/01": 100.0, "ravdess/02": 66.67, "tess/OAF": 50.0, "tess/YAF": 100.0,
    }  # fmt: skip
    assert {name: row["clips"] for name, row in measured["by_gender"].items()} == {"female": 7, "male": 3}


def test_each_fold_is_calibrated_on_the_other_folds_clips_with_speech(measured: dict[str, Any]) -> None:
    temperatures = fold_temperatures(PREDICTIONS)
    others = predictions([*UTTERANCES[3:6], UTTERANCES[8]], OUTPUT[[3, 4, 5, 8]])
    alone = fold_temperatures(replace(PREDICTIONS, folds=np.where(FOLDS == "1", "1", "2")))
    assert temperatures == alone and set(temperatures) == {"1", "2"} and len(others.targets) == 4
    probabilities, answered = calibrated(PREDICTIONS), predicted_classes(OUTPUT) >= 0
    expected = expected_calibration_error(PREDICTIONS.targets[answered], probabilities[answered])
    assert measured["metrics"]["ECE"] == pytest.approx(100 * expected, abs=0.01)
    assert sum(row["clips"] for row in measured["calibration"]["reliability"]) == len(UTTERANCES) - 1
    given = replace(PREDICTIONS, calibrated=True)
    np.testing.assert_allclose(calibrated(given)[answered], softmax(OUTPUT[answered], axis=1), atol=1e-6)


def test_one_fold_has_no_calibration() -> None:
    measured = measure_predictions(predictions(UTTERANCES, OUTPUT))
    assert "calibration" not in measured and "ECE" not in measured["metrics"] and "UA_mean" not in measured["metrics"]


def test_degraded_clips_and_components_are_measured_too() -> None:
    other = log_probs("neutral", "happy", "sad", "neutral", "sad", "neutral", "neutral", "?", "neutral", "?")
    outputs = {MAIN: OUTPUT, "degraded.telephone": other, "component.audio": other}
    measured = measure_predictions(replace(PREDICTIONS, outputs=outputs))
    row = measured["degradations"]["telephone"]
    assert row["no_speech"] == 2 and row["WA"] == 60.0
    assert row["lost"] == pytest.approx(measured["metrics"]["UA"] - row["UA"], abs=0.011)
    assert measured["components"]["audio"] == {"UA": row["UA"], "WA": row["WA"]}


def test_an_external_corpus_is_measured_among_its_own_labels_too() -> None:
    utterances = clips("emodb 03 male neutral", "emodb 03 male sad", "emodb 08 female neutral", "emodb 08 female sad")
    main = log_probs("neutral", "happy", "neutral", "sad")
    main[1] = np.log([0.1, 0.6, 0.3])  # happy above all, but sad rather than neutral
    figures = measure_external(predictions(utterances, main), 1.0, 0.0)
    assert figures["shared_labels"] == ["neutral", "sad"] and figures["no_speech"] == 0
    assert (figures["clips"], figures["UA"], figures["UA_among_shared_labels"]) == (4, 75.0, 100.0)
    assert figures["UA_among_shared_labels_ci95"] == [100.0, 100.0]
    main[3] = np.nan
    silent = measure_external(predictions(utterances, main), 1.0, 0.0)
    assert (silent["no_speech"], silent["UA_among_shared_labels"]) == (1, 75.0)


def test_the_confidence_on_an_external_corpus() -> None:
    utterances = clips("emodb 03 male neutral", "emodb 08 female sad")
    given = predictions(utterances, np.log(np.array([[0.8, 0.1, 0.1], [0.5, 0.2, 0.3]], np.float32)))
    assert measure_external(given, 1.0, 0.6)["confidence"] == {"mean": 0.65, "coverage": 0.5, "accuracy": 1.0}
    assert measure_external(given, 3.0, 0.0)["confidence"]["mean"] < 0.6
    assert measure_external(given, 1.0, 0.9)["confidence"]["accuracy"] is None


def test_folds_have_their_speakers_and_figures() -> None:
    entries = fold_entries(PREDICTIONS, {"1": 5, "2": 6})
    assert {fold: entry["test_speakers"] for fold, entry in entries.items()} == {
        "1": ["ravdess/01", "tess/YAF"],
        "2": ["ravdess/02", "tess/OAF"],
    }
    assert [(e["trained_on"], e["clips"], e["WA"]) for e in entries.values()] == [(5, 5, 100.0), (6, 5, 60.0)]
    true = np.array([0, 1, 2, 0, 2])
    assert entries["2"]["UA"] == round(unweighted_accuracy(true, np.array([0, 2, 2, 0, -1])), 2)


def test_divided_listeners_count_half(measured: dict[str, Any]) -> None:
    perceived = [("neutral",), ("neutral", "sad"), ("neutral",)]
    rated = [
        replace(utterance, perceived_labels=labels)
        for utterance, labels in zip(
            clips("cremad 1001 male neutral", "cremad 1001 male sad", "cremad 1002 female sad"), perceived, strict=True
        )
    ]
    assert measure_listeners([*rated, *UTTERANCES]) == {
        "cremad": {"agreement": 50.0, "clips": 3, "per_label": {"neutral": 100.0, "sad": 25.0}}
    }
    assert "perceived" not in measured
