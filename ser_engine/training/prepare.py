"""Encoder statistics of a corpus, computed once and kept on disk by what the recording and the pipeline are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ser_engine.errors import NoSpeech
from ser_engine.settings import Settings

if TYPE_CHECKING:
    from whisper.model import AudioEncoder

PIPELINE = "1"
"""To be raised whenever decoding, cleaning or the statistics change, so that nothing stale is read."""

_worker: dict[str, Any] = {}


def encoder_statistics(
    paths: Sequence[Path], settings: Settings, workers: int = 0
) -> list[NDArray[np.float32] | None]:
    """Return float32 [layers + 2, 2, width] for each recording, or None where no speech was found in it.

    What is in `settings.cache` is read; the rest is computed by `workers` processes (0: one a core) with a progress bar and
    written as it is done, so that a run that was stopped goes on where it was.
    """
    from ser_engine.weights import read_config

    version = hashlib.sha256(f"{PIPELINE} {read_config(settings.models_dir / 'whisper-base')['weights']}".encode()).hexdigest()
    folder = settings.cache / f"whisper-base-statistics-{version[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    compute = partial(_compute, folder=folder)
    with ProcessPoolExecutor(workers or os.cpu_count() or 1, initializer=_start, initargs=(settings,)) as pool:
        files = list(tqdm(pool.map(compute, paths, chunksize=8), total=len(paths), desc="encoding", unit="clip"))
    features = [np.load(file) for file in files]
    return [array.astype(np.float32) if array.size else None for array in features]


def _start(settings: Settings) -> None:
    """Load the encoder in a worker process, which computes on one thread."""
    import torch

    from ser_engine.weights import load_whisper

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    _worker["encoder"] = load_whisper(settings).encoder
    _worker["settings"] = settings


def _compute(path: Path, folder: Path) -> Path:
    """Write the statistics of one recording, unless they are there, and return where; an empty array for no speech."""
    from ser_engine.audio import load
    from ser_engine.features.encoder import statistics
    from ser_engine.preprocessing import clean

    data = path.read_bytes()
    target = folder / f"{hashlib.sha256(data).hexdigest()}.npy"
    if target.exists():
        return target
    encoder: AudioEncoder = _worker["encoder"]
    settings: Settings = _worker["settings"]
    try:
        features = statistics(encoder, clean(load(data, settings), settings).samples[None])[0]
    except NoSpeech:
        features = np.zeros(0)
    partial_file = target.with_suffix(f".{os.getpid()}.part")
    with partial_file.open("wb") as file:
        np.save(file, features.astype(np.float16))
    partial_file.replace(target)
    return target
