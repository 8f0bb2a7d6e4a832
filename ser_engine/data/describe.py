"""Corpora and augmentations in numbers, for the figures of the results page: results/corpora.json.

Clips by corpus and emotion are figure 2 of Sharma (2023), the class means of zero-crossing rate and spectral centroid
its figures 3 and 4, and a clip next to its augmented copies is figure 1 of Gomes et al.. No audio is stored: only the
outline of a clip's waveform and a coarse mel spectrogram.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ser_engine.audio.clean import resample
from ser_engine.audio.decode import load_audio
from ser_engine.data.augment import RECIPES, apply
from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Utterance
from ser_engine.data.pool import map_clips
from ser_engine.errors import CorpusError, SerError
from ser_engine.io import write_text
from ser_engine.labels import EMOTIONS
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE

FILE = "corpora.json"
OTHER = "other"
"""Emotions of a corpus other than our eight, such as EMO-DB's boredom."""

WINDOW, HOP = 2048, 512
"""librosa's defaults, which Sharma (2023, III.B) did not change."""
OUTLINE_POINTS = 240
BANDS, COLUMNS = 48, 96
"""Of a mel spectrogram: enough to show harmonics and syllables, few enough for a file that every visit reads."""
FLOOR_DB = -70
"""The lowest level of a mel spectrogram, below the clip's loudest moment."""
BATCH = 32

Measures = tuple[float, float, float]
"""Of one clip: seconds, mean zero-crossing rate per frame (0 to 1), mean spectral centroid in Hz."""


def describe(
    data: Path, settings: Settings, clip: Path | None = None, corpora: Sequence[str] = (), seed: int = 0
) -> dict[str, Any]:
    """Return the content of results/corpora.json.

    `corpora` are ids, by default every corpus in `data`; augmentations are shown with `clip`, without which there are
    none.
    """
    augmented = draw_augmentations(clip, settings, seed) if clip else {}
    utterances = list(_utterances(data, corpora))
    measures = measure_clips([utterance.path for utterance in utterances], settings)
    measured = [(utterance, values) for utterance, values in zip(utterances, measures, strict=True) if values]
    contents, means = {}, {"all": _class_means(measured)}
    for name in sorted({utterance.corpus for utterance in utterances}):
        own = [(utterance, values) for utterance, values in measured if utterance.corpus == name]
        contents[name] = _contents([utterance for utterance in utterances if utterance.corpus == name], own)
        means[name] = _class_means(own)
    unreadable = len(utterances) - len(measured)
    return {"corpora": contents, "unreadable": unreadable, "class_means": means, "augmentations": augmented}


def write_description(description: dict[str, Any], results: Path) -> Path:
    """Write results/corpora.json, one line for each corpus or recipe, and return its path."""
    parts = []
    for key, value in description.items():
        entries = value.items() if isinstance(value, dict) else ()
        inner = ",\n".join(f"  {json.dumps(name)}: {_compact(item)}" for name, item in entries)
        parts.append(f" {json.dumps(key)}: {{\n{inner}\n }}" if inner else f" {json.dumps(key)}: {_compact(value)}")
    target = results / FILE
    write_text(target, "{\n" + ",\n".join(parts) + "\n}\n")
    return target


def measure_clips(paths: Sequence[Path], settings: Settings, workers: int = 0) -> list[Measures | None]:
    """Return the measures of each whole recording at 16 kHz, None for one that cannot be read; on all cores."""
    return list(map_clips(partial(_measure, settings=settings), paths, workers, "describing", BATCH))


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


def draw_augmentations(clip: Path, settings: Settings, seed: int = 0) -> dict[str, Any]:
    """Return a picture of a clip after each augmentation of each recipe.

    "clip" is its file name, "original" the result of `draw_clip`; every recipe has {augmentation: `draw_clip`}.
    """
    recording = load_audio(clip, settings)
    samples = resample(recording.samples, recording.rate)
    pictures: dict[str, Any] = {"clip": clip.name, "seed": seed, "original": draw_clip(samples)}
    for recipe in tqdm(RECIPES, desc="augmenting", unit="recipe"):
        copies = apply(recipe, samples, np.random.default_rng(seed))
        pictures[recipe] = {name: draw_clip(copy) for name, copy in copies}
    return pictures


def draw_clip(samples: NDArray[np.float32]) -> dict[str, Any]:
    """Return the outline and the mel spectrogram of float32 [n] at 16 kHz.

    "low" and "high" are the least and greatest sample of up to `OUTLINE_POINTS` equal stretches; "mel", [BANDS][up to
    COLUMNS], is in whole dB below the clip's loudest moment, the lowest band first.
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
    """Yield the clips of the named corpora, or of all that are there."""
    names = [registry.get_corpus(name).id for name in corpora] or [
        name for name in registry.CORPORA if registry.is_available(name, data)
    ]
    if not names:
        raise CorpusError(f"There is no corpus in {data}; there are readers for {', '.join(registry.CORPORA)}.")
    for name in names:
        yield from registry.read_corpus(name, data)


def _contents(utterances: Sequence[Utterance], measured: Sequence[tuple[Utterance, Measures]]) -> dict[str, Any]:
    """Return the size of a corpus, and its clips by emotion."""
    count = Counter(utterance.label or OTHER for utterance in utterances)
    seconds = sum(values[0] for _, values in measured)
    return {
        "clips": len(utterances),
        "speakers": len({utterance.speaker for utterance in utterances}),
        "hours": round(seconds / 3600, 2),
        "by_emotion": {label: count[label] for label in (*EMOTIONS, OTHER) if count[label]},
    }


def _class_means(measured: Sequence[tuple[Utterance, Measures]]) -> dict[str, Any]:
    """Return for each of our emotions the mean over its clips and the deviation between them."""
    means = {}
    for label in EMOTIONS:
        rows = np.array([values for utterance, values in measured if utterance.label == label])
        if len(rows):
            means[label] = {
                "clips": len(rows),
                "zero_crossing_rate": _spread(rows[:, 1], 4),
                "spectral_centroid_hz": _spread(rows[:, 2], 1),
            }
    return means


def _spread(values: NDArray[np.float64], digits: int) -> dict[str, float]:
    return {"mean": round(float(values.mean()), digits), "std": round(float(values.std()), digits)}


def _measure(path: Path, settings: Settings) -> Measures | None:
    try:
        recording = load_audio(path, settings)
    except SerError:
        return None
    samples = resample(recording.samples, recording.rate)
    return recording.duration_s, *zero_crossings_and_centroid(samples)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
