"""Every container that people upload, everything else that they upload, and limits that hold before memory is spent."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from ser_engine import Settings
from ser_engine.audio.decode import encode_wav, load_audio
from ser_engine.errors import InvalidAudio, SerError, TooLarge
from tests.speech import RATE, encode, noise, silence, speech, tone

# What a decoder's callback raises in vain is a warning to pytest: here it fails the test.
pytestmark = pytest.mark.filterwarnings("error")

MB = 2**20
# (container, codec) and how far a decoded sample may lie from the original.
EXACT = {
    ("WAV", "PCM_U8"): 2**-7,
    ("WAV", "PCM_16"): 2**-15,
    ("WAV", "PCM_24"): 2**-23,
    ("WAV", "PCM_32"): 2**-23,
    ("WAV", "FLOAT"): 0.0,
    ("WAV", "DOUBLE"): 0.0,
    ("WAV", "ULAW"): 0.02,
    ("WAV", "ALAW"): 0.02,
    ("WAVEX", "PCM_16"): 2**-15,
    ("WAVEX", "PCM_24"): 2**-23,
    ("WAVEX", "FLOAT"): 0.0,
    ("RF64", "PCM_16"): 2**-15,
    ("AIFF", "PCM_16"): 2**-15,
    ("FLAC", "PCM_16"): 2**-15,
    ("FLAC", "PCM_24"): 2**-23,
    ("matroska", "pcm_s16le"): 2**-15,
    ("mov", "pcm_f32le"): 0.0,
    ("avi", "pcm_u8"): 2**-6,
}
LOSSY = [
    ("OGG", "VORBIS", 16_000),
    ("OGG", "OPUS", 48_000),
    ("MP3", "MPEG_LAYER_III", 44_100),
    ("webm", "libopus", 48_000),
    ("mp4", "aac", 44_100),
    ("ipod", "aac", 48_000),
    ("adts", "aac", 16_000),
]


@pytest.mark.parametrize(("container", "codec"), EXACT)
def test_samples_are_what_was_stored(container: str, codec: str, settings: Settings) -> None:
    voice = speech()
    recording = load_audio(encode(voice, RATE, container, codec), settings)
    assert (recording.rate, recording.source.rate, recording.source.channels) == (RATE, RATE, 1)
    assert recording.samples.dtype == np.float32
    assert recording.samples.flags.c_contiguous
    np.testing.assert_allclose(recording.samples, voice, rtol=0, atol=EXACT[container, codec])


@pytest.mark.parametrize(("container", "codec", "rate"), LOSSY)
def test_lossy_codecs_sound_the_same(container: str, codec: str, rate: int, settings: Settings) -> None:
    voice = speech(rate=rate)
    recording = load_audio(encode(voice, rate, container, codec), settings)
    assert recording.rate == rate
    # adts has no way to say that a codec's first 1024 samples are its delay.
    samples = recording.samples[1024:] if container == "adts" else recording.samples
    assert len(samples) == pytest.approx(len(voice), abs=2048)
    shared = min(len(samples), len(voice))
    assert np.corrcoef(samples[:shared], voice[:shared])[0, 1] > 0.97


def test_the_report_names_what_the_file_was(tmp_path: Path, settings: Settings) -> None:
    data = encode(speech(), RATE, "FLAC", "PCM_24")
    path = tmp_path / "a voice.wav"  # the name lies, the bytes decide
    path.write_bytes(data)
    source = load_audio(path, settings).source
    assert (source.name, source.container, source.codec) == ("a voice.wav", "FLAC", "PCM_24")
    assert source.size_bytes == len(data)
    assert load_audio(str(path), settings, name="call").source.name == "call"
    webm = load_audio(encode(speech(rate=48_000), 48_000, "webm"), settings).source
    assert (webm.container, webm.codec) == ("WEBM", "OPUS")
    m4a = load_audio(encode(speech(rate=48_000), 48_000, "ipod"), settings).source
    assert (m4a.container, m4a.codec) == ("MP4", "AAC")


def test_big_endian_wav(settings: Settings) -> None:
    data = encode(speech(), RATE, "WAV", "PCM_16", endian="BIG")
    assert data.startswith(b"RIFX")
    np.testing.assert_allclose(load_audio(data, settings).samples, speech(), rtol=0, atol=2**-15)


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_channels_are_averaged(channels: int, container: str, settings: Settings) -> None:
    voices = np.stack([speech() * (i + 1) / channels for i in range(channels)], axis=1)
    recording = load_audio(encode(voices, RATE, container), settings)
    assert recording.source.channels == channels
    np.testing.assert_allclose(recording.samples, voices.mean(axis=1), rtol=0, atol=2**-14)


@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_channels_of_ffmpeg_are_averaged(channels: int, settings: Settings) -> None:
    voices = np.stack([speech() * (i + 1) / channels for i in range(channels)], axis=1)
    recording = load_audio(encode(voices, RATE, "matroska", "pcm_s16le"), settings)
    assert recording.source.channels == channels
    np.testing.assert_allclose(recording.samples, voices.mean(axis=1), rtol=0, atol=2**-14)
    # Opus decodes into one plane for each channel.
    voices = np.stack([speech(rate=48_000)] * channels, axis=1)
    samples = load_audio(encode(voices, 48_000, "webm"), settings).samples
    assert np.corrcoef(samples, voices[: len(samples), 0])[0, 1] > 0.99


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 96_000, 192_000])
def test_sample_rates(rate: int, settings: Settings) -> None:
    recording = load_audio(encode(tone(0.5, rate=rate), rate), settings)
    assert recording.rate == rate
    assert recording.duration_s == pytest.approx(0.5, abs=1e-3)


def test_silence_and_loud_floats_are_recordings(settings: Settings) -> None:
    assert not load_audio(encode(silence(1)), settings).samples.any()
    assert load_audio(encode(4 * tone(1), RATE, "WAV", "FLOAT"), settings).samples.max() == pytest.approx(1.2, rel=1e-3)


# --- files that end too early, or say something else than they hold


@pytest.mark.parametrize(
    ("container", "codec"), [("WAV", "PCM_16"), ("WAV", "ULAW"), ("FLAC", "PCM_16"), ("RF64", None)]
)
def test_a_cut_off_file_gives_what_is_left(container: str, codec: str | None, settings: Settings) -> None:
    voice = speech()
    data = encode(voice, RATE, container, codec)
    samples = load_audio(data[: len(data) // 2], settings).samples
    assert 0.3 * len(voice) < len(samples) < 0.9 * len(voice)
    np.testing.assert_allclose(samples, voice[: len(samples)], rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("container", "codec"),
    [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("webm", None), ("adts", None)],
)
def test_a_cut_off_lossy_file_gives_what_is_left(container: str, codec: str | None, settings: Settings) -> None:
    data = encode(noise(8, rate=48_000), 48_000, container, codec)
    recording = load_audio(data[: len(data) * 2 // 3], settings)
    assert 2 < recording.duration_s < 7


@pytest.mark.parametrize("declared", [0, 0x7FFFFFFF, 0xF0000000, 0xFFFFFFFF])
def test_a_header_that_lies_about_the_length_costs_nothing(declared: int, settings: Settings) -> None:
    data = bytearray(encode(speech()))
    data[4:8] = data[40:44] = struct.pack("<I", declared)
    recording, peak = measured(bytes(data), settings)
    np.testing.assert_allclose(recording.samples, speech(), rtol=0, atol=2**-15)
    assert peak < 4 * MB


@pytest.mark.parametrize("declared", [0, 2**36 - 1])
def test_a_flac_that_does_not_know_its_length(declared: int, settings: Settings) -> None:
    data = bytearray(encode(speech(), RATE, "FLAC"))
    data[21:26] = bytes([data[21] & 0xF0 | declared >> 32]) + struct.pack(">I", declared & 0xFFFFFFFF)
    recording, peak = measured(bytes(data), settings)
    assert len(recording.samples) == len(speech())
    assert peak < 4 * MB


@pytest.mark.parametrize("size", [1, 4, 11, 12, 20, 30, 43])
def test_a_truncated_header(size: int, settings: Settings) -> None:
    with pytest.raises(InvalidAudio) as caught:
        load_audio(encode(speech())[:size], settings)
    one_sentence(caught.value)
    if size >= 4:
        assert "cut off" in str(caught.value)


def test_a_seek_to_before_the_beginning_leaves_no_trace(capfd: pytest.CaptureFixture, settings: Settings) -> None:
    with pytest.raises(InvalidAudio):
        load_audio(encode(speech(), RATE, "AIFF")[:22], settings)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("container", "kind"), [("FLAC", "FLAC"), ("OGG", "Ogg"), ("webm", "WebM"), ("mp4", "MP4"), ("WAVEX", "WAV")]
)
def test_a_damaged_recording_is_distinguished_from_other_files(container: str, kind: str, settings: Settings) -> None:
    data = encode(tone(1, rate=48_000), 48_000, container)
    with pytest.raises(InvalidAudio, match=f"{kind}.* damaged"):
        load_audio(data[:34], settings)


@pytest.mark.parametrize(
    ("container", "codec"), [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("OGG", "VORBIS"), ("AIFF", None)]
)
def test_no_samples(container: str, codec: str | None, settings: Settings) -> None:
    with pytest.raises(InvalidAudio, match="0 samples"):
        load_audio(encode(silence(0), RATE, container, codec), settings)


def test_a_double_too_large_for_a_float(settings: Settings) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.array([0.0, 1e300, 0.0]), RATE, format="WAV", subtype="DOUBLE")
    with pytest.raises(InvalidAudio, match="NaN, infinite"):
        load_audio(file.getvalue(), settings)


def test_an_unknown_codec(settings: Settings) -> None:
    data = bytearray(encode(speech()))
    data[20:22] = struct.pack("<H", 0x1234)
    with pytest.raises(InvalidAudio, match="unsupported codec"):
        load_audio(bytes(data), settings)


def test_a_video_without_sound(settings: Settings) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        out.mux(stream.encode(None))
    with pytest.raises(InvalidAudio, match="no audio"):
        load_audio(file.getvalue(), settings)


# --- what is no recording at all


def zip_file() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("voice.wav", encode(speech()))
    return file.getvalue()


NOT_RECORDINGS = {
    "empty": (b"", "empty"),
    "text": (b"Kids are talking by the door.\n" * 500, "a text document"),
    "text with accents": (("Trauer, Ärger, Überraschung 悲しい\n" * 500).encode(), "a text document"),
    "subtitles": (b"1\n00:00:00,000 --> 00:00:02,000\nKids are talking by the door.\n\n" * 9, "a text document"),
    "web page": (b"\n<!DOCTYPE html>\n<html><body>404</body></html>", "a web page"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n", "a PDF document"),
    "zip": (zip_file(), "a ZIP archive"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x02\0\0\0" + bytes(200), "a PNG picture"),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(500), "a JPEG picture"),
    "gzip": (b"\x1f\x8b\x08" + bytes(100), "a GZIP archive"),
    "zeros": (bytes(10_000), "not a recording"),
    "random": (np.random.default_rng(0).bytes(10_000), "not a recording"),
}


@pytest.mark.parametrize("kind", NOT_RECORDINGS)
def test_other_files_renamed_to_wav(kind: str, tmp_path: Path, settings: Settings) -> None:
    data, expected = NOT_RECORDINGS[kind]
    path = tmp_path / "voice.wav"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(InvalidAudio, match=expected) as caught:
            load_audio(source, settings)
        one_sentence(caught.value)


@pytest.mark.parametrize("kind", ["m3u8", "concat", "sdp"])
def test_playlists_are_not_followed(kind: str, tmp_path: Path, settings: Settings) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(encode(speech()))
    text = {
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    }[kind]
    with pytest.raises(InvalidAudio, match="text document"):
        load_audio(text.encode(), settings)


def test_paths_that_are_no_files(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(InvalidAudio, match=r"no file “.*nothing\.wav”"):
        load_audio(tmp_path / "nothing.wav", settings)
    with pytest.raises(InvalidAudio, match="is a folder"):
        load_audio(str(tmp_path), settings)
    with pytest.raises(InvalidAudio):
        load_audio("a\0b.wav", settings)
    with pytest.raises(InvalidAudio):
        load_audio("x" * 5000, settings)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused(tmp_path: Path, settings: Settings) -> None:
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    with pytest.raises(InvalidAudio, match="not a regular file"):
        load_audio(pipe, settings)  # reading it would wait forever


# --- limits


def test_too_many_bytes(tmp_path: Path) -> None:
    data = encode(speech())
    with pytest.raises(TooLarge, match="MB"):
        load_audio(data, Settings(max_bytes=len(data) - 1))
    path = tmp_path / "voice.wav"
    path.write_bytes(data)
    assert len(load_audio(path, Settings(max_bytes=len(data))).samples) == len(speech())
    with path.open("r+b") as file:
        file.truncate(8 * 2**30)  # sparse: it takes no room on the disk
    tracemalloc.start()
    with pytest.raises(TooLarge, match="8192 MB; at most 4096 MB"):
        load_audio(path, Settings())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MB


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3", "webm", "mp4", "adts"])
def test_too_many_seconds(container: str) -> None:
    rate = 48_000
    data = encode(noise(2.5, rate=rate), rate, container)
    assert load_audio(data, Settings(max_seconds=3)).duration_s == pytest.approx(2.5, abs=0.1)
    with pytest.raises(TooLarge, match="longer than 2 seconds") as caught:
        load_audio(data, Settings(max_seconds=2))
    one_sentence(caught.value)


def test_a_header_that_says_more_than_four_hours_is_refused_by_default(tmp_path: Path) -> None:
    path, size = tmp_path / "day.wav", 8000 * (4 * 3600 + 1)
    header = bytearray(encode(silence(1, rate=8000), 8000, "WAV", "PCM_U8")[:44])
    header[4:8], header[40:44] = struct.pack("<I", size + 36), struct.pack("<I", size)
    path.write_bytes(header)
    with path.open("r+b") as file:
        file.truncate(44 + size)  # sparse: it takes no room on the disk
    with pytest.raises(TooLarge, match="longer than 4 hours"):
        load_audio(path, Settings())


def test_a_recording_from_a_browser_does_not_say_how_long_it_is(settings: Settings) -> None:
    data = encode(noise(3, rate=48_000), 48_000, "webm")
    duration, void = b"\x44\x89\x88", b"\xec\x89\x00"
    assert data.count(duration) == 1
    live = data.replace(duration, void)
    assert load_audio(live, settings).duration_s == pytest.approx(3, abs=0.05)
    with pytest.raises(TooLarge, match="longer than 2 seconds"):
        load_audio(live, Settings(max_seconds=2))


@pytest.mark.parametrize("container", ["FLAC", "matroska"])
def test_a_small_file_that_unpacks_to_much_is_stopped_at_the_limit(container: str) -> None:
    data = encode(silence(20 * 60, rate=8000), 8000, container, {"matroska": "flac"}.get(container))
    assert len(data) < MB
    tracemalloc.start()
    with pytest.raises(TooLarge):
        load_audio(data, Settings(max_seconds=10))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MB  # all of it is 38


def test_too_many_channels(settings: Settings) -> None:
    with pytest.raises(TooLarge, match="has 33 channels; at most 32"):
        load_audio(encode(np.stack([speech()] * 33, axis=1)), settings)


@pytest.mark.parametrize(("rate", "shown"), [(4_000, "4 kHz"), (7_999, "7.999 kHz"), (384_000, "384 kHz")])
def test_sample_rates_beyond_the_limits(rate: int, shown: str, settings: Settings) -> None:
    with pytest.raises(TooLarge, match=f"sample rate of {shown}; 8 to 192 kHz"):
        load_audio(encode(tone(0.5, rate=rate), rate), settings)


# --- whatever happens to a file, it loads or one sentence explains why not

FUZZED = [
    ("WAV", "PCM_16"),
    ("WAVEX", "PCM_24"),
    ("FLAC", "PCM_16"),
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("MP3", "MPEG_LAYER_III"),
    ("webm", "libopus"),
    ("mp4", "aac"),
]


@pytest.mark.parametrize(("container", "codec"), FUZZED)
def test_damage_of_any_kind_is_survived(container: str, codec: str, settings: Settings) -> None:
    data = encode(speech(rate=48_000)[24_000:72_000], 48_000, container, codec)
    loaded = refused = 0
    for damaged in damages(data, 40):
        try:
            samples = load_audio(damaged, settings).samples
        except SerError as error:
            one_sentence(error)
            refused += 1
        else:
            assert len(samples)
            assert np.isfinite(samples).all()
            loaded += 1
    assert loaded
    assert refused


def damages(data: bytes, count: int) -> Iterator[bytes]:
    """Cut files off, change some bytes anywhere or in the header, and take a piece out of the middle."""
    random = np.random.default_rng(7)
    for i in range(count):
        damaged = bytearray(data)
        if i % 4 == 0:
            del damaged[random.integers(len(data)) :]
        if i % 4 == 1:
            start = int(random.integers(len(data)))
            del damaged[start : start + int(random.integers(1, 500))]
        reach = min(len(damaged), (64, 400, len(data))[i % 3])
        for _ in range((0, 1, 4, 16)[i % 4]):
            if reach:
                damaged[random.integers(reach)] = random.integers(256)
        yield bytes(damaged)


# --- encode_wav


def test_to_wav_comes_back(settings: Settings) -> None:
    voice = speech()
    recording = load_audio(encode_wav(voice, RATE), settings)
    assert (recording.rate, recording.source.codec) == (RATE, "PCM_16")
    np.testing.assert_allclose(recording.samples, voice, rtol=0, atol=2**-14)


def test_to_wav_keeps_peaks_under_full_scale(settings: Settings) -> None:
    loud = 10 * tone(0.5)
    samples = load_audio(encode_wav(loud, RATE), settings).samples
    np.testing.assert_allclose(samples, loud / np.abs(loud).max(), rtol=0, atol=2**-13)
    np.testing.assert_allclose(load_audio(encode_wav(-loud, RATE), settings).samples, -samples, rtol=0, atol=2**-13)
    assert encode_wav(silence(0), RATE).startswith(b"RIFF")


def measured(data: bytes, settings: Settings):
    """Return what `load` returns, and the most bytes that it held at once."""
    tracemalloc.start()
    try:
        return load_audio(data, settings), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def one_sentence(error: SerError) -> None:
    text = str(error)
    assert text
    assert text.endswith(".")
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 200
