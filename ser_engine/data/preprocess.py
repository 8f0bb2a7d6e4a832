"""What systems are given of a recording: the papers' preprocessing, or the application's own."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ser_engine.data import augment
from ser_engine.data.cache import HEARD, compute_once
from ser_engine.errors import NoSpeech
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE

PREPROCESSINGS = ("sharma", "gomes", "application", "none")
"""What happens to a clip before a system is given it; see `hear`."""
PIPELINE = "1"
"""To be raised whenever decoding or preprocessing changes, so that nothing stale is read."""

# paper-1 (III.A): "removed wav files with duration less than 1 second", after their silences were.
LEAST_S = 1.0
# paper-4 (III.A): "we set an offset of 0.5 seconds and a duration of 2.5 seconds", since silence comes first.
OFFSET_S, DURATION_S = 0.5, 2.5
# What is kept on disk has 16 bits, as the recordings had.
FULL_SCALE = 32767.0


def hear(data: bytes, preprocessing: str, settings: Settings) -> NDArray[np.float32]:
    """Return what a system is given of a recording: float32 [n] at 16 kHz, empty where a clip is dropped.

    "application": what the application hears of it in use. "sharma" (III.A): the same with noise reduction always on,
    and nothing under one second. "gomes" (III.A): 2.5 seconds from 0.5 on. "none": the whole recording. The last two
    resample to 16 kHz, and do nothing else.

    Raises
    ------
    InvalidAudio, TooLarge
        The bytes are no recording, or one over the limits of the settings.
    """
    from ser_engine.audio.clean import clean_speech, resample
    from ser_engine.audio.decode import load_audio

    waveform = load_audio(data, settings)
    if preprocessing in ("application", "sharma"):
        paper = preprocessing == "sharma"
        try:
            samples = clean_speech(waveform, replace(settings, noise_reduction="always") if paper else settings).samples
        except NoSpeech:
            return np.zeros(0, np.float32)
        return samples[:0] if paper and len(samples) < LEAST_S * SAMPLE_RATE else samples
    samples = resample(waveform.samples, waveform.rate)
    if preprocessing == "gomes":
        return samples[round(OFFSET_S * SAMPLE_RATE) :][: round(DURATION_S * SAMPLE_RATE)]
    return samples


def heard(
    paths: Sequence[Path], settings: Settings, preprocessing: str = "application", workers: int = 0
) -> list[Path]:
    """Return for each recording the file, in `settings.cache`, of what `hear` makes of it; see `samples_of`.

    What is there is not made again; the rest is made by `workers` processes (0: one a core), with a progress bar.

    Raises
    ------
    InvalidAudio, TooLarge
        A recording cannot be decoded, or is over a limit.
    """
    compute = partial(_heard, preprocessing=preprocessing, settings=settings)
    return compute_once(paths, _folder(settings, preprocessing), compute, workers)


def heard_copies(
    paths: Sequence[Path], settings: Settings, preprocessing: str, augmentation: str = "", seed: int = 0
) -> list[list[Path]]:
    """Return for each recording the files of what is heard of it and, one for each augmentation, of its copies.

    `augmentation` is a key of `augment.RECIPES`, or nothing for no copies. What a clip gets depends on the seed and on
    the recording alone, not on the other clips.
    """
    columns = [heard(paths, settings, preprocessing)]
    recipe = augment.recipe_of(augmentation) if augmentation else ()
    for copy in range(len(recipe)):
        version = _digest(f"{PIPELINE} {recipe} {copy} {seed}")
        folder = settings.cache / f"{_folder(settings, preprocessing).name}-{augmentation}-{version}"
        compute = partial(_copy, augmentation=augmentation, copy=copy, seed=seed)
        columns.append(compute_once(columns[0], folder, compute, desc=f"{augmentation}, copy {copy + 1}"))
    return [list(row) for row in zip(*columns, strict=True)]


def samples_of(file: Path | BinaryIO) -> NDArray[np.float32]:
    """Return float32 [n] at 16 kHz of a file that `heard` made; empty where the clip was dropped."""
    return np.load(file).astype(np.float32) / FULL_SCALE


def _folder(settings: Settings, preprocessing: str) -> Path:
    """Return the folder of the cache for what is heard in this way."""
    choices = {name: getattr(settings, name) for name in HEARD}
    return settings.cache / f"samples-{preprocessing}-{_digest(f'{PIPELINE} {preprocessing} {choices}')}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _heard(data: bytes, preprocessing: str, settings: Settings) -> NDArray[np.int16]:
    return _quantised(hear(data, preprocessing, settings))


def _copy(data: bytes, augmentation: str, copy: int, seed: int) -> NDArray[np.int16]:
    """Return one augmented copy of the samples in a file that `heard` made, given the file's bytes."""
    samples = samples_of(io.BytesIO(data))
    if not len(samples):
        return np.zeros(0, np.int16)
    rng = np.random.default_rng([seed, copy, int(hashlib.sha256(data).hexdigest()[:12], 16)])
    return _quantised(augment.augment(augment.recipe_of(augmentation)[copy], samples, rng))


def _quantised(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.round(np.clip(samples, -1.0, 1.0) * FULL_SCALE).astype(np.int16)
