"""Manifests: a corpus of one's own as a table of clips, read and written one row at a time.

CSV (or TSV) with a header, or one JSON object per line. `path`, `label` and `speaker` are required, the other fields of
an `Utterance` optional; every other column is passed on unchanged (other modules use `fold`, `split`, `seconds`,
`sample_rate`, `sha256` and `augmented_from`). A relative path is relative to the manifest.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import CorpusError
from ser_engine.io import atomic_write
from ser_engine.labels import find_emotion

SUFFIXES = frozenset({".csv", ".tsv", ".jsonl"})
REQUIRED = ("path", "label", "speaker")
COLUMNS = (*REQUIRED, "corpus", "gender", "sentence", "intensity", "transcript", "native")
GENDERS = {"f": "female", "w": "female", "woman": "female", "m": "male", "man": "male"}
# Spreadsheets in half of Europe write semicolons.
DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Row:
    """One clip of a manifest: the utterance and the other columns."""

    utterance: Utterance
    extra: Mapping[str, Any] = field(default_factory=dict)


def is_manifest(path: Path) -> bool:
    """Whether a path has the suffix of a manifest."""
    return path.suffix.lower() in SUFFIXES


def read_manifest(path: Path) -> Iterator[Utterance]:
    """Yield the utterances of a manifest, one row in memory at a time, without opening the clips.

    The corpus of rows that name none is the manifest's own name.
    Raise CorpusError if there is no such file, or a row cannot be understood; the sentence names the line.
    """
    for row in read_rows_or_errors(path):
        if isinstance(row, CorpusError):
            raise row
        yield row.utterance


def read_rows_or_errors(path: Path, corpus: str = "") -> Iterator[Row | CorpusError]:
    """Yield the rows of a manifest with all their columns, or the error of a row that cannot be understood."""
    for line, record in read_records(path):
        try:
            if isinstance(record, CorpusError):
                raise record
            yield _row(record, line, path, corpus or path.stem.lower())
        except CorpusError as error:
            yield error


def read_records(path: Path, required: Sequence[str] = REQUIRED) -> Iterator[tuple[int, dict[str, Any] | CorpusError]]:
    """Yield (line, columns) of every row of a table, or (line, error) of one that cannot be read.

    A CSV's header is read in lower case and must name the required columns; raises as `read_manifest` does.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from (
                _json_records(file, path) if path.suffix.lower() == ".jsonl" else _csv_records(file, path, required)
            )
    except FileNotFoundError:
        raise CorpusError(f"There is no manifest {path}.") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path} is not text in UTF-8, so it is not a manifest.") from None
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}.") from None


def write_manifest(clips: Iterable[Utterance | Row], path: Path) -> None:
    """Write a manifest.

    The suffix chooses the format (.csv, .tsv, everything else: a JSON object a line). Paths below the manifest's
    folder are written relative to it, so that the folder can be moved. A CSV's columns are those of the first row.
    """
    try:
        with atomic_write(path) as part, part.open("w", encoding="utf-8", newline="") as file:
            _write((_fields(clip, path.parent.resolve()) for clip in clips), file, path.suffix.lower())
    except OSError as error:
        raise CorpusError(f"{path} cannot be written: {error.strerror or error}.") from None


def _json_records(file: TextIO, path: Path) -> Iterator[tuple[int, dict[str, Any] | CorpusError]]:
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            record = None
        is_object = isinstance(record, dict)
        yield line, record if is_object else CorpusError(f"{path}, line {line}: this is not a JSON object.")


def _csv_records(
    file: TextIO, path: Path, required: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any] | CorpusError]]:
    header = file.readline()
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.DictReader(chain([header], file), delimiter=delimiter, skipinitialspace=True)
    try:
        columns = [column.strip().lower() for column in reader.fieldnames or ()]
        missing = [column for column in required if column not in columns]
        if missing:
            raise CorpusError(
                f"{path}: there is no column {' or '.join(missing)} in the first line; "
                f"a manifest has {', '.join(REQUIRED)} and any others."
            )
        reader.fieldnames = columns
        for record in reader:
            line = reader.line_num
            if None in record:
                yield line, CorpusError(f"{path}, line {line}: there are more fields than columns.")
            else:
                yield line, record
    except csv.Error as error:
        raise CorpusError(f"{path}, line {reader.line_num}: {error}.") from None


def _row(record: Mapping[str, Any], line: int, path: Path, corpus: str) -> Row:
    """Turn a record into a row; its values may be missing, numbers, or text with blanks around it."""
    values = {name: _text(record.get(name), name, line, path) for name in COLUMNS}
    label, native = values["label"], values["native"]
    absent = [name for name in REQUIRED if values[name] is None]
    if absent == ["label"] and native is not None:
        absent = []  # an emotion that is not one of our labels
    if absent:
        raise CorpusError(f"{path}, line {line}: there is no {' and no '.join(absent)}.")
    corpus = values["corpus"] or corpus
    speaker = str(values["speaker"])
    gender = (values["gender"] or "").lower()
    utterance = Utterance(
        corpus=corpus,
        path=_clip(str(values["path"]), line, path),
        label=find_emotion(label) if label else None,
        speaker=speaker if speaker.startswith(f"{corpus}/") else f"{corpus}/{speaker}",
        gender=GENDERS.get(gender, gender) or None,
        sentence=values["sentence"],
        intensity=values["intensity"],
        transcript=values["transcript"],
        native=native or label,
    )
    extra = {name: value for name, value in record.items() if name not in COLUMNS and value not in (None, "")}
    return Row(utterance, extra)


def _text(value: Any, name: str, line: int, path: Path) -> str | None:
    if isinstance(value, list | dict | bool):
        raise CorpusError(f"{path}, line {line}: {name} is neither text nor a number.")
    return None if value is None else str(value).strip() or None


def _clip(text: str, line: int, path: Path) -> Path:
    if "\0" in text:
        raise CorpusError(f"{path}, line {line}: the path contains a character that file names cannot have.")
    if "\\" in text and "/" not in text and os.sep == "/":
        text = text.replace("\\", "/")  # written on Windows
    return path.parent / Path(text).expanduser()


def _fields(clip: Utterance | Row, folder: Path) -> dict[str, Any]:
    utterance, extra = (clip, {}) if isinstance(clip, Utterance) else (clip.utterance, clip.extra)
    fields: dict[str, Any] = {name: getattr(utterance, name) for name in COLUMNS}
    # As text, which is faster than comparing 100,000 paths part by part.
    fields["path"] = utterance.path.absolute().as_posix().removeprefix(f"{folder.as_posix().rstrip('/')}/")
    return fields | dict(extra)


def _write(records: Iterable[dict[str, Any]], file: TextIO, suffix: str) -> None:
    table: csv.DictWriter[str] | None = None
    for record in records:
        if suffix not in (".csv", ".tsv"):
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            continue
        if table is None:
            delimiter = "\t" if suffix == ".tsv" else ","
            table = csv.DictWriter(file, list(record), extrasaction="ignore", delimiter=delimiter)
            table.writeheader()
        table.writerow(record)
    if table is None and suffix in (".csv", ".tsv"):
        csv.writer(file).writerow(COLUMNS)
