"""A researcher's own corpus: a table of clips, read and written one row at a time.

CSV (or TSV) with a header, or one JSON object a line. `path`, `label` and `speaker` have to be there; what else an
`Utterance` has may be; every other column is kept as it is (`fold`, `split`, `seconds`, `sample_rate`, `sha256`,
`augmented_from` are the ones that other parts of the engine look for). A relative path is relative to the manifest.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import CorpusError
from ser_engine.labels import find_emotion

SUFFIXES = frozenset({".csv", ".tsv", ".jsonl"})
REQUIRED = ("path", "label", "speaker")
COLUMNS = (*REQUIRED, "corpus", "gender", "sentence", "intensity", "transcript", "native")
GENDERS = {"f": "female", "w": "female", "woman": "female", "m": "male", "man": "male"}
# Of what a manifest may be written with; spreadsheets in half of Europe write semicolons.
DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Row:
    """One clip of a manifest: the utterance, what else its row says, and the row's line (from 1; 0: not read)."""

    utterance: Utterance
    extra: Mapping[str, Any] = field(default_factory=dict)
    line: int = 0


def is_manifest(path: Path) -> bool:
    """Whether a path has the suffix of a manifest."""
    return path.suffix.lower() in SUFFIXES


def read(path: Path, corpus: str = "") -> Iterator[Utterance]:
    """Yield the utterances of a manifest, one row in memory at a time; the clips themselves are not looked at.

    `corpus` is what rows belong to that name none themselves; by default the manifest's own name.

    Raises
    ------
    CorpusError
        There is no such file, or a row cannot be understood; the sentence names the line.
    """
    return (row.utterance for row in rows(path, corpus))


def rows(path: Path, corpus: str = "") -> Iterator[Row]:
    """Yield the rows of a manifest with what they say beside the utterance; raises as `read` does."""
    for row in rows_or_errors(path, corpus):
        if isinstance(row, CorpusError):
            raise row
        yield row


def rows_or_errors(path: Path, corpus: str = "") -> Iterator[Row | CorpusError]:
    """Yield what `rows` yields, and for a row that cannot be understood its error, so that a check can go on."""
    for line, record in records(path):
        try:
            if isinstance(record, CorpusError):
                raise record
            yield _row(record, line, path, corpus or path.stem.lower())
        except CorpusError as error:
            yield error


def records(path: Path, required: Sequence[str] = REQUIRED) -> Iterator[tuple[int, dict[str, Any] | CorpusError]]:
    """Yield (line, columns) of every row of a table, or (line, error) of one that cannot be read.

    A CSV's header is read in lower case and has to name the columns that are required; raises as `read` does.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from (
                _json_records(file, path) if path.suffix.lower() == ".jsonl" else _csv_records(file, path, required)
            )
    except FileNotFoundError:
        raise CorpusError(f"There is no manifest {path}.") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path} is not text in UTF-8, so it cannot be a manifest.") from None
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}.") from None


def write(clips: Iterable[Utterance | Row], path: Path) -> int:
    """Write a manifest, beside and then renamed; returns the number of rows.

    The suffix chooses the format (.csv, .tsv, everything else: a JSON object a line). Paths below the manifest's
    folder are written relative to it, so that the folder can be moved. A CSV's columns are those of the first row.

    Raises
    ------
    CorpusError
        The file cannot be written there.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8", newline="") as file:
            count = _write((_fields(clip, path.parent.resolve()) for clip in clips), file, path.suffix.lower())
        beside.replace(path)
    except OSError as error:
        raise CorpusError(f"{path} cannot be written: {error.strerror or error}.") from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return count


def _json_records(file: TextIO, path: Path) -> Iterator[tuple[int, dict[str, Any] | CorpusError]]:
    for line, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            yield line, CorpusError(f"{path}, line {line}: this is no JSON object.")
            continue
        if isinstance(record, dict):
            yield line, record
        else:
            yield line, CorpusError(f"{path}, line {line}: this is no JSON object.")


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
                f"{path}: its first line names no column {' or '.join(missing)}; "
                f"a manifest has {', '.join(REQUIRED)} and whatever else."
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
    """Make a row of a record, whose values may be missing, numbers, or text with blanks around it."""
    values = {name: _text(record.get(name), name, line, path) for name in COLUMNS}
    label, native = values["label"], values["native"]
    absent = [name for name in REQUIRED if values[name] is None]
    if absent == ["label"] and native is not None:
        absent = []  # an emotion that has no label of ours
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
    return Row(utterance, extra, line)


def _text(value: Any, name: str, line: int, path: Path) -> str | None:
    if isinstance(value, list | dict | bool):
        raise CorpusError(f"{path}, line {line}: {name} is neither a text nor a number.")
    return None if value is None else str(value).strip() or None


def _clip(text: str, line: int, path: Path) -> Path:
    if "\0" in text:
        raise CorpusError(f"{path}, line {line}: the path holds a character that no file name has.")
    if "\\" in text and "/" not in text and os.sep == "/":
        text = text.replace("\\", "/")  # written on Windows
    return path.parent / Path(text).expanduser()


def _fields(clip: Utterance | Row, folder: Path) -> dict[str, Any]:
    utterance, extra = (clip, {}) if isinstance(clip, Utterance) else (clip.utterance, clip.extra)
    fields: dict[str, Any] = {name: getattr(utterance, name) for name in COLUMNS}
    # As texts, which is quicker than comparing 100,000 paths part by part.
    fields["path"] = utterance.path.absolute().as_posix().removeprefix(f"{folder.as_posix().rstrip('/')}/")
    return fields | dict(extra)


def _write(records: Iterable[dict[str, Any]], file: TextIO, suffix: str) -> int:
    count = 0
    table: csv.DictWriter[str] | None = None
    for record in records:
        count += 1
        if suffix not in (".csv", ".tsv"):
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            continue
        if table is None:
            delimiter = "\t" if suffix == ".tsv" else ","
            table = csv.DictWriter(file, list(record), extrasaction="ignore", delimiter=delimiter)
            table.writeheader()
        table.writerow(record)
    if not count and suffix in (".csv", ".tsv"):
        csv.writer(file).writerow(COLUMNS)
    return count
