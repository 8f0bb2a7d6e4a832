"""GoEmotions in both of its forms, and what is said of files that are none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from ser_engine.data.corpora import goemotions
from ser_engine.data.corpora.goemotions import CORPUS, NATIVE, read_goemotions
from ser_engine.data.corpora.sentences import LABELS
from ser_engine.errors import CorpusError
from ser_engine.labels import EMOTIONS

OWN = 'So proud of you!\t0,21\tid1\nWho is that?\t7\tid2\nIt is "raining\u2028here.\t27\tid3\r\nugh\t11,3\tid4\n'
EKMAN = 'So proud of you!\t3\tid1\nWho is that?\t6\tid2\nIt is "raining\u2028here.\t4\tid3\nugh\t1,0\tid4\n'


def write(folder: Path, text: str, form: str = "{}.tsv", parts: tuple[str, ...] = goemotions.PARTS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part in parts:
        (folder / form.format(part)).write_bytes(text.encode())
    return folder


def names(row: np.ndarray) -> set[str]:
    return {label for label, there in zip(LABELS, row, strict=True) if there}


@pytest.mark.parametrize(("text", "form"), [(OWN, "{}.tsv"), (EKMAN, "goemotions_ekman_{}.tsv")])
def test_both_forms_hold_the_same(tmp_path: Path, text: str, form: str) -> None:
    found = read_goemotions(write(tmp_path, text, form), "dev")
    assert found.texts == ("So proud of you!", "Who is that?", 'It is "raining\u2028here.', "ugh")
    assert [names(row) for row in found.labels] == [{"happy"}, {"surprised"}, {"neutral"}, {"disgust", "angry"}]


def test_each_of_the_authors_words_has_one_of_our_labels() -> None:
    words = [word for group in goemotions.EKMAN.values() for word in group]
    assert sorted(words) == sorted(NATIVE) and len(set(words)) == len(NATIVE) == 28
    assert list(NATIVE) == [*sorted(NATIVE[:-1]), "neutral"]  # the order of their numbers
    assert set(goemotions.EKMAN) == set(LABELS) == set(goemotions.MAPPED) and set(LABELS) <= set(EMOTIONS)
    assert tuple(label for label in EMOTIONS if label in LABELS) == LABELS


def test_the_folder_is_found_by_name_by_path_and_as_the_data_folder_itself(tmp_path: Path) -> None:
    folder = write(tmp_path / "data" / "goemotions", OWN)
    assert CORPUS.find("goemotions", tmp_path / "data") == folder
    assert CORPUS.find(str(folder), tmp_path) == folder
    assert CORPUS.find("goemotions", folder) == folder


def test_half_a_corpus_is_not_found(tmp_path: Path) -> None:
    write(tmp_path / "goemotions", OWN, parts=("train", "dev"))
    with pytest.raises(CorpusError, match=r"looked for in .*goemotions"):
        CORPUS.find("goemotions", tmp_path)
    with pytest.raises(CorpusError, match=r"there is no test\.tsv or goemotions_ekman_test\.tsv"):
        read_goemotions(tmp_path / "goemotions", "test")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fine\t27\tid\nno tabs at all\n", "line 2: there should be"),
        ("fine\t27\n", "line 1: there should be"),
        ("\t27\tid\n", "line 1: there should be"),
        ("text\t28\tid\n", "0 to 27"),
        ("text\t\tid\n", "0 to 27"),
        ("text\t3,x\tid\n", "“3,x”"),
        ("text\t-1\tid\n", "“-1”"),
        ("text\t²\tid\n", "“²”"),
        ("\n\n", "no text"),
    ],
)
def test_a_broken_file_is_refused_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(CorpusError, match=said) as error:
        read_goemotions(write(tmp_path, text), "train")
    assert "\n" not in str(error.value) and "train.tsv" in str(error.value)


def test_a_number_beyond_the_mapped_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="0 to 6"):
        read_goemotions(write(tmp_path, "text\t7\tid\n", "goemotions_ekman_{}.tsv"), "train")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_bytes(b"caf\xe9\t3\tid\n")
    with pytest.raises(CorpusError, match="UTF-8"):
        read_goemotions(tmp_path, "train")


@pytest.mark.corpora
def test_the_real_one_has_the_published_number_of_sentences(ser_data: Path) -> None:
    folder = Path(os.environ.get("SER_GOEMOTIONS") or ser_data.parent / "text")
    try:
        folder = CORPUS.find(goemotions.ID, folder)
    except CorpusError:
        pytest.skip("there is no GoEmotions: set SER_GOEMOTIONS, or put it into text/ beside SER_DATA")
    found = {part: read_goemotions(folder, part) for part in goemotions.PARTS}
    assert {part: len(sentences) for part, sentences in found.items()} == {"train": 43410, "dev": 5426, "test": 5427}
    counts = dict(zip(LABELS, found["test"].labels.sum(axis=0).tolist(), strict=True))
    assert counts["neutral"] == 1787 and counts["happy"] == 2104 and counts["disgust"] == 123
