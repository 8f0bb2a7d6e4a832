"""Emotions merged into fewer: paper-3's four groups for live use, or any other label set's."""

from __future__ import annotations

import numpy as np

from ser_engine.errors import InvalidSettings
from ser_engine.labels import LABEL_SETS, named
from ser_engine.types import Scores

FOUR = "islam-groups"
"""Anger or disgust, fear or surprise, happiness, sadness (paper-3, section 3.5, after Jack et al., 2014)."""


def group_of(label: str, label_set: str = FOUR) -> str | None:
    """Return the group that a model's label belongs to, None where it is left out (neutral and calm in paper-3)."""
    return LABEL_SETS[label_set].mapping.get(named(label) or "")


def grouped(scores: Scores, label_set: str = FOUR) -> Scores:
    """Return the probabilities of the groups, given that it is one of them: float32, summing to one.

    A group's probability is the sum of its emotions', over the sum of all groups'. Paper-3 (section 3.5) leaves
    neutral out and decides among its four, whatever neutral would have had; `left_out` says how much that is. Groups
    that the model has no label for are not there.

    Raises
    ------
    InvalidSettings
        The model has no label of any group.
    """
    homes = [group_of(label, label_set) for label in scores.labels]
    labels = LABEL_SETS[label_set].order(home for home in homes if home)
    if not labels:
        raise InvalidSettings(f"The model's labels ({', '.join(scores.labels)}) belong to none of the groups.")
    sums = np.zeros(len(labels), np.float64)
    for home, probability in zip(homes, scores.probabilities, strict=True):
        if home:
            sums[labels.index(home)] += probability
    total = sums.sum()
    # Where nothing at all is left for the groups they are equally likely.
    return Scores(labels, (sums / total if total else np.full(len(labels), 1 / len(labels))).astype(np.float32))


def left_out(scores: Scores, label_set: str = FOUR) -> float:
    """Return the probability, 0 to 1, of the labels that are in no group."""
    return float(
        sum(p for label, p in zip(scores.labels, scores.probabilities, strict=True) if not group_of(label, label_set))
    )
