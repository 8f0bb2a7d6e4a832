"""The cache of what is computed per clip: clips without speech, unreadable clips, and batches."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ser_engine.data.cache import Cache, Outcome, compute_clips, readable
from ser_engine.data.pool import map_clips
from ser_engine.errors import InvalidAudio, NoSpeech

CONTENTS = (b"one", b"silent", b"broken", b"three", b"one")


def prepare(data: bytes, log: Path) -> bytes:
    with log.open("ab") as file:
        file.write(data + b"\n")
    if data == b"silent":
        raise NoSpeech("No speech.")
    if data == b"broken":
        raise InvalidAudio("Not a recording.")
    return data


def count(batch: list[bytes]) -> list[int]:
    return [len(data) for data in batch]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    for number, content in enumerate(CONTENTS):
        (tmp_path / f"{number}.wav").write_bytes(content)
    return sorted(tmp_path.glob("*.wav"))


@pytest.mark.parametrize("threads", [False, True])
def test_every_clip_is_computed_once_and_silence_is_a_result(paths: list[Path], tmp_path: Path, threads: bool) -> None:
    cache, log = Cache(tmp_path / "cache", "lengths", {"threads": threads}, suffix=".json"), tmp_path / "log"

    def outcomes() -> list[Outcome]:
        missing = [*paths, tmp_path / "missing.wav"]
        return list(
            compute_clips(missing, cache, partial(prepare, log=log), count, workers=1, batch=2, threads=threads)
        )

    first = outcomes()
    entries = [cache.load(outcome) if isinstance(outcome, Path) else str(outcome) for outcome in first]
    assert entries[:5] == [3, None, "Not a recording.", 5, 3] and "cannot be read" in entries[5]
    assert [str(outcome) for outcome in outcomes()] == [str(outcome) for outcome in first]
    assert sorted(log.read_bytes().split()) == [b"broken", b"broken", b"one", b"silent", b"three"]
    with pytest.raises(InvalidAudio, match="Not a recording"):
        readable(first)


def test_another_option_is_another_folder(tmp_path: Path) -> None:
    folders = {Cache(tmp_path, "x", option).folder for option in ("a", "b", {"a": 1}, None)}
    assert len(folders) == 4 and Cache(tmp_path, "x", "a").folder in folders


def test_results_come_in_the_order_of_the_clips_however_they_are_given() -> None:
    words = [str(number) * (number % 5) for number in range(100)]
    assert list(map_clips(len, words, workers=2, batch=3)) == list(map(len, words))
    assert list(map_clips(len, iter(words), workers=2, total=100)) == list(map(len, words))
    assert list(map_clips(len, [])) == []
