"""The record of a measured run: one typed schema, written and read here alone.

A record is results/<source>/<system>/<protocol>/run.json. Reading trusts nothing: a figure that is no number is absent,
a table of the wrong shape is absent and named in `problems`.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ser_engine.errors import InvalidRecord
from ser_engine.io import write_json

FILE, HISTORY = "run.json", "history.jsonl"
VERSION = 1
Kind = Literal["emotion", "text-emotion", "transcription", "conversation", "ordinary"]
"""What is measured: emotions of clips or of written sentences, words, a live session, false alarms on ordinary talk."""

Figures = Mapping[str, float]
Table = Mapping[str, Figures]


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a run measured, and how; figures in percent unless stated otherwise.

    Attributes
    ----------
    id : name of the run, its folder under results/: "<source>/<system>/<protocol>"
    kind : what is measured; kinds other than "emotion" have their figures in `details`
    model, system, features : the model's id, the kind of system, and its input in words
    protocol, split : key of `splits.PROTOCOLS`, and in words what training and test share
    speaker_independent : whether no tested speaker is in training, as measured
    corpora, missing_corpora : tested corpora, and those of the paper that were not in the data folder
    labels : classes, in the order of `confusion`
    metrics : UA, WA, UA_plus_WA, macro_f1, weighted_f1, ECE, and means and deviations over folds
    interval : 95% interval of UA over speakers (of macro-F1 over sentences for "text-emotion")
    per_class : precision, recall, f1 and support of each class
    confusion : clips; rows are true classes, columns predicted classes, the last column is no speech
    no_speech : clips without speech, which count as errors
    by_corpus, by_speaker, by_gender : UA, WA and clips of each
    calibration : mean confidence, reliability, coverage and threshold, from 0 to 1 (`calibration.measure`)
    degradations : UA, WA and the points of UA lost on the same clips, degraded
    components : UA and WA of parts of the system by themselves ("audio", "text", …)
    corpus_probe : how often a probe names a clip's corpus from the "encoder", the "model", and by "chance"
    external : figures on corpora that are not in training
    perceived : by corpus, how often listeners name the intended emotion from the voice alone
    audit : findings about the split
    clips, tested, dropped : numbers of clips in all, tested, and unusable
    seconds, size_mb, cores : cost of training and testing, size of the model, processor cores
    weights : initial weights that are not in the repository, by name: "commit" of a hub's and "sha256"
    published, note, seed, config : the paper's figure that this repeats, what a reader should know, the configuration
    details : further figures of one kind of system
    """

    id: str
    kind: Kind = "emotion"
    model: str = ""
    system: str = ""
    features: str = ""
    protocol: str = ""
    split: str = ""
    speaker_independent: bool = False
    corpora: tuple[str, ...] = ()
    missing_corpora: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    metrics: Figures = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    per_class: Table = field(default_factory=dict)
    confusion: tuple[tuple[int, ...], ...] = ()
    no_speech: int | None = None
    by_corpus: Table = field(default_factory=dict)
    by_speaker: Table = field(default_factory=dict)
    by_gender: Table = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    degradations: Table = field(default_factory=dict)
    components: Table = field(default_factory=dict)
    corpus_probe: Figures = field(default_factory=dict)
    external: Mapping[str, Any] = field(default_factory=dict)
    perceived: Mapping[str, Any] = field(default_factory=dict)
    audit: Mapping[str, Any] = field(default_factory=dict)
    clips: int | None = None
    tested: int | None = None
    dropped: int | None = None
    seconds: float | None = None
    size_mb: float | None = None
    cores: int | None = None
    weights: Mapping[str, Any] = field(default_factory=dict)
    published: tuple[str, ...] = ()
    note: str = ""
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = field(default=(), compare=False)
    """Sentences about parts of the file that could not be read; not written."""

    @property
    def leaky(self) -> bool:
        """Whether the run repeats a leak on purpose."""
        from ser_engine.data.splits import PROTOCOLS

        return self.protocol in PROTOCOLS and PROTOCOLS[self.protocol].leaky

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready values, without what is empty."""
        entries = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "problems"}
        filled = {name: value for name, value in entries.items() if value not in (None, "", (), {}, [])}
        plain: dict[str, Any] = json.loads(json.dumps({"version": VERSION, **filled}))
        return plain

    def write(self, results: Path) -> Path:
        """Write the record below the results folder and return its own folder."""
        folder = results / self.id
        write_json(folder / FILE, self.to_dict())
        return folder


def read_record(results: Path, id: str) -> RunRecord:
    """Return a record."""
    path = results / id / FILE
    try:
        stamp = path.stat()
    except OSError:
        raise InvalidRecord(f"{id} has no {FILE}; it may still be running, or was stopped.") from None
    return _read(path, id, stamp.st_mtime_ns, stamp.st_size)


@lru_cache(maxsize=512)
def _read(path: Path, id: str, _changed: int, _size: int) -> RunRecord:
    """Read a record once for each time that it has changed: the page looks at all of them at every click."""
    entry = read_object(path, f"{id}/{FILE}")
    if entry.get("version") != VERSION:
        raise InvalidRecord(f"{id}/{FILE} is of version {entry.get('version')}, not {VERSION}.")
    values, misshapen = read_fields(RunRecord, entry)
    record = RunRecord(**values | {"id": id})
    problems = [f"{id}/{FILE} has an entry “{name}” of the wrong shape, which is left out." for name in misshapen]
    if record.kind == "emotion" and "UA" not in record.metrics:
        raise InvalidRecord(f"{id}/{FILE} has no unweighted accuracy (metrics, UA), so the run cannot be compared.")
    size = len(record.labels)
    fits = len(record.confusion) == size and all(len(row) == size + 1 and min(row) >= 0 for row in record.confusion)
    if record.confusion and not fits:
        problems.append(f"{id}/{FILE} has a confusion matrix that does not fit its labels; it is left out.")
        record = replace(record, confusion=())
    return replace(record, problems=tuple(problems))


def find_records(results: Path) -> Iterator[str]:
    """Yield the ids of all folders below `results` that hold a record, in order."""
    for path in sorted(results.rglob(FILE)):
        yield path.parent.relative_to(results).as_posix()


def read_records(results: Path) -> tuple[list[RunRecord], list[str]]:
    """Return every record below `results`, and a sentence for each that cannot be read."""
    records, problems = [], []
    for id in find_records(results):
        try:
            records.append(read_record(results, id))
        except InvalidRecord as error:
            problems.append(str(error))
    return records, problems


@dataclass(frozen=True)
class LearningCurves:
    """A training's course: for each quantity, over epochs from 1, (epoch, mean, lowest, highest) over its trainings."""

    curves: Mapping[str, Sequence[tuple[int, float, float, float]]] = field(default_factory=dict)
    trainings: int = 0
    problem: str = ""


def read_curves(name: str, files: Iterable[Path]) -> LearningCurves:
    """Return the learning curves of the run `name` from its history files; a missing file is no problem."""
    points: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    trainings = set()
    try:
        for line in (line for file in files if file.exists() for line in file.read_text("utf-8").splitlines()):
            entry = json.loads(line)
            measured = figures(entry)
            epoch = int(measured.pop("epoch"))
            trainings.add((str(entry.get("fold")), str(entry.get("member"))))
            for key in measured:
                if key not in ("fold", "member"):
                    points[key][epoch].append(measured[key])
    except (OSError, ValueError, KeyError):
        return LearningCurves(problem=f"{name}/{HISTORY} is damaged, so its learning curves are not drawn.")
    curves = {
        key: [(epoch, sum(values) / len(values), min(values), max(values)) for epoch, values in sorted(epochs.items())]
        for key, epochs in points.items()
    }
    return LearningCurves(curves, len(trainings))


def read_object(path: Path, name: str) -> dict[str, Any]:
    """Return the object in a JSON file; `name` is what error messages call it."""
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InvalidRecord(f"{name} is not JSON: line {error.lineno} cannot be read.") from None
    except (OSError, UnicodeDecodeError, RecursionError):
        raise InvalidRecord(f"{name} cannot be read.") from None
    if not isinstance(entry, dict):
        raise InvalidRecord(f"{name} should hold one JSON object, and does not.")
    return entry


def figures(value: object) -> dict[str, float]:
    """Return the entries of a JSON object that are finite numbers; none of anything else."""
    return {name: item for name, item in value.items() if _is_number(item)} if isinstance(value, dict) else {}


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def read_fields(kind: type, entry: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the entries for the fields of a dataclass, and the names of those that do not have the field's shape."""
    values, misshapen = {}, []
    for name, hint in get_type_hints(kind).items():
        if name in entry:
            try:
                values[name] = _read_as(hint, entry[name])
            except (TypeError, ValueError):
                misshapen.append(name)
    return values, misshapen


def _read_as(hint: Any, value: Any) -> Any:
    """Return a JSON value as the type of an annotation; raise TypeError or ValueError if it has another shape."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is UnionType:  # with None, for a field that may be absent
        return _read_as(inner[0], value)
    if origin is Literal and value in inner:
        return value
    if origin is tuple and isinstance(value, list):
        hints = inner[:1] * len(value) if Ellipsis in inner else inner
        return tuple(_read_as(hint, item) for hint, item in zip(hints, value, strict=True))
    if hint == Figures and isinstance(value, dict):
        return figures(value)
    if origin is Mapping and isinstance(value, dict):
        return {key: _read_as(inner[1], item) for key, item in value.items()}
    if hint is Any or (_is_number(value) if hint is float else type(value) is hint):
        return value
    raise TypeError
