"""What a split, or a table of clips, gives away: shared speakers, sentences and twins, labels and sounds of one corpus.

Figures of a system that was tested on voices that it had learned say little about anybody else's. Everything here
streams: one row at a time is in memory, with what has been met of each speaker, sentence and checksum.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ser_engine.corpora import manifest
from ser_engine.corpora.base import Utterance
from ser_engine.corpora.registry import CORPORA
from ser_engine.errors import CorpusError
from ser_engine.training.splits import Fold, sentence_of

Severity = Literal["leak", "warning", "note"]

# How many are named.
EXAMPLES = 5
# Bandwidths are told apart when the middle half of one corpus does not meet that of another; steps of so many Hz.
BANDWIDTH_STEP_HZ = 250
PARTS = {"train": 0, "training": 0, "validation": 0, "valid": 0, "val": 0, "dev": 0, "test": 1, "testing": 1}
"""A split by name: what is tested is 1. A split by number: fold k tests k, and 0 is always trained on."""


@dataclass(frozen=True)
class AuditRow:
    """What is known about one clip; `part` is the number of the fold that tests it, 0 for none, None for no split.

    `origin` is the recording that an augmented copy was made from, or the recording itself.
    """

    clip: str
    corpus: str = ""
    label: str = ""
    speaker: str = ""
    sentence: str = ""
    part: int | None = None
    sample_rate: int = 0
    bandwidth_hz: float = 0.0
    sha256: str = ""
    origin: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing that was found: `count` of `of` are concerned, some of them are named in `examples`."""

    id: str
    severity: Severity
    count: int
    of: int
    sentence: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Findings:
    """What an audit found in `clips` clips, the worst first."""

    clips: int
    tested: int
    speakers: int
    findings: tuple[Finding, ...] = ()

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """Return what makes a figure say too much."""
        return tuple(finding for finding in self.findings if finding.severity == "leak")

    def to_dict(self) -> dict[str, Any]:
        """Return what run.json holds under "audit"."""
        findings = [asdict(finding) | {"examples": list(finding.examples)} for finding in self.findings]
        return {"clips": self.clips, "tested": self.tested, "speakers": self.speakers, "findings": findings}


class Shared:
    """Counts in which parts a key is met, and says which keys are tested that are also trained on."""

    def __init__(self) -> None:
        self.parts: defaultdict[Hashable, Counter[int]] = defaultdict(Counter)

    def meet(self, key: Hashable, part: int | None) -> None:
        """Count one clip."""
        if key and part is not None:
            self.parts[key][part] += 1

    def tested(self) -> int:
        """Return how many keys are tested at all."""
        return sum(any(part > 0 for part in parts) for parts in self.parts.values())

    def both(self) -> list[str]:
        """Return the keys that are tested in a fold which trains on them, too."""
        return sorted(str(key) for key, parts in self.parts.items() if len(parts) > 1)

    def clips(self) -> int:
        """Return how many clips are tested by a system that met their key."""
        return sum(count for parts in self.parts.values() if len(parts) > 1 for part, count in parts.items() if part)


@dataclass
class Ledger:
    """What has been met so far; rows go in by `add`, findings come out of `findings`."""

    clips: int = 0
    tested: int = 0
    nameless: int = 0
    split: bool = False
    speakers: Shared = field(default_factory=Shared)
    sentences: Shared = field(default_factory=Shared)
    contents: Shared = field(default_factory=Shared)
    origins: Shared = field(default_factory=Shared)
    labels_of: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    corpora_of: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    rates_of: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    bands_of: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    named: set[str] = field(default_factory=set)

    def add(self, row: AuditRow) -> None:
        """Take note of one clip."""
        self.clips += 1
        self.tested += bool(row.part)
        self.split |= row.part is not None
        self.nameless += not row.speaker
        if row.speaker:
            self.named.add(row.speaker)
        self.speakers.meet(row.speaker, row.part)
        self.sentences.meet(row.sentence, row.part)
        self.contents.meet(row.sha256, row.part)
        self.origins.meet(row.origin, row.part)
        if row.sha256:
            self.labels_of[row.sha256].add(row.label)
        if row.label and row.corpus:
            self.corpora_of[row.label].add(row.corpus)
        if row.sample_rate:
            self.rates_of[row.corpus][row.sample_rate] += 1
        if row.bandwidth_hz:
            self.bands_of[row.corpus][int(row.bandwidth_hz // BANDWIDTH_STEP_HZ) * BANDWIDTH_STEP_HZ] += 1

    def findings(self) -> Findings:
        """Return what all rows together say."""
        order = {"leak": 0, "warning": 1, "note": 2}
        found = sorted((*self._across(), *self._contents(), *self._corpora()), key=lambda f: order[f.severity])
        return Findings(self.clips, self.tested, len(self.named), tuple(found))

    def _across(self) -> Iterator[Finding]:
        """Yield what is both trained on and tested."""
        if not self.split:
            yield Finding("no-split", "note", 0, self.clips, "No column says what is tested, so no split was examined.")
            return
        if self.nameless:
            told = f"Of {self.nameless:,} of {self.clips:,} clips nobody knows the speaker, so they were not compared."
            yield Finding("unknown-speakers", "warning", self.nameless, self.clips, told)
        kinds: tuple[tuple[str, Severity, Shared, str, str], ...] = (
            ("shared-speakers", "leak", self.speakers, "speakers who are tested are trained on, too", "voices"),
            ("shared-sentences", "warning", self.sentences, "sentences that are tested are trained on, too", "words"),
            ("identical-clips", "leak", self.contents, "recordings that are tested are trained on, byte by byte", "it"),
            (
                "augmented-twins",
                "leak",
                self.origins,
                "recordings that are tested have an augmented twin that is trained on",
                "it",
            ),
        )
        for id, severity, shared, what, known in kinds:
            if both := shared.both():
                every = "All " if len(both) == shared.tested() else f"{len(both):,} of "
                told = f"{every}{shared.tested():,} {what}; {shared.clips():,} clips are tested by a system that {{}}."
                knows = {"voices": "knows their voice", "words": "knows their words", "it": "has learned them by heart"}
                sentence = told.format(knows[known])
                yield Finding(id, severity, len(both), shared.tested(), sentence, tuple(both[:EXAMPLES]))

    def _contents(self) -> Iterator[Finding]:
        """Yield recordings that are in the table more than once under different labels."""
        torn = sorted(key for key, labels in self.labels_of.items() if len(labels) > 1)
        if torn:
            told = f"{len(torn):,} recordings are there more than once, with different labels: one of them is wrong."
            names = tuple(f"{key[:12]}: {', '.join(sorted(self.labels_of[key]))}" for key in torn[:EXAMPLES])
            yield Finding("identical-clips-different-labels", "warning", len(torn), len(self.labels_of), told, names)

    def _corpora(self) -> Iterator[Finding]:
        """Yield what tells from which corpus a clip is."""
        corpora = set().union(*self.corpora_of.values()) if self.corpora_of else set()
        if len(corpora) < 2:
            return
        single = {label: next(iter(met)) for label, met in sorted(self.corpora_of.items()) if len(met) == 1}
        if single:
            told = ", ".join(f"{label} in {corpus}" for label, corpus in single.items())
            sentence = f"Labels that live in one corpus alone can be told by its sound: {told}."
            names = tuple(single)[:EXAMPLES]
            yield Finding("labels-of-one-corpus", "warning", len(single), len(self.corpora_of), sentence, names)
        rates = {corpus: f"{met.most_common(1)[0][0]:,} Hz" for corpus, met in sorted(self.rates_of.items())}
        if len(rates) > 1 and len(set(rates.values())) > 1:
            yield _giveaway("sample-rates", "sample rates", rates)
        middles = {corpus: _middle_half(met) for corpus, met in sorted(self.bands_of.items())}
        ordered = sorted(middles.values())
        if any(low[1] < high[0] for low, high in pairwise(ordered)):
            told_of = {corpus: f"{low:,} to {high:,} Hz" for corpus, (low, high) in middles.items()}
            yield _giveaway("bandwidths", "bandwidths", told_of)


def _giveaway(id: str, what: str, values: dict[str, str]) -> Finding:
    told = "; ".join(f"{corpus} {value}" for corpus, value in values.items())
    sentence = f"Differing {what} give the corpus away ({told}), and with it labels that are rare or absent in one."
    return Finding(id, "warning", len(set(values.values())), len(values), sentence, tuple(values)[:EXAMPLES])


def _middle_half(counted: Counter[int]) -> tuple[int, int]:
    """Return the quartiles of counted values."""
    values = np.sort(np.fromiter(counted.elements(), int))
    return int(values[len(values) // 4]), int(values[3 * len(values) // 4])


def audit(rows: Iterable[AuditRow]) -> Findings:
    """Return what a table of clips gives away."""
    ledger = Ledger()
    for row in rows:
        ledger.add(row)
    return ledger.findings()


def audit_folds(utterances: Sequence[Utterance], folds: Sequence[Fold]) -> Findings:
    """Return what the folds of a training run give away; every clip is tested in one fold at most.

    Where the recordings are there, their bytes are compared, too.
    """
    part = np.full(len(utterances), -1)
    for number, fold in enumerate(folds, start=1):
        known = np.concatenate([fold.train, fold.validation])
        part[known] = np.maximum(part[known], 0)
        part[fold.test] = number
    # A path that comes more than once is a recording with its augmented copies (`splits.expand`).
    times = Counter(utterance.path for utterance in utterances)
    return audit(
        _row_of(utterance, int(number), times[utterance.path] > 1)
        for utterance, number in zip(utterances, part, strict=True)
        if number >= 0
    )


def _row_of(utterance: Utterance, part: int, twin: bool) -> AuditRow:
    """Return what is known about an utterance; an augmented copy has bytes of its own, and so no checksum here."""
    sha256, rate = _of_file(utterance.path)
    return AuditRow(
        clip=str(utterance.path),
        corpus=utterance.corpus,
        label=utterance.label or utterance.native or "",
        speaker=utterance.speaker,
        sentence=sentence_of(utterance) or "",
        part=part,
        sample_rate=rate,
        sha256="" if twin else sha256,
        origin=f"{utterance.corpus}/{utterance.name}" if twin else "",
    )


@lru_cache(maxsize=200_000)
def _of_file(path: Path) -> tuple[str, int]:
    """Return the checksum and the sample rate of a file; nothing of one that is not there or no audio."""
    import soundfile

    from ser_engine.weights import sha256

    try:
        return sha256(path), int(soundfile.info(path).samplerate)
    except (OSError, soundfile.LibsndfileError):
        return "", 0


def read_table(path: Path, corpus: str = "", root: Path | None = None) -> Iterator[AuditRow]:
    """Yield the rows of a split or manifest, one at a time.

    CSV, TSV or JSONL. The clip is in `path` or `file`; `label`, `speaker`, `sentence`, `corpus`, `sample_rate`,
    `bandwidth_hz`, `sha256`, `augmented_from` are used where they are. What is tested is said by `test_fold` or `fold`
    (fold k tests k; 0 is always trained on), or by `split` (train, validation, test). What the table does not say is
    read from the file names of the corpora that the engine knows.

    Parameters
    ----------
    corpus : id of the corpus of all clips; otherwise the table's name, or the names of its files, may tell
    root : folder of the audio, to compare bytes and sample rates

    Raises
    ------
    CorpusError
        There is no such table, or a row cannot be understood; the sentence names the line.
    """
    reader = corpus or (path.stem.lower() if path.stem.lower() in CORPORA else "")
    for line, record in manifest.records(path, required=()):
        if isinstance(record, CorpusError):
            raise record
        yield _read_row({key.lower(): value for key, value in record.items()}, line, path, reader, root)


def _read_row(record: dict[str, Any], line: int, path: Path, corpus: str, root: Path | None) -> AuditRow:
    def text(*names: str) -> str:
        return next((str(record[name]).strip() for name in names if record.get(name) not in (None, "")), "")

    clip = text("path", "file")
    if not clip:
        raise CorpusError(f"{path}, line {line}: there is no path and no file.")
    known = _known(clip, text("corpus") or corpus)
    sha256, rate = _of_file((root or path.parent) / clip) if root else ("", 0)
    try:
        return AuditRow(
            clip=clip,
            corpus=text("corpus") or (known.corpus if known else corpus),
            label=text("label") or (known.label or "" if known else ""),
            speaker=text("speaker") or (known.speaker if known else ""),
            sentence=text("sentence") or (known.sentence or "" if known else ""),
            part=_part(text("test_fold", "fold"), text("split", "part")),
            sample_rate=int(float(text("sample_rate") or rate)),
            bandwidth_hz=float(text("bandwidth_hz") or 0),
            sha256=text("sha256") or sha256,
            origin=text("augmented_from") or clip,
        )
    except ValueError as error:
        raise CorpusError(f"{path}, line {line}: {error}.") from None


def _part(fold: str, split: str) -> int | None:
    """Return the number of the fold that tests a clip; None where nothing says it."""
    if split:
        if split.lower() not in PARTS:
            raise ValueError(f"the split “{split}” is none of train, validation and test")
        return PARTS[split.lower()]
    return int(float(fold)) if fold else None


def _known(clip: str, corpus: str) -> Utterance | None:
    """Return what the name of a clip says to the reader of its corpus, or to any reader where the corpus is open."""
    name = Path(clip.replace("\\", "/"))
    for reader in [CORPORA[corpus]] if corpus in CORPORA else [] if corpus else CORPORA.values():
        try:
            if utterance := reader.read_name(name):
                return utterance
        except KeyError:
            continue
    return None


def table(findings: Findings) -> str:
    """Return the findings for a terminal."""
    lines = [f"{findings.clips:,} clips, {findings.tested:,} of them tested, {findings.speakers:,} speakers"]
    for finding in findings.findings:
        lines.append(f"{finding.severity.upper():8} {finding.id}: {finding.sentence}")
        if finding.examples:
            lines.append(f"{'':8} for example {', '.join(finding.examples)}")
    if not findings.findings:
        lines.append("Nothing that training and test should not share was found.")
    return "\n".join(lines)
