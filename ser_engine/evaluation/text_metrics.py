"""Thresholds and figures of a system that gives each label of a text a probability of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, precision_recall_fscore_support

from ser_engine.evaluation.metrics import BOOTSTRAPS, percent

LEAST, GREATEST = 0.01, 0.99
"""What a threshold may be: beyond, it would be a label's absence or presence whatever the text."""

Marks = NDArray[np.bool_]
Probabilities = NDArray[np.float32]


def best_thresholds(true: Marks, probabilities: Probabilities) -> Probabilities:
    """Return for each label the threshold of the greatest F1, float32 [labels], given [n, labels] of both.

    Labels are chosen for one by one, which maximises macro-F1, their mean. A label that does not occur has the
    greatest.
    """
    found = []
    for label in range(true.shape[1]):
        if not true[:, label].any():
            found.append(GREATEST)
            continue
        precision, recall, values = precision_recall_curve(true[:, label], probabilities[:, label])
        both = precision[:-1] + recall[:-1]  # the last point of the curve has no threshold
        f1 = np.divide(2 * precision[:-1] * recall[:-1], both, out=np.zeros_like(both), where=both > 0)
        found.append(float(values[f1.argmax()]))
    # A little lower, so that the rounding in a file never turns the sentence that set it.
    return np.clip(np.array(found) - 1e-6, LEAST, GREATEST).astype(np.float32)


def vote_thresholds(
    thresholds: Probabilities, neutral_only: Probabilities, neutral: int, false_votes: float
) -> Probabilities:
    """Return beyond which probability each emotion has a vote, float32 [labels], at least its threshold.

    Parameters
    ----------
    thresholds : from which the labels count as present
    neutral_only : [m, labels], of sentences that people called neutral and nothing else
    neutral : index of that label
    false_votes : at most this share of those sentences may have a vote (where it beats neutral's probability), the
        emotions sharing it alike; a test of Neyman's and Pearson's kind, whose error of the first kind is bounded
    """
    found = thresholds.astype(np.float64)
    allowed = int(false_votes / max(1, len(found) - 1) * len(neutral_only))  # sentences that each emotion may claim
    for label in range(len(found)):
        claims = np.sort(neutral_only[:, label][neutral_only[:, label] > neutral_only[:, neutral]])[::-1]
        if label != neutral and len(claims) > allowed:
            found[label] = max(found[label], float(claims[allowed]) + 1e-5)
    return np.clip(found, LEAST, GREATEST).astype(np.float32)


def present(probabilities: Probabilities, thresholds: Probabilities) -> Marks:
    """Return which labels each text has, bool [n, labels]: at least one, as every text of GoEmotions has.

    Where none reaches its threshold, it is the one that comes nearest, in parts of the threshold.
    """
    found = probabilities >= thresholds
    none = np.flatnonzero(~found.any(axis=1))
    found[none, (probabilities[none] / thresholds).argmax(axis=1)] = True
    return found


def macro_f1(true: Marks, predicted: Marks) -> float:
    """Return the mean of the labels' F1, in per cent."""
    return 100 * float(_f1(*_counts(true, predicted).sum(axis=0)).mean())


def report(true: Marks, predicted: Marks, labels: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Return the figures of [n, labels] in per cent, with 95% intervals when sentences are drawn with replacement.

    Returns
    -------
    dict
        "metrics" with macro_f1, weighted_f1 (by how often a label is true) and their intervals, and "per_class" with
        precision, recall, f1, f1_ci95 and support.
    """
    precision, recall, f1, support = precision_recall_fscore_support(true, predicted, zero_division=0)
    counts, rng = _counts(true, predicted), np.random.default_rng(seed)
    each = np.array([_f1(*_drawn(counts, rng)) for _ in range(BOOTSTRAPS)])
    return {
        "metrics": {
            "macro_f1": percent(f1),
            "weighted_f1": round(100 * float(np.average(f1, weights=support)), 2),
            "macro_f1_ci95": _interval(each.mean(axis=1)),
            "weighted_f1_ci95": _interval(each @ (support / support.sum())),
        },
        "per_class": {
            label: {
                "precision": round(100 * float(precision[i]), 2),
                "recall": round(100 * float(recall[i]), 2),
                "f1": round(100 * float(f1[i]), 2),
                "f1_ci95": _interval(each[:, i]),
                "support": int(support[i]),
            }
            for i, label in enumerate(labels)
        },
    }


def _counts(true: Marks, predicted: Marks) -> NDArray[np.int_]:
    """Return [n, 2, labels]: where a label was found rightly, and how often it was true or predicted at all."""
    return np.stack([true & predicted, true.astype(int) + predicted], axis=1).astype(int)


def _drawn(counts: NDArray[np.int_], rng: np.random.Generator) -> NDArray[np.int_]:
    """Return the sums [2, labels] over as many sentences drawn with replacement."""
    times = np.bincount(rng.integers(len(counts), size=len(counts)), minlength=len(counts))
    return np.tensordot(times, counts, axes=1)


def _f1(right: NDArray[np.int_], named: NDArray[np.int_]) -> NDArray[np.float64]:
    """Return F1 = 2 TP / (2 TP + FP + FN); `named` is the denominator, and 0 stands for a label without any."""
    return np.divide(2 * right, named, out=np.zeros(len(right)), where=named > 0)


def _interval(figures: NDArray[np.float64]) -> list[float]:
    return [round(100 * float(bound), 2) for bound in np.percentile(figures, [2.5, 97.5])]
