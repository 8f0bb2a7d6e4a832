"""The rows of an audit, read one at a time from EmoBox's listings, manifests or any other split."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from tqdm import tqdm

from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Corpus, Utterance, audio_files
from ser_engine.data.corpora.registry import CORPORA
from ser_engine.data.manifest import read_records
from ser_engine.data.measure import AudioProperties, measure_clip
from ser_engine.data.splits import sentence_of
from ser_engine.errors import CorpusError
from ser_engine.labels import find_emotion
from ser_engine.models.store import sha256
from ser_engine.settings import Settings

TRAINING, TESTED = "0", "test"
SPLITS = {
    **dict.fromkeys(("train", "training", "validation", "valid", "val", "dev", "development"), TRAINING),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), TESTED),
}
# Names of augmented copies, if no column names the original: 03a01Wa_noise.wav, 03a01Wa_aug2.wav.
COPY = re.compile(r"(.+?)[_-](?:aug|noise|noisy|pitch|stretch|shift|speed|gain|background|copy)[a-z]*[_-]?\d*", re.I)
# Clips of each corpus that are decoded to measure rate and bandwidth, which takes long.
MEASURED_PER_CORPUS = 40
# Files from which on reading them shows a progress bar.
MANY = 2000


@dataclass(frozen=True)
class AuditRow:
    """One clip; whatever is unknown is empty.

    `part` is the fold that tests the clip, "0" if it is always in training, None if that is unknown. Speakers and
    sentences are unique over all corpora ("ravdess/07"). `augmented_from` is the path or name of the recording that
    the clip is a copy of.
    """

    path: str
    corpus: str = ""
    label: str = ""
    speaker: str = ""
    sentence: str = ""
    part: str | None = None
    sample_rate: int = 0
    bandwidth_hz: float = 0.0
    sha256: str = ""
    augmented_from: str = ""

    @property
    def name(self) -> str:
        """The clip's name in findings."""
        return f"{self.corpus}/{stem_of(self.path)}" if self.corpus else stem_of(self.path)


def stem_of(path: str) -> str:
    """Return a clip's name without folder and suffix; pathlib is too slow for a hundred thousand of them."""
    file = path.rpartition("/")[2]
    return file.rpartition(".")[0] or file


def read_table(path: Path, corpus: str = "", root: Path | None = None) -> Iterator[AuditRow]:
    """Yield the rows of a split or manifest, one at a time.

    CSV, TSV or JSON lines. The column `path` or `file` names the clip. The split is in `test_fold` or `fold` (fold k
    tests k and is trained on all others; 0 is always trained on), or in `split` (train, validation, test). `label`,
    `speaker`, `sentence`, `corpus`, `sample_rate`, `bandwidth_hz`, `sha256` and `augmented_from` are optional; what is
    missing is read from the clip's name as its corpus writes it, and from the audio, if it is in the table's folder.

    Parameters
    ----------
    corpus : id of the corpus of all clips; by default a column, the table's name or the clips' names show it
    root : folder of the audio, which is found by path or else by name, to compare bytes, rates and bandwidths
    """
    if root is not None and not root.is_dir():
        raise CorpusError(f"The audio should be in {root}, but there is no such folder.")
    names, audio = _NameReader(path, corpus), _AudioReader(path.parent, root)
    line = 0
    for line, record in read_records(path, required=()):
        if isinstance(record, CorpusError):
            raise record
        try:
            values = {name.strip().lower(): value for name, value in record.items()}
            yield audio.complete(_row(values, names))
        except ValueError as error:
            raise CorpusError(f"{path}, line {line}: {error}.") from None
    if not line:
        raise CorpusError(f"{path} has no rows.")


def _text(record: Mapping[str, Any], *names: str) -> str:
    """Return the first of some columns that is not empty, as text."""
    for name in names:
        value = record.get(name)
        if isinstance(value, (list, dict, bool)):
            raise ValueError(f"{name} is neither text nor a number")
        if value is not None and (text := str(value).strip()):
            return text
    return ""


def _number(record: Mapping[str, Any], name: str) -> float:
    """Return the number in a column, 0 if there is none."""
    text = _text(record, name)
    try:
        number = float(text or 0)
    except ValueError:
        raise ValueError(f"{name} should be a number, not “{text}”") from None
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} should be a positive number, not “{text}”")
    return number


def _row(record: Mapping[str, Any], names: _NameReader) -> AuditRow:
    path = _text(record, "path", "file").replace("\\", "/")
    if not path:
        raise ValueError("there is no path and no file")
    source = _text(record, "augmented_from").replace("\\", "/") or _source(path)
    corpus = registry.corpus_id(_text(record, "corpus"))
    known = names.read(path, corpus) or (names.read(source, corpus) if source else None)
    corpus = corpus or (known.corpus if known else names.fallback)
    speaker, sentence = _text(record, "speaker"), _text(record, "sentence", "transcript")
    return AuditRow(
        path=path,
        corpus=corpus,
        label=_label(_text(record, "label", "emotion"), known),
        speaker=_within(corpus, speaker) or (known.speaker if known else ""),
        sentence=_within(corpus, " ".join(sentence.casefold().split())) or (sentence_of(known) or "" if known else ""),
        part=_part(_text(record, "test_fold") or _text(record, "fold") or _text(record, "split")),
        sample_rate=round(_number(record, "sample_rate")),
        bandwidth_hz=_number(record, "bandwidth_hz"),
        sha256=_text(record, "sha256").lower(),
        augmented_from=source,
    )


def _source(path: str) -> str:
    """Return the name of the recording that a clip is a copy of, judging by its own name; empty if it is none."""
    match = COPY.fullmatch(stem_of(path))
    return match[1] if match else ""


def _within(corpus: str, value: str) -> str:
    return value if not value or not corpus or value.startswith(f"{corpus}/") else f"{corpus}/{value}"


def _label(text: str, known: Utterance | None) -> str:
    """Return one name for an emotion, so that labels of different corpora can be compared."""
    own = known.native or known.label or "" if known else ""
    if known and known.label and text.lower() in ("", own.lower()):
        return known.label
    return find_emotion(text) or text or own


def _part(text: str) -> str | None:
    """Return the fold that tests a clip, "0" for none, None if that is unknown or the clip is left out (-1)."""
    if not text:
        return None
    try:
        number = int(float(text))
    except (ValueError, OverflowError):
        part = SPLITS.get(text.lower())
        if part is None:
            raise ValueError(f"“{text}” is neither the number of a fold nor train, validation or test") from None
        return part
    return str(number) if number >= 0 else None


class _NameReader:
    """Reads clips' names as the table's corpus writes them, or as any other corpus does."""

    def __init__(self, table: Path, corpus: str) -> None:
        self._table = table
        self._only = registry.get_corpus(corpus) if corpus else None
        self._likely = self._only or registry.find_by_folder_name(table.with_suffix(""))

    @property
    def fallback(self) -> str:
        """The corpus of a clip with an unknown kind of name: that of the clips before it, or the table's name."""
        return self._likely.id if self._likely else self._table.stem.lower()

    def read(self, path: str, corpus: str) -> Utterance | None:
        """Return the utterance that a name describes, None if no corpus has such names."""
        for candidate in self._candidates(corpus):
            try:
                utterance = candidate.read_name(Path(path))
            except KeyError:  # of another corpus, or a code that no corpus has
                continue
            if utterance is not None:
                self._likely = candidate
                return utterance
        return None

    def _candidates(self, corpus: str) -> list[Corpus]:
        if corpus:
            return [CORPORA[corpus]] if corpus in CORPORA else []
        if self._only:
            return [self._only]
        return sorted(CORPORA.values(), key=lambda other: other is not self._likely)  # the likely one first


class _AudioReader:
    """Completes rows from their audio: the checksum of every clip, rate and bandwidth of some of each corpus."""

    def __init__(self, table_folder: Path, root: Path | None) -> None:
        self._folders = [folder for folder in (root, table_folder) if folder is not None]
        self._by_name: defaultdict[str, list[Path]] = defaultdict(list)
        for file in audio_files(root) if root is not None else ():
            self._by_name[file.stem.lower()].append(file)
        self._measured: Counter[str] = Counter()

    def complete(self, row: AuditRow) -> AuditRow:
        """Return the row with its gaps filled; unchanged if there is no audio."""
        if row.sha256 and row.sample_rate and row.bandwidth_hz:
            return row
        file = self._find(row)
        if file is None:
            return row
        audio = AudioProperties(sha256=row.sha256 or checksum_of(file))
        if self._measured[row.corpus] < MEASURED_PER_CORPUS:
            self._measured[row.corpus] += 1
            audio = measure_clip(file, Settings())
        return replace(
            row,
            sha256=row.sha256 or audio.sha256,
            sample_rate=row.sample_rate or audio.sample_rate,
            bandwidth_hz=row.bandwidth_hz or audio.bandwidth_hz,
        )

    def _find(self, row: AuditRow) -> Path | None:
        """Return the clip's file: by its path, or as the only one with its name (and with its folder's name)."""
        for folder in self._folders:
            if (file := folder / row.path).is_file():
                return file
        path = PurePosixPath(row.path)
        files = self._by_name.get(path.stem.lower(), [])
        if len(files) > 1:
            files = [file for file in files if file.parent.name == path.parent.name]
        return files[0] if len(files) == 1 else None


def checksum_of(path: Path) -> str:
    """Return the sha256 of a file, empty for one that is missing."""
    try:
        return sha256(path)
    except OSError:
        return ""


def to_audit_row(utterance: Utterance, audio: AudioProperties, part: str | None) -> AuditRow:
    """Return the row of an utterance and its file."""
    return AuditRow(
        path=utterance.path.as_posix(),
        corpus=utterance.corpus,
        label=utterance.label or utterance.native or "",
        speaker=utterance.speaker,
        sentence=sentence_of(utterance) or "",
        part=part,
        sample_rate=audio.sample_rate,
        bandwidth_hz=audio.bandwidth_hz,
        sha256=audio.sha256,
    )


def measure_some(utterances: Sequence[Utterance]) -> dict[Path, AudioProperties]:
    """Return the checksums of all files and, if there are several corpora, rates and bandwidths of some of each.

    A file that is missing, or is not a recording, has none.
    """
    of_corpus: defaultdict[str, dict[Path, None]] = defaultdict(dict)
    for utterance in utterances:
        of_corpus[utterance.corpus][utterance.path] = None
    decoded: set[Path] = set()
    for paths in map(list, of_corpus.values()):
        decoded |= set(paths[:: -(-len(paths) // MEASURED_PER_CORPUS)]) if len(of_corpus) > 1 else set()
    all_paths = [path for paths in of_corpus.values() for path in paths]
    settings = Settings()
    return {
        path: measure_clip(path, settings) if path in decoded else AudioProperties(sha256=checksum_of(path))
        for path in tqdm(all_paths, desc="audit", unit="clip", disable=len(all_paths) < MANY)
    }
