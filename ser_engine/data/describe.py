"""What the corpora hold and what augmentation does to a clip, in numbers for pictures: results/corpora.json.

Clips by corpus and emotion are paper-1's figure 2, the class means of zero-crossing rate and spectral centroid its
figures 3 and 4, and a clip beside its augmented copies is paper-4's figure 1. No audio is kept: of a clip there are the
outline of its waveform and a coarse mel spectrogram.
"""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ser_engine.audio.clean import resample
from ser_engine.audio.decode import load_audio
from ser_engine.data.augment import RECIPES, apply
from ser_engine.data.cache import replacing
from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import CorpusError, SerError
from ser_engine.labels import EMOTIONS
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE

FILE = "corpora.json"
OTHER = "other"
"""Emotions of a corpus that none of our eight names stands for, such as EMO-DB's boredom."""

WINDOW, HOP = 2048, 512
"""librosa's defaults, which paper-1 (III.B) did not change."""
OUTLINE_POINTS = 240
BANDS, COLUMNS = 48, 96
"""Of a mel spectrogram: enough to see harmonics and syllables, few enough for a file that is read at every visit."""
FLOOR_DB = -70
"""What is quieter than this under the loudest moment of the clip itself is drawn as silence."""
# How many recordings a worker process takes at a time.
CHUNK = 32

Measured = tuple[float, float, float]
"""Of one clip: seconds, mean zero-crossing rate per frame (0 to 1), mean spectral centroid in Hz."""


def describe(
    data: Path, settings: Settings, clip: Path | None = None, corpora: Sequence[str] = (), seed: int = 0
) -> dict[str, Any]:
    """Return what results/corpora.json holds.

    Parameters
    ----------
    data : folder of corpora
    settings : limits on recordings
    clip : a recording to show the augmentations on; without it there are none
    corpora : ids; by default every corpus that lies in `data`
    seed : of the augmentations

    Raises
    ------
    CorpusError
        A corpus that was asked for is not there, or none is.
    InvalidAudio, TooLarge
        The clip cannot be read.
    """
    pictures = augmentations(clip, settings, seed) if clip else {}
    utterances = list(_utterances(data, corpora))
    measured = measure([utterance.path for utterance in utterances], settings)
    heard = [(utterance, values) for utterance, values in zip(utterances, measured, strict=True) if values]
    names = sorted({utterance.corpus for utterance in utterances})
    return {
        "corpora": {name: _contents([u for u in utterances if u.corpus == name], heard) for name in names},
        "unreadable": len(utterances) - len(heard),
        "class_means": {"all": _class_means(heard)}
        | {name: _class_means([(u, values) for u, values in heard if u.corpus == name]) for name in names},
        "augmentations": pictures,
    }


def write(description: dict[str, Any], results: Path) -> Path:
    """Write results/corpora.json beside and rename it; return where. A line holds one corpus or one recipe."""
    parts = []
    for key, value in description.items():
        inner = ",\n".join(f"  {json.dumps(name)}: {_compact(item)}" for name, item in _items(value))
        parts.append(f" {json.dumps(key)}: {{\n{inner}\n }}" if inner else f" {json.dumps(key)}: {_compact(value)}")
    target = results / FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as beside:
        beside.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    return target


def measure(paths: Sequence[Path], settings: Settings, workers: int = 0) -> list[Measured | None]:
    """Return the measurements of each recording at 16 kHz, None for one that cannot be read; on all cores.

    Whole recordings, as the corpora publish them: paper-1's figures do not say otherwise.
    """
    workers = min(workers or os.cpu_count() or 1, len(paths)) or 1
    with ProcessPoolExecutor(workers, initializer=_start) as pool:
        found = pool.map(partial(_measure, settings=settings), paths, chunksize=CHUNK)
        return list(tqdm(found, total=len(paths), desc="describing", unit="clip"))


def zero_crossings_and_centroid(samples: NDArray[np.float32]) -> tuple[float, float]:
    """Return the mean zero-crossing rate (share of a frame's samples) and spectral centroid (Hz) of float32 [n].

    Frames of digital silence have no centroid and are left out of its mean.
    """
    import librosa

    crossings = librosa.feature.zero_crossing_rate(samples, frame_length=WINDOW, hop_length=HOP)
    magnitude = np.abs(librosa.stft(samples, n_fft=WINDOW, hop_length=HOP))
    sounding = magnitude[:, magnitude.sum(axis=0) > 0]
    centroid = librosa.feature.spectral_centroid(S=sounding, sr=SAMPLE_RATE) if sounding.size else np.zeros(1)
    return float(crossings.mean()), float(centroid.mean())


def augmentations(clip: Path, settings: Settings, seed: int = 0) -> dict[str, Any]:
    """Return what each augmentation of each recipe does to a clip.

    Returns
    -------
    dict
        "clip" is its file name; "original" is a `picture`, and every recipe's name stands for {augmentation: picture}.
    """
    waveform = load_audio(clip, settings)
    samples = resample(waveform.samples, waveform.rate)
    pictures: dict[str, Any] = {"clip": clip.name, "seed": seed, "original": picture(samples)}
    for recipe in tqdm(RECIPES, desc="augmenting", unit="recipe"):
        copies = apply(recipe, samples, np.random.default_rng(seed))
        pictures[recipe] = {name: picture(copy) for name, copy in copies}
    return pictures


def picture(samples: NDArray[np.float32]) -> dict[str, Any]:
    """Return the outline and the mel spectrogram of float32 [n] at 16 kHz.

    Returns
    -------
    dict
        "seconds"; "low" and "high", the least and greatest sample of up to `OUTLINE_POINTS` equal stretches; "mel",
        [BANDS][up to COLUMNS] in whole dB under the clip's loudest moment, the lowest band first.
    """
    import librosa

    starts = np.linspace(0, len(samples), min(OUTLINE_POINTS, len(samples)), endpoint=False).astype(int)
    power = librosa.feature.melspectrogram(y=samples, sr=SAMPLE_RATE, n_fft=1024, hop_length=256, n_mels=BANDS)
    edges = np.linspace(0, power.shape[1], min(COLUMNS, power.shape[1]), endpoint=False).astype(int)
    pooled = np.add.reduceat(power, edges, axis=1) / np.diff(np.append(edges, power.shape[1]))
    decibels = 10 * np.log10(np.maximum(pooled / max(float(pooled.max()), 1e-10), 10 ** (FLOOR_DB / 10)))
    return {
        "seconds": round(len(samples) / SAMPLE_RATE, 3),
        "low": [round(float(value), 3) for value in np.minimum.reduceat(samples, starts)],
        "high": [round(float(value), 3) for value in np.maximum.reduceat(samples, starts)],
        "mel": np.round(decibels).astype(int).tolist(),
    }


def _utterances(data: Path, corpora: Sequence[str]) -> Iterable[Utterance]:
    """Yield the clips of the corpora that were asked for, or of all that are there."""
    names = [registry.corpus(name).id for name in corpora] or [
        name for name in registry.CORPORA if registry.lies_in(name, data)
    ]
    if not names:
        raise CorpusError(f"There is no corpus in {data}; there are readers for {', '.join(registry.CORPORA)}.")
    for name in names:
        yield from registry.read(name, data)


def _contents(utterances: Sequence[Utterance], heard: Sequence[tuple[Utterance, Measured]]) -> dict[str, Any]:
    """Return how much of a corpus there is, and of which emotions."""
    count = Counter(utterance.label or OTHER for utterance in utterances)
    seconds = sum(values[0] for utterance, values in heard if utterance.corpus == utterances[0].corpus)
    return {
        "clips": len(utterances),
        "speakers": len({utterance.speaker for utterance in utterances}),
        "hours": round(seconds / 3600, 2),
        "by_emotion": {label: count[label] for label in (*EMOTIONS, OTHER) if count[label]},
    }


def _class_means(heard: Sequence[tuple[Utterance, Measured]]) -> dict[str, Any]:
    """Return for each of our emotions the mean over its clips and the deviation between them."""
    means = {}
    for label in EMOTIONS:
        rows = np.array([values for utterance, values in heard if utterance.label == label])
        if len(rows):
            means[label] = {
                "clips": len(rows),
                "zero_crossing_rate": _spread(rows[:, 1], 4),
                "spectral_centroid_hz": _spread(rows[:, 2], 1),
            }
    return means


def _spread(values: NDArray[np.float64], digits: int) -> dict[str, float]:
    return {"mean": round(float(values.mean()), digits), "std": round(float(values.std()), digits)}


def _start() -> None:
    """Have a worker process compute on one thread, and leave Ctrl-C to the process that waits for it."""
    import librosa.feature  # noqa: F401  # the libraries whose threads are limited have to be there
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threadpool_limits(1)


def _measure(path: Path, settings: Settings) -> Measured | None:
    try:
        waveform = load_audio(path, settings)
    except SerError:
        return None
    samples = resample(waveform.samples, waveform.rate)
    return waveform.duration_s, *zero_crossings_and_centroid(samples)


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    return value.items() if isinstance(value, dict) else ()


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
