"""Degradations: the length, bandwidth and level of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_engine import Settings
from ser_engine.audio import decode as audio
from ser_engine.audio.clean import resample
from ser_engine.audio.vad import detect_speech
from ser_engine.data.degrade import BABBLE_SNR_DB, TELEPHONE_HZ, TITLES, degradation_key, degrade
from ser_engine.errors import InvalidSettings
from ser_engine.types import Recording, SourceInfo
from tests.speech import RATE, SENTENCES, VOICES, silence, speech

SOURCE = SourceInfo("clip.wav", "WAV", "PCM_16", 1, RATE, 0)


def recording() -> Recording:
    return Recording(np.concatenate([silence(1.0), speech(), silence(1.5)]), RATE, SOURCE)


@pytest.fixture(scope="module")
def babble(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("babble")
    paths = []
    for number, (text, voice) in enumerate((text, voice) for text in SENTENCES for voice in VOICES):
        paths.append(folder / f"{number}.wav")
        paths[-1].write_bytes(audio.encode_wav(speech(text, voice), RATE))
    return paths


def test_a_crop_is_three_seconds_of_the_recording_and_the_same_for_a_seed() -> None:
    whole = recording()
    cut = degrade(whole, "crop", (), Settings(), seed=3)
    assert len(cut.samples) == 3 * RATE and cut.rate == RATE
    places = np.flatnonzero(np.isclose(whole.samples, cut.samples[RATE]))
    assert any(np.array_equal(whole.samples[at - RATE : at + 2 * RATE], cut.samples) for at in places)
    assert np.array_equal(degrade(whole, "crop", (), Settings(), seed=3).samples, cut.samples)
    short = Recording(whole.samples[: 2 * RATE], RATE, SOURCE)
    assert np.array_equal(degrade(short, "crop", (), Settings(), seed=3).samples, short.samples)


def test_a_telephone_carries_only_its_band_in_256_steps() -> None:
    degraded = degrade(recording(), "telephone", (), Settings(), seed=0)
    assert degraded.rate == TELEPHONE_HZ and abs(degraded.duration_s - recording().duration_s) < 0.01
    assert len(np.unique(degraded.samples)) <= 256
    hum = Recording(0.5 * np.sin(2 * np.pi * 60 * np.arange(RATE) / RATE).astype(np.float32), RATE, SOURCE)
    assert degrade(hum, "telephone", (), Settings(), seed=0).samples[800:-800].std() < 0.01
    assert detect_speech(resample(degraded.samples, degraded.rate))


def test_babble_lies_ten_decibels_below_the_speech(babble: list[Path]) -> None:
    plain = recording()
    degraded = degrade(plain, "babble", babble, Settings(), seed=1)
    added = degraded.samples - plain.samples
    spans = detect_speech(plain.samples)
    spoken = np.concatenate([plain.samples[round(s.start * RATE) : round(s.end * RATE)] for s in spans])
    ratio = 20 * np.log10(np.sqrt(np.mean(spoken**2)) / np.sqrt(np.mean(added**2)))
    assert ratio == pytest.approx(BABBLE_SNR_DB, abs=0.2)
    assert added[: RATE // 2].std() > 0.2 * added.std(), "people talk in the pauses as well"
    other = degrade(plain, "babble", babble, Settings(), seed=2)
    assert not np.allclose(other.samples, degraded.samples)


def test_what_cannot_be_is_a_sentence(babble: list[Path]) -> None:
    with pytest.raises(InvalidSettings, match="no degradation “rain”; there are crop"):
        degrade(recording(), "rain", (), Settings(), seed=0)
    with pytest.raises(InvalidSettings, match="external"):
        degrade(recording(), "babble", (), Settings(), seed=0)
    assert degradation_key("babble", babble) != degradation_key("babble", babble[1:])
    assert len({degradation_key(name, babble) for name in TITLES}) == len(TITLES)
