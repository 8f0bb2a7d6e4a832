"""Results that are computed for each clip once and stored on disk, by the recording's bytes and the computation.

An entry is named after the sha256 of the recording, in a folder named after everything that decides the result, so
that neither a changed recording nor a changed pipeline ever reads a stale one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from ser_engine.data.pool import BATCH, map_batches
from ser_engine.errors import InvalidAudio, NoSpeech, TooLarge
from ser_engine.io import write_array, write_json
from ser_engine.settings import Settings

VERSION = 5
"""Raise this when decoding, cleaning, features, encoders, transcription or scoring change in their code."""

Input = TypeVar("Input")
Outcome = Path | InvalidAudio | TooLarge
"""The file of a clip's entry, or the reason why the clip cannot be read."""


class Cache:
    """One computation's entries: NumPy arrays (.npy) or JSON values (.json), one file for each recording.

    Parameters
    ----------
    root : `Settings.cache`
    computation : begins the folder's name
    options : whatever else decides the result; its `repr` takes part in the folder's name
    suffix : ".npy" or ".json"
    """

    def __init__(self, root: Path, computation: str, *options: object, suffix: str = ".npy") -> None:
        self.folder = root / f"{computation}-{hash_options(*options)}"
        self.suffix = suffix

    def file(self, recording: bytes) -> Path:
        """Return where the entry of a recording is, or is to be."""
        return self.folder / f"{hashlib.sha256(recording).hexdigest()}{self.suffix}"

    def load(self, file: Path) -> Any:
        """Return an entry; None for a clip without speech.

        Raise OSError, EOFError or ValueError if it is missing or damaged.
        """
        if self.suffix == ".json":
            return json.loads(file.read_text(encoding="utf-8"))
        array = np.load(file)
        return array if array.size else None

    def save(self, file: Path, entry: Any) -> None:
        """Write an entry; None for a clip without speech."""
        if self.suffix == ".json":
            write_json(file, entry)
        else:
            write_array(file, np.zeros(0, np.int16) if entry is None else entry)

    def has(self, file: Path) -> bool:
        """Whether there is such an entry, and it can be read."""
        try:
            self.load(file)
        except (FileNotFoundError, EOFError, ValueError):
            return False
        return True

    def load_all(self, outcomes: Iterable[Outcome]) -> list[Any]:
        """Return the entries, with a progress bar, or raise the error of the first clip that cannot be read."""
        return [self.load(file) for file in tqdm(readable(outcomes), desc="reading", leave=False)]


def compute_clips(
    paths: Sequence[Path],
    cache: Cache,
    prepare: Callable[[bytes], Input],
    compute: Callable[[list[Input]], Iterable[Any]] = list,
    workers: int = 0,
    description: str = "",
    batch: int = BATCH,
    threads: bool = False,
) -> Iterator[Outcome]:
    """Yield the file of each recording's entry, after computing those that are not in the cache.

    Entries are written as they are computed, so a run that was stopped continues where it was. Workers, batches and
    the progress bar are those of `map_batches`.

    Parameters
    ----------
    prepare : takes the bytes of a recording; a NoSpeech that it raises is stored, too
    compute : takes the results of `prepare` for some clips of a batch, and returns an entry for each
    """
    fill = partial(_fill, cache=cache, prepare=prepare, compute=compute)
    return map_batches(fill, paths, workers, description, batch, threads=threads)


def readable(outcomes: Iterable[Outcome]) -> list[Path]:
    """Return the files, or raise the error of the first clip that cannot be read."""
    files = []
    for outcome in outcomes:
        if not isinstance(outcome, Path):
            raise outcome
        files.append(outcome)
    return files


def _fill(
    paths: list[Path], cache: Cache, prepare: Callable[[bytes], Input], compute: Callable[[list[Input]], Iterable[Any]]
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    missing: dict[Path, Input] = {}
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as error:
            outcomes.append(InvalidAudio(f"The file cannot be read ({error.strerror})."))
            continue
        file = cache.file(data)
        try:
            if file not in missing and not cache.has(file):
                missing[file] = prepare(data)
        except NoSpeech:
            cache.save(file, None)
        except (InvalidAudio, TooLarge) as error:
            outcomes.append(error)
            continue
        outcomes.append(file)
    if missing:
        for file, entry in zip(missing, compute(list(missing.values())), strict=True):
            cache.save(file, entry)
    return outcomes


def hash_options(*options: object) -> str:
    """Return 12 hexadecimal digits that stand for `VERSION` and the options."""
    return hashlib.sha256(repr((VERSION, *options)).encode()).hexdigest()[:12]


def recording_seed(recording: bytes) -> int:
    """Return a seed that depends on the recording alone, so that no clip's randomness depends on the others."""
    return int(hashlib.sha256(recording).hexdigest()[:12], 16)


def preprocessing_options(settings: Settings) -> dict[str, Any]:
    """Return the settings that decide how a recording is cleaned."""
    return {name: getattr(settings, name) for name in ("noise_reduction", "min_speech_s")}
