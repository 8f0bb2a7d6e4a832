"""Acoustic features of a corpus: preprocessed as in the papers, cached by recording, resumed after a kill."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ser_engine.audio.decode import load_audio
from ser_engine.data import augment
from ser_engine.data.acoustic import acoustic_features
from ser_engine.data.preprocess import preprocess, preprocess_and_augment_clips
from ser_engine.errors import InvalidAudio, NoSpeech
from ser_engine.features import acoustic94, acoustic173
from ser_engine.settings import PROJECT, Settings
from tests.speech import SENTENCES, add_noise, encode, silence, speech, tone

WORDS = add_noise(speech(), 20.0)
Table = list[list[np.ndarray] | None]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five clips: two voices, half a second of one, what is no recording, and the first under another name."""
    folder = tmp_path_factory.mktemp("corpus")
    contents = [encode(WORDS), encode(speech(voice="woman")), encode(WORDS[8000:16000]), b"no sound", encode(WORDS)]
    for name, data in zip("abcde", contents, strict=True):
        (folder / f"{name}.wav").write_bytes(data)
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def table(paths: list[Path], settings: Settings) -> Table:
    return acoustic_features(paths, settings, "acoustic94", "sharma", "sharma", workers=1)


def kept(settings: Settings) -> dict[Path, int]:
    """Return every file of the cache, and when it was written."""
    return {path: path.stat().st_mtime_ns for path in settings.cache.rglob("*") if path.is_file()}


def same(one: Table, other: Table) -> bool:
    return len(one) == len(other) and all(
        a is b if a is None or b is None else np.array_equal(a, b) for a, b in zip(one, other, strict=True)
    )


def test_five_clips_end_to_end(paths: list[Path], settings: Settings, table: Table) -> None:
    assert [row is None for row in table] == [False, False, True, True, False]
    for path, row in zip(paths[:2], table[:2], strict=True):
        assert row is not None and len(row) == 1 + len(augment.RECIPES["sharma"])
        samples = preprocess(path.read_bytes(), "sharma", settings)
        rng = np.random.default_rng([0, int(hashlib.sha256(path.read_bytes()).hexdigest()[:12], 16)])
        voices = [samples, *(copy for _, copy in augment.apply("sharma", samples, rng))]
        for features, voice in zip(row, voices, strict=True):
            assert features.dtype == np.float32 and features.shape == (94,)
            np.testing.assert_allclose(features, acoustic94.extract(voice), rtol=1e-3, atol=1e-5)
    assert same([table[0]], [table[4]])
    assert not same([table[0]], [table[1]])


def test_what_is_kept_is_read_and_the_same_recording_is_kept_once(
    paths: list[Path], settings: Settings, table: Table
) -> None:
    before = kept(settings)
    again = acoustic_features(paths[::-1], settings, "acoustic94", "sharma", "sharma", workers=1)
    assert same(again[::-1], table)
    assert kept(settings) == before
    assert len(before) == 3 and all(path.suffix == ".npy" for path in before)


def test_a_clip_that_cannot_be_read_is_told_and_the_others_go_on(
    paths: list[Path], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = paths[0].with_name("missing.wav")
    found = acoustic_features([missing, *paths], settings, "acoustic94", "sharma", "sharma", workers=1)
    assert [row is None for row in found] == [True, False, False, True, True, False]
    told = capsys.readouterr().err
    assert f"{missing}: The file cannot be read" in told
    assert f"{paths[3]}: This is a text document, not a recording." in told
    assert "1 of 6 clips contain too little sound" in told


def test_without_preprocessing_the_whole_clip_counts_and_paper_4_hears_two_and_a_half_seconds(
    paths: list[Path], settings: Settings
) -> None:
    (whole,) = acoustic_features(paths[2:3], settings, "acoustic173", "none", workers=1)
    assert whole is not None and len(whole) == 1
    np.testing.assert_allclose(
        whole[0], acoustic173.extract(load_audio(paths[2], settings).samples), rtol=1e-3, atol=1e-5
    )
    long = encode(np.concatenate([silence(0.5), tone(4)]))
    assert len(preprocess(long, "none", settings)) == 72_000
    heard = preprocess(long, "gomes", settings)
    assert len(heard) == 40_000 and np.abs(heard[:100]).max() > 0.2
    with pytest.raises(NoSpeech):
        preprocess(encode(tone(0.4)), "gomes", settings)


def test_paper_1_drops_what_is_silent_or_under_a_second(settings: Settings) -> None:
    for dropped in (silence(3), np.concatenate([tone(0.5), silence(3)]), speech()[8000:16000]):
        with pytest.raises(NoSpeech):
            preprocess(encode(dropped), "sharma", settings)
    spoken = preprocess(encode(np.concatenate([silence(3), speech(), silence(3)])), "sharma", settings)
    assert 16_000 <= len(spoken) <= len(speech()) + 2048
    quiet = preprocess(encode(0.1 * np.concatenate([silence(3), speech(), silence(3)])), "sharma", settings)
    assert np.abs(quiet).max() == pytest.approx(0.1 * np.abs(spoken).max(), rel=0.2)  # no level is changed
    with pytest.raises(InvalidAudio):
        preprocess(b"no sound", "sharma", settings)


def test_paper_3_trims_what_is_25_db_below_the_loudest_at_both_ends(settings: Settings) -> None:
    hiss = 0.01 * tone(1)  # 40 dB below
    trimmed = preprocess(encode(np.concatenate([hiss, tone(1), hiss, tone(1), hiss])), "islam", settings)
    assert len(trimmed) == pytest.approx(3 * 16_000, abs=2048)
    with pytest.raises(NoSpeech):
        preprocess(encode(silence(1)), "islam", settings)


def test_clips_at_any_rate_are_heard_at_16_khz(settings: Settings) -> None:
    found = preprocess(encode(tone(1, rate=44_100), 44_100), "none", settings)
    assert len(found) == 16_000
    np.testing.assert_allclose(found[1000:-1000], tone(1)[1000:-1000], atol=2e-3)


def test_another_seed_or_recipe_is_another_cache(paths: list[Path], settings: Settings) -> None:
    def copies(**options: object) -> list[np.ndarray]:
        (row,) = acoustic_features(paths[:1], settings, "acoustic94", "none", workers=1, **options)  # type: ignore[arg-type]
        assert row is not None
        return row

    first = copies(augmentation="islam")
    other = copies(augmentation="islam", seed=1)
    assert [len(first), len(other)] == [5, 5]
    assert np.array_equal(first[0], other[0]) and not np.array_equal(first[1], other[1])
    assert len(copies(augmentation="gomes")) == 4


def test_a_half_written_file_is_no_result(paths: list[Path], tmp_path: Path) -> None:
    settings = Settings(cache=tmp_path)
    acoustic_features(paths[:1], settings, "acoustic94", "none", workers=1)
    (whole,) = kept(settings)
    expected, content = np.load(whole), whole.read_bytes()
    whole.with_suffix(".99.part").write_bytes(content[:100])
    whole.unlink()
    for rest in (None, content[:100], b""):  # gone; or what a disk lost that had been written
        if rest is not None:
            whole.write_bytes(rest)
        (row,) = acoustic_features(paths[:1], settings, "acoustic94", "none", workers=1)
        assert np.array_equal(row, expected)
        assert whole.read_bytes() == content


RUN = """
from pathlib import Path
from ser_engine.settings import Settings
from ser_engine.data.acoustic import acoustic_features
acoustic_features(sorted(Path({folder!r}).iterdir()), Settings(cache=Path({cache!r})), "acoustic94", "none", workers=1)
"""


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    folder, settings = tmp_path / "clips", Settings(cache=tmp_path / "cache")
    folder.mkdir()
    for number in range(40):
        sentence = list(SENTENCES)[number % len(SENTENCES)]
        (folder / f"{number:02}.wav").write_bytes(encode(add_noise(speech(sentence), 20.0, seed=number)))
    script = RUN.format(folder=str(folder), cache=str(settings.cache))
    run = subprocess.Popen(
        [sys.executable, "-c", script], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not any(path.suffix == ".npy" for path in kept(settings)) and time.monotonic() < deadline:
        time.sleep(0.005)
    run.kill()
    run.communicate(timeout=60)  # which ends when the workers, who share its output, have ended too
    done = {path: when for path, when in kept(settings).items() if path.suffix == ".npy"}
    assert done
    found = acoustic_features(sorted(folder.iterdir()), settings, "acoustic94", "none", workers=2)
    after = kept(settings)
    assert {path: after[path] for path in done} == done
    assert sum(path.suffix == ".npy" for path in after) == 40
    for path, row in zip(sorted(folder.iterdir()), found, strict=True):
        assert row is not None
        np.testing.assert_allclose(row[0], acoustic94.extract(load_audio(path, settings).samples), rtol=1e-3, atol=1e-5)


def test_no_clips_are_no_features(settings: Settings) -> None:
    assert acoustic_features([], settings, "acoustic94", "none") == []


def test_nothing_is_heard_of_no_recordings(settings: Settings) -> None:
    assert preprocess_and_augment_clips([], settings, "none", "islam") == []
