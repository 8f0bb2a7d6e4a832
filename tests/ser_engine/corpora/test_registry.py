"""Corpora are found by any common spelling, read in one order, and told in one sentence where something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from ser_engine.corpora import registry
from ser_engine.errors import CorpusError


def touched(folder: Path, *names: str) -> Path:
    """Make empty files; the readers look at names alone."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("name", ["cremad", "CREMA-D", "Crema_D", "crema d"])
def test_a_corpus_has_many_spellings(name: str, tmp_path: Path) -> None:
    assert registry.corpus(name).id == "cremad"
    touched(tmp_path / name, "AudioWAV/1083_IWW_NEU_XX.wav")
    touched(tmp_path / "other", "1001_IWW_NEU_XX.wav")
    for wanted in ("cremad", "CREMA-D"):
        assert [utterance.name for utterance in registry.read(wanted, tmp_path)] == ["1083_IWW_NEU_XX"]


def test_every_corpus_is_found_by_its_id_and_its_title() -> None:
    assert list(registry.CORPORA) == [
        "ravdess",
        "cremad",
        "savee",
        "tess",
        "iemocap",
        "emodb",
        "aesdd",
        "shemo",
        "subesco",
        "banglaser",
    ]
    for id, corpus in registry.CORPORA.items():
        assert corpus.id == id
        assert registry.corpus(id) is registry.corpus(corpus.title) is corpus
        assert corpus.licence and corpus.citation and corpus.expected_clips > 0


def test_clips_come_in_the_order_of_their_paths_whatever_their_format(tmp_path: Path) -> None:
    touched(
        tmp_path / "ravdess",
        "Actor_02/03-01-01-01-01-01-02.OPUS",
        "Actor_01/03-01-03-01-01-01-01.flac",
        "Actor_01/03-01-01-01-01-01-01.wav",
        "Actor_01/03-01-05-01-01-01-01.txt",  # no sound
        "Actor_01/03-02-05-01-01-01-01.wav",  # song
        "readme.wav",
    )
    found = [utterance.name for utterance in registry.read("ravdess", tmp_path)]
    assert found == ["03-01-01-01-01-01-01", "03-01-03-01-01-01-01", "03-01-01-01-01-01-02"]


@pytest.mark.parametrize(
    ("corpus", "name", "code"),
    [
        ("ravdess", "03-01-09-01-01-01-01.wav", "09"),
        ("cremad", "1083_IWW_CAL_XX.wav", "CAL"),
        ("tess", "YAF_dog_bored.wav", "bored"),
        ("emodb", "03a01Xa.wav", "X"),
    ],
)
def test_a_code_that_the_corpus_does_not_have_is_told(corpus: str, name: str, code: str, tmp_path: Path) -> None:
    touched(tmp_path / corpus, name)
    with pytest.raises(CorpusError, match=rf"{name}.* has no code '{code}'\.$"):
        registry.read(corpus, tmp_path)


def test_a_corpus_without_a_reader_is_told() -> None:
    with pytest.raises(CorpusError, match=r"“msp”; there are ravdess, cremad, savee, .*, banglaser\.$"):
        registry.corpus("msp")


def test_a_corpus_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "tess").touch()  # a file, no folder
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CorpusError, match="TESS was looked for"):
            registry.read("tess", folder)
    with pytest.raises(CorpusError, match="no such folder"):
        list(registry.corpus("tess").utterances(tmp_path / "nowhere"))
