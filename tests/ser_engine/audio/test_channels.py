"""What is analyzed of a recording of several channels: their mean, the better one, or a speaker each."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike

from ser_engine.audio.channels import Selection, measure_channels, select_channels
from ser_engine.audio.decode import load_audio, load_samples
from ser_engine.audio.quality import measure_quality
from ser_engine.errors import InvalidAudio
from ser_engine.settings import Settings
from ser_engine.types import Span
from tests.speech import RATE, Samples, add_noise, encode, music, noise, silence, speech, tone

MAN = speech("Dogs are sitting by the door. It is eleven o'clock.", "man")
WOMAN = speech("Kids are talking by the door. I wonder what this is about.", "woman")


def decibels(level: float) -> np.float32:
    return np.float32(10 ** (level / 20))


def call(leak_db: float | None = None, delay_s: float = 0.0) -> tuple[Samples, Samples]:
    """Return a man left and then a woman right, each with cross-talk in the other channel."""
    left = np.concatenate([MAN, silence(len(WOMAN) / RATE)])
    right = np.concatenate([silence(len(MAN) / RATE), WOMAN])
    if leak_db is None:
        return left, right
    late = silence(delay_s)
    cross = [np.concatenate([late, each])[: len(each)] * decibels(leak_db) for each in (left, right)]
    return left + cross[1], right + cross[0]


def select(*channels: ArrayLike, mode: str = "auto", names: str = "", rate: int = RATE) -> Selection:
    samples = np.asarray(channels, np.float32)
    return select_channels(load_samples(samples, rate, Settings()), Settings(channels=mode, channel_names=names))


def only(selection: Selection) -> str:
    (warning,) = selection.recording.warnings
    return warning


# --- one scene


@pytest.mark.parametrize("gain", [0.9, 0.5, 0.32])
def test_panned_voices_are_one_scene(gain: float) -> None:
    left, right = call()
    selection = select(left + gain * right, right + gain * left)
    assert (selection.used, selection.own, selection.recording.warnings) == ((1, 2), {}, ())
    np.testing.assert_allclose(selection.recording.samples, (1 + gain) / 2 * (left + right), rtol=0, atol=1e-6)


def test_two_microphones_in_a_room_are_one_scene() -> None:
    rng = np.random.default_rng(0)
    left, right = call()

    def at(distance_s: float, gain: float) -> Samples:
        length = RATE // 2
        tail = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
        tail *= 0.6 / np.linalg.norm(tail)
        tail[round(distance_s * RATE)] += gain
        return tail

    near, far = (0.002, 1.0), (0.006, 0.5)
    mics = [
        np.convolve(left, at(*one))[: len(left)] + np.convolve(right, at(*other))[: len(left)]
        for one, other in ((near, far), (far, near))
    ]
    selection = select(*mics)
    assert (selection.used, selection.own) == ((1, 2), {})


def test_music_on_both_sides_of_a_voice_is_one_scene() -> None:
    background = [0.1 * music(len(MAN) / RATE), 0.1 * np.roll(music(len(MAN) / RATE), 3000)]
    selection = select(MAN + background[0], MAN + background[1])
    assert (selection.used, selection.own) == ((1, 2), {})


def test_a_voice_in_the_middle_of_louder_voices_is_one_scene() -> None:
    short = min(len(MAN), len(WOMAN))
    around = [WOMAN[:short], np.roll(WOMAN[:short], 20_000)]
    selection = select(*(MAN[:short] + 1.5 * each for each in around))
    assert (selection.used, selection.own) == ((1, 2), {})


def test_the_same_sound_in_all_channels_is_one_channel() -> None:
    selection = select(MAN, MAN)
    assert (selection.used, selection.names, selection.recording.warnings) == ((), (), ())
    assert "the same sound in all channels" in only(select(MAN, MAN, mode="split"))
    assert "has one channel, so it is not split" in only(select(MAN, mode="split"))


# --- an inverted, dead or clipped channel


@pytest.mark.parametrize("gain", [1.0, 0.5])
@pytest.mark.parametrize("snr_db", [None, 20, 3])
def test_an_inverted_channel_does_not_cancel_the_voice(gain: float, snr_db: float | None) -> None:
    left, right = MAN, -gain * MAN
    if snr_db is not None:
        left, right = add_noise(left, snr_db, seed=1), add_noise(right, snr_db, seed=2)
    selection = select(left, right)
    assert "inverted" in only(selection)
    assert np.corrcoef(selection.recording.samples, MAN)[0, 1] > 0.8


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    ("dead", "why"),
    [
        (silence(len(MAN) / RATE), "is silent"),
        (silence(len(MAN) / RATE) + 0.02, "is silent"),
        (tone(len(MAN) / RATE, 50.0) + tone(len(MAN) / RATE, 150.0, 0.1), "has no voice"),
        (noise(len(MAN) / RATE, 0.01), "has no voice"),
        (MAN * decibels(-40), "only repeats the other one"),
        (add_noise(MAN * decibels(-30), 20), "only repeats the other one"),
    ],
    ids=["silence", "offset", "hum", "noise", "cross-talk", "noisy cross-talk"],
)
def test_a_dead_channel_is_left_out(side: int, dead: Samples, why: str) -> None:
    channels = [MAN, MAN]
    channels[side] = dead
    selection = select(*channels)
    names = ("left", "right")
    assert only(selection).startswith(f"The {names[side]} channel {why}")
    assert only(selection).endswith(f"the {names[1 - side]} channel alone is used.")
    assert selection.used == (2 - side,)
    np.testing.assert_array_equal(selection.recording.samples, MAN)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("gain", [4, 20])
def test_of_a_clipped_channel_the_other_one_is_used(side: int, gain: int) -> None:
    channels = [MAN, MAN]
    channels[side] = np.clip(gain * MAN, -1, 1)
    selection = select(*channels)
    assert f"The {('left', 'right')[side]} channel is clipped" in only(selection)
    np.testing.assert_array_equal(selection.recording.samples, MAN)


def test_where_both_are_clipped_the_one_that_is_clipped_less_is_used() -> None:
    selection = select(np.clip(20 * MAN, -1, 1), np.clip(12 * MAN, -0.9, 0.9))
    assert only(selection) == "The left channel is clipped more; the right channel alone is used."
    assert measure_quality(selection.recording, (Span(0.3, 3.0),)).clipping > 0.01


def test_quality_is_measured_for_each_channel() -> None:
    recording = load_samples(np.stack([np.clip(20 * MAN, -1, 1), MAN]), RATE, Settings())
    left, right = measure_channels(recording, select_channels(recording, Settings()), (Span(0.3, 3.0),))
    assert (left.name, left.used, right.name, right.used) == ("Left", False, "Right", True)
    assert left.quality.clipping > 0.01 > right.quality.clipping
    assert left.to_dict()["clipping"] == round(left.quality.clipping, 5)


# --- a speaker each


@pytest.mark.parametrize("leak_db", [None, -30, -20])
@pytest.mark.parametrize("delay_s", [0.0, 0.05])
def test_a_call_is_split(leak_db: float | None, delay_s: float) -> None:
    selection = select(*call(leak_db, delay_s))
    assert selection.used == (1, 2)
    assert selection.recording.warnings == ()
    turn = len(MAN) / RATE
    assert all(span.end < turn + 0.4 for span in selection.own[1])
    assert all(span.start > turn - 0.1 for span in selection.own[2])
    assert sum(span.duration_s for span in selection.own[1]) > 2
    assert sum(span.duration_s for span in selection.own[2]) > 2


def test_a_call_with_noise_hum_and_unequal_levels_is_split() -> None:
    left, right = call(-30)
    hum = tone(len(left) / RATE, 50.0, 0.05)
    selection = select(add_noise(left, 12, seed=1) + hum, add_noise(0.25 * right, 12, seed=2) + hum)
    assert set(selection.own) == {1, 2}


def test_speakers_at_once_are_split() -> None:
    short = min(len(MAN), len(WOMAN))
    left, right = MAN[:short], np.roll(WOMAN[:short], RATE // 2)
    assert set(select(left + 0.1 * right, right + 0.1 * left).own) == {1, 2}


def test_a_channel_without_speech_is_named_where_each_is_a_speaker() -> None:
    left, right = call()
    selection = select(left, silence(len(left) / RATE), right, mode="split")
    assert (selection.used, selection.names) == ((1, 3), ("Channel 1", "Channel 2", "Channel 3"))
    assert only(selection) == "Channel 2 has no speech of its own."
    selection = select(left, 0 * left, mode="split", names="agent,customer")
    assert only(selection) == "The channel “customer” has no speech of its own."
    assert not select(0 * left, tone(len(left) / RATE), mode="split").own


@pytest.mark.parametrize("names", ["agent", "agent,customer,supervisor"])
def test_there_is_a_name_for_each_channel(names: str) -> None:
    with pytest.raises(InvalidAudio, match=r"has 2 channels, but \d names? (is|are) given \(--channel-names, SER_CH"):
        select(*call(), names=names)
    assert select(MAN, 0.9 * MAN, names=names).names == ("Left", "Right")
    assert select(*call(), names="agent,customer").names == ("agent", "customer")


# --- what is asked for


def test_the_mean_or_one_channel_can_be_asked_for() -> None:
    left, right = call()
    np.testing.assert_allclose(select(left, right, mode="mix").recording.samples, (left + right) / 2, atol=1e-6)
    for number, samples in enumerate((left, right), 1):
        selection = select(left, right, mode=str(number))
        assert selection.used == (number,)
        np.testing.assert_array_equal(selection.recording.samples, samples)
    np.testing.assert_array_equal(select(MAN, mode="1").recording.samples, MAN)
    with pytest.raises(InvalidAudio, match=r"has 2 channels, but channel 3 is asked for \(--channels, SER_CHANNELS\)"):
        select(left, right, mode="3")
    with pytest.raises(InvalidAudio, match="has 1 channel, but channel 2"):
        select(MAN, mode="2")


# --- three and more channels


def headsets(leak_db: float, empty: int = 0) -> list[Samples]:
    """Return three people who speak in turns, each at a microphone with cross-talk, and microphones of none."""
    said = [MAN, WOMAN, np.roll(MAN, RATE)]
    voices = []
    for row, own in enumerate(said):
        before, after = (sum(map(len, part)) / RATE for part in (said[:row], said[row + 1 :]))
        voices.append(np.concatenate([silence(before), own, silence(after)]))
    rooms = np.sum(voices, axis=0) * decibels(leak_db)
    tracks = [voice + rooms - voice * decibels(leak_db) for voice in voices] + [rooms] * empty
    return [track + noise(len(track) / RATE, 0.0005, seed=row) for row, track in enumerate(tracks)]


@pytest.mark.parametrize(("leak_db", "empty"), [(-40, 0), (-20, 0), (-20, 5)])
def test_microphones_of_one_speaker_each_are_split(leak_db: float, empty: int) -> None:
    selection = select(*headsets(leak_db, empty))
    assert set(selection.own) == {1, 2, 3}
    turns = np.cumsum([0, len(MAN), len(WOMAN), len(MAN)]) / RATE
    for number, spans in selection.own.items():
        assert all(turns[number - 1] - 0.4 < span.start and span.end < turns[number] + 0.4 for span in spans)


def test_two_microphones_of_one_table_are_not_split() -> None:
    first, second, third = headsets(-40)
    selection = select(first, 0.8 * first + 0.6 * second, second + 0.9 * third)
    assert not selection.own and len(selection.used) == 1


def test_the_best_microphone_of_an_array_is_used() -> None:
    microphones = [add_noise(MAN, snr_db=3 + row, seed=row) for row in range(16)]
    microphones[3] = silence(len(MAN) / RATE)
    microphones[7] = np.clip(20 * MAN, -1, 1)
    microphones[11] = add_noise(MAN, 40)
    selection = select(*microphones)
    assert selection.used == (12,)
    assert only(selection).startswith("Of 16 channels, channel 12 alone is used")


def test_the_dialogue_of_a_film_is_in_its_middle_channel() -> None:
    seconds = len(MAN) / RATE
    sides = [0.5 * music(seconds), 0.5 * np.roll(music(seconds), 2000)]
    selection = select(*sides, MAN, 0.2 * tone(seconds, 60.0), noise(seconds, 0.02), noise(seconds, 0.02, seed=1))
    assert selection.used == (3,)


def test_channels_without_speech_are_averaged() -> None:
    selection = select(silence(2), noise(2), tone(2))
    assert selection.used == (1, 2, 3)


# --- decoding


@pytest.mark.parametrize("count", [2, 6, 16, 32])
def test_channels_are_decoded_apart(count: int) -> None:
    channels = np.stack([np.roll(MAN, 100 * row) * (row + 1) / count for row in range(count)])
    recording = load_audio(encode(channels.T, RATE), Settings())
    assert recording.channels is not None
    np.testing.assert_allclose(recording.channels, channels, rtol=0, atol=2**-14)
    np.testing.assert_allclose(recording.samples, channels.mean(axis=0), rtol=0, atol=2**-14)


def test_where_their_number_changes_they_are_averaged() -> None:
    data = encode(MAN, RATE, "FLAC") + encode(np.stack(call()).T, RATE, "FLAC")
    recording = load_audio(data, Settings())
    assert recording.channels is None
    np.testing.assert_allclose(recording.samples[len(MAN) :], np.mean(call(), axis=0), rtol=0, atol=2**-14)


def test_channels_keep_their_place_where_the_rate_changes() -> None:
    stereo = np.stack(call()).T
    data = encode(stereo, RATE, "FLAC") + encode(speech(rate=32_000)[:, None] * np.float32([1, -1]), 32_000, "FLAC")
    recording = load_audio(data, Settings())
    assert recording.channels is not None
    assert recording.channels.shape == (2, 2 * len(stereo) + len(speech(rate=32_000)))
    np.testing.assert_allclose(recording.channels[0, 2 * len(stereo) :], -recording.channels[1, 2 * len(stereo) :])


def test_too_much_of_several_channels_is_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ser_engine.audio.decode.MAX_APART", 2 * RATE)
    recording = load_audio(encode(np.stack(call()).T, RATE), Settings())
    assert recording.channels is None
    np.testing.assert_allclose(recording.samples, np.mean(call(), axis=0), rtol=0, atol=2**-14)
    assert "averaged" in recording.warnings[0]


def test_invalid_samples_are_replaced_in_their_channel() -> None:
    channels = np.stack([tone(2, 100), tone(2, 200)])
    channels[1, RATE : RATE + 4] = np.nan
    recording = load_samples(channels, RATE, Settings())
    assert recording.warnings == (
        "4 invalid samples (NaN, infinite or absurdly large) at 1.00 s were replaced by interpolation.",
    )
    assert recording.channels is not None
    np.testing.assert_allclose(recording.channels, [tone(2, 100), tone(2, 200)], rtol=0, atol=0.01)
    with pytest.raises(InvalidAudio, match=r"from 1\.00 s"):
        load_samples(np.where(np.arange(2 * RATE) // RATE == 1, np.nan, channels), RATE, Settings())
