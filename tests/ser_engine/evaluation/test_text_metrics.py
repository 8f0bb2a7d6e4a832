"""Thresholds and figures of labels that may occur together, beside scikit-learn's and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from ser_engine.evaluation.text_metrics import best_thresholds, macro_f1, present, report, vote_thresholds

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
        found, there = probabilities[:, label] >= np.vstack([grid, chosen[[label]][:, None]]), true[:, label]
        f1 = 2 * (found & there).sum(axis=1) / (found.sum(axis=1) + there.sum())
        assert f1[-1] >= f1.max() - 1e-9


def test_a_label_that_never_occurs_is_hardly_ever_found() -> None:
    true, probabilities = drawn()
    true[:, 2] = False
    assert best_thresholds(true, probabilities)[2] > 0.98


@pytest.mark.parametrize("false_votes", [0.0, 0.02, 0.1, 0.5])
def test_of_neutral_sentences_no_more_vote_than_are_allowed(false_votes: float) -> None:
    true, probabilities = drawn(2000)
    neutral_only = probabilities[true[:, 0] & (true.sum(axis=1) == 1)]
    low = np.full(3, 0.05, np.float32)
    chosen = vote_thresholds(low, neutral_only, 0, false_votes)
    votes = ((neutral_only > chosen) & (neutral_only > neutral_only[:, [0]]))[:, 1:].any(axis=1)
    assert votes.mean() <= false_votes
    if 0 < false_votes < 0.5:  # of those here, hardly half beat neutral
        assert votes.mean() > false_votes / 2  # and not many fewer, so that words are heard at all
    assert (chosen >= low).all() and (vote_thresholds(np.full(3, 0.97, np.float32), neutral_only, 0, 0.5) >= 0.97).all()


def test_without_neutral_sentences_a_vote_needs_what_presence_needs() -> None:
    thresholds = np.array([0.3, 0.4, 0.5], np.float32)
    np.testing.assert_array_equal(vote_thresholds(thresholds, np.zeros((0, 3), np.float32), 0, 0.03), thresholds)


def test_every_text_has_a_label() -> None:
    thresholds = np.array([0.5, 0.2, 0.8], np.float32)
    probabilities = np.array([[0.6, 0.1, 0.9], [0.4, 0.1, 0.1], [0.1, 0.15, 0.5]], np.float32)
    assert present(probabilities, thresholds).tolist() == [
        [True, False, True],
        [True, False, False],
        [False, True, False],
    ]


def test_the_figures_are_scikit_learns() -> None:
    true, probabilities = drawn()
    predicted = present(probabilities, best_thresholds(true, probabilities))
    found = report(true, predicted, LABELS)
    assert found["metrics"]["macro_f1"] == round(100 * f1_score(true, predicted, average="macro"), 2)
    assert found["metrics"]["weighted_f1"] == round(100 * f1_score(true, predicted, average="weighted"), 2)
    assert macro_f1(true, predicted) == pytest.approx(100 * f1_score(true, predicted, average="macro"))
    assert [row["support"] for row in found["per_class"].values()] == true.sum(axis=0).tolist()
    assert found["per_class"]["sad"]["f1"] == round(100 * f1_score(true[:, 2], predicted[:, 2]), 2)


def test_intervals_hold_the_figure_and_narrow_with_more_sentences() -> None:
    widths = []
    for count in (100, 1600):
        true, probabilities = drawn(count)
        figures = report(true, present(probabilities, np.full(3, 0.5, np.float32)), LABELS)["metrics"]
        low, high = figures["macro_f1_ci95"]
        assert low < figures["macro_f1"] < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
    assert report(*(true, true), LABELS)["metrics"]["macro_f1_ci95"] == [100.0, 100.0]
