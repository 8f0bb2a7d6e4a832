"""Recordings of any length are read piece by piece: the same samples, little memory, cuts in pauses."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_engine import Settings
from ser_engine.audio.decode import load_audio
from ser_engine.audio.encoded import read_stream
from ser_engine.audio.sound import as_sound, open_sound
from ser_engine.audio.stretches import cut_stretches, read_stretches
from ser_engine.audio.vad import detect_speech
from ser_engine.errors import InvalidAudio, TooLarge
from ser_engine.settings import PROJECT
from ser_engine.types import SAMPLE_RATE, Span
from tests.speech import RATE, encode, noise, silence, speech, tone

LONG = Settings(stretch_s=0.5)
"""Settings by which everything of more than a second is long."""
TEXT = "Dogs are sitting by the door. It is eleven o'clock. Kids are talking by the door. I wonder what this is about."
FILES = {
    "wav": encode(speech(), RATE),
    "flac": encode(speech(rate=48_000), 48_000, "FLAC"),
    "opus": encode(speech(rate=48_000), 48_000, "OGG", "OPUS"),
    "mp3": encode(speech(rate=44_100), 44_100, "MP3"),
    "m4a": encode(speech(rate=44_100), 44_100, "ipod", "aac"),
    "webm": encode(speech(rate=48_000), 48_000, "webm"),
    "stereo": encode(np.stack([speech(), 0.5 * speech()], axis=1), RATE),
    "joined": encode(speech(), RATE) + encode(speech(voice="woman"), RATE),
    "joined at other rates": encode(speech(), RATE) + encode(speech(rate=44_100), 44_100) + encode(speech(), RATE),
    "cut off": encode(speech(), RATE, "FLAC")[:-4000],
    "tagged": b"ID3\x04\0\0\0\0\0\x7f" + bytes(127) + encode(speech(), RATE),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("given", ["bytes", "path", "file"])
def test_the_pieces_of_a_long_recording_are_the_samples_of_the_whole(name: str, given: str, tmp_path: Path) -> None:
    path = tmp_path / "voice"
    path.write_bytes(FILES[name])
    source = {"bytes": FILES[name], "path": path, "file": io.BytesIO(FILES[name])}[given]
    whole = load_audio(FILES[name], LONG)
    with open_sound(source, LONG) as sound:
        assert sound.recording is None and sound.rate == whole.rate
        assert sound.duration_s == pytest.approx(whole.duration_s, abs=1e-3)
        assert (sound.source.sha256, sound.warnings) == (whole.source.sha256, whole.warnings)
        for _ in range(2):
            pieces = list(sound.pieces(0.3))
            assert {len(piece) for piece in pieces[:-1]} == {round(0.3 * whole.rate)}
            joined = np.concatenate(pieces)
            assert len(joined) == pytest.approx(len(whole.samples), abs=2)
            shared = min(len(joined), len(whole.samples))
            np.testing.assert_allclose(joined[:shared], whole.samples[:shared], atol=1e-5)


def test_a_short_recording_is_in_memory() -> None:
    with open_sound(FILES["wav"], Settings()) as sound:
        assert sound.recording is not None
        np.testing.assert_array_equal(sound.recording.samples, load_audio(FILES["wav"], Settings()).samples)


def test_a_few_invalid_samples_are_replaced_and_many_refused() -> None:
    samples = speech().copy()
    samples[20_000:20_003] = np.nan
    with open_sound(encode(samples, RATE, "WAV", "FLOAT"), LONG) as sound:
        assert np.isfinite(np.concatenate(list(sound.pieces(0.3)))).all()
        assert list(sound.pieces(0.3)) and len(sound.warnings) == 1 and "1.25 s" in sound.warnings[0]
    samples[20_000:22_000] = np.nan
    with (
        open_sound(encode(samples, RATE, "WAV", "FLOAT"), LONG) as sound,
        pytest.raises(InvalidAudio, match=r"1\.25 s"),
    ):
        list(sound.pieces(0.3))


def test_a_part_of_a_long_recording() -> None:
    whole = load_audio(FILES["wav"], LONG).samples
    with open_sound(FILES["wav"], LONG) as sound:
        short = sound.part(0.5, 1.25, keep_s=1.0)
        assert short.recording is not None
        np.testing.assert_array_equal(short.recording.samples, whole[8000:20_000])
        long = sound.part(0.25, None, keep_s=1.0)
        assert long.recording is None and long.duration_s == pytest.approx(len(whole) / RATE - 0.25)
        np.testing.assert_array_equal(np.concatenate(list(long.pieces())), whole[4000:])
        np.testing.assert_array_equal(long.beginning(0.5).samples, whole[4000:12_000])
        with pytest.raises(InvalidAudio, match="no part from 50 s"):
            sound.part(50, None, keep_s=1.0)


def test_several_parts_of_a_long_recording() -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, (2, 70 * RATE)).astype(np.float32)
    spans = [Span(0.5, 1.25), Span(1.0, 31.0), Span(29.5, 30.5), Span(69.0, 70.0)]
    with open_sound(encode(samples.T, RATE), LONG) as sound:
        parts = list(sound.parts(spans))
        assert list(sound.parts([])) == []
    for part, span in zip(parts, spans, strict=True):
        own = samples[:, round(span.start * RATE) : round(span.end * RATE)]
        np.testing.assert_allclose(part.channels, own, atol=1e-4)
        np.testing.assert_allclose(part.samples, own.mean(axis=0), atol=1e-4)


def test_a_file_takes_no_memory_for_its_length(tmp_path: Path) -> None:
    path = tmp_path / "half an hour.wav"
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for _ in range(30):
            file.write(noise(60))
    tracemalloc.start()
    with open_sound(path, Settings(stretch_s=10)) as sound:
        assert sum(len(piece) for piece in sound.pieces(10)) == 30 * 60 * RATE
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20  # all of it is 115


def test_stretches_are_cut_in_pauses_and_cover_everything() -> None:
    samples = np.concatenate([speech(TEXT), speech(TEXT, "woman")])
    sound = as_sound(load_audio(encode(samples), Settings()), Settings(stretch_s=8))
    visited: list[int] = []
    stretches = cut_stretches(sound, 8, lambda part, stretch: visited.append(len(part)))
    assert len(stretches) > 3
    assert stretches[0].first == 0 and stretches[-1].last == len(samples)
    assert all(one.last == other.first for one, other in pairwise(stretches))
    lengths = [stretch.last - stretch.first for stretch in stretches]
    assert max(lengths) <= 8 * RATE and visited == pytest.approx(lengths, abs=1)
    speaking = np.zeros(len(samples), bool)
    for span in detect_speech(samples):
        speaking[round(span.start * SAMPLE_RATE) : round(span.end * SAMPLE_RATE)] = True
    assert not speaking[[stretch.last - 1 for stretch in stretches]].any()
    found = sum(span.duration_s for stretch in stretches for span in stretch.speech)
    assert found == pytest.approx(speaking.sum() / SAMPLE_RATE, rel=0.1)
    read = list(read_stretches(sound, stretches))
    np.testing.assert_array_equal(np.concatenate([part.samples for part in read]), as_sound_samples(samples))
    assert [len(part.samples) for part in read] == lengths


def as_sound_samples(samples: np.ndarray) -> np.ndarray:
    return load_audio(encode(samples), Settings()).samples


@pytest.mark.parametrize("samples", [tone(30), silence(30), noise(30)], ids=["tone", "silence", "noise"])
def test_what_has_no_pauses_is_cut_all_the_same(samples: np.ndarray) -> None:
    sound = as_sound(load_audio(encode(samples), Settings()), Settings(stretch_s=8))
    stretches = cut_stretches(sound, 8)
    assert stretches[-1].last == len(samples) and all(one.last == two.first for one, two in pairwise(stretches))
    assert all(5 * RATE <= stretch.last - stretch.first <= 8 * RATE for stretch in stretches[:-1])


def test_a_pipe_is_a_temporary_file_of_a_limited_size() -> None:
    data = FILES["wav"]
    with read_stream(io.BytesIO(data), Settings()) as file:
        assert load_audio(file, Settings()).duration_s > 1
    with pytest.raises(TooLarge, match=r"more than .* MB, the most that can be analyzed \(SER_MAX_BYTES\)"):
        read_stream(io.BytesIO(data), Settings(max_bytes=len(data) - 1))


def test_a_pipe_without_space_on_the_disk_is_one_sentence() -> None:
    def little_space() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, 2**16))

    done = subprocess.run(
        [sys.executable, "-m", "ser_engine", "analyze", "-"],
        input=FILES["joined"], capture_output=True, cwd=PROJECT, preexec_fn=little_space, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and not done.stdout
    assert (
        done.stderr.decode().startswith("-: There is no space for the recording in ") and done.stderr.count(b"\n") == 1
    )


def test_a_file_that_cannot_be_read_to_its_end_is_one_sentence() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 10_000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(InvalidAudio, match=r"cannot be read to its end \(Input/output error\)"):
        load_audio(Failing(FILES["flac"]), Settings())
