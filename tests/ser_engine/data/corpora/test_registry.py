"""Corpora are found by any common spelling, read in one order, and told in one sentence where something is wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import REPEAT, Corpus, Stray
from ser_engine.data.corpora.text_registry import TEXT_CORPORA
from ser_engine.errors import CorpusError
from ser_engine.labels import EMOTIONS
from ser_engine.settings import PROJECT
from tests.ser_engine.data.corpora.trees import touched


@pytest.mark.parametrize("name", ["cremad", "CREMA-D", "Crema_D", "crema d"])
def test_a_corpus_has_many_spellings(name: str, tmp_path: Path) -> None:
    assert registry.get_corpus(name).id == "cremad"
    touched(tmp_path / name, "AudioWAV/1083_IWW_NEU_XX.wav")
    touched(tmp_path / "other", "1001_IWW_NEU_XX.wav")
    for wanted in ("cremad", "CREMA-D"):
        assert [utterance.name for utterance in registry.read_corpus(wanted, tmp_path)] == ["1083_IWW_NEU_XX"]


def test_every_corpus_is_found_by_its_id_and_its_title() -> None:
    assert tuple(registry.CORPORA) == registry.MODULES
    for id, corpus in registry.CORPORA.items():
        assert corpus.id == id
        assert registry.get_corpus(id) is registry.get_corpus(corpus.title) is corpus
        assert corpus.license and corpus.citation and corpus.expected_clips > 0


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
    found = [utterance.name for utterance in registry.read_corpus("ravdess", tmp_path)]
    assert found == ["03-01-01-01-01-01-01", "03-01-03-01-01-01-01", "03-01-01-01-01-01-02"]


@pytest.mark.parametrize(
    ("corpus", "name", "code"),
    [
        ("ravdess", "03-01-09-01-01-01-01.wav", "09"),
        ("cremad", "1083_IWW_CAL_XX.wav", "CAL"),
        ("tess", "YAF_dog_bored.wav", "bored"),
        ("emodb", "03a01Xa.wav", "X"),
        ("emodb", "01a01Wa.wav", "01"),
        ("cremad", "2001_IWW_ANG_XX.wav", "2001"),
        ("savee", "DC_x01.wav", "x"),
        ("savee", "XY_sa01.wav", "XY"),
        ("aesdd", "n01 (3).wav", "n"),
        ("shemo", "F01X02.wav", "X"),
        ("shemo", "F32A02.wav", "F32"),
        ("subesco", "F_02_MONIKA_S_2_BORED_3.wav", "BORED"),
        ("subesco", "F_11_MONIKA_S_2_FEAR_3.wav", "F_11"),
        ("subesco", "F_02_MONIKA_S_11_FEAR_3.wav", "11"),
        ("banglaser", "03-01-06-01-01-01-01.wav", "06"),
        ("banglaser", "03-01-05-01-01-01-35.wav", "35"),
        ("urdu", "SM1_F1_X01.wav", "X"),
        ("urdu", "SM8_F1_A01.wav", "SM8"),
        ("nemo", "WR0_disgust_64.wav", "DISGUST"),
        ("nemo", "AB0_fear_64.wav", "AB0"),
        ("baved", "0-m-21-7-1-105.wav", "7"),
        ("baved", "0-m-21-0-3-105.wav", "3"),
        ("baved", "60-m-21-0-1-105.wav", "60"),
    ],
)
def test_a_code_that_the_corpus_does_not_have_is_told(corpus: str, name: str, code: str, tmp_path: Path) -> None:
    touched(tmp_path / corpus, name)
    with pytest.raises(CorpusError, match=rf"{re.escape(name)}.* has no code '{code}'\.$"):
        registry.read_corpus(corpus, tmp_path)


def test_a_corpus_without_a_reader_is_told() -> None:
    with pytest.raises(CorpusError, match=rf"“msp”; there are ravdess, cremad, savee, .*, {registry.MODULES[-1]}\.$"):
        registry.get_corpus("msp")


def test_a_corpus_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "tess").touch()  # a file, no folder
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CorpusError, match="no folder named tess for TESS"):
            registry.read_corpus("tess", folder)
    with pytest.raises(CorpusError, match="no such folder"):
        list(registry.get_corpus("tess").utterances(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("folder", "id"),
    [
        ("IEMOCAP_full_release", "iemocap"),
        ("ravdess-emotional-speech-audio", "ravdess"),
        ("TESS Toronto emotional speech set data", "tess"),
        ("Toronto emotional speech set", "tess"),
        ("EmoDB", "emodb"),
        ("SUBESCO (1)", "subesco"),
        ("BSER", "banglaser"),
        ("AESDD", "aesdd"),
        ("URDU-Dataset-master", "urdu"),
        ("nEMO-main", "nemo"),
        ("Basic-Arabic-Vocal-Emotions-Dataset", "baved"),
    ],
)
def test_a_folder_s_name_may_say_more(folder: str, id: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    assert registry.find_by_folder_name(tmp_path / folder) is registry.CORPORA[id]
    assert [corpus.id for corpus, _ in registry.find_folders(tmp_path)] == [id]
    assert registry.is_available(id, tmp_path)
    assert not registry.is_available("savee", tmp_path)


def test_two_folders_of_one_corpus_are_not_guessed_between(tmp_path: Path) -> None:
    touched(tmp_path / "ravdess_old", "03-01-01-01-01-01-01.wav")
    touched(tmp_path / "ravdess_new", "03-01-01-01-01-01-02.wav")
    with pytest.raises(CorpusError, match=r"ravdess_new or .*ravdess_old; name one of them ravdess"):
        registry.read_corpus("ravdess", tmp_path)
    touched(tmp_path / "RAVDESS", "03-01-01-01-01-01-03.wav")
    assert [utterance.name for utterance in registry.read_corpus("ravdess", tmp_path)] == ["03-01-01-01-01-01-03"]


def test_a_manifest_stands_in_a_corpus_s_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.csv").write_text("path,label,speaker\na.wav,anger,ann\n")
    monkeypatch.chdir(tmp_path.parent)
    for name in ("own.csv", str(tmp_path / "own.csv"), f"{tmp_path.name}/own.csv"):
        (utterance,) = registry.read_corpus(name, tmp_path)
        assert (utterance.corpus, utterance.label, utterance.speaker) == ("own", "angry", "own/ann")
        assert utterance.path.resolve() == tmp_path / "a.wav"
        assert registry.is_available(name, tmp_path)
    assert not registry.is_available("other.csv", tmp_path)
    with pytest.raises(CorpusError, match=r"no manifest .*other\.csv"):
        registry.read_corpus("other.csv", tmp_path)


def test_what_archives_hold_twice_is_read_once(tmp_path: Path) -> None:
    """RAVDESS and TESS from Kaggle have all their clips a second time, one folder deeper."""
    name = "03-01-01-01-01-01-01"
    touched(tmp_path, f"Actor_01/{name}.wav", f"Actor_01/{name}.flac", f"audio_speech/Actor_01/{name}.WAV")
    touched(tmp_path, f"Actor_01/._{name}.wav", f"__MACOSX/Actor_01/{name}.wav", "README.md", ".hidden/readme.wav")
    corpus = registry.CORPORA["ravdess"]
    assert [utterance.path.suffix for utterance in corpus.utterances(tmp_path)] == [".flac"]
    strays = [found for found in corpus.scan(tmp_path) if isinstance(found, Stray)]
    assert [(stray.path.suffix, stray.reason) for stray in strays] == [(".wav", REPEAT), (".WAV", REPEAT)]


def test_git_lfs_pointers_in_place_of_recordings_are_named_once(tmp_path: Path) -> None:
    root = touched(tmp_path / "ravdess", *(f"Actor_01/03-01-0{code}-01-01-01-01.wav" for code in (1, 3, 4, 5)))
    for path in sorted((root / "Actor_01").iterdir())[:3]:
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 346000\n")
    sentence = r"01-01-01\.wav: a Git LFS pointer, like 2 others here, and no recording; “git lfs pull”"
    with pytest.raises(CorpusError, match=sentence):
        registry.read_corpus("ravdess", tmp_path)
    strays = [found for found in registry.CORPORA["ravdess"].scan(root) if isinstance(found, Stray)]
    assert len(strays) == 1 and strays[0].error


@pytest.mark.parametrize("corpus", registry.CORPORA.values(), ids=registry.CORPORA)
def test_the_facts_of_a_corpus_agree_with_each_other(corpus: Corpus) -> None:
    if corpus.id != "baved":  # whose authors do not state the clips of each level
        assert sum(corpus.expected_labels.values()) == corpus.expected_clips
        assert set(corpus.expected_labels) == set(corpus.labels)
    assert {label for label in corpus.labels.values() if label} <= set(EMOTIONS)
    assert corpus.url.startswith("http") and corpus.expected_speakers > 1
    assert bool(corpus.languages) == (corpus.id != "emogator"), "vocal bursts have no words"


def test_every_corpus_is_cited_in_the_bibliography() -> None:
    bibliography = (PROJECT / "docs" / "papers.bib").read_text(encoding="utf-8")
    assert [id for id in (*registry.CORPORA, *TEXT_CORPORA) if f"{{{id}," not in bibliography] == []
