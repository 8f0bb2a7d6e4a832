"""How sure an answer is: temperatures, reliability, and the probability under which the honest answer is "not sure".

All of it is fitted on speakers that are not in a model's training, and measured on others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

BINS = 15
COVERAGE = 0.8
"""Share of recordings that get an answer; of the others, whose answers are the least probable, "not sure" is said."""
STEPS = np.linspace(0.05, 1.0, 20)
"""Coverages of the curve."""


def fit_temperature(log_probabilities: NDArray[np.float32], true: NDArray[np.int_]) -> float:
    """Return the temperature that makes held-out log-probabilities [n, labels] most likely (Guo et al., 2017)."""
    rows = np.arange(len(true))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(log_probabilities / np.exp(log_temperature), axis=1)[rows, true].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded").x))


def reliability(true: NDArray[np.int_], probabilities: NDArray[np.float32]) -> list[dict[str, float]]:
    """Return {confidence, accuracy, clips} of each of 15 equal bins of the top probability that holds any clip.

    `probabilities` is [n, labels]; both figures are means over the bin, from 0 to 1 (Guo et al., 2017, section 2).
    """
    return [
        {"confidence": round(confidence, 4), "accuracy": round(accuracy, 4), "clips": clips}
        for confidence, accuracy, clips in _bins(true, probabilities)
    ]


def expected_calibration_error(true: NDArray[np.int_], probabilities: NDArray[np.float32]) -> float:
    """Return ECE (Guo et al., 2017, section 2) over 15 equal bins of the top probability, 0 to 1."""
    gaps = [clips * abs(accuracy - confidence) for confidence, accuracy, clips in _bins(true, probabilities)]
    return sum(gaps) / len(true)


def _bins(true: NDArray[np.int_], probabilities: NDArray[np.float32]) -> list[tuple[float, float, int]]:
    """Return (mean top probability, share that is right, clips) of each bin that holds any clip."""
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    members = [bins == number for number in np.unique(bins)]
    return [(float(confidence[rows].mean()), float(correct[rows].mean()), int(rows.sum())) for rows in members]


def coverage_curve(true: NDArray[np.int_], probabilities: NDArray[np.float32]) -> list[dict[str, float]]:
    """Return {coverage, accuracy} from 0.05 to 1: how many of the surest answers are right."""
    surest = np.argsort(-probabilities.max(axis=1), kind="stable")
    right = (probabilities.argmax(axis=1) == true)[surest]
    counts = np.maximum(1, np.round(STEPS * len(true)).astype(int))
    return [
        {"coverage": round(float(step), 2), "accuracy": round(float(right[:count].mean()), 4)}
        for step, count in zip(STEPS, counts, strict=True)
    ]


def threshold(
    true: NDArray[np.int_], probabilities: NDArray[np.float32], coverage: float = COVERAGE, least: float = 0.0
) -> dict[str, float]:
    """Return where "not sure" begins, and what is gained by saying it; all from 0 to 1.

    Answers whose top probability is lower than `below`, which is at least `least`, are withheld. On the speakers that
    it was measured on, `coverage` of the recordings are answered then, of which `accuracy` rightly; of all recordings,
    `without`.
    """
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    below = max(least, float(np.quantile(confidence, 1 - coverage)))
    answered = confidence >= below
    figures = {"below": below, "coverage": answered.mean(), "accuracy": correct[answered].mean()}
    return {name: round(float(value), 4) for name, value in (figures | {"without": correct.mean()}).items()}


def measure(true: NDArray[np.int_], probabilities: NDArray[np.float32], least: float = 0.0) -> dict[str, Any]:
    """Return what a run stores: `ECE` in percent, `mean` top probability, `reliability`, `coverage`, `threshold`.

    The threshold is at least `least`.
    """
    return {
        "ECE": round(100 * expected_calibration_error(true, probabilities), 2),
        "mean": round(float(probabilities.max(axis=1).mean()), 4),
        "reliability": reliability(true, probabilities),
        "coverage": coverage_curve(true, probabilities),
        "threshold": threshold(true, probabilities, least=least),
    }
