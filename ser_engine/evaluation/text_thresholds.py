"""Labels of sentences of several corpora, of which some have several labels and some exactly one."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from ser_engine.data.corpora.sentences import LABELS, Sentences
from ser_engine.data.corpora.text_registry import TEXT_CORPORA
from ser_engine.evaluation.text_metrics import (
    Marks,
    Probabilities,
    best_thresholds,
    label_f1,
    macro_f1,
    present_labels,
)
from ser_engine.labels import NEUTRAL

MIN_EXAMPLES = 10
"""Of a label in a corpus, for its F1 to count in the choice of thresholds."""
GRID = np.arange(2, 99, 2, dtype=np.float32) / 100


def decide(sentences: Sentences, probabilities: Probabilities, thresholds: Probabilities) -> Marks:
    """Return the labels of each sentence, bool [n, labels]: exactly one in a corpus where each sentence has one."""
    single = [corpus in TEXT_CORPORA and TEXT_CORPORA[corpus].single_label for corpus in sentences.corpora]
    return present_labels(probabilities, thresholds, np.array(single or [False] * len(sentences), bool))


def corpora_f1(sentences: Sentences, predicted: Marks) -> dict[str, float]:
    """Return macro-F1 in percent by corpus, each over the labels that occur in it."""
    return {corpus: macro_f1(sentences.labels[rows], predicted[rows]) for corpus, rows in sentences.groups().items()}


def mean_macro_f1(sentences: Sentences, predicted: Marks) -> float:
    """Return the mean over the corpora of their macro-F1, in percent."""
    return float(np.mean(list(corpora_f1(sentences, predicted).values())))


def choose_thresholds(sentences: Sentences, probabilities: Probabilities) -> Probabilities:
    """Return for each label the threshold with the highest macro-F1, float32 [labels]; arguments have n rows.

    With several corpora, it is the mean over them of macro-F1 over the labels with at least `MIN_EXAMPLES`. Where a
    sentence has exactly one label, the decision depends on all thresholds, so that one after the other is moved on
    `GRID`, as long as a round gains something. It begins with the best ones of a corpus, or of all together.
    """
    pooled = best_thresholds(sentences.labels, probabilities)
    parts = [(rows, sentences.labels[rows]) for rows in sentences.groups().values()]
    counted = [(rows, true, true.sum(axis=0) >= MIN_EXAMPLES) for rows, true in parts]
    counted = [(rows, true, often) for rows, true, often in counted if often.any()]
    if len(parts) == 1 or not counted:
        return pooled

    def figure(tried: Probabilities) -> float:
        predicted = decide(sentences, probabilities, tried)
        return float(np.mean([label_f1(true, predicted[rows])[often].mean() for rows, true, often in counted]))

    thresholds = max([pooled, *(best_thresholds(true, probabilities[rows]) for rows, true in parts)], key=figure)
    best, before = figure(thresholds), -1.0
    while best > before:
        before = best
        for label, value in product(range(len(thresholds)), GRID):
            tried = thresholds.copy()
            tried[label] = value
            if (found := figure(tried)) > best:
                best, thresholds = found, tried
    return thresholds


def neutral_only(marks: Marks) -> NDArray[np.bool_]:
    """Return which of [n, labels] are labeled neutral and nothing else, bool [n]."""
    result: NDArray[np.bool_] = marks[:, LABELS.index(NEUTRAL)] & (marks.sum(axis=1) == 1)
    return result
