"""Thresholds and figures of a system with one probability for each label of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, precision_recall_fscore_support

from ser_engine.evaluation.metrics import BOOTSTRAPS, interval, percent

LOWEST, HIGHEST = 0.01, 0.99
"""Bounds of a threshold: beyond them a label would be present or absent in any text."""

Marks = NDArray[np.bool_]
Probabilities = NDArray[np.float32]


def best_thresholds(true: Marks, probabilities: Probabilities) -> Probabilities:
    """Return for each label the threshold with the highest F1, float32 [labels]; arguments are [n, labels].

    Choosing label by label maximizes macro-F1, their mean. A label that does not occur has the highest threshold.
    """
    thresholds = []
    for label in range(true.shape[1]):
        if not true[:, label].any():
            thresholds.append(HIGHEST)
            continue
        precision, recall, values = precision_recall_curve(true[:, label], probabilities[:, label])
        both = precision[:-1] + recall[:-1]  # the last point of the curve has no threshold
        f1 = np.divide(2 * precision[:-1] * recall[:-1], both, out=np.zeros_like(both), where=both > 0)
        thresholds.append(float(values[f1.argmax()]))
    # A little lower, so that rounding in a file never changes the sentence that set it.
    return np.clip(np.array(thresholds) - 1e-6, LOWEST, HIGHEST).astype(np.float32)


def margin_thresholds(
    thresholds: Probabilities, neutral_only: Probabilities, neutral: int, false_positives: float
) -> Probabilities:
    """Return the probability above which each emotion has a margin, float32 [labels], at least its threshold.

    A test in the sense of Neyman and Pearson: the error of the first kind is bounded.

    Parameters
    ----------
    thresholds : probabilities from which the labels count as present
    neutral_only : [m, labels], of sentences labeled neutral and nothing else
    neutral : index of that label
    false_positives : largest share of those sentences with a margin (an emotion above its threshold and above neutral),
        divided equally among the emotions
    """
    raised = thresholds.astype(np.float64)
    allowed = int(false_positives / max(1, len(raised) - 1) * len(neutral_only))  # sentences, for each emotion
    for label in range(len(raised)):
        above = np.sort(neutral_only[:, label][neutral_only[:, label] > neutral_only[:, neutral]])[::-1]
        if label != neutral and len(above) > allowed:
            raised[label] = max(raised[label], float(above[allowed]) + 1e-5)
    return np.clip(raised, LOWEST, HIGHEST).astype(np.float32)


def present_labels(probabilities: Probabilities, thresholds: Probabilities, single: Marks | bool = False) -> Marks:
    """Return the labels of each text, bool [n, labels]: at least one, as in every text of GoEmotions.

    If none reaches its threshold, and for rows that are `single` (bool [n]), it is the one with the highest ratio of
    probability and threshold.
    """
    present = probabilities >= thresholds
    one = np.flatnonzero(~present.any(axis=1) | single)
    present[one] = False
    present[one, (probabilities[one] / thresholds).argmax(axis=1)] = True
    return present


def label_f1(true: Marks, predicted: Marks) -> NDArray[np.float64]:
    """Return the F1 of each label, float64 [labels], 0 to 1; 0 for one that neither occurs nor is predicted."""
    totals = true.sum(axis=0) + predicted.sum(axis=0)
    f1: NDArray[np.float64] = 2 * (true & predicted).sum(axis=0) / np.maximum(totals, 1)
    return f1


def macro_f1(true: Marks, predicted: Marks) -> float:
    """Return the mean F1 of the labels that occur, in percent."""
    return 100 * float(label_f1(true, predicted)[true.any(axis=0)].mean())


def measure_marks(true: Marks, predicted: Marks, labels: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Return the entries of a `RunRecord` for [n, labels]: figures in percent, with 95% intervals over sentences.

    "per_class" has precision, recall, f1, f1_low, f1_high and support; "details" has "weighted_f1_ci95".
    """
    precision, recall, f1, support = precision_recall_fscore_support(true, predicted, zero_division=0)
    drawn = _resampled_f1(true, predicted, seed)
    per_class: dict[str, dict[str, float]] = {}
    for i, label in enumerate(labels):
        shares = {"precision": precision[i], "recall": recall[i], "f1": f1[i]}
        low, high = interval(drawn[:, i])
        per_class[label] = {name: percent(share) for name, share in shares.items()}
        per_class[label] |= {"support": int(support[i]), "f1_low": low, "f1_high": high}
    return {
        "metrics": {"macro_f1": percent(f1), "weighted_f1": percent(np.average(f1, weights=support))},
        "interval": interval(drawn.mean(axis=1)),
        "per_class": per_class,
        "details": {"weighted_f1_ci95": list(interval(drawn @ (support / support.sum())))},
    }


def _resampled_f1(true: Marks, predicted: Marks, seed: int) -> NDArray[np.float64]:
    """Return the labels' F1 on n sentences drawn with replacement, in percent, `BOOTSTRAPS` times: [times, labels]."""
    count, rng = len(true), np.random.default_rng(seed)
    # F1 = 2 TP / (2 TP + FP + FN): twice the hits, and how often a label is true plus how often it is predicted.
    counts = np.stack([2 * (true & predicted), true.astype(int) + predicted], axis=1)
    result = np.zeros((BOOTSTRAPS, true.shape[1]))
    for f1 in result:
        times = np.bincount(rng.integers(count, size=count), minlength=count)
        hits, totals = np.tensordot(times, counts, axes=1)
        np.divide(hits, totals, out=f1, where=totals > 0)
    return 100 * result
