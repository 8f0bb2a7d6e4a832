"""The samples that systems are given of a recording: preprocessed as in the papers, or as in the application."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_engine.data.augment import RECIPES, augment
from ser_engine.data.cache import Cache, compute_clips, preprocessing_options, readable, recording_seed
from ser_engine.data.degrade import Sources, degrade
from ser_engine.errors import NoSpeech
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Span

PREPROCESSINGS = ("sharma", "islam", "gomes", "application", "none")
"""What happens to a clip before a system is given it; see `preprocess`."""

# Sharma (III.A): "removed silent or low-energy sections", then "wav files with duration less than 1 second". The paper
# does not state how low the energy has to be.
MIN_S, SILENCE_DB = 1.0, 30.0
# Islam (3.2.1): silence "at the start or end" is trimmed; "a threshold of 25 decibels was set".
TRIM_DB = 25.0
CONSTANTS: dict[str, tuple[float, ...]] = {"sharma": (MIN_S, SILENCE_DB), "islam": (TRIM_DB,)}
"""What decides the samples apart from the settings; caches are named after it."""
# Gomes (III.A): "we set an offset of 0.5 seconds and a duration of 2.5 seconds", since silence comes first.
OFFSET_S, DURATION_S = 0.5, 2.5
# Cached samples have 16 bits, like the recordings.
FULL_SCALE = 32767.0


def preprocess(data: bytes, preprocessing: str, settings: Settings) -> NDArray[np.float32]:
    """Return the samples that a system is given of a recording: float32 [n] at 16 kHz; raise NoSpeech to drop it.

    "application": the speech that the application would classify. The others resample to 16 kHz, and then: "sharma"
    (III.A): noise reduction, no part of low energy, and nothing under one second. "islam" (3.2.1): silence trimmed at
    both ends. "gomes" (III.A): 2.5 seconds from 0.5 on. "none": the whole recording.
    """
    from ser_engine.audio.clean import resample
    from ser_engine.audio.decode import load_audio

    if preprocessing == "application":
        return clean_clip(data, settings).samples
    recording = load_audio(data, settings)
    samples, minimum = resample(recording.samples, recording.rate), 1
    if preprocessing == "sharma":
        samples, minimum = _reduce_noise_and_silence(samples), round(MIN_S * SAMPLE_RATE)
    elif preprocessing == "islam":
        import librosa

        samples = librosa.effects.trim(samples, top_db=TRIM_DB)[0] if samples.any() else samples[:0]
    elif preprocessing == "gomes":
        samples = samples[round(OFFSET_S * SAMPLE_RATE) :][: round(DURATION_S * SAMPLE_RATE)]
    if len(samples) < minimum:
        raise NoSpeech("The clip was dropped.")
    return samples


def _reduce_noise_and_silence(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reduce noise in float32 [n] at 16 kHz, and remove what is `SILENCE_DB` below the loudest part; keep the level."""
    import librosa

    from ser_engine.audio.clean import reduce_noise

    if len(samples) < SAMPLE_RATE * MIN_S or not samples.any():
        return samples[:0]
    loud = librosa.effects.split(samples, top_db=SILENCE_DB)
    spans = tuple(Span(start / SAMPLE_RATE, end / SAMPLE_RATE) for start, end in loud.tolist())
    cleaned = reduce_noise(samples, spans)
    return np.concatenate([cleaned[start:end] for start, end in librosa.effects.split(cleaned, top_db=SILENCE_DB)])


def clean_clip(data: bytes, settings: Settings, degradation: str = "", sources: Sources | None = None) -> CleanSpeech:
    """Return the speech in a recording, degraded if that is asked for (`degrade`)."""
    from ser_engine.audio.clean import clean_speech
    from ser_engine.audio.decode import load_audio

    recording = load_audio(data, settings)
    if degradation:
        recording = degrade(recording, degradation, sources or Sources(), settings, recording_seed(data))
    return clean_speech(recording, settings)


def preprocess_clips(
    paths: Sequence[Path], settings: Settings, preprocessing: str = "application", workers: int = 0
) -> list[Path]:
    """Return for each recording the cached file of its preprocessed samples, which `load_samples` reads.

    Raise InvalidAudio or TooLarge for a recording that cannot be decoded or is over a limit.
    """
    constants = CONSTANTS.get(preprocessing, ())
    cache = Cache(settings.cache, f"samples-{preprocessing}", preprocessing_options(settings), *constants)
    prepare = partial(_preprocess, preprocessing=preprocessing, settings=settings)
    return readable(compute_clips(paths, cache, prepare, workers=workers, description="preprocessing"))


def preprocess_and_augment_clips(
    paths: Sequence[Path], settings: Settings, preprocessing: str, augmentation: str = "", seed: int = 0
) -> list[list[Path]]:
    """Return for each recording the cached files of its samples and, one by each augmentation, of its copies.

    `augmentation` is a key of `augment.RECIPES`, or nothing for no copies. A copy depends on the seed and on the
    recording alone, not on the other clips.
    """
    columns = [preprocess_clips(paths, settings, preprocessing)]
    recipe = RECIPES[augmentation] if augmentation else ()
    for copy, item in enumerate(recipe):
        cache = Cache(settings.cache, f"samples-{augmentation}-{item.name}", item, seed)
        prepare = partial(_augment, augmentation=augmentation, copy=copy, seed=seed)
        copies = compute_clips(columns[0], cache, prepare, description=f"{augmentation}, {item.name}")
        columns.append(readable(copies))
    return [list(row) for row in zip(*columns, strict=True)]


def load_samples(file: Path | bytes) -> NDArray[np.float32]:
    """Return float32 [n] at 16 kHz from a file of `preprocess_clips` or its bytes; empty for a dropped clip."""
    samples: NDArray[np.int16] = np.load(io.BytesIO(file) if isinstance(file, bytes) else file)
    return samples.astype(np.float32) / FULL_SCALE


def _preprocess(data: bytes, preprocessing: str, settings: Settings) -> NDArray[np.int16]:
    return _quantize(preprocess(data, preprocessing, settings))


def _augment(data: bytes, augmentation: str, copy: int, seed: int) -> NDArray[np.int16]:
    """Return one augmented copy of the samples in a file of `preprocess_clips`, given the file's bytes."""
    samples = load_samples(data)
    if not len(samples):
        raise NoSpeech("The clip was dropped.")
    rng = np.random.default_rng([seed, copy, recording_seed(data)])
    return _quantize(augment(RECIPES[augmentation][copy], samples, rng))


def _quantize(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    return np.round(np.clip(samples, -1.0, 1.0) * FULL_SCALE).astype(np.int16)
