"""The patches of VGGish and YAMNet: how many, of what, and their values next to a plain computation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ser_engine.papers.audioset_patches import PATCH, VGGISH, YAMNET, patches
from tests.speech import RATE, noise, silence, speech, tone


@pytest.mark.parametrize(
    ("samples", "vggish", "yamnet"),
    [(1, 1, 1), (PATCH, 1, 1), (PATCH + 1, 1, 2), (PATCH + 7680, 1, 2), (PATCH + 15360, 2, 3), (PATCH + 15361, 2, 4)],
)
def test_as_many_patches_as_the_authors_make(samples: int, vggish: int, yamnet: int) -> None:
    sound = noise(samples / RATE)
    assert len(sound) == samples
    assert patches(sound, VGGISH).shape == (vggish, 96, 64)
    assert patches(sound, YAMNET).shape == (yamnet, 96, 64)


def test_silence_is_the_logarithm_of_the_offset() -> None:
    assert patches(silence(1), VGGISH) == pytest.approx(math.log(0.01), abs=1e-5)
    assert patches(silence(1), YAMNET) == pytest.approx(math.log(0.001), abs=1e-5)


def mel(hz: float) -> float:
    return 1127.0 * math.log(1.0 + hz / 700.0)


def test_a_band_is_what_its_published_formula_says() -> None:
    sound = speech()
    frame = sound[96 * 160 + 10 * 160 :][:400]  # the eleventh frame of VGGish's second patch
    window = 0.5 - 0.5 * np.cos(2 * np.pi / 400 * np.arange(400))
    magnitude = np.abs(np.fft.rfft(frame * window, 512))
    edges = np.linspace(mel(125.0), mel(7500.0), 66)
    bins = np.array([mel(k * RATE / 512) for k in range(257)])
    for band in (0, 20, 63):
        low, middle, high = edges[band : band + 3]
        triangle = np.maximum(0.0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))
        expected = math.log(magnitude @ triangle + 0.01)
        assert patches(sound, VGGISH)[1, 10, band] == pytest.approx(expected, abs=1e-4)


def test_a_tone_is_in_its_band_and_both_front_ends_agree_on_where() -> None:
    edges = np.linspace(mel(125.0), mel(7500.0), 66)
    band = int(np.abs(edges[1:-1] - mel(2000.0)).argmin())
    for front_end in (VGGISH, YAMNET):
        assert patches(tone(1.0, 2000.0), front_end)[0, 48].argmax() == band
