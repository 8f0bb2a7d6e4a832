"""Figures of merit in percent, with intervals over speakers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

BOOTSTRAPS = 1000


def unweighted_accuracy(true: NDArray[np.int_], predicted: NDArray[np.int_]) -> float:
    """Return UA: recall averaged over the classes that occur in `true`, in percent."""
    return 100.0 * float(np.mean([np.mean(predicted[true == label] == label) for label in np.unique(true)]))


def weighted_accuracy(true: NDArray[np.int_], predicted: NDArray[np.int_]) -> float:
    """Return WA: the share of utterances that are right, in percent."""
    return 100.0 * float(np.mean(true == predicted))


def percent(shares: ArrayLike) -> float:
    """Return a share, the mean of shares [n], or how many of n are true, in percent, to two digits."""
    return round(100.0 * float(np.asarray(shares).mean()), 2)


def accuracies(true: NDArray[np.int_], predicted: NDArray[np.int_]) -> dict[str, float]:
    """Return {"UA", "WA"} in percent, to two digits."""
    return {"UA": round(unweighted_accuracy(true, predicted), 2), "WA": round(weighted_accuracy(true, predicted), 2)}


def interval_over_speakers(
    true: NDArray[np.int_], predicted: NDArray[np.int_], speakers: Sequence[str], seed: int = 0
) -> tuple[float, float]:
    """Return the 95% interval of UA when speakers, not utterances, are drawn with replacement."""
    rng = np.random.default_rng(seed)
    names, codes = np.unique(np.asarray(speakers), return_inverse=True)
    rows = [np.flatnonzero(codes == code) for code in range(len(names))]
    figures = []
    for _ in range(BOOTSTRAPS):
        drawn = np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
        figures.append(unweighted_accuracy(true[drawn], predicted[drawn]))
    return interval(figures)


def interval(figures: Sequence[float] | NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95% interval of bootstrapped figures in percent, to two digits."""
    low, high = np.percentile(figures, [2.5, 97.5])
    return round(float(low), 2), round(float(high), 2)


def class_figures(
    true: NDArray[np.int_], predicted: NDArray[np.int_], labels: Sequence[str]
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """Return precision, recall, f1 and support of the classes that occur in `true`, and macro and weighted F1."""
    classes = range(len(labels))
    precision, recall, f1, support = precision_recall_fscore_support(true, predicted, labels=classes, zero_division=0)
    present = np.unique(true)
    shares = {"precision": precision, "recall": recall, "f1": f1}
    by_class = {
        labels[i]: {name: percent(values[i]) for name, values in shares.items()} | {"support": int(support[i])}
        for i in present
    }
    weighted = np.average(f1[present], weights=support[present])
    return by_class, {"macro_f1": percent(f1[present]), "weighted_f1": percent(weighted)}


def report(
    true: NDArray[np.int_],
    predicted: NDArray[np.int_],
    speakers: Sequence[str],
    labels: Sequence[str],
    folds: NDArray[np.str_] | None = None,
) -> dict[str, Any]:
    """Return the figures of a run's predictions, as entries of a `RunRecord`.

    A clip without speech (-1 in `predicted`) is an error in recall and accuracy, and no prediction of any class in
    precision. With two or more `folds`, the names of those in which the clips were tested, means and deviations over
    the folds are added.
    """
    by_class, means = class_figures(true, predicted, labels)
    ua, wa = unweighted_accuracy(true, predicted), weighted_accuracy(true, predicted)
    metrics = {"WA": round(wa, 2), "UA": round(ua, 2), "UA_plus_WA": round(ua + wa, 2), **means}
    if folds is not None and len(np.unique(folds)) > 1:
        for name, figures in _over_folds(true, predicted, folds, labels).items():
            (metrics if name == "metrics" else by_class[name]).update(figures)
    return {
        "metrics": metrics,
        "per_class": by_class,
        "confusion": confusion_matrix(true, predicted, labels=[*range(len(labels)), -1])[:-1].tolist(),
        "no_speech": int((predicted < 0).sum()),
        "interval": list(interval_over_speakers(true, predicted, speakers)),
        "tested": len(true),
    }


def _over_folds(
    true: NDArray[np.int_], predicted: NDArray[np.int_], folds: NDArray[np.str_], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return means and deviations over the folds in percent, for "metrics" and for each class that occurs.

    A class counts in the folds in which it was tested. The deviation is that of the folds as they are, not of an
    estimate for others (papers' tables give the same).
    """
    parts = [(true[folds == fold], predicted[folds == fold]) for fold in np.unique(folds)]
    whole = {"WA": [weighted_accuracy(*part) for part in parts], "UA": [unweighted_accuracy(*part) for part in parts]}
    classes = range(len(labels))
    by_fold = np.array([precision_recall_fscore_support(*part, labels=classes, zero_division=0) for part in parts])
    result = {"metrics": _mean_and_deviation(whole)}
    for label in np.unique(true):
        precision, recall, f1, support = by_fold[:, :, label].T
        named = {"precision": precision, "recall": recall, "f1": f1}
        result[labels[label]] = _mean_and_deviation({name: 100 * share[support > 0] for name, share in named.items()})
    return result


def _mean_and_deviation(figures: Mapping[str, Sequence[float] | NDArray[np.float64]]) -> dict[str, float]:
    means = {f"{name}_mean": round(float(np.mean(values)), 2) for name, values in figures.items()}
    return means | {f"{name}_std": round(float(np.std(values)), 2) for name, values in figures.items()}
