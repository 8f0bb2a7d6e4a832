"""How well the corpus of a clip can be named from what a model computes of it: what it may have learned instead.

Corpora differ in bandwidth, codec, room and labels, so that a model can guess a label from the corpus. A linear probe
is trained on embeddings of the training clips of a fold and tested on its tested clips.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

CLIPS = 3000
"""Largest number of training clips of a probe; more change nothing and take time."""
PREFIX = "probe."
"""Prefix of a probe's results among the outputs of a run."""

Embeddings = NDArray[np.float32]


def probe_corpora(
    train: Embeddings, train_corpora: NDArray[np.str_], test: Embeddings, test_corpora: NDArray[np.str_]
) -> NDArray[np.float32]:
    """Return for each tested clip, float32 [m], 1 if a probe names its corpus, 0 if not, NaN without speech.

    `train` [n, width] and `test` [m, width] are embeddings; rows of NaN have no speech.
    """
    known, tested = (~np.isnan(rows).any(axis=1) for rows in (train, test))
    classifier = make_pipeline(StandardScaler(), RidgeClassifier(10.0, class_weight="balanced"))
    classifier.fit(train[known], train_corpora[known])
    result = np.full(len(test), np.nan, np.float32)
    result[tested] = classifier.predict(test[tested]) == test_corpora[tested]
    return result


def summarize(probes: Mapping[str, NDArray[np.float32]], corpora: NDArray[np.str_]) -> dict[str, float]:
    """Return by name how often the probes are right, in percent, averaged over corpora, and the "chance" of guessing.

    `probes` are the results of `probe_corpora` for n clips, and `corpora` the clips' own, str [n].
    """
    names = np.unique(corpora)
    shares = {
        name: 100 * float(np.mean([np.nanmean(right[corpora == corpus]) for corpus in names]))
        for name, right in probes.items()
    }
    return {name: round(share, 2) for name, share in (shares | {"chance": 100 / len(names)}).items()} if shares else {}
