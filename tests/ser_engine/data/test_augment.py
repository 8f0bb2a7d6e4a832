"""Other voices from the same recording."""

from __future__ import annotations

import random

import numpy as np
import pytest

from ser_engine.data.augment import RECIPES, apply
from tests.speech import RATE, noise, silence, speech, tone

EVERY = pytest.mark.parametrize("recipe", list(RECIPES))
SEEDS = range(6)


def copies(recipe: str, samples: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    return dict(apply(recipe, samples, np.random.default_rng(seed)))


def pitch(samples: np.ndarray) -> float:
    """Return the frequency (Hz) of the loudest line."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * RATE / len(samples))


@EVERY
def test_there_is_a_copy_by_each_augmentation_and_the_clip_stays_as_it_was(recipe: str) -> None:
    clip = speech()
    made = copies(recipe, clip)
    assert list(made) == [item.name for item in RECIPES[recipe]]
    assert np.array_equal(clip, speech())
    for name, copy in made.items():
        assert copy.dtype == np.float32 and copy.ndim == 1 and np.isfinite(copy).all()
        changed = len(copy) != len(clip) or np.abs(copy - clip).max() > 1e-4
        assert changed == (name != "repeat")


def test_the_recipes_are_those_of_the_papers() -> None:
    assert {recipe: list(copies(recipe, tone(1))) for recipe in RECIPES} == {
        "sharma": ["stretch", "pitch", "gain", "background"],
        "islam": ["noise", "pitch", "shift", "repeat"],
        "gomes": ["noise", "stretch", "pitch"],
    }


@EVERY
def test_a_seed_decides_alone_whatever_else_draws_random_numbers(recipe: str) -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    first = copies(recipe, speech(), seed=7)
    random.seed(2)
    np.random.seed(2)  # noqa: NPY002
    again, other = copies(recipe, speech(), seed=7), copies(recipe, speech(), seed=8)
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


@EVERY
def test_the_random_numbers_of_others_go_on_undisturbed(recipe: str) -> None:
    def draw() -> tuple[float, float]:
        return random.random(), np.random.random()  # noqa: NPY002

    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    expected = draw()
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    copies(recipe, tone(1))
    assert draw() == expected


@EVERY
@pytest.mark.parametrize("clip", [silence(1), tone(0.05)], ids=["silent", "short"])
def test_silence_and_a_moment_can_be_augmented_too(recipe: str, clip: np.ndarray) -> None:
    assert all(len(copy) and np.isfinite(copy).all() for copy in copies(recipe, clip).values())


@pytest.mark.parametrize("recipe", ["islam", "gomes"])
def test_the_papers_shift_the_pitch_by_0_7_semitones(recipe: str) -> None:
    copy = copies(recipe, tone(2, 400.0))["pitch"]
    assert len(copy) == 2 * RATE
    assert pitch(copy) == pytest.approx(400 * 2 ** (0.7 / 12), rel=0.003)


@pytest.mark.parametrize("seed", SEEDS)
def test_paper_1_shifts_the_pitch_by_two_semitones_at_most(seed: int) -> None:
    semitones = 12 * np.log2(pitch(copies("sharma", tone(2, 400.0), seed)["pitch"]) / 400)
    assert -2.1 <= semitones <= 2.1


@pytest.mark.parametrize("seed", SEEDS)
def test_paper_3_turns_a_clip_around_by_at_most_5000_samples(seed: int) -> None:
    clip = noise(1)
    copy = copies("islam", clip, seed)["shift"]
    by = int(np.flatnonzero(copy == clip[0])[0])
    by = by if by < len(clip) // 2 else by - len(clip)
    assert 0 < abs(by) <= 5000
    assert np.array_equal(copy, np.roll(clip, by))


@pytest.mark.parametrize("seed", SEEDS)
def test_paper_3_adds_normal_noise_of_up_to_3_5_percent_of_the_peak(seed: int) -> None:
    clip = tone(1, level=0.5)
    added = copies("islam", clip, seed)["noise"] - clip
    assert 0 < added.std() <= 0.035 * 0.5 * 1.02
    assert np.abs(added).max() > 3 * added.std()  # which no uniform noise reaches


def test_paper_4_adds_uniform_noise_of_3_5_percent_of_the_peak() -> None:
    clip = tone(1, level=0.5)
    added = copies("gomes", clip)["noise"] - clip
    assert 0.99 * 0.035 * 0.5 < np.abs(added).max() <= 0.035 * 0.5 + 1e-6
    assert added.std() == pytest.approx(0.035 * 0.5 / np.sqrt(3), rel=0.02)
    assert added.mean() == pytest.approx(0, abs=5e-4)


def test_paper_4_makes_speech_slower_at_the_same_pitch() -> None:
    copy = copies("gomes", tone(2, 400.0))["stretch"]
    assert len(copy) == pytest.approx(2 * RATE / 0.8, abs=1)
    assert pitch(copy) == pytest.approx(400, rel=0.005)


@pytest.mark.parametrize("seed", SEEDS)
def test_paper_1_stretches_without_another_pitch_and_turns_the_level(seed: int) -> None:
    clip = tone(2, 400.0)
    made = copies("sharma", clip, seed)
    assert 0.8 - 1e-3 <= len(clip) / len(made["stretch"]) <= 1.25 + 1e-3
    assert pitch(made["stretch"]) == pytest.approx(400, rel=0.005)
    gains = made["gain"][clip != 0] / clip[clip != 0]
    assert np.ptp(gains) < 1e-5
    assert -12 <= 20 * np.log10(gains[0]) <= 12


@pytest.mark.parametrize("seed", SEEDS)
def test_paper_1_puts_noise_10_to_30_db_below_the_voice(seed: int) -> None:
    clip = speech()
    added = copies("sharma", clip, seed)["background"] - clip
    assert 9.9 <= 20 * np.log10(clip.std() / added.std()) <= 30.1
