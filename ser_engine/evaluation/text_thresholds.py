"""Labels of sentences of several corpora, of which some have several labels and some exactly one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ser_engine.data.corpora.sentences import LABELS, Sentences
from ser_engine.data.corpora.text_registry import TEXT_CORPORA
from ser_engine.evaluation.text_metrics import (
    Marks,
    Probabilities,
    best_thresholds,
    macro_f1,
    present_labels,
)
from ser_engine.labels import NEUTRAL


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
    """Return for each label the threshold with the highest mean F1 over the corpora, float32 [labels]."""
    return best_thresholds(sentences.labels, probabilities, tuple(sentences.groups().values()))


def neutral_only(marks: Marks) -> NDArray[np.bool_]:
    """Return which of [n, labels] are labeled neutral and nothing else, bool [n]."""
    result: NDArray[np.bool_] = marks[:, LABELS.index(NEUTRAL)] & (marks.sum(axis=1) == 1)
    return result
