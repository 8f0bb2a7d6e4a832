"""Degradations: the length, bandwidth and level of each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_engine import Settings
from ser_engine.audio import decode as audio
from ser_engine.audio.clean import resample
from ser_engine.audio.vad import detect_speech
from ser_engine.data.degrade import BABBLE_SNR_DB, ROOM_S, TELEPHONE_HZ, TITLES, Sources, degrade, simulate_room
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
    cut = degrade(whole, "crop", Sources(), Settings(), seed=3)
    assert len(cut.samples) == 3 * RATE and cut.rate == RATE
    places = np.flatnonzero(np.isclose(whole.samples, cut.samples[RATE]))
    assert any(np.array_equal(whole.samples[at - RATE : at + 2 * RATE], cut.samples) for at in places)
    assert np.array_equal(degrade(whole, "crop", Sources(), Settings(), seed=3).samples, cut.samples)
    short = Recording(whole.samples[: 2 * RATE], RATE, SOURCE)
    assert np.array_equal(degrade(short, "crop", Sources(), Settings(), seed=3).samples, short.samples)


def test_a_telephone_carries_only_its_band_in_256_steps() -> None:
    degraded = degrade(recording(), "telephone", Sources(), Settings(), seed=0)
    assert degraded.rate == TELEPHONE_HZ and abs(degraded.duration_s - recording().duration_s) < 0.01
    assert len(np.unique(degraded.samples)) <= 256
    hum = Recording(0.5 * np.sin(2 * np.pi * 60 * np.arange(RATE) / RATE).astype(np.float32), RATE, SOURCE)
    assert degrade(hum, "telephone", Sources(), Settings(), seed=0).samples[800:-800].std() < 0.01
    assert detect_speech(resample(degraded.samples, degraded.rate))


def test_babble_lies_ten_decibels_below_the_speech(babble: list[Path]) -> None:
    plain = recording()
    degraded = degrade(plain, "babble", Sources(tuple(babble)), Settings(), seed=1)
    added = degraded.samples - plain.samples
    spans = detect_speech(plain.samples)
    spoken = np.concatenate([plain.samples[round(s.start * RATE) : round(s.end * RATE)] for s in spans])
    ratio = 20 * np.log10(np.sqrt(np.mean(spoken**2)) / np.sqrt(np.mean(added**2)))
    assert ratio == pytest.approx(BABBLE_SNR_DB, abs=0.2)
    assert added[: RATE // 2].std() > 0.2 * added.std(), "people talk in the pauses as well"
    other = degrade(plain, "babble", Sources(tuple(babble)), Settings(), seed=2)
    assert not np.allclose(other.samples, degraded.samples)


def test_what_cannot_be_is_a_sentence(babble: list[Path]) -> None:
    with pytest.raises(InvalidSettings, match="no degradation “rain”; there are crop"):
        degrade(recording(), "rain", Sources(), Settings(), seed=0)
    with pytest.raises(InvalidSettings, match="external"):
        degrade(recording(), "babble", Sources(), Settings(), seed=0)
    voices, fewer = Sources(tuple(babble)), Sources(tuple(babble[1:]))
    with pytest.raises(InvalidSettings, match="corpus of voices"):
        degrade(recording(), "crowd-1", Sources(), Settings(), seed=0)
    for name in ("babble", "mix-1", "crowd-1"):
        assert voices.key(name) != fewer.key(name)
    assert voices.key("telephone") == fewer.key("telephone")
    assert len({voices.key(name) for name in (*TITLES, "mix-1", "mix-2")}) == len(TITLES) + 2


def test_a_room_reverberates_for_its_time_and_moves_nothing() -> None:
    room = simulate_room(ROOM_S, -3.0, RATE, np.random.default_rng(0))
    left = 10 * np.log10(np.cumsum(room[:0:-1] ** 2)[::-1] / np.sum(room[1:] ** 2))
    fall = -60 / np.polyfit(np.arange(len(left)) / RATE, left, 1, w=(left > -35) & (left < -5))[0]
    assert fall == pytest.approx(ROOM_S, rel=0.1)
    assert np.sum(room[1:] ** 2) == pytest.approx(10**0.3, rel=1e-3), "the reverberation is 3 dB over the direct sound"
    plain = recording()
    degraded = degrade(plain, "room", Sources(), Settings(), seed=0)
    assert len(degraded.samples) == len(plain.samples)
    lags = np.correlate(degraded.samples[: 3 * RATE], plain.samples[100 : 3 * RATE - 100], "valid")
    assert abs(int(lags.argmax()) - 100) < 5
    end = slice(-RATE, None)
    assert degraded.samples[end].std() > 0 and degraded.samples[end].std() < 0.1 * degraded.samples.std()


@pytest.mark.parametrize("seed", range(12))
def test_a_mixed_copy_is_speech_still_and_another_each_time(babble: list[Path], seed: int) -> None:
    sources = Sources(tuple(babble), noises=tuple(babble[:1]), rooms=tuple(babble[:1]))
    plain = recording()
    first = degrade(plain, "mix-1", sources, Settings(), seed=seed)
    assert first.rate == RATE and first.samples.dtype == np.float32 and np.isfinite(first.samples).all()
    assert 0.8 < first.duration_s / plain.duration_s < 1.25 and detect_speech(first.samples)
    assert np.array_equal(degrade(plain, "mix-1", sources, Settings(), seed=seed).samples, first.samples)
    other = degrade(plain, "mix-2", sources, Settings(), seed=seed).samples
    assert not np.array_equal(other[: len(first.samples)], first.samples[: len(other)])


def test_a_crowd_talks_in_the_pauses(babble: list[Path]) -> None:
    plain = recording()
    first = degrade(plain, "crowd-1", Sources(tuple(babble)), Settings(), seed=3)
    pauses = first.samples[: RATE // 2].std() / first.samples.std()
    assert pauses > 0.05 and pauses > 5 * plain.samples[: RATE // 2].std() / plain.samples.std()
    assert np.array_equal(degrade(plain, "crowd-1", Sources(tuple(babble)), Settings(), seed=3).samples, first.samples)
