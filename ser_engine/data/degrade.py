"""Harder hearing than a studio's, for testing alone: what is left of a model on a cut, phoned or drowned recording."""

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
# Babble is several people at once; of fewer one can follow each.
TALKERS, BABBLE_SNR_DB = 6, 10.0

TITLES = {
    "crop": "3 s of the recording",
    "telephone": "by telephone (8 kHz, mu-law)",
    "babble": "among six talkers, 10 dB below",
}
"""The conditions, and how each is called."""


def worsen(waveform: Recording, condition: str, talkers: Sequence[Path], settings: Settings, seed: int) -> Recording:
    """Return a recording as it would be heard under a condition of `TITLES`.

    Parameters
    ----------
    talkers : recordings of other people, of whom babble is made
    settings : how those are read
    seed : of everything random, the recording's own

    Raises
    ------
    InvalidSettings
        There is no such condition, or babble has nobody to talk.
    """
    rng = np.random.default_rng([len(condition), seed])
    if condition == "crop":
        return replace(waveform, samples=crop(waveform.samples, waveform.rate, rng))
    if condition == "telephone":
        return replace(waveform, samples=telephone(waveform.samples, waveform.rate), rate=TELEPHONE_HZ)
    if condition == "babble":
        return among_talkers(waveform, talkers, settings, rng)
    raise InvalidSettings(f"There is no condition “{condition}”; there are {', '.join(TITLES)}.")


def crop(samples: NDArray[np.float32], rate: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return three seconds of float32 [n] from anywhere in it; all of it where it is no longer."""
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


def among_talkers(
    waveform: Recording, talkers: Sequence[Path], settings: Settings, rng: np.random.Generator
) -> Recording:
    """Return a recording with six people talking at once, 10 dB below the level of the speech in it."""
    from ser_engine.audio.clean import resample
    from ser_engine.audio.level import rms
    from ser_engine.audio.vad import detect_speech

    if not talkers:
        raise InvalidSettings("Babble is made of an external corpus, and none is named.")
    samples = waveform.samples
    spoken = [
        samples[round(span.start * waveform.rate) : round(span.end * waveform.rate)]
        for span in detect_speech(resample(samples, waveform.rate))
    ]
    level = rms(np.concatenate(spoken)) if spoken else 0.0
    babble = np.zeros(len(samples))
    for number in rng.choice(len(talkers), TALKERS, replace=len(talkers) < TALKERS):
        other = _talker(talkers[number], settings)
        voice = (
            soxr.resample(other.samples, other.rate, waveform.rate) if other.rate != waveform.rate else other.samples
        )
        voice = np.roll(np.resize(voice, len(samples)), int(rng.integers(len(samples))))
        babble += voice / max(rms(voice), 1e-9)
    babble *= level * 10 ** (-BABBLE_SNR_DB / 20) / max(rms(babble), 1e-9)
    return replace(waveform, samples=(samples + babble).astype(np.float32))


@lru_cache(maxsize=1024)
def _talker(path: Path, settings: Settings) -> Recording:
    """Read a talker once, who talks beside many recordings."""
    from ser_engine.audio.decode import load_audio

    return load_audio(path.read_bytes(), settings)


def digest(condition: str, talkers: Sequence[Path]) -> str:
    """Return what names a condition in a cache: babble of other talkers is another condition."""
    if condition != "babble":
        return condition
    names = "\n".join(sorted(path.name for path in talkers))
    return f"{condition}-{hashlib.sha256(names.encode()).hexdigest()[:8]}"
