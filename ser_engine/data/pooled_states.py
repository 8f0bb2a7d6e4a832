"""Pooled states of a frozen speech encoder for every clip of a corpus, computed once and cached."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_engine.data.cache import Cache, compute_clips
from ser_engine.data.preprocess import load_samples
from ser_engine.models.speech_text import speech_states
from ser_engine.models.speech_text_network import SpeechTextForSequenceClassification
from ser_engine.models.speech_text_processor import SpeechTextProcessor
from ser_engine.settings import Settings

BATCH = 64


def pool_speech_states(
    network: SpeechTextForSequenceClassification,
    processor: SpeechTextProcessor,
    files: Sequence[Path],
    settings: Settings,
) -> NDArray[np.float16]:
    """Return the states of each file of `preprocess_clips`, pooled over time: float16 [n, layers, width].

    They are computed on all threads, or on a GPU where there is one.
    """

    def compute(clips: list[NDArray[np.float32]]) -> NDArray[np.float16]:
        states = speech_states(network, processor, clips)
        assert states is not None
        return states.numpy().astype(np.float16)

    config = network.config
    cache = Cache(settings.cache, "pooled", sorted((config.speech_source or {}).items()), config.layers != "last")
    outcomes = compute_clips(files, cache, load_samples, compute, 1, "speech encoder", BATCH, threads=True)
    return np.stack(cache.load_all(outcomes))
