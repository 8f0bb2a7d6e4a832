"""Where several speak at once: a small convolutional network counts the speakers of each moment, up to two.

Its classes are silence, one speaker, and several at once, as in the powerset of Plaquet and Bredin (2023), "Powerset
multi-class cross entropy loss for neural speaker diarization", without telling the speakers apart. Its layers are those
of `models.overlap_detector`, which trains it with torch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ser_engine.features.mel import cut_frames, spectral_power
from ser_engine.types import SAMPLE_RATE

Array = NDArray[np.float32]
ID = "overlap"
WINDOW, HOP, BANDS, WIDTH = 400, 160, 64, 96
STRIDE = 2
"""Mel frames of a frame of the output."""
FRAME_S = STRIDE * HOP / SAMPLE_RATE
# Chunks are normalized one by one, in training as here. Their edges see less and are answered by their neighbors.
CHUNK, MARGIN = 8 * SAMPLE_RATE, 1 * SAMPLE_RATE
BATCH = 8
DILATIONS = (1, 2, 4, 8, 16, 32)
SILENCE, ONE, SEVERAL = range(3)
"""The classes."""


class OverlapDetection:
    """Counts the speakers of a recording; `classify` gives logits [n, 3, frames] of normalized spectrograms."""

    def __init__(self, classify: Callable[[Array], Array], filters: Array) -> None:
        self._classify, self._filters = classify, filters

    def probabilities(self, samples: Array) -> Array:
        """Return the probabilities of the classes [n, 3] for each `FRAME_S` of float32 samples at an even level."""
        inner, size = CHUNK - 2 * MARGIN, STRIDE * HOP
        count = max(1, -(-len(samples) // inner))
        padded = np.pad(samples, (MARGIN, count * inner + MARGIN - len(samples)))
        answers = []
        for first in range(0, count, BATCH):
            starts = range(first * inner, min(count, first + BATCH) * inner, inner)
            mel = np.stack([self._mel(padded[start : start + CHUNK]) for start in starts])
            logits = self._classify(mel)[..., MARGIN // size : -(MARGIN // size)]
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
            answers.append((odds / odds.sum(axis=1, keepdims=True)).transpose(0, 2, 1).reshape(-1, len(odds[0])))
        return np.concatenate(answers)[: -(-len(samples) // size)]

    def _mel(self, chunk: Array) -> Array:
        """Return the logarithm of the mel power [BANDS, frames] of a chunk, less what depends on the microphone."""
        power = spectral_power(cut_frames(chunk, WINDOW, HOP)[: len(chunk) // HOP])
        mel = np.log(self._filters @ power.T + np.float32(1e-8))
        mel -= mel.mean(axis=1, keepdims=True)
        return np.asarray(mel / max(float(mel.std(ddof=1)), 1e-3), np.float32)
