"""Cluster embeddings of units of speech into voices."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Thresholds:
    """What decides on the number of voices; `python -m tools.tune_speakers` makes these values.

    Attributes
    ----------
    distance : mean cosine distance up to which units are clustered (average linkage)
    same_a, same_b, same_most_s : two clusters are one voice where the cosine of their means exceeds
        same_a + same_b * ln(s), s being the seconds of the smaller, at most same_most_s: an emotion of some seconds may
        sound like another voice, but seldom does a mean over many
    seed_s, voice_s : units with less do not form clusters; voices with less in all count as one of the others
    """

    distance: float = 0.6
    same_a: float = 0.0
    same_b: float = 0.25
    same_most_s: float = 16.0
    seed_s: float = 1.0
    voice_s: float = 2.0


THRESHOLDS = Thresholds()


def cluster(
    vectors: Vectors,
    seconds: NDArray[np.float64],
    speakers: int | None = None,
    thresholds: Thresholds = THRESHOLDS,
) -> NDArray[np.intp]:
    """Return the cluster of each of the embeddings [n, width] of unit length, each of so many seconds: int [n].

    There are as many clusters as `speakers`, or fewer where there is too little speech for so many.
    """
    least = speakers or 1
    seeds = seconds >= min(thresholds.seed_s, seconds.max())
    own, lengths = vectors[seeds], seconds[seeds]
    labels = _link(own, lengths, least, thresholds)
    while (count := labels.max() + 1) > least:
        means = mean_vectors(own, lengths, labels)
        totals = np.bincount(labels, lengths)
        smaller = np.minimum(np.minimum.outer(totals, totals), thresholds.same_most_s)
        excess = means @ means.T - (thresholds.same_a + thresholds.same_b * np.log(smaller))
        excess[np.tril_indices(count)] = -np.inf
        first, second = np.unravel_index(excess.argmax(), excess.shape)
        if speakers is None and excess[first, second] < 0:
            break
        labels = _number(np.where(labels == second, first, labels))
    return np.asarray((vectors @ mean_vectors(own, lengths, labels).T).argmax(axis=1))


def mean_vectors(vectors: Vectors, seconds: NDArray[np.float64], labels: NDArray[np.intp]) -> Vectors:
    """Return the mean of each label's vectors, weighted by seconds, at unit length."""
    present = np.unique(labels)
    return normalize(np.stack([seconds[labels == label] @ vectors[labels == label] for label in present]))


def normalize(vectors: NDArray[np.floating]) -> Vectors:
    """Return vectors [n, width] at unit length."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32)


def _link(vectors: Vectors, seconds: NDArray[np.float64], least: int, thresholds: Thresholds) -> NDArray[np.intp]:
    """Cluster by average linkage, into at least `least` clusters if possible; small ones join others.

    Voices that were asked for may be short.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist

    if len(vectors) == 1:
        return np.zeros(1, np.intp)
    tree = linkage(pdist(vectors, "cosine"), "average")
    labels = _absorb(vectors, seconds, fcluster(tree, thresholds.distance, "distance"), thresholds)
    short = replace(thresholds, voice_s=min(thresholds.seed_s, thresholds.voice_s))
    for allowed in (thresholds, short):
        for count in range(least, len(vectors) + 1):
            if labels.max() + 1 >= least:
                return labels
            labels = _absorb(vectors, seconds, fcluster(tree, count, "maxclust"), allowed)
    return labels


def _absorb(
    vectors: Vectors, seconds: NDArray[np.float64], labels: NDArray[np.intp], thresholds: Thresholds
) -> NDArray[np.intp]:
    """Dissolve clusters of less than `voice_s`, the smallest first, and move everything to the nearest mean."""
    labels = _number(labels)
    while len(totals := np.bincount(labels, seconds)) > 1 and totals.min() < thresholds.voice_s:
        nearness = vectors @ mean_vectors(vectors, seconds, labels).T
        nearness[:, totals.argmin()] = -np.inf
        labels = _number(np.where(labels == totals.argmin(), nearness.argmax(axis=1), labels))
    for _ in range(3):
        labels = _number((vectors @ mean_vectors(vectors, seconds, labels).T).argmax(axis=1))
    return labels


def _number(labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the labels numbered from 0 without gaps."""
    return np.asarray(np.unique(labels, return_inverse=True)[1])
