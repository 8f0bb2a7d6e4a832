"""Recognize a child's voice by its embeddings: logistic regression (`python -m tools.fit_child_voice`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_engine.models.onnx_graph import Weights
from ser_engine.models.store import find_bundled
from ser_engine.settings import Settings

ID, ARCHITECTURE = "child-voice", "voice-kind"
WEIGHT, BIAS = "weight", "bias"
"""The tensors, [width] and [1]."""


@dataclass(frozen=True, eq=False)
class ChildVoice:
    """Weights, float32 [width], of the mean of embeddings at unit length; the sum is above 0 for a child."""

    weight: NDArray[np.float32]
    bias: float

    def is_child(self, embeddings: NDArray[np.float32]) -> bool:
        """Whether embeddings [n, width] at unit length, all of one voice, are a child's."""
        return bool(embeddings.mean(axis=0) @ self.weight + self.bias > 0)


def load_child_voice(settings: Settings) -> ChildVoice:
    """Return the weights, loaded once, those of `settings.models_dir` or else the bundled ones.

    Raise WeightsUnavailable if they are missing or damaged.
    """
    return _load(find_bundled(settings, ID))


@lru_cache(maxsize=1)
def _load(folder: Path) -> ChildVoice:
    stored = Weights(folder)
    return ChildVoice(stored.read(WEIGHT), float(stored.read(BIAS)[0]))
