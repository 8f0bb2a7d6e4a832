"""Acoustic features of a corpus and of its augmented copies, computed once and kept on disk.

What is kept is named after the sha256 of the recording, in a folder named after everything that was done to it, so that
neither a changed recording nor a changed pipeline reads anything stale.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ser_engine.data import augment
from ser_engine.data.cache import keep
from ser_engine.data.corpora.base import Utterance
from ser_engine.data.preprocess import PREPROCESSINGS, hear
from ser_engine.errors import InvalidSettings, SerError
from ser_engine.features import ACOUSTIC
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE

PIPELINE = "1"
"""To be raised whenever decoding, preprocessing, a feature or an augmentation changes in its code."""

# How many recordings a worker process takes at a time; after Ctrl-C it finishes them.
CHUNK = 8

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Job:
    """What is done with each recording; all of it decides the name of the folder in the cache."""

    features: str
    preprocessing: str
    augmentation: str
    copies: int
    seed: int

    def __post_init__(self) -> None:
        if self.features not in ACOUSTIC:
            raise InvalidSettings(f"There are no features “{self.features}”; there are {', '.join(ACOUSTIC)}.")
        if self.preprocessing not in PREPROCESSINGS:
            known = ", ".join(PREPROCESSINGS)
            raise InvalidSettings(f"There is no preprocessing “{self.preprocessing}”; there are {known}.")
        if self.copies and not self.augmentation:
            raise InvalidSettings("Copies of a clip need an augmentation to be made by.")

    @property
    def folder(self) -> str:
        """The name of this job's folder in the cache."""
        recipe = augment.recipe_of(self.augmentation) if self.augmentation else ()
        version = hashlib.sha256(f"{PIPELINE} {self} {recipe}".encode()).hexdigest()
        return f"{self.features}-{self.preprocessing}-{version[:12]}"


def acoustic_features(
    clips: Sequence[Utterance | Path],
    settings: Settings,
    features: str,
    preprocessing: str = "sharma",
    augmentation: str = "",
    copies: int = 0,
    workers: int = 0,
    seed: int = 0,
) -> list[list[Features] | None]:
    """Return the features of each clip and of its augmented copies.

    What is in `settings.cache` is read; the rest is computed by `workers` processes of one thread each, with a progress
    bar, and written as it is done, so that a run that was killed goes on where it was.

    Parameters
    ----------
    clips : utterances, or the paths of their recordings
    settings : `cache`, and the limits of what is read
    features : "acoustic94" or "acoustic173"
    preprocessing : one of `PREPROCESSINGS`; see `hear`
    augmentation : a key of `augment.RECIPES`, or nothing
    copies : how many each clip gets, the recipe's augmentations taking turns; 0 for one of each
    workers : 0 for one a core
    seed : of the augmentations; what a clip gets depends on it and on the recording alone, not on the other clips

    Returns
    -------
    list
        For each clip float32 [k] of the recording itself and of every copy; or None for what the preprocessing dropped
        and what cannot be read, which is also told on the standard error.

    Raises
    ------
    InvalidSettings
        There are no such features, preprocessing or augmentation.
    """
    copies = copies or (len(augment.recipe_of(augmentation)) if augmentation else 0)
    job = Job(features, preprocessing, augmentation, copies, seed)
    folder = settings.cache / job.folder
    folder.mkdir(parents=True, exist_ok=True)
    paths = [clip.path if isinstance(clip, Utterance) else clip for clip in clips]
    workers = min(workers or os.cpu_count() or 1, len(paths)) or 1
    found: list[list[Features] | None] = []
    dropped = 0
    compute = partial(_try, job=job, folder=folder, settings=settings)
    with (
        ProcessPoolExecutor(workers, initializer=_start, initargs=(preprocessing,)) as pool,
        tqdm(total=len(paths), desc=features, unit="clip") as bar,
    ):
        for path, outcome in zip(paths, pool.map(compute, paths, chunksize=CHUNK), strict=True):
            if isinstance(outcome, str):
                tqdm.write(f"{path}: {outcome}", file=sys.stderr)
                found.append(None)
            else:
                dropped += not len(outcome)
                found.append(list(outcome) or None)
            bar.update()
    if dropped:
        tqdm.write(f"{dropped} of {len(paths)} clips hold too little sound and were dropped.", file=sys.stderr)
    return found


def _start(preprocessing: str) -> None:
    """Have a worker process compute on one thread, leave Ctrl-C to the process that waits for it, and end with that."""
    import librosa.feature  # noqa: F401  # the libraries whose threads are limited have to be there
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if preprocessing == "sharma":  # whose speech detector runs on torch
        import torch

        torch.set_num_threads(1)
    threadpool_limits(1)


def _end_with_parent() -> None:
    """Wait until the process that started this one is gone: killed, it cannot tell its workers to stop waiting."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def _try(path: Path, job: Job, folder: Path, settings: Settings) -> Features | str:
    """Return the features [copies + 1, k] of one recording, [0, k] if it was dropped, or why it cannot be read."""
    try:
        return _features(path.read_bytes(), job, folder, settings)
    except SerError as error:
        return str(error)
    except OSError as error:
        return f"The file cannot be read ({error.strerror})."


def _features(data: bytes, job: Job, folder: Path, settings: Settings) -> Features:
    """Return what is kept of a recording, or compute and keep it."""
    checksum = hashlib.sha256(data).hexdigest()
    target = folder / f"{checksum}.npy"
    try:
        return np.load(target)
    except (FileNotFoundError, EOFError, ValueError):  # the last two: a disk that lost what was written
        pass
    extract = ACOUSTIC[job.features]
    samples = hear(data, job.preprocessing, settings)
    voices = [samples, *_copies(samples, job, checksum)] if len(samples) else []
    rows = np.array([extract(voice, SAMPLE_RATE) for voice in voices], np.float32)
    keep(target, rows)
    return rows


def _copies(samples: NDArray[np.float32], job: Job, checksum: str) -> list[NDArray[np.float32]]:
    """Return the augmented copies of a recording, whose checksum takes part in the seed."""
    rng = np.random.default_rng([job.seed, int(checksum[:12], 16)])
    copies: list[NDArray[np.float32]] = []
    while len(copies) < job.copies:
        copies += [copy for _, copy in augment.apply(job.augmentation, samples, rng)]
    return copies[: job.copies]
