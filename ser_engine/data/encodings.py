"""Hidden states of the bundled Whisper encoder for every clip of a corpus, computed once and cached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.data.cache import Cache, compute_clips, preprocessing_options
from ser_engine.data.degrade import degradation_key
from ser_engine.data.preprocess import clean_clip
from ser_engine.features.encoder import MAX_SAMPLES, STATISTICS, Encoding, compute_lower_states, encode_audio
from ser_engine.settings import Settings
from ser_engine.types import CleanSpeech

LAYERS = 8
"""Of Whisper-base: the input of the first of six blocks, the output of each, and the normalized last output."""


def encode_clips(
    paths: Sequence[Path], settings: Settings, workers: int = 0, degradation: str = "", babble: Sequence[Path] = ()
) -> list[Encoding | None]:
    """Return the encoding, in float16, of each recording; None for a clip without speech.

    Raise InvalidAudio or TooLarge for a recording that cannot be decoded or is over a limit.
    `degradation` is a key of `degrade.TITLES`, and `babble` the recordings of the voices in the degradation of that
    name.
    """
    arrays = _compute("encodings", paths, settings, workers, degradation, babble)
    return [None if array is None else _unpack(array) for array in arrays]


def encode_lower_states(
    paths: Sequence[Path], settings: Settings, workers: int = 0, degradation: str = "", babble: Sequence[Path] = ()
) -> list[NDArray[np.float16] | None]:
    """Return the lower states, float16 [t, width], of at most the first 30 s of each recording; see `encode_clips`."""
    return _compute("lower-states", paths, settings, workers, degradation, babble)


def _compute(
    kind: str, paths: Sequence[Path], settings: Settings, workers: int, degradation: str, babble: Sequence[Path]
) -> list[Any]:
    from ser_engine.models.store import read_config

    settings = replace(settings, whisper="base")  # whichever size transcribes
    checksums = read_config(settings.models_dir / "whisper-base")["weights"]
    degraded = degradation_key(degradation, babble)
    cache = Cache(settings.cache, f"whisper-base-{kind}", checksums, preprocessing_options(settings), degraded)
    prepare = partial(clean_clip, settings=settings, degradation=degradation, babble=babble)
    compute = partial(_encode, settings=settings, lower=kind == "lower-states")
    return cache.load_all(compute_clips(paths, cache, prepare, compute, workers, degradation or kind))


def _encode(clips: list[CleanSpeech], settings: Settings, lower: bool) -> list[NDArray[np.float16]]:
    import torch

    from ser_engine.models.whisper import shared_whisper

    torch.set_flush_denormal(True)
    encoder = shared_whisper(settings).encoder
    if lower:
        states = (compute_lower_states(encoder, clip.samples[None, :MAX_SAMPLES]) for clip in clips)
        return [state[0].numpy().astype(np.float16) for state in states]
    return [_pack(encode_audio(encoder, clip.samples[None])[0]) for clip in clips]


def _pack(encoding: Encoding) -> NDArray[np.float16]:
    """Return float16 [LAYERS · 2 + t, width]: the rows of the statistics, then the frames."""
    rows = encoding.statistics.reshape(-1, encoding.frames.shape[1])
    return np.concatenate([rows, encoding.frames]).astype(np.float16)


def _unpack(array: NDArray[np.float16]) -> Encoding:
    rows = LAYERS * len(STATISTICS)
    return Encoding(array[:rows].reshape(LAYERS, len(STATISTICS), -1), array[rows:])
