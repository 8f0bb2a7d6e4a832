"""As many clips of one class as of another, for training: clips are left out, or come more than once.

Only ever after the split: a clip that comes twice must not be on both of its sides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def to_count(
    labels: Sequence[str] | NDArray[np.str_],
    count: int,
    rng: np.random.Generator,
    prefer: NDArray[np.int_] | None = None,
    repeat: bool = True,
) -> NDArray[np.int_]:
    """Return rows, int [m] in ascending order, in which each class comes `count` times.

    paper-1 (III.A, tables 1 and 2) has 1,600 of each class in training and at most 400 in validation.

    Parameters
    ----------
    labels : the class of each of n rows
    count : how often each class shall come
    rng : draws what is left out of a class that has more, and what is repeated of one that has fewer; no row comes more
        than once oftener than another of its class
    prefer : int [n]; rows with a lower number are taken first, which is to say recordings before copies of them
    repeat : whether a class that has fewer is filled up; if not, it stays as it is
    """
    labels = np.asarray(labels)
    order = rng.permutation(len(labels))
    if prefer is not None:
        order = order[np.argsort(np.asarray(prefer)[order], kind="stable")]
    chosen = [np.zeros(0, int)]
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        # `resize` goes around the rows as often as is needed.
        chosen.append(np.resize(rows, count if repeat else min(count, len(rows))))
    return np.sort(np.concatenate(chosen))


def to_harmonic_mean(labels: Sequence[str] | NDArray[np.str_], rng: np.random.Generator) -> NDArray[np.int_]:
    """Return rows, int [m], in which each class comes as often as the harmonic mean of their numbers (paper-3, eq. 4).

    A class that has more loses random rows; one that has fewer has random rows repeated.
    """
    counts = Counter(np.asarray(labels).tolist()).values()
    if not counts:
        return np.zeros(0, int)
    mean = len(counts) / sum(1 / count for count in counts)
    return to_count(labels, round(mean), rng)
