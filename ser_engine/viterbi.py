"""The Viterbi algorithm for labels that seldom change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def find_path(scores: NDArray[np.float32], cost: float) -> list[int]:
    """Return the labels [n] with the greatest sum of scores [n, labels], less `cost` for each change of the label."""
    totals, origins = scores[0], []
    for row in scores[1:]:
        best = totals.argmax()
        stays = totals >= totals[best] - cost
        origins.append(np.where(stays, np.arange(len(totals)), best))
        totals = np.maximum(totals, totals[best] - cost) + row
    labels = [int(totals.argmax())]
    for origin in reversed(origins):
        labels.append(int(origin[labels[-1]]))
    return labels[::-1]
