"""All of a recording is decoded, however it was joined, edited or damaged, or a warning says how much is missing."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from ser_engine import Settings
from ser_engine.audio.clean import clean_speech
from ser_engine.audio.decode import load_audio, load_samples
from ser_engine.errors import InvalidAudio, TooLarge
from tests.speech import RATE, Samples, encode, noise, silence, speech, tone

# What a decoder's callback raises in vain is a warning to pytest: here it fails the test.
pytestmark = pytest.mark.filterwarnings("error")

FORMATS = [
    ("WAV", "PCM_16"),
    ("WAV", "ULAW"),
    ("RF64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("ogg", "flac"),
    ("adts", "aac"),
    ("ipod", "aac"),
    ("mov", "pcm_s16le"),
    ("caf", "pcm_s16le"),
    ("webm", "libopus"),
    ("matroska", "flac"),
    ("asf", "wmav2"),
]
ID3 = b"ID3\x04\0\0\0\0\x02\x10" + bytes(256 + 16)


def first(rate: int) -> Samples:
    return speech("Dogs are sitting by the door.", "man", rate)


def second(rate: int) -> Samples:
    return speech("Kids are talking by the door.", "woman", rate)


def make(samples: Samples, rate: int, container: str, codec: str) -> bytes:
    """Return an encoded file; wmav2 needs a rate of its own kind and planar samples."""
    if codec != "wmav2":
        return encode(samples, rate, container, codec)
    file = io.BytesIO()
    with av.open(file, "w", format="asf") as out:
        stream = out.add_stream("wmav2", rate=rate, layout="mono")
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="fltp", layout="mono")
        frame.rate, frame.pts = rate, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def similar(samples: Samples, expected: Samples, reach: int) -> bool:
    """Whether samples hold the expected ones somewhere within `reach` of their beginning."""
    padded = np.pad(samples, (reach, reach + len(expected)))[: len(expected) + 2 * reach]
    spectrum = np.fft.rfft(padded) * np.conj(np.fft.rfft(expected, len(padded)))
    best = np.fft.irfft(spectrum, len(padded)).max() / np.sum(np.square(expected, dtype=np.float64))
    return bool(best > 0.9)


@pytest.mark.parametrize(("container", "codec"), FORMATS)
def test_files_joined_to_one_are_decoded_to_the_end(container: str, codec: str, settings: Settings) -> None:
    rate = 48_000 if codec in {"OPUS", "libopus"} else 44_100 if codec == "wmav2" else RATE
    parts = [make(voice(rate), rate, container, codec) for voice in (first, second, first)]
    recording = load_audio(b"".join(parts), settings)
    lengths = [len(load_audio(part, settings).samples) for part in parts]
    assert recording.rate == rate
    assert recording.warnings == ()
    # Inside of a file, MP3 has no way to say how long its encoder's delay is.
    assert len(recording.samples) == pytest.approx(sum(lengths), abs=0.15 * len(parts) * rate)
    for voice, start in ((first, 0), (second, lengths[0]), (first, lengths[0] + lengths[1])):
        assert similar(recording.samples[max(0, start - 4096) :], voice(rate), 8192)


@pytest.mark.parametrize(("container", "codec"), FORMATS)
def test_a_single_file_is_not_taken_for_several(container: str, codec: str, settings: Settings) -> None:
    rate = 44_100 if codec == "wmav2" else 48_000
    recording = load_audio(make(noise(3, rate=rate), rate, container, codec), settings)
    assert recording.duration_s == pytest.approx(3, abs=0.1)
    assert recording.warnings == ()


@pytest.mark.parametrize(
    ("container", "codec"), [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("adts", "aac")]
)
def test_joined_files_may_differ_in_rate_and_channels(container: str, codec: str, settings: Settings) -> None:
    stereo = np.stack([second(44_100)] * 2, axis=1)
    data = encode(first(RATE), RATE, container, codec) + encode(stereo, 44_100, container, codec)
    recording = load_audio(data, settings)
    assert (recording.rate, recording.source.rate, recording.source.channels) == (44_100, RATE, 1)
    seconds = len(first(RATE)) / RATE
    assert recording.duration_s == pytest.approx(seconds + len(second(RATE)) / RATE, abs=0.15)
    assert similar(recording.samples, first(44_100), 8192)
    assert similar(recording.samples[round((seconds - 0.1) * 44_100) :], second(44_100), 16_384)


@pytest.mark.parametrize(("container", "codec"), FORMATS)
def test_a_tag_before_any_format_is_skipped(container: str, codec: str, settings: Settings) -> None:
    rate = 44_100 if codec == "wmav2" else 48_000
    data = make(first(rate), rate, container, codec)
    plain = load_audio(data, settings)
    for tags in (ID3, ID3 + ID3):
        np.testing.assert_array_equal(load_audio(tags + data, settings).samples, plain.samples)


@pytest.mark.parametrize("frames", [1, 20, 10_000])
def test_an_mp3_with_a_stale_count_of_frames(frames: int, settings: Settings) -> None:
    voice = np.tile(first(RATE), 4)
    data = bytearray(encode(voice, RATE, "MP3"))
    count = data.index(b"Xing") + 8
    data[count : count + 4] = struct.pack(">I", frames)
    recording = load_audio(bytes(data), settings)
    assert recording.duration_s == pytest.approx(len(voice) / RATE, abs=0.15)


def test_an_mp3_of_another_count_does_not_decide_the_limit() -> None:
    data = bytearray(encode(first(RATE), RATE, "MP3"))
    count = data.index(b"Xing") + 8
    data[count : count + 4] = struct.pack(">I", 2**20)
    assert load_audio(bytes(data), Settings(max_seconds=10)).duration_s < 5


def test_a_flac_with_a_stale_length(settings: Settings) -> None:
    data = bytearray(encode(np.tile(first(RATE), 3), RATE, "FLAC"))
    data[21:26] = bytes([data[21] & 0xF0]) + struct.pack(">I", RATE)
    assert len(load_audio(bytes(data), settings).samples) == 3 * len(first(RATE))


@pytest.mark.parametrize("counted", [0.3, 1.0])
def test_a_wav_with_a_stale_length(counted: float, settings: Settings) -> None:
    data = bytearray(encode(first(RATE)))
    size = round(counted * RATE) * 2
    data[4:8], data[40:44] = struct.pack("<I", size + 36), struct.pack("<I", size)
    recording = load_audio(bytes(data), settings)
    np.testing.assert_allclose(recording.samples, first(RATE), rtol=0, atol=2**-15)
    assert recording.warnings == ()


@pytest.mark.parametrize("container", ["WAV", "AIFF"])
def test_information_after_the_samples_is_no_sound(container: str, settings: Settings) -> None:
    data = bytearray(encode(first(RATE), container=container))
    order = "<I" if container == "WAV" else ">I"
    data += b"note" + struct.pack(order, 40_000) + os.urandom(40_000)
    data[4:8] = struct.pack(order, len(data) - 8)
    recording = load_audio(bytes(data), settings)
    assert len(recording.samples) == len(first(RATE))
    assert recording.warnings == ()


def test_what_no_decoder_reads_is_counted(settings: Settings) -> None:
    data = bytearray(encode(first(RATE), container="AIFF"))
    size, extra = struct.unpack(">I", data[4:8])[0], b"\xff\x7f\x80\x01" * 16_000
    recording = load_audio(bytes(data) + extra, settings)
    assert size + 8 == len(data)
    assert len(recording.samples) == len(first(RATE))
    assert recording.warnings == ("About 2.0 s of the recording are damaged and missing from the answer.",)


def test_a_damaged_file_among_joined_ones_is_counted(settings: Settings) -> None:
    part = encode(first(RATE))
    recording = load_audio(part + part[:20] + bytes(len(part) - 20) + part, settings)
    assert recording.duration_s == pytest.approx(2 * len(first(RATE)) / RATE, abs=1e-3)
    assert recording.warnings == ("About 3.3 s of the recording are damaged and missing from the answer.",)


def test_damaged_packets_are_counted(settings: Settings) -> None:
    data = bytearray(encode(noise(8, rate=48_000), 48_000, "mp4", "aac"))
    start = data.index(b"mdat") + 4
    length = len(data) // 8
    data[start + 2 * length : start + 4 * length] = np.random.default_rng(0).bytes(2 * length)
    recording = load_audio(bytes(data), settings)
    (warning,) = recording.warnings
    assert warning.startswith("About ")
    missing_s = float(warning.split()[1])
    assert recording.duration_s + missing_s == pytest.approx(8, abs=0.3)


def test_joined_files_share_one_limit() -> None:
    part = encode(silence(2), RATE, "FLAC")
    assert load_audio(part * 3, Settings(max_seconds=6)).duration_s == 6
    with pytest.raises(TooLarge, match="longer than 6 seconds"):
        load_audio(part * 4, Settings(max_seconds=6))


# --- tracks


def film(tracks: list[Samples], default: int | None = None, codec: str = "pcm_s16le") -> bytes:
    """Return a Matroska file of several audio tracks; the one with the number `default` is marked as such."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        streams = [out.add_stream(codec, rate=RATE, layout="mono") for _ in tracks]
        for number, stream in enumerate(streams, 1):
            stream.disposition = av.stream.Disposition.default if number == default else 0
        for stream, samples in zip(streams, tracks, strict=True):
            frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="mono")
            frame.rate, frame.pts = RATE, 0
            out.mux([*stream.encode(frame), *stream.encode(None)])
    return file.getvalue()


@pytest.mark.parametrize(
    ("sounds", "default", "expected"),
    [(".a", 2, 2), (".a", 1, 2), ("ab", 2, 2), ("ab", 1, 1), ("ab", None, 1), ("..b", None, 3), ("..", 2, 2)],
)
def test_the_default_track_or_the_first_with_sound(
    sounds: str, default: int | None, expected: int, settings: Settings
) -> None:
    tracks = [{".": silence(2), "a": tone(2), "b": tone(2, 880)}[sound] for sound in sounds]
    recording = load_audio(film(tracks, default), settings)
    np.testing.assert_allclose(recording.samples, tracks[expected - 1], rtol=0, atol=2**-14)
    (warning,) = recording.warnings
    choice = "choose another on the page, or with --track or SER_TRACK"
    assert warning == f"This is audio track {expected} of {len(tracks)}; {choice}."
    assert (recording.source.track, recording.source.tracks) == (expected, len(tracks))


def test_a_track_can_be_chosen(settings: Settings) -> None:
    tracks = [tone(2), silence(2), tone(2, 880)]
    data = film(tracks, 1)
    for track, samples in enumerate(tracks, 1):
        recording = load_audio(data, replace(settings, track=track))
        np.testing.assert_allclose(recording.samples, samples, rtol=0, atol=2**-14)
    with pytest.raises(InvalidAudio, match=r"has 3 audio tracks, but track 4 is asked for \(--track, SER_TRACK\)"):
        load_audio(data, replace(settings, track=4))
    with pytest.raises(InvalidAudio, match="has 1 audio track, but track 2"):
        load_audio(encode(tone(1)), replace(settings, track=2))
    assert load_audio(encode(tone(1)), replace(settings, track=1)).warnings == ()


# --- invalid samples


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize(("container", "codec"), [("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("mov", "pcm_f32le")])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_few_invalid_samples_are_replaced(
    value: float, container: str, codec: str, channels: int, settings: Settings
) -> None:
    # Over the end of a block that is decoded at a time.
    samples = np.stack([tone(3, 100)] * channels, axis=1)
    samples[16_380:16_388, -1] = value
    recording = load_audio(encode(samples, RATE, container, codec), settings)
    np.testing.assert_allclose(recording.samples, tone(3, 100), rtol=0, atol=0.01)
    assert recording.warnings == (
        "8 invalid samples (NaN, infinite or absurdly large) at 1.02 s were replaced by interpolation.",
    )


def test_invalid_samples_at_several_places_and_at_the_ends(settings: Settings) -> None:
    samples = tone(3, 100)
    samples[[0, 20_000, -1]] = np.nan
    recording = load_samples(samples, RATE, settings)
    assert recording.warnings == (
        "3 invalid samples (NaN, infinite or absurdly large) between 0.00 s and 3.00 s were replaced by interpolation.",
    )
    np.testing.assert_allclose(recording.samples, tone(3, 100), rtol=0, atol=0.02)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_many_invalid_samples_are_refused_with_their_time(value: float, settings: Settings) -> None:
    long, scattered, all_ = tone(3), tone(3), tone(3)
    long[20_000:20_800] = value
    scattered[8_000:24_000:10] = value
    all_[:] = value
    for samples, when in ((long, "1.25 s to 1.30 s"), (scattered, "0.50 s to 1.50 s"), (all_, "0.00 s to 3.00 s")):
        with pytest.raises(InvalidAudio, match=f"NaN, infinite .* from {when}"):
            load_audio(encode(samples, codec="FLOAT"), settings)
        with pytest.raises(InvalidAudio, match=when):
            load_samples(samples, RATE, settings)


def test_the_time_counts_from_the_beginning_of_joined_files(settings: Settings) -> None:
    samples = tone(2, 100)
    samples[RATE] = np.nan
    data = encode(tone(2, 100), 44_100, codec="FLOAT") + encode(samples, RATE, codec="FLOAT")
    begun = 2 * RATE / 44_100
    assert f"at {begun + 1:.2f} s" in load_audio(data, settings).warnings[0]


def test_warnings_of_decoding_come_first_in_the_report(settings: Settings) -> None:
    samples = speech()
    samples[20_000] = np.nan
    recording = load_audio(encode(samples, codec="FLOAT"), settings)
    quality = clean_speech(recording, settings).quality
    assert (
        quality.warnings[0]
        == "1 invalid sample (NaN, infinite or absurdly large) at 1.25 s was replaced by interpolation."
    )
    assert quality.to_dict()["warnings"][0] == quality.warnings[0]


# --- refusals, and silence on standard error


def test_refusals_for_a_limit_name_the_setting() -> None:
    with pytest.raises(TooLarge, match=r"\(SER_MAX_SECONDS\)"):
        load_audio(encode(tone(2)), Settings(max_seconds=1))
    with pytest.raises(TooLarge, match=r"\(SER_MAX_BYTES\)"):
        load_audio(encode(tone(2)), Settings(max_bytes=1000))


def test_decoders_write_nothing_to_standard_error(tmp_path: Path) -> None:
    """Libraries in C write past Python, so that it takes a process of its own."""
    whole = encode(np.tile(first(RATE), 3), RATE, "MP3")
    stale = bytearray(whole)
    stale[stale.index(b"Xing") + 8] = 9
    riff = bytearray(encode(first(RATE)))
    riff[20:22] = b"\x55\0"
    damaged = whole[:2000] + bytes(500) + whole[3000:]
    for number, data in enumerate(
        (whole, whole + whole, bytes(stale), damaged, whole[: len(whole) // 2], bytes(riff), whole[100:])
    ):
        (tmp_path / f"{number}.mp3").write_bytes(data)
    code = (
        "import pathlib, sys\nfrom ser_engine import Settings\nfrom ser_engine.audio.decode import load_audio\n"
        "from ser_engine.errors import SerError\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    try: load_audio(path, Settings())\n"
        "    except SerError: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
