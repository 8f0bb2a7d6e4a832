"""Archives to measure jobs on: telephone calls of two people with pauses, and many files of one second."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from ser_engine.audio.clean import resample
from ser_engine.audio.decode import load_audio
from ser_engine.audio.quality import normalize_level
from ser_engine.data.corpora import registry
from ser_engine.data.degrade import TELEPHONE_HZ, telephone
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE

CORPUS = "crema-d"
PAUSE_S, WAIT_S, WAITS = (0.3, 1.5), (3.0, 10.0), 0.1
"""Seconds between turns; after one in ten turns, nobody speaks for longer, as where something is looked up."""
NOISE = 0.0003
LINKS = 20_000
"""Names of one file; file systems allow no more than some ten thousand."""


def write_calls(folder: Path, count: int, minutes: float, settings: Settings) -> float:
    """Write calls in stereo, 8 kHz and mu-law, and return the seconds of all; two speakers take turns in each."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    speakers: dict[str, list[Path]] = {}
    for clip in registry.read_corpus(CORPUS, settings.data):
        speakers.setdefault(clip.speaker, []).append(clip.path)
    names = sorted(speakers)
    total = 0.0
    for number in range(count):
        chosen = rng.choice(len(names), 2, replace=False)
        sides = [speakers[names[each]] for each in chosen]
        samples = _call(sides, minutes * 60, rng, settings)
        total += len(samples) / TELEPHONE_HZ
        soundfile.write(folder / f"{number:04}.wav", samples, TELEPHONE_HZ, subtype="ULAW")
    return total


def _call(sides: list[list[Path]], seconds: float, rng: np.random.Generator, settings: Settings) -> NDArray[np.float32]:
    """Return a call, float32 [n, 2] at 8 kHz."""
    pieces: list[NDArray[np.float32]] = []
    length, turn = 0, 0
    while length < seconds * TELEPHONE_HZ:
        clips = sides[turn % 2]
        recording = load_audio(clips[rng.integers(len(clips))], settings)
        speech = telephone(normalize_level(resample(recording.samples, recording.rate)), SAMPLE_RATE)
        pause = rng.uniform(*(WAIT_S if rng.random() < WAITS else PAUSE_S))
        piece = np.zeros((len(speech) + round(pause * TELEPHONE_HZ), 2), np.float32)
        piece[: len(speech), turn % 2] = speech
        pieces.append(piece)
        length, turn = length + len(piece), turn + 1
    samples = np.concatenate(pieces)
    return samples + NOISE * rng.standard_normal(samples.shape).astype(np.float32)


def write_stubs(folder: Path, count: int) -> None:
    """Write files of one second of faint noise; most are further names of a few files."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.wav"
        path.parent.mkdir(exist_ok=True)
        if number % LINKS == 0:
            first = path
            noise = 0.001 * rng.standard_normal(TELEPHONE_HZ)
            soundfile.write(first, noise, TELEPHONE_HZ, subtype="PCM_16")
        else:
            os.link(first, path)
