"""The embeddings of voices of `models.speaker_encoder` without torch: numpy's spectrogram and onnxruntime's LSTM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_engine.features.mel import cut_frames, spectral_power
from ser_engine.models.onnx_graph import Weights, open_graph, run

Array = NDArray[np.float32]
ID = "ge2e"
# As the encoder was trained (resemblyzer/hparams.py): 40 bands of mel power, not its logarithm, in parts of 1.6 s.
WINDOW, HOP, BANDS, WIDTH, FRAMES = 400, 160, 40, 256, 160
LAYERS = 3
STATES = (LAYERS + 1) * WIDTH
"""Width of what is projected: the last states of all layers, and the embedding."""
PART = FRAMES * HOP
"""Samples of the parts of a recording that are embedded."""
BATCH = 64
"""Parts that are embedded at once, which bounds the memory."""


class OnnxSpeakerEncoder:
    """What `SpeakerEncoder` is, without torch."""

    def __init__(self, folder: Path, threads: int) -> None:
        weights = Weights(folder)
        self._filters, self._mean = weights.read("filters"), weights.read("mean")
        self._projection = weights.read("projection")
        self._session = open_graph("speaker_encoder", weights, threads)
        self.width = self._projection.shape[1]

    def project(self, parts: Array) -> Array:
        """Return the projected embeddings [n, width] of parts [n, PART] at 16 kHz."""
        names = [*(f"state_{n}" for n in range(LAYERS)), "embedded"]
        *states, embedded = run(self._session, names, {"mel": self._mel(parts)})
        embedded /= np.maximum(np.linalg.norm(embedded, axis=1, keepdims=True), np.float32(1e-12))
        joined = np.concatenate([*states, embedded], axis=1)
        return np.asarray((joined - self._mean) @ self._projection, np.float32)

    def _mel(self, parts: Array) -> Array:
        """Return the mel power [FRAMES, n, BANDS] of parts [n, PART]."""
        power = spectral_power(cut_frames(parts, WINDOW, HOP)[:, :FRAMES])
        return np.ascontiguousarray((power @ self._filters.T).transpose(1, 0, 2))
