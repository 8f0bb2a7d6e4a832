"""Degradations of recordings, for testing only: a short crop, a telephone line, babble."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from ser_engine.errors import InvalidSettings
from ser_engine.settings import Settings
from ser_engine.types import Recording

CROP_S = 3.0
# A telephone line: ITU-T G.711's rate, bits and mu-law, between the corners of ITU-T G.712.
TELEPHONE_HZ, BAND_HZ, MU = 8000, (300.0, 3400.0), 255
# Babble is several people at once; each of fewer could be followed.
BABBLE_SPEAKERS, BABBLE_SNR_DB = 6, 10.0

TITLES = {
    "crop": "Only 3 s of the recording",
    "telephone": "Over the telephone (8 kHz, mu-law)",
    "babble": "With six other voices, 10 dB below",
}
"""The degradations, and their titles for people."""


def degrade(recording: Recording, degradation: str, babble: Sequence[Path], settings: Settings, seed: int) -> Recording:
    """Return a degraded copy of a recording.

    Babble is mixed from the recordings of other speakers `babble`; `seed`, the recording's own, is of all that is
    random.
    """
    rng = np.random.default_rng([len(degradation), seed])
    if degradation == "crop":
        return replace(recording, samples=crop(recording.samples, recording.rate, rng))
    if degradation == "telephone":
        return replace(recording, samples=telephone(recording.samples, recording.rate), rate=TELEPHONE_HZ)
    if degradation == "babble":
        return add_babble(recording, babble, settings, rng)
    raise InvalidSettings(f"There is no degradation “{degradation}”; there are {', '.join(TITLES)}.")


def crop(samples: NDArray[np.float32], rate: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return three seconds from anywhere in float32 [n]; all of it if it is no longer."""
    length = round(CROP_S * rate)
    first = int(rng.integers(max(0, len(samples) - length) + 1))
    return samples[first : first + length]


def telephone(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return float32 [n] at `rate` Hz as float32 [m] at 8 kHz, as a telephone line carries it."""
    from librosa import mu_compress, mu_expand
    from scipy.signal import butter, sosfilt

    narrow = soxr.resample(samples, rate, TELEPHONE_HZ, quality="HQ")
    narrow = sosfilt(butter(4, BAND_HZ, "bandpass", fs=TELEPHONE_HZ, output="sos"), narrow)
    coded = mu_compress(np.clip(narrow, -1.0, 1.0), mu=MU, quantize=True)
    return mu_expand(coded, mu=MU, quantize=True).astype(np.float32)


def add_babble(recording: Recording, babble: Sequence[Path], settings: Settings, rng: np.random.Generator) -> Recording:
    """Mix a recording with six other voices at once, 10 dB below the level of its speech."""
    from ser_engine.audio.clean import resample
    from ser_engine.audio.quality import rms
    from ser_engine.audio.vad import detect_speech

    if not babble:
        raise InvalidSettings("Babble is mixed from an external corpus, and none is named.")
    samples, rate = recording.samples, recording.rate
    segments = detect_speech(resample(samples, rate))
    speech = [samples[round(segment.start * rate) : round(segment.end * rate)] for segment in segments]
    level = rms(np.concatenate(speech)) if speech else 0.0
    mix = np.zeros(len(samples))
    for number in rng.choice(len(babble), BABBLE_SPEAKERS, replace=len(babble) < BABBLE_SPEAKERS):
        other = _load(babble[number], settings)
        voice = soxr.resample(other.samples, other.rate, rate) if other.rate != rate else other.samples
        voice = np.roll(np.resize(voice, len(samples)), int(rng.integers(len(samples))))
        mix += voice / max(rms(voice), 1e-9)
    mix *= level * 10 ** (-BABBLE_SNR_DB / 20) / max(rms(mix), 1e-9)
    return replace(recording, samples=(samples + mix).astype(np.float32))


@lru_cache(maxsize=1024)
def _load(path: Path, settings: Settings) -> Recording:
    """Load a voice once, which is mixed into many recordings."""
    from ser_engine.audio.decode import load_audio

    return load_audio(path.read_bytes(), settings)


def degradation_key(degradation: str, babble: Sequence[Path]) -> str:
    """Return what names a degradation in a cache: babble of other recordings is another degradation."""
    if degradation != "babble":
        return degradation
    names = "\n".join(sorted(path.name for path in babble))
    return f"{degradation}-{hashlib.sha256(names.encode()).hexdigest()[:8]}"
