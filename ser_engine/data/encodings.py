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
from ser_engine.data.degrade import Sources
from ser_engine.data.pool import map_clips
from ser_engine.data.preprocess import clean_clip
from ser_engine.errors import NoSpeech
from ser_engine.features.encoder import BLOCKS, MAX_SAMPLES, STATISTICS, Encoding, encode_audio
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE, WINDOW_S

SHORTEST_S = 1.0
"""Length of the shortest window that counts, in seconds."""


def encode_clips(
    paths: Sequence[Path],
    settings: Settings,
    workers: int = 0,
    degradation: str = "",
    sources: Sources | None = None,
) -> list[Encoding | None]:
    """Return the encoding, in float16, of at most the first 30 s of each recording; None for a clip without speech.

    Raise InvalidAudio or TooLarge for a recording that cannot be decoded or is over a limit.
    `degradation` is a name that `degrade` takes, and `sources` what it mixes with.
    """
    from ser_engine.models.store import read_config

    settings = replace(settings, whisper="base", device="cpu")  # whichever size transcribes
    checksums = read_config(settings.models_dir / "whisper-base")["weights"]
    sources = sources or Sources()
    key = (checksums, preprocessing_options(settings), sources.key(degradation))
    cache = Cache(settings.cache, "whisper-base-encodings", *key)
    prepare = partial(_speech, settings=settings, degradation=degradation, sources=sources)
    outcomes = compute_clips(
        paths, cache, prepare, partial(_encode, settings=settings), workers, degradation or "encode"
    )
    return [None if array is None else _unpack(array) for array in cache.load_all(outcomes)]


def _speech(data: bytes, **options: Any) -> NDArray[np.float32]:
    return clean_clip(data, **options).samples


def encode_windows(paths: Sequence[Path], settings: Settings, workers: int = 0) -> list[list[Encoding]]:
    """Return the encodings of the windows of each recording, in order; none for a recording without speech.

    The speech is cut into windows of `WINDOW_S`; a last one of less than `SHORTEST_S` is left out.
    """
    compute = partial(_encode_windows, settings=replace(settings, whisper="base", device="cpu"))
    return list(map_clips(compute, paths, workers, "windows"))


def _encode_windows(path: Path, settings: Settings) -> list[Encoding]:
    try:
        samples = clean_clip(path.read_bytes(), settings).samples
    except NoSpeech:
        return []
    length, least = round(WINDOW_S * SAMPLE_RATE), round(SHORTEST_S * SAMPLE_RATE)
    windows = [samples[first : first + length] for first in range(0, len(samples), length)]
    packed = _encode([window for window in windows if len(window) >= least], settings)
    return [_unpack(array) for array in packed]


def _encode(clips: Sequence[NDArray[np.float32]], settings: Settings) -> list[NDArray[np.float16]]:
    import torch

    from ser_engine.models.whisper import shared_whisper

    torch.set_flush_denormal(True)
    encoder = shared_whisper(settings).encoder
    return [_pack(encode_audio(encoder, clip[None, :MAX_SAMPLES], BLOCKS)[0]) for clip in clips]


def _pack(encoding: Encoding) -> NDArray[np.float16]:
    """Return float16 [STATES · 2 + 2 t, width]: the rows of the statistics, the frames, then the lower states."""
    rows = encoding.statistics.reshape(-1, encoding.frames.shape[1])
    return np.concatenate([rows, encoding.frames, encoding.lower]).astype(np.float16)


def _unpack(array: NDArray[np.float16]) -> Encoding:
    rows = (BLOCKS + 1) * len(STATISTICS)
    frames, lower = np.split(array[rows:], 2)
    return Encoding(array[:rows].reshape(BLOCKS + 1, len(STATISTICS), -1), frames, lower)
