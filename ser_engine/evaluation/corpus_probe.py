"""How well one can tell from what a model makes of a clip which corpus it is from: what it may have learned instead.

Corpora differ in bandwidth, codec, room and labels, so that a model can guess a label from the corpus. A linear probe
learns to name the corpus from the clips of the speakers that a model was trained on, and is asked about the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ser_engine.evaluation.metrics import unweighted_accuracy
from ser_engine.features.encoder import Encoding

# More clips to learn from change nothing, and take their time.
CLIPS = 3000
SOURCES = ("encoder", "model")
"""What is probed: what the frozen encoder says, averaged over time, and the embedding that the model makes."""


def probe(
    sources: Sequence[Callable[[Sequence[Any]], NDArray[np.float32]]],
    known: Sequence[Any],
    corpora: NDArray[np.int_],
    unknown: Sequence[Any],
    seed: int = 0,
) -> NDArray[np.int_]:
    """Return the corpora int [2, m] that a probe takes m clips of unheard speakers for, a row for each of `SOURCES`.

    Parameters
    ----------
    sources : for each of `SOURCES`, what makes float32 [n, width] of n features; the model has heard those of `known`
    known, corpora : n features, and int [n] from which corpus each is
    unknown : m features
    """
    rows = np.random.default_rng(seed).permutation(len(known))[:CLIPS]
    some = [known[row] for row in rows]
    found = []
    for embed in sources:
        classifier = make_pipeline(StandardScaler(), RidgeClassifier(10.0, class_weight="balanced"))
        found.append(classifier.fit(embed(some), corpora[rows]).predict(embed(unknown)))
    return np.stack(found)


def measure(true: NDArray[np.int_], predicted: NDArray[np.int_]) -> dict[str, Any]:
    """Return {"encoder", "model", "chance"} in percent, of int [n] and the probes' int [2, n]: recall averaged."""
    shares = {name: round(unweighted_accuracy(true, row), 2) for name, row in zip(SOURCES, predicted, strict=True)}
    return {**shares, "chance": round(100 / len(np.unique(true)), 2)}


def layers_mean(encodings: Sequence[Encoding]) -> NDArray[np.float32]:
    """Return float32 [n, 2 · width], the mean of the layers' statistics of n encodings."""
    return np.stack([one.statistics.mean(axis=0, dtype=np.float32).ravel() for one in encodings])
