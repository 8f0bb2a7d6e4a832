"""Acoustic features of a corpus and of its augmented copies, computed once and cached."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ser_engine.data.augment import RECIPES, apply
from ser_engine.data.cache import Cache, compute_clips, preprocessing_options, recording_seed
from ser_engine.data.preprocess import CONSTANTS, preprocess
from ser_engine.features import ACOUSTIC
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Extraction:
    """What is done with each recording."""

    features: str
    preprocessing: str
    augmentation: str
    seed: int


def acoustic_features(
    paths: Sequence[Path],
    settings: Settings,
    features: str,
    preprocessing: str,
    augmentation: str = "",
    workers: int = 0,
    seed: int = 0,
) -> list[list[Features] | None]:
    """Return the features of each clip and of its augmented copies, one by each augmentation of the recipe.

    For each clip, float32 [k] of the recording and of every copy; None for a clip that the preprocessing drops or that
    cannot be read, which is reported on the standard error. A copy depends on the seed and the recording alone.
    """
    extraction = Extraction(features, preprocessing, augmentation, seed)
    recipe = RECIPES[augmentation] if augmentation else ()
    options = (extraction, recipe, preprocessing_options(settings), *CONSTANTS.get(preprocessing, ()))
    cache = Cache(settings.cache, f"{features}-{preprocessing}", *options)
    prepare = partial(_prepare, preprocessing=preprocessing, settings=settings)
    outcomes = compute_clips(paths, cache, prepare, partial(_extract, extraction=extraction), workers, features)
    rows: list[list[Features] | None] = []
    dropped = 0
    for path, outcome in zip(paths, outcomes, strict=True):
        entry = cache.load(outcome) if isinstance(outcome, Path) else None
        if not isinstance(outcome, Path):
            tqdm.write(f"{path}: {outcome}", file=sys.stderr)
        elif entry is None:
            dropped += 1
        rows.append(None if entry is None else list(entry))
    if dropped:
        tqdm.write(f"{dropped} of {len(paths)} clips contain too little sound and were dropped.", file=sys.stderr)
    return rows


def _prepare(data: bytes, preprocessing: str, settings: Settings) -> tuple[NDArray[np.float32], int]:
    """Return the samples of a recording, and its own seed."""
    return preprocess(data, preprocessing, settings), recording_seed(data)


def _extract(clips: list[tuple[NDArray[np.float32], int]], extraction: Extraction) -> Iterator[Features]:
    """Yield the features [1 + copies, k] of each clip."""
    extract = ACOUSTIC[extraction.features]
    for samples, seed in clips:
        rng = np.random.default_rng([extraction.seed, seed])
        copies = apply(extraction.augmentation, samples, rng) if extraction.augmentation else []
        yield np.array([extract(each, SAMPLE_RATE) for each in (samples, *(copy for _, copy in copies))], np.float32)
