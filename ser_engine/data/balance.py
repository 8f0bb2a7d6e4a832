"""Balance the classes of a training set by leaving clips out or repeating them.

This is done after the split, so that no repeated clip is in both training and test.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def balance_to_count(
    labels: Sequence[str] | NDArray[np.str_],
    count: int,
    rng: np.random.Generator,
    prefer: NDArray[np.int_] | None = None,
) -> NDArray[np.int_]:
    """Return rows, int [m] in ascending order, with each class `count` times.

    Sharma (2023, III.A, tables 1 and 2) has 1,600 of each class in training and at most 400 in validation.

    Parameters
    ----------
    labels : the class of each of n rows
    count : rows of each class in the result
    rng : chooses the rows that are left out of a class that has more, or repeated in one that has fewer
    prefer : int [n]; rows with a lower number are taken first, such as recordings before their augmented copies
    """
    labels = np.asarray(labels)
    order = rng.permutation(len(labels))
    if prefer is not None:
        order = order[np.argsort(np.asarray(prefer)[order], kind="stable")]
    # `resize` repeats the rows as often as needed.
    chosen = [np.resize(order[labels[order] == label], count) for label in np.unique(labels)]
    return np.sort(np.concatenate([np.zeros(0, int), *chosen]))


def balance_to_harmonic_mean(labels: Sequence[str] | NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.int_]:
    """Return rows, int [m], with each class as often as the harmonic mean of their counts (Islam et al., eq. 4).

    A class that has more loses random rows; one that has fewer has random rows repeated.
    """
    counts = Counter(np.asarray(labels).tolist()).values()
    if not counts:
        return np.zeros(0, int)
    mean = len(counts) / sum(1 / count for count in counts)
    return balance_to_count(labels, round(mean), rng)
