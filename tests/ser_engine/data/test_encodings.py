"""Features of a corpus: what the application would hear, computed once, kept by what the recording holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ser_engine.audio.clean import clean_speech
from ser_engine.audio.decode import load_audio
from ser_engine.data.encodings import encode_clips, encode_windows
from ser_engine.errors import InvalidAudio
from ser_engine.features.encoder import BLOCKS, Encoding, encode_audio
from ser_engine.models.whisper import shared_whisper
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE
from tests.speech import encode as wav
from tests.speech import speech, tone

WORDS = speech("It is eleven o'clock.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two spoken clips, a tone, and the first clip once more under another name."""
    folder = tmp_path_factory.mktemp("corpus")
    clips = {"a": WORDS, "b": speech("It is eleven o'clock.", "woman"), "c": tone(1), "d": WORDS}
    for name, samples in clips.items():
        (folder / f"{name}.wav").write_bytes(wav(samples))
    return folder


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def paths(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def features(paths: list[Path], settings: Settings) -> list[Encoding | None]:
    return encode_clips(paths, settings, workers=1)


def kept(settings: Settings) -> dict[str, Path]:
    """Return the files of the cache by their names."""
    return {path.name: path for path in settings.cache.rglob("*") if path.is_file()}


def same(first: Encoding | None, second: Encoding | None) -> bool:
    """Say whether two encodings are equal, number for number."""
    if first is None or second is None:
        return first is second
    return all(np.array_equal(*both) for both in zip(first, second, strict=True))


def statistics(encoding: Encoding | None) -> np.ndarray:
    assert encoding is not None
    return encoding.statistics


def test_they_are_what_the_application_would_hear(
    paths: list[Path], settings: Settings, features: list[Encoding | None]
) -> None:
    encoder = shared_whisper(settings).encoder
    for path, found in zip(paths[:2], features[:2], strict=True):
        (expected,) = encode_audio(encoder, clean_speech(load_audio(path, settings), settings).samples[None], BLOCKS)
        assert found is not None
        for kept_, computed in zip(found, expected, strict=True):
            assert kept_.shape == computed.shape and kept_.dtype == np.float16
            np.testing.assert_allclose(kept_, computed, rtol=2e-3, atol=2e-3)
    assert not np.allclose(statistics(features[0]), statistics(features[1]), atol=0.1)


def test_windows_are_three_seconds_of_speech_and_a_last_short_one_is_left_out(
    paths: list[Path], settings: Settings
) -> None:
    speech = clean_speech(load_audio(paths[0], settings), settings)
    windows = encode_windows(paths[:3], settings, workers=1)
    assert [len(own) for own in windows][2] == 0, "nobody speaks in the third"
    whole, rest = divmod(len(speech.samples), 3 * SAMPLE_RATE)
    assert len(windows[0]) == whole + (rest >= SAMPLE_RATE) > 0
    assert all(len(window.frames) <= 75 for window in windows[0])


def test_where_nobody_speaks_there_are_none(features: list[Encoding | None]) -> None:
    assert [found is None for found in features] == [False, False, True, False]


def test_the_same_recording_is_kept_once_and_no_half_file_stays(
    settings: Settings, features: list[Encoding | None]
) -> None:
    assert same(features[0], features[3])
    assert len([name for name in kept(settings) if "-" not in name]) == 3
    assert all(name.endswith(".npy") for name in kept(settings))


def test_what_is_kept_is_read_not_computed(
    paths: list[Path], settings: Settings, features: list[Encoding | None]
) -> None:
    before = {name: path.stat().st_mtime_ns for name, path in kept(settings).items()}
    again = encode_clips(paths[::-1], settings, workers=1)
    for first, second in zip(features, again[::-1], strict=True):
        assert same(first, second)
    assert {name: path.stat().st_mtime_ns for name, path in kept(settings).items()} == before


def test_a_recording_that_changed_is_heard_anew(
    settings: Settings, features: list[Encoding | None], tmp_path: Path
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(WORDS[: len(WORDS) * 2 // 3]))
    (changed,) = encode_clips([path], settings, workers=1)
    assert not same(changed, features[0])


def test_a_damaged_recording_is_one_sentence_and_what_is_done_stays(paths: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(wav(WORDS)[:30])
    settings = Settings(cache=tmp_path / "cache")
    with pytest.raises(InvalidAudio, match=r"cut off.*\.$"):
        encode_clips([paths[0], broken], settings, workers=1)
    assert len(kept(settings)) == 1


def test_other_settings_hear_anew_and_the_size_of_whisper_does_not_matter(
    paths: list[Path], settings: Settings, features: list[Encoding | None]
) -> None:
    larger = replace(settings, whisper="small")  # which is nowhere
    assert same(encode_clips(paths[:1], larger, workers=1)[0], features[0])
    (strict,) = encode_clips(paths[:1], replace(settings, min_speech_s=5.0), workers=1)
    assert strict is None
    (cleaned,) = encode_clips(paths[:1], replace(settings, noise_reduction="always"), workers=1)
    assert not same(cleaned, features[0])
