"""A table of clips is a corpus: read and written row by row, wrong rows told with their line."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_engine.data import manifest
from ser_engine.data.corpora.base import Utterance
from ser_engine.data.manifest import Row
from ser_engine.errors import CorpusError


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_is_read_whatever_separates_its_columns(delimiter: str, tmp_path: Path) -> None:
    lines = ["Path|Label|Speaker|gender|transcript|room", "a.wav|Anger|ann|F|Out!|kitchen", "b/b.wav|bored|bob|||"]
    path = written(tmp_path / "own.csv", "\ufeff" + "\n".join(lines).replace("|", delimiter) + "\n")
    first, second = manifest.read_rows_or_errors(path)
    assert first.utterance == Utterance(
        "own", tmp_path / "a.wav", "angry", "own/ann", "female", None, None, "Out!", "Anger"
    )
    assert first.extra == {"room": "kitchen"}
    assert second.utterance == Utterance("own", tmp_path / "b" / "b.wav", None, "own/bob", native="bored")
    assert second.extra == {}


def test_json_lines_are_read_with_numbers_and_gaps(tmp_path: Path) -> None:
    rows = [
        {"path": "/far/a.wav", "label": "joy", "speaker": 7, "corpus": "mine", "fold": 3, "sentence": "s1"},
        {"path": "b.wav", "label": None, "native": "boredom", "speaker": "mine/7", "corpus": "mine", "gender": None},
    ]
    path = written(tmp_path / "x.jsonl", "\n\n".join(map(json.dumps, rows)))
    first, second = manifest.read_rows_or_errors(path)
    assert (first.utterance.path, first.utterance.label) == (Path("/far/a.wav"), "happy")
    assert first.utterance.speaker == second.utterance.speaker == "mine/7"
    assert (first.extra, first.utterance.words) == ({"fold": 3}, None)
    assert (second.utterance.label, second.utterance.native) == (None, "boredom")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.csv", "path,label\na,b\n", r"no column speaker"),
        ("a.csv", "", r"no column path or label or speaker"),
        ("a.csv", "path,label,speaker\na.wav,angry,ann\nb.wav,,ann\n", r"line 3: there is no label\.$"),
        ("a.csv", "path,label,speaker\n,angry,\n", r"line 2: there is no path and no speaker\.$"),
        ("a.csv", "path,label,speaker\na,b,c,d\n", r"line 2: there are more fields than columns\.$"),
        ("a.csv", 'path,label,speaker\n"a\nb.wav",,c\n', r"line 3: there is no label\.$"),
        ("a.jsonl", '{"path": "a"}\n', r"line 1: there is no label and no speaker\.$"),
        ("a.jsonl", '{"path": "a", "label": ["b"], "speaker": "c"}', r"line 1: label is neither text nor a number"),
        ("a.jsonl", '\n{"path": \n', r"line 2: this is not a JSON object\.$"),
        ("a.jsonl", "[1]\n", r"line 1: this is not a JSON object\.$"),
        ("a.jsonl", "[" * 100_000, r"line 1: this is not a JSON object\.$"),
        ("a.jsonl", '{"path": "a\\u0000", "label": "b", "speaker": "c"}', r"line 1: the path contains a character"),
    ],
)
def test_a_wrong_row_is_one_sentence_with_its_line(name: str, text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=sentence) as error:
        list(manifest.read_manifest(written(tmp_path / name, text)))
    assert name in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_is_no_text_or_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "sound.csv").write_bytes(b"path,label,speaker\n\xff\xfe\x00")
    with pytest.raises(CorpusError, match="not text in UTF-8"):
        list(manifest.read_manifest(tmp_path / "sound.csv"))
    with pytest.raises(CorpusError, match="There is no manifest"):
        list(manifest.read_manifest(tmp_path / "none.csv"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(CorpusError, match="cannot be read"):
        list(manifest.read_manifest(tmp_path / "folder.csv"))


def test_a_check_goes_on_after_a_wrong_row(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "path,label,speaker\na,b,c\n,,\nd,e,f\n")
    found = list(manifest.read_rows_or_errors(path))
    assert [isinstance(row, Row) for row in found] == [True, False, True]


def test_paths_of_windows_are_understood(tmp_path: Path) -> None:
    (utterance,) = manifest.read_manifest(written(tmp_path / "a.csv", "path,label,speaker\nwav\\a.wav,sad,s\n"))
    assert utterance.path == tmp_path / "wav" / "a.wav"


text = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=12)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
@given(
    native=text,
    speaker=text,
    transcript=st.none() | text.map(lambda word: f'{word}, "{word}"; {word}'),
    gender=st.sampled_from([None, "female", "male", "other"]),
    fold=text,
)
def test_what_is_written_is_read_back(
    suffix: str, native: str, speaker: str, transcript: str | None, gender: str | None, fold: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:  # fmt: skip
    folder = tmp_path_factory.getbasetemp()
    utterance = Utterance(
        "c", folder / "wav" / "a.wav", "sad", f"c/{speaker}", gender, "s1", "high", transcript, native
    )
    other = replace(utterance, path=Path("/elsewhere/b.wav"), label=None)
    manifest.write_manifest([Row(utterance, {"fold": fold}), Row(other, {"fold": fold})], folder / f"m{suffix}")
    rows = list(manifest.read_rows_or_errors(folder / f"m{suffix}"))
    assert [row.utterance for row in rows] == [utterance, other]
    assert [row.extra for row in rows] == [{"fold": fold}] * 2


def test_a_folder_with_its_manifest_can_be_moved(tmp_path: Path) -> None:
    here = tmp_path / "here"
    manifest.write_manifest([Utterance("c", here / "wav" / "a.wav", "sad", "c/s")], here / "m.jsonl")
    assert json.loads((here / "m.jsonl").read_text())["path"] == "wav/a.wav"
    here.rename(tmp_path / "there")
    (utterance,) = manifest.read_manifest(tmp_path / "there" / "m.jsonl")
    assert utterance.path == tmp_path / "there" / "wav" / "a.wav"


def test_a_manifest_that_could_not_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    good = Utterance("c", Path("/a.wav"), "sad", "c/s")
    manifest.write_manifest([good], path)
    before = path.read_bytes()

    def broken():
        yield good
        raise CorpusError("stop")

    with pytest.raises(CorpusError, match="stop"):
        manifest.write_manifest(broken(), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_where_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match=r"m\.jsonl cannot be written: "):
        manifest.write_manifest([], tmp_path / "file" / "m.jsonl")


def test_an_empty_table_has_its_header(tmp_path: Path) -> None:
    manifest.write_manifest([], tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text().startswith("path,label,speaker")
    assert list(manifest.read_manifest(tmp_path / "m.csv")) == []


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    one = Utterance("c", Path("/a.wav"), "sad", "c/s", transcript="word " * 50)
    manifest.write_manifest((one for _ in range(20_000)), tmp_path / "m.jsonl")
    tracemalloc.start()
    assert sum(1 for _ in islice(manifest.read_manifest(tmp_path / "m.jsonl"), 20_000)) == 20_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
