"""Corpora of sentences: what is read from their files, into which parts, and what is said of broken files."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from ser_engine.data.corpora.sentences import LABELS, PARTS, Sentences, hashed_part
from ser_engine.data.corpora.text_registry import TEXT_CORPORA, get_text_corpus
from ser_engine.errors import CorpusError

XED = {
    "xed_en.tsv": "Get out !\t1, 3\r\nTrust me .\t8\r\nWe will win , I know it .\t2, 5\r\n\t\r\n",
    "xed_en_neutral.txt": "9\tMr. Howard sir.\n9\tNothing\t\t\t\n",
}
DAILYDIALOG = {
    "dailydialog_1k_text.txt": "Who is it ? __eou__ It ’ s me ! __eou__\nHello . __eou__ Hi .\nOne . __eou__ Two .\n",
    "dailydialog_1k_emotion.txt": "6 4\n0 0 0\n0 5\n",
}
ISEAR = {"isear.tsv": "joy\tWhen I passed Ã¡ my exam.\nshame\tWhen I lied.\nfear\t[ No response.]\ndisgust\tA smell.\n"}
FILES = {"xed": XED, "dailydialog": DAILYDIALOG, "isear": ISEAR}


def write(folder: Path, files: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode())
    return folder


def read(corpus: str, folder: Path) -> dict[str, set[str]]:
    """Return the labels of each text, in all parts."""
    parts = [TEXT_CORPORA[corpus].read(folder, part) for part in PARTS]
    return {
        text: {label for label, there in zip(LABELS, row, strict=True) if there}
        for part in parts
        for text, row in zip(part.texts, part.labels, strict=True)
    }


def test_xed_has_our_labels_and_no_lines_of_anticipation_and_trust_alone(tmp_path: Path) -> None:
    assert read("xed", write(tmp_path, XED)) == {
        "Get out !": {"angry", "disgust"},
        "We will win , I know it .": {"happy"},
        "Mr. Howard sir.": {"neutral"},
        "Nothing": {"neutral"},
    }


def test_dailydialog_has_one_label_for_each_line(tmp_path: Path) -> None:
    assert read("dailydialog", write(tmp_path, DAILYDIALOG)) == {
        "Who is it ?": {"surprised"},
        "It's me !": {"happy"},
        "One .": {"neutral"},
        "Two .": {"sad"},
    }  # and nothing of a conversation with too many labels


def test_isear_has_neither_shame_nor_answers_in_brackets(tmp_path: Path) -> None:
    assert read("isear", write(tmp_path, ISEAR)) == {"When I passed my exam.": {"happy"}, "A smell.": {"disgust"}}


@pytest.mark.parametrize(
    ("corpus", "file", "text", "said"),
    [
        ("xed", "xed_en.tsv", "Fine .\t1\nOdd .\t9\n", "line 2: “9”"),
        ("xed", "xed_en_neutral.txt", "no number\n", "line 1: there should be 9"),
        ("dailydialog", "dailydialog_1k_emotion.txt", "6 4\n", "differ in number"),
        ("dailydialog", "dailydialog_1k_emotion.txt", "6 4\n0 7 0\n0 5\n", "0 to 6"),
        ("isear", "isear.tsv", "envy\tWhen she won.\n", "line 1: “envy”"),
    ],
)
def test_a_broken_file_is_refused_in_one_sentence(tmp_path: Path, corpus: str, file: str, text: str, said: str) -> None:
    write(tmp_path, FILES[corpus] | {file: text})
    with pytest.raises(CorpusError, match=said):
        read(corpus, tmp_path)


@pytest.mark.parametrize("corpus", FILES)
def test_files_are_found_in_their_folder_and_in_one_for_all_texts(tmp_path: Path, corpus: str) -> None:
    data, known = tmp_path / "data", TEXT_CORPORA[corpus]
    with pytest.raises(CorpusError, match=f"{known.title} was looked for"):
        known.find(corpus, data)
    beside = write(tmp_path / "text", FILES[corpus])
    assert known.find(corpus, data) == beside
    inside = write(data / "text", FILES[corpus])
    assert known.find(corpus, data) == inside
    own = write(data / corpus, FILES[corpus])
    assert known.find(corpus, data) == own
    (beside / next(iter(FILES[corpus]))).unlink()
    assert not known.files(beside)


def test_names_and_paths_of_corpora() -> None:
    assert get_text_corpus("/corpora/XED").id == "xed" and get_text_corpus("../text").id == "goemotions"
    with pytest.raises(CorpusError, match="no corpus of sentences “meld”"):
        get_text_corpus("meld")


def test_parts_are_the_same_on_every_machine_and_for_any_spelling() -> None:
    assert [hashed_part(key) for key in ("hello", "Hello ", "one", "two", "three")][:2] == [hashed_part("hello")] * 2
    shares = np.unique([hashed_part(str(number)) for number in range(3000)], return_counts=True)[1] / 3000
    np.testing.assert_allclose(shares, [0.1, 0.1, 0.8], atol=0.03)


def test_groups_are_the_rows_of_each_corpus() -> None:
    sentences = Sentences(("a", "b", "c"), np.ones((3, 7), bool), ("x", "y", "x"))
    assert {corpus: rows.tolist() for corpus, rows in sentences.groups().items()} == {"x": [0, 2], "y": [1]}
    assert sentences.subset([2, 1]).corpora == ("x", "y")


@pytest.mark.corpora
@pytest.mark.parametrize(
    ("corpus", "counts"), [("xed", (18785, 2315, 2257)), ("dailydialog", (5922, 629, 773)), ("isear", (4309, 521, 529))]
)
def test_the_real_ones(ser_data: Path, corpus: str, counts: tuple[int, ...]) -> None:
    try:
        folder = TEXT_CORPORA[corpus].find(corpus, ser_data)
    except CorpusError:
        pytest.skip(f"there is no {corpus}")
    parts = [TEXT_CORPORA[corpus].read(folder, part) for part in PARTS]
    assert tuple(map(len, parts)) == counts
    if corpus != "dailydialog":  # whose short lines are in many conversations
        assert all(not set(one.texts) & set(other.texts) for one, other in combinations(parts, 2))
