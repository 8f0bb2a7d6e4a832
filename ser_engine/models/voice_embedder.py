"""The encoder of voices that the settings ask for."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ser_engine.models.speaker_onnx import ID, OnnxSpeakerEncoder
from ser_engine.models.store import find_bundled
from ser_engine.settings import Settings

Array = NDArray[np.float32]

_LOADING = threading.Lock()


class VoiceEmbedder(Protocol):
    """An encoder of voices.

    Attributes
    ----------
    width : numbers of an embedding
    """

    width: int

    def project(self, parts: Array) -> Array:
        """Return the projected embeddings [n, width] of parts [n, PART] at 16 kHz."""


def load_embedder(settings: Settings) -> VoiceEmbedder:
    """Return the encoder, loaded once, that of `settings.models_dir` or else the bundled one.

    Raise WeightsUnavailable if its weights are missing or damaged.
    """
    if settings.engine == "torch":
        from ser_engine.models.speaker_encoder import load_encoder

        return load_encoder(settings)
    with _LOADING:
        return _load(find_bundled(settings, ID), settings.thread_count)


@lru_cache(maxsize=1)
def _load(folder: Path, threads: int) -> OnnxSpeakerEncoder:
    return OnnxSpeakerEncoder(folder, threads)
