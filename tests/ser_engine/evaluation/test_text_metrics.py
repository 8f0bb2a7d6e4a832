"""Thresholds and figures of labels that may occur together, compared with scikit-learn's and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from ser_engine.evaluation.text_metrics import (
    best_thresholds,
    macro_f1,
    margin_thresholds,
    measure_marks,
    present_labels,
)

LABELS = ("neutral", "happy", "sad")


def drawn(count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return labels bool [n, 3] and probabilities float32 [n, 3] that know something of them."""
    rng = np.random.default_rng(seed)
    true = rng.random((count, 3)) < [0.4, 0.5, 0.1]
    true[~true.any(axis=1), 0] = True
    return true, np.clip(0.3 * true + 0.6 * rng.random((count, 3)), 0.001, 0.999).astype(np.float32)


def test_no_other_threshold_has_a_greater_f1() -> None:
    true, probabilities = drawn()
    chosen = best_thresholds(true, probabilities)
    grid = np.linspace(0.01, 0.99, 197)[:, None]
    for label in range(3):
        predicted, there = probabilities[:, label] >= np.vstack([grid, chosen[[label]][:, None]]), true[:, label]
        f1 = 2 * (predicted & there).sum(axis=1) / (predicted.sum(axis=1) + there.sum())
        assert f1[-1] >= f1.max() - 1e-9


def test_a_label_that_never_occurs_is_hardly_ever_predicted() -> None:
    true, probabilities = drawn()
    true[:, 2] = False
    assert best_thresholds(true, probabilities)[2] > 0.98


@pytest.mark.parametrize("false_positives", [0.0, 0.02, 0.1, 0.5])
def test_no_more_neutral_sentences_have_a_margin_than_allowed(false_positives: float) -> None:
    true, probabilities = drawn(2000)
    neutral_only = probabilities[true[:, 0] & (true.sum(axis=1) == 1)]
    low = np.full(3, 0.05, np.float32)
    chosen = margin_thresholds(low, neutral_only, 0, false_positives)
    above = ((neutral_only > chosen) & (neutral_only > neutral_only[:, [0]]))[:, 1:].any(axis=1)
    assert above.mean() <= false_positives
    if 0 < false_positives < 0.5:  # hardly half of these are above neutral
        assert above.mean() > false_positives / 2  # and not many fewer, so that words have an influence
    assert (chosen >= low).all() and (
        margin_thresholds(np.full(3, 0.97, np.float32), neutral_only, 0, 0.5) >= 0.97
    ).all()


def test_without_neutral_sentences_a_margin_begins_at_the_threshold() -> None:
    thresholds = np.array([0.3, 0.4, 0.5], np.float32)
    np.testing.assert_array_equal(margin_thresholds(thresholds, np.zeros((0, 3), np.float32), 0, 0.03), thresholds)


def test_every_text_has_a_label() -> None:
    thresholds = np.array([0.5, 0.2, 0.8], np.float32)
    probabilities = np.array([[0.6, 0.1, 0.9], [0.4, 0.1, 0.1], [0.1, 0.15, 0.5]], np.float32)
    assert present_labels(probabilities, thresholds).tolist() == [
        [True, False, True],
        [True, False, False],
        [False, True, False],
    ]


def test_the_figures_are_scikit_learns() -> None:
    true, probabilities = drawn()
    predicted = present_labels(probabilities, best_thresholds(true, probabilities))
    measured = measure_marks(true, predicted, LABELS)
    assert measured["metrics"]["macro_f1"] == round(100 * f1_score(true, predicted, average="macro"), 2)
    assert measured["metrics"]["weighted_f1"] == round(100 * f1_score(true, predicted, average="weighted"), 2)
    assert macro_f1(true, predicted) == pytest.approx(100 * f1_score(true, predicted, average="macro"))
    assert [row["support"] for row in measured["per_class"].values()] == true.sum(axis=0).tolist()
    assert measured["per_class"]["sad"]["f1"] == round(100 * f1_score(true[:, 2], predicted[:, 2]), 2)


def test_intervals_hold_the_figure_and_narrow_with_more_sentences() -> None:
    widths = []
    for count in (100, 1600):
        true, probabilities = drawn(count)
        entries = measure_marks(true, present_labels(probabilities, np.full(3, 0.5, np.float32)), LABELS)
        low, high = entries["interval"]
        assert low < entries["metrics"]["macro_f1"] < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
    assert measure_marks(true, true, LABELS)["interval"] == (100.0, 100.0)
