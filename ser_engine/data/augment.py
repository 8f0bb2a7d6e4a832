"""Augmented copies of clips, for training only: tested clips are never augmented.

The papers' recipes are data: transforms of audiomentations, or one of the two kinds of noise that it lacks, with their
parameters. Where a paper gives no number, audiomentations' default stands, unless a comment says otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.types import SAMPLE_RATE

# The least peak that noise is relative to, so that a silent clip gets some, too.
MIN_AMPLITUDE = 1e-9


@dataclass(frozen=True)
class Augmentation:
    """One way to augment a clip.

    `transform` is a class of audiomentations, "uniform" or "gaussian" noise, or "repeat" for the clip itself.
    """

    name: str
    transform: str
    parameters: Mapping[str, Any]


def _stretch(slowest: float, fastest: float) -> Augmentation:
    # The papers used librosa's phase vocoder; the clip becomes longer or shorter, as in Sharma (2023).
    parameters = {"min_rate": slowest, "max_rate": fastest, "leave_length_unchanged": False}
    return Augmentation("stretch", "TimeStretch", parameters | {"method": "librosa_phase_vocoder"})


def _pitch(lowest: float, highest: float) -> Augmentation:
    parameters = {"min_semitones": lowest, "max_semitones": highest, "method": "librosa_phase_vocoder"}
    return Augmentation("pitch", "PitchShift", parameters)


RECIPES: dict[str, tuple[Augmentation, ...]] = {
    # III.A names the four and gives no numbers. Four semitones, the default, would turn a man's voice into a woman's:
    # two are used. The kind of background noise is not given: here hiss to rumble, 10 to 30 dB below the voice.
    "sharma": (
        _stretch(0.8, 1.25),
        _pitch(-2.0, 2.0),
        Augmentation("gain", "Gain", {"min_gain_db": -12.0, "max_gain_db": 12.0}),
        Augmentation(
            "background",
            "AddColorNoise",
            {"min_snr_db": 10.0, "max_snr_db": 30.0, "min_f_decay": -6.0, "max_f_decay": 0.0},
        ),
    ),
    # 3.4.1. Its algorithm 2 for the pitch, taken literally, rolls a spectrum by int(0.7) = 0 bins and changes nothing:
    # its text is followed here. Its algorithm 3 rolls by up to 5,000 samples, without a fade at the seam. The fourth
    # and fifth technique, SpecAugment's masks in time and frequency (3.4.2), are applied by the encoder in training
    # (mask_time_prob, mask_feature_prob); the clip once more, masked otherwise, makes the data "five times (5-fold)".
    "islam": (
        Augmentation("noise", "gaussian", {"share": 0.035}),
        _pitch(0.7, 0.7),
        Augmentation(
            "shift",
            "Shift",
            {"min_shift": -5000, "max_shift": 5000, "shift_unit": "samples", "rollover": True, "fade_duration": 0.0},
        ),
        Augmentation("repeat", "repeat", {}),
    ),
    # III.A: "noise with uniform distribution and amplitude of 0.035", here of the clip's peak, since many clips of
    # RAVDESS would drown in 0.035 of full scale; a "slower and longer" stretch; "changing the tone". No amounts are
    # given: the slowest default, and the pitch of Islam et al.
    "gomes": (Augmentation("noise", "uniform", {"share": 0.035}), _stretch(0.8, 0.8), _pitch(0.7, 0.7)),
}
"""The augmentations of each paper, each of which makes one copy of a clip."""


def apply(recipe: str, samples: NDArray[np.float32], rng: np.random.Generator) -> list[tuple[str, NDArray[np.float32]]]:
    """Return one copy of float32 [n] at 16 kHz for each augmentation of a recipe.

    They are in the recipe's order; only a stretch changes the length. The same state of `rng` gives the same samples.
    """
    return [(item.name, augment(item, samples, rng)) for item in RECIPES[recipe]]


def augment(item: Augmentation, samples: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Apply one augmentation to float32 [n] at 16 kHz and return float32 [m]."""
    if item.transform == "repeat":
        return samples.copy()
    if item.transform == "uniform":
        reach = item.parameters["share"] * _peak(samples)
        return samples + rng.uniform(-reach, reach, len(samples)).astype(np.float32)
    import audiomentations

    if item.transform == "gaussian":  # algorithm 1 of Islam et al.: up to a share of the clip's peak
        most = item.parameters["share"] * _peak(samples)
        transform = audiomentations.AddGaussianNoise(min_amplitude=1e-3 * most, max_amplitude=most, p=1.0)
    else:
        transform = getattr(audiomentations, item.transform)(**item.parameters, p=1.0)
    with _seeded(rng):
        return np.ascontiguousarray(transform(samples, SAMPLE_RATE), np.float32)


def _peak(samples: NDArray[np.float32]) -> float:
    return max(MIN_AMPLITUDE, float(np.abs(samples).max(initial=0.0)))


@contextmanager
def _seeded(rng: np.random.Generator) -> Iterator[None]:
    """Seed the global generators, which audiomentations draws from, and restore them afterwards."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(int(rng.integers(2**32)))
    np.random.seed(int(rng.integers(2**32)))  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
