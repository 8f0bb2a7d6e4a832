"""What is computed of a corpus once and kept on disk, by what the recording and the pipeline are."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
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

HEARD = ("noise_reduction", "min_speech_s")
"""Settings that decide what is heard of a recording."""

_worker: dict[str, Any] = {}


def encoder_statistics(
    paths: Sequence[Path], settings: Settings, view: int = 0, workers: int = 0
) -> list[NDArray[np.float32] | None]:
    """Return float32 [layers + 2, 2, width] for each recording, or None where no speech was found in it.

    View 0 is the recording as the application hears it; every further view is another perturbation of its speed.

    What is in `settings.cache` is read; the rest is computed by `workers` processes (0: one a core) with a progress bar
    and written as it is done, so that a run that was stopped goes on where it was.
    """
    from ser_engine.weights import read_config

    settings = replace(settings, whisper="base")  # whatever size the words are transcribed with
    checksums = read_config(settings.models_dir / "whisper-base")["weights"]
    # What is not the default changes what is heard; the defaults go without saying.
    heard = {name: getattr(settings, name) for name in HEARD if getattr(settings, name) != getattr(Settings(), name)}
    version = hashlib.sha256(f"{PIPELINE} {checksums}{heard or ''}".encode()).hexdigest()
    folder = settings.cache / f"whisper-base-statistics-{version[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    compute = partial(_compute, folder=folder, view=view)
    workers = min(workers or os.cpu_count() or 1, len(paths)) or 1
    with ProcessPoolExecutor(workers, initializer=_start, initargs=(settings,)) as pool:
        files = list(tqdm(pool.map(compute, paths, chunksize=8), total=len(paths), desc="encoding", unit="clip"))
    features = [np.load(file) for file in files]
    return [array.astype(np.float32) if array.size else None for array in features]


def _start(settings: Settings) -> None:
    """Say in a worker process what it works with."""
    _worker["settings"] = settings


def _encoder() -> AudioEncoder:
    """Return the encoder of a worker process, which computes on one thread; loaded when a first recording asks."""
    import torch

    from ser_engine.weights import shared_whisper

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    return shared_whisper(_worker["settings"]).encoder


def _compute(path: Path, folder: Path, view: int) -> Path:
    """Write the statistics of one recording, unless they are there, and return where; an empty array for no speech."""
    data = path.read_bytes()
    checksum = hashlib.sha256(data).hexdigest()
    target = folder / f"{checksum}{f'-{view}' if view else ''}.npy"
    if target.exists():
        return target
    from ser_engine.audio import load
    from ser_engine.features.encoder import statistics
    from ser_engine.preprocessing import clean
    from ser_engine.training.augment import perturb_speed

    encoder, settings = _encoder(), _worker["settings"]
    try:
        samples = clean(load(data, settings), settings).samples
        if view:
            samples = perturb_speed(samples, np.random.default_rng([view, int(checksum[:12], 16)]))
        features = statistics(encoder, samples[None])[0]
    except NoSpeech:
        features = np.zeros(0)
    keep(target, features.astype(np.float16))
    return target


def compute_once(
    paths: Sequence[Path],
    folder: Path,
    compute: Callable[[bytes], NDArray[Any]],
    workers: int = 0,
    desc: str = "preparing",
) -> list[Path]:
    """Return for each recording the .npy file in `folder` of what `compute` makes of its bytes.

    What is there, by the recording's sha256, is not made again; the rest is made by `workers` processes of one thread
    each (0: one a core), with a progress bar, and written as it is done, so that a run that was stopped goes on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    workers = min(workers or os.cpu_count() or 1, len(paths)) or 1
    once = partial(_once, folder=folder, compute=compute)
    with ProcessPoolExecutor(workers, initializer=_single_thread) as pool:
        return list(tqdm(pool.map(once, paths, chunksize=8), total=len(paths), desc=desc, unit="clip"))


def _single_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _once(path: Path, folder: Path, compute: Callable[[bytes], NDArray[Any]]) -> Path:
    data = path.read_bytes()
    target = folder / f"{hashlib.sha256(data).hexdigest()}.npy"
    if not target.exists():
        keep(target, compute(data))
    return target


def keep(target: Path, array: NDArray[Any]) -> None:
    """Write a .npy file beside `target` and rename it, so that a process that is killed leaves no half file there.

    What lies beside is named after the process: two of them may have the same recording under two names.
    """
    beside = target.with_suffix(f".{os.getpid()}.part")
    with beside.open("wb") as file:
        np.save(file, array)
    beside.replace(target)
