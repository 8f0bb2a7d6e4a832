"""Figures of merit against worked examples and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score

from ser_engine.evaluation.metrics import (
    interval_over_speakers,
    report,
    unweighted_accuracy,
    weighted_accuracy,
)

LABELS = ("neutral", "happy", "sad", "angry")


@pytest.fixture(scope="module")
def answers() -> tuple[np.ndarray, np.ndarray]:
    """True and predicted labels of 400 utterances, of which one label never occurs and one is rare."""
    rng = np.random.default_rng(1)
    true = rng.choice(3, size=400, p=[0.7, 0.25, 0.05])
    predicted = np.where(rng.random(400) < 0.6, true, rng.integers(0, 4, 400))
    return true, predicted


def test_a_rare_emotion_counts_as_much_as_a_frequent_one() -> None:
    true, predicted = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1])
    assert unweighted_accuracy(true, predicted) == pytest.approx(87.5)
    assert weighted_accuracy(true, predicted) == pytest.approx(80.0)


def test_accuracies_are_the_well_known_ones(answers: tuple[np.ndarray, np.ndarray]) -> None:
    true, predicted = answers
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        expected = balanced_accuracy_score(true, predicted)
    assert unweighted_accuracy(true, predicted) == pytest.approx(100 * expected)
    assert weighted_accuracy(true, predicted) == pytest.approx(100 * accuracy_score(true, predicted))


def test_the_report_agrees_with_itself_and_with_scikit_learn(answers: tuple[np.ndarray, np.ndarray]) -> None:
    true, predicted = answers
    measured = report(true, predicted, ["a", "b"] * 200, LABELS)
    metrics = measured["metrics"]
    assert metrics["UA"] == round(unweighted_accuracy(true, predicted), 2)
    assert metrics["WA"] == round(weighted_accuracy(true, predicted), 2)
    assert metrics["UA_plus_WA"] == pytest.approx(metrics["UA"] + metrics["WA"], abs=0.011)
    present = [0, 1, 2]
    assert metrics["macro_f1"] == round(100 * f1_score(true, predicted, labels=present, average="macro"), 2)
    assert metrics["weighted_f1"] == round(100 * f1_score(true, predicted, labels=present, average="weighted"), 2)
    low, high = measured["interval"]
    assert low <= metrics["UA"] <= high
    assert (
        np.array(measured["confusion"])[:, :4].tolist() == confusion_matrix(true, predicted, labels=range(4)).tolist()
    )
    assert list(measured["per_class"]) == ["neutral", "happy", "sad"]  # nobody was angry
    recalls = [measured["per_class"][label]["recall"] for label in LABELS[:3]]
    assert np.mean(recalls) == pytest.approx(metrics["UA"], abs=0.02)
    for i, label in enumerate(LABELS[:3]):
        row = measured["per_class"][label]
        hits = ((true == i) & (predicted == i)).sum()
        assert row["support"] == (true == i).sum()
        assert row["recall"] == round(100 * hits / (true == i).sum(), 2)
        assert row["precision"] == round(100 * hits / (predicted == i).sum(), 2)


def test_the_interval_is_over_speakers() -> None:
    # Ten speakers, always right or always wrong: how many of either are drawn is all that varies.
    speakers = [f"s{i}" for i in range(10) for _ in range(20)]
    true = np.tile([0, 1], 100)
    predicted = np.where(np.repeat(np.arange(10) < 7, 20), true, 1 - true)
    low, high = interval_over_speakers(true, predicted, speakers)
    assert (low, high) == pytest.approx((40.0, 100.0), abs=10.0)
    many = interval_over_speakers(true, predicted, [str(i) for i in range(200)])
    assert many[1] - many[0] < (high - low) / 2
    assert (low, high) == interval_over_speakers(true, predicted, speakers)


def test_one_speaker_has_no_spread() -> None:
    true, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert interval_over_speakers(true, predicted, ["a"] * 4) == pytest.approx((75.0, 75.0))


def test_no_speech_is_an_error_and_no_prediction() -> None:
    true, predicted = np.array([0, 0, 1, 1, 2]), np.array([0, -1, 1, 0, -1])
    measured = report(true, predicted, list("abcde"), LABELS)
    assert measured["no_speech"] == 2
    assert measured["confusion"] == [[1, 0, 0, 0, 1], [1, 1, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]
    rows = measured["per_class"]
    assert [rows[label]["recall"] for label in LABELS[:3]] == [50.0, 50.0, 0.0]
    assert [rows[label]["precision"] for label in LABELS[:3]] == [50.0, 100.0, 0.0]
    assert measured["metrics"]["WA"] == 40.0 and measured["metrics"]["UA"] == 33.33
