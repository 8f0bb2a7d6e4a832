"""Harder hearing: how long, how narrow and how loud a recording is under each condition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_engine import Settings
from ser_engine.audio import decode as audio
from ser_engine.audio.clean import resample
from ser_engine.audio.vad import detect_speech
from ser_engine.data.degrade import BABBLE_SNR_DB, TELEPHONE_HZ, TITLES, digest, worsen
from ser_engine.errors import InvalidSettings
from ser_engine.types import Recording, SourceInfo
from tests.speech import RATE, SENTENCES, VOICES, silence, speech

SOURCE = SourceInfo("clip.wav", "WAV", "PCM_16", 1, RATE, 0)


def recording() -> Recording:
    return Recording(np.concatenate([silence(1.0), speech(), silence(1.5)]), RATE, SOURCE)


@pytest.fixture(scope="module")
def talkers(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("talkers")
    paths = []
    for number, (text, voice) in enumerate((text, voice) for text in SENTENCES for voice in VOICES):
        paths.append(folder / f"{number}.wav")
        paths[-1].write_bytes(audio.encode_wav(speech(text, voice), RATE))
    return paths


def test_a_crop_is_three_seconds_of_the_recording_and_the_same_for_a_seed() -> None:
    whole = recording()
    cut = worsen(whole, "crop", (), Settings(), seed=3)
    assert len(cut.samples) == 3 * RATE and cut.rate == RATE
    places = np.flatnonzero(np.isclose(whole.samples, cut.samples[RATE]))
    assert any(np.array_equal(whole.samples[at - RATE : at + 2 * RATE], cut.samples) for at in places)
    assert np.array_equal(worsen(whole, "crop", (), Settings(), seed=3).samples, cut.samples)
    short = Recording(whole.samples[: 2 * RATE], RATE, SOURCE)
    assert np.array_equal(worsen(short, "crop", (), Settings(), seed=3).samples, short.samples)


def test_a_telephone_carries_only_its_band_in_256_steps() -> None:
    heard = worsen(recording(), "telephone", (), Settings(), seed=0)
    assert heard.rate == TELEPHONE_HZ and abs(heard.duration_s - recording().duration_s) < 0.01
    assert len(np.unique(heard.samples)) <= 256
    hum = Recording(0.5 * np.sin(2 * np.pi * 60 * np.arange(RATE) / RATE).astype(np.float32), RATE, SOURCE)
    assert worsen(hum, "telephone", (), Settings(), seed=0).samples[800:-800].std() < 0.01
    assert detect_speech(resample(heard.samples, heard.rate))


def test_babble_lies_ten_decibels_below_the_speech(talkers: list[Path]) -> None:
    plain = recording()
    heard = worsen(plain, "babble", talkers, Settings(), seed=1)
    added = heard.samples - plain.samples
    spans = detect_speech(plain.samples)
    spoken = np.concatenate([plain.samples[round(s.start * RATE) : round(s.end * RATE)] for s in spans])
    ratio = 20 * np.log10(np.sqrt(np.mean(spoken**2)) / np.sqrt(np.mean(added**2)))
    assert ratio == pytest.approx(BABBLE_SNR_DB, abs=0.2)
    assert added[: RATE // 2].std() > 0.2 * added.std(), "people talk in the pauses as well"
    other = worsen(plain, "babble", talkers, Settings(), seed=2)
    assert not np.allclose(other.samples, heard.samples)


def test_what_cannot_be_is_a_sentence(talkers: list[Path]) -> None:
    with pytest.raises(InvalidSettings, match="no condition “rain”; there are crop"):
        worsen(recording(), "rain", (), Settings(), seed=0)
    with pytest.raises(InvalidSettings, match="external"):
        worsen(recording(), "babble", (), Settings(), seed=0)
    assert digest("babble", talkers) != digest("babble", talkers[1:])
    assert len({digest(name, talkers) for name in TITLES}) == len(TITLES)
