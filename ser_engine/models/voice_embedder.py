"""Embeddings of voices: CAM++ (Wang et al., 2023), "CAM++: a fast and efficient network for speaker verification"."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_engine.features.mel import kaldi_mel
from ser_engine.models.onnx_graph import open_model, run
from ser_engine.models.store import find_bundled
from ser_engine.settings import Settings

Array = NDArray[np.float32]
ID = "campplus"
BANDS, WIDTH = 80, 192
BATCH = 8
"""Parts that are embedded at once, which bounds the memory."""


class VoiceEmbedder:
    """Embeds parts of a recording such that the cosine is high where two are of one voice."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._session = open_model(folder, threads)

    def embed(self, parts: Array) -> Array:
        """Return the embeddings [n, WIDTH] of parts [n, samples] at 16 kHz, all of one length."""
        mel = kaldi_mel(parts, BANDS)
        found = run(self._session, ["embedding"], {"mel": mel - mel.mean(axis=1, keepdims=True)})[0]
        return np.asarray(found, np.float32)


def load_embedder(settings: Settings) -> VoiceEmbedder:
    """Return the embedder of `settings.models_dir`, or else the bundled one; its network is loaded once.

    Raise WeightsUnavailable if its weights are missing or damaged.
    """
    return VoiceEmbedder(find_bundled(settings, ID), settings.thread_count)
