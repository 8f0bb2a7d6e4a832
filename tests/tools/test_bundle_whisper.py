"""What 8 bits cost in words: which clips are listened to, and how wrong words are counted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import CorpusError, WeightsUnavailable
from tools.bundle_whisper import CORPORA, _rate, _read, choose, count_errors, main, word_errors


@pytest.mark.parametrize(
    ("said", "heard", "errors", "words"),
    [
        ("Dogs are sitting by the door.", "Dogs are sitting by the door.", 0, 6),
        ("Dogs are sitting by the door.", " dogs are sitting by the door", 0, 6),  # case and points do not count
        ("Dogs are sitting by the door.", "Dogs are sitting by the floor.", 1, 6),
        ("Dogs are sitting by the door.", "Dogs sitting by door.", 2, 6),
        ("Dogs are sitting by the door.", "The dogs are all sitting by the door now.", 3, 6),
        ("Dogs are sitting by the door.", "", 6, 6),
        ("It's eleven o'clock.", "It is 11 o'clock.", 0, 4),  # two ways to write the same
        ("Don't forget a jacket.", "Do not forget a jacket.", 0, 5),
        ("Say the word dog.", "Kids are talking by the door.", 6, 4),  # more errors than words
    ],
)
def test_words_that_are_inserted_lost_or_others_are_errors(said: str, heard: str, errors: int, words: int) -> None:
    assert count_errors(said, heard) == (errors, words)


def test_the_rate_is_over_all_words_not_over_clips() -> None:
    counted = [(1, 1), (0, 9), (2, 10)]
    assert _rate(counted, range(3)) == 15.0
    assert _rate(counted, [1, 2]) == pytest.approx(200 / 19, abs=0.005)


def test_each_utterance_is_listened_to_once_and_in_order(tmp_path: Path) -> None:
    said = {"a.wav": "Say the word dog.", "b.wav": "Say the word cat."}
    utterances = [Utterance("tess", tmp_path / name, "sad", "tess/YAF", sentence=said[name]) for name in said]
    asked: list[Path] = []

    def listen(path: Path) -> str:
        asked.append(path)
        return "say the word dog"

    assert word_errors(listen, utterances, "tried") == [(0, 4), (1, 4)]
    assert asked == [utterance.path for utterance in utterances]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Corpora of empty files, since choosing looks at names alone: 60, 30 and 3 clips."""
    names = [f"ravdess/03-01-0{e}-01-01-01-{a:02}.wav" for e in range(1, 6) for a in range(1, 13)]
    names += [f"crema-d/{a}_{s}_SAD_XX.wav" for a in range(1001, 1011) for s in ("IEO", "TIE", "IOM")]
    names += [f"tess/YAF_{word}_sad.wav" for word in ("dog", "cat", "bone")]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_clips_are_drawn_evenly_and_without_repetition(data: Path) -> None:
    chosen = choose(data, 8)
    assert Counter(utterance.corpus for utterance in chosen) == {"ravdess": 3, "cremad": 3, "tess": 2}
    assert len({utterance.path for utterance in chosen}) == 8
    assert all(utterance.sentence for utterance in chosen)
    assert chosen == choose(data, 8)


def test_a_corpus_gives_no_more_than_it_has(data: Path) -> None:
    counts = Counter(utterance.corpus for utterance in choose(data, 300))
    assert counts == {"ravdess": 60, "cremad": 30, "tess": 3}


def test_all_of_the_corpora_are_needed(data: Path) -> None:
    (data / "tess").rename(data / "elsewhere")
    with pytest.raises(CorpusError, match="TESS"):
        choose(data, 6)
    assert CORPORA == ("ravdess", "cremad", "tess")


def test_an_official_checkpoint_is_read(tmp_path: Path) -> None:
    state, dims = {"encoder.conv1.bias": torch.arange(3.0)}, {"n_mels": 80}
    torch.save({"model_state_dict": state, "dims": dims}, tmp_path / "base.pt")
    found, shape = _read([tmp_path / "base.pt"])
    assert shape == dims
    assert torch.equal(found["encoder.conv1.bias"], state["encoder.conv1.bias"])


def test_a_checkpoint_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match=r"There is no checkpoint .*base\.pt\.$"):
        _read([tmp_path / "base.pt"])


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut"])
def test_a_file_that_is_no_checkpoint_is_told(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "base.pt").write_bytes(content)
    with pytest.raises(WeightsUnavailable, match=r"base\.pt is no checkpoint of Whisper"):
        _read([tmp_path / "base.pt"])


def test_missing_weights_are_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SER_MODELS_DIR", str(tmp_path / "models"))
    assert main([str(tmp_path / "base.pt")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "base.pt" in line and not (tmp_path / "models").exists()
