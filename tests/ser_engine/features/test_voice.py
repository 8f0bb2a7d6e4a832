"""Pitch, range, level and syllables of sounds whose values are known."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from ser_engine.features.voice import HIGHEST_HZ, LOWEST_HZ, frame_levels, frame_pitch, measure_voice
from tests.speech import RATE, Samples, noise, silence, speech, tone


def buzz(hz: float, seconds: float = 1.0) -> Samples:
    """Return a tone with overtones, as a voice has them."""
    return sum((tone(seconds, hz * k, 0.2 / k) for k in range(1, 8)), silence(seconds))


@pytest.mark.parametrize("hz", [80.0, 120.0, 210.0, 440.0])
def test_the_pitch_of_a_buzz(hz: float) -> None:
    voice = measure_voice(buzz(hz))
    assert voice.pitch_hz == pytest.approx(hz, rel=0.01)
    assert voice.pitch_range_semitones == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("hz", range(505, 1000, 7))
def test_a_pitch_beyond_the_range_is_no_number_beyond_it(hz: float) -> None:
    pitch, _ = frame_pitch(buzz(hz, 0.2))
    assert ((pitch == 0) | ((pitch >= LOWEST_HZ) & (pitch < HIGHEST_HZ + 10))).all()


def test_pitch_agrees_with_librosa() -> None:
    samples = speech("I wonder what this is about.", "woman")
    ours, aperiodic = frame_pitch(samples)
    theirs, voiced, _ = librosa.pyin(samples, fmin=65, fmax=500, sr=RATE, hop_length=RATE // 100)
    length = min(len(ours), len(theirs))
    both = (ours[:length] > 0) & voiced[:length]
    assert both.sum() > 50 and (aperiodic[ours > 0] < 0.15).all()
    assert np.median(np.abs(12 * np.log2(ours[:length][both] / theirs[:length][both]))) < 0.25


def test_an_octave_is_twelve_semitones() -> None:
    voice = measure_voice(np.concatenate([buzz(110), buzz(220)]))
    assert voice.pitch_range_semitones == pytest.approx(12, abs=0.5)


def test_a_voice_of_two_levels_varies_by_their_difference() -> None:
    voice = measure_voice(np.concatenate([buzz(120), 0.25 * buzz(120)]))
    assert voice.level_range_db == pytest.approx(12, abs=1)
    assert frame_levels(buzz(120)).shape == (100,)


@pytest.mark.parametrize("rate", [2, 4, 6])
def test_syllables_are_counted(rate: int) -> None:
    time = np.arange(2 * RATE) / RATE
    swelling = (0.55 - 0.45 * np.cos(2 * np.pi * rate * time)).astype(np.float32)
    assert measure_voice(buzz(130, 2.0) * swelling).syllables_per_s == pytest.approx(rate, abs=0.5)


def test_a_spoken_sentence_has_its_syllables() -> None:
    samples = speech("Dogs are sitting by the door.")  # seven
    voice = measure_voice(samples)
    assert voice.syllables_per_s is not None
    assert voice.syllables_per_s * len(samples) / RATE == pytest.approx(7, abs=1.1)


@pytest.mark.parametrize("samples", [noise(1.0), silence(1.0), silence(0.01), buzz(120, 0.05)])
def test_without_a_voice_there_is_nothing_to_measure(samples: Samples) -> None:
    assert set(vars(measure_voice(samples)).values()) == {None}
