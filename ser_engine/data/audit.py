"""Audit of a split, or of a table of clips, for leaks: shared speakers, sentences and copies, corpora given away.

A test on speakers of the training set does not show how a system performs on others. Rows are streamed: memory holds
one entry for each speaker, sentence, clip and checksum, not the rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ser_engine.data.audit_rows import TESTED, TRAINING, AuditRow, measure_some, stem_of, to_audit_row
from ser_engine.data.corpora.base import Utterance
from ser_engine.data.splits import Fold, shared_values

Severity = Literal["leak", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("leak", "warning", "note")

# Examples that are named, and those with long names.
EXAMPLES, LONG_EXAMPLES = 10, 4
# A rate or bandwidth identifies a corpus if hardly any other clips have it and most of the corpus has such a one.
PURE, MOST = 0.95, 0.5
BANDWIDTH_STEP_HZ = 500
# Measured clips that a statement about a corpus's bandwidth needs.
MIN_CLIPS = 10


@dataclass(frozen=True)
class Finding:
    """One result of an audit in a sentence, which concerns `count` of `of`; `examples` names some of them.

    `folds` has the two numbers of each fold, for findings about folds. The severity is "leak" if the measured figure
    is too good, "warning" if it may be, and "note" otherwise.
    """

    id: str
    severity: Severity
    count: int
    of: int
    sentence: str
    examples: tuple[str, ...] = ()
    folds: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Findings:
    """The findings about `clips` clips, the most severe first."""

    clips: int
    tested: int
    speakers: int
    corpora: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """The findings that make a figure too good."""
        return tuple(finding for finding in self.findings if finding.severity == "leak")

    def to_dict(self) -> dict[str, Any]:
        """Return the findings as run.json has them under "audit"."""
        entries = asdict(self) | {"corpora": list(self.corpora), "findings": []}
        for finding in self.findings:
            folds = {name: {"count": count, "of": of} for name, (count, of) in finding.folds.items()}
            entries["findings"].append(asdict(finding) | {"examples": list(finding.examples), "folds": folds})
        return entries


@dataclass(frozen=True)
class Overlap:
    """By fold, the values that are in both training and test, and those in the test at all."""

    shared: Mapping[str, Sequence[str]]
    tested: Mapping[str, Collection[str]]

    @property
    def distinct(self) -> list[str]:
        """The shared values, each once."""
        return sorted(set().union(*self.shared.values()))

    @property
    def of(self) -> int:
        """How many distinct values are tested."""
        return len(set().union(*self.tested.values()))


def audit(rows: Iterable[AuditRow]) -> Findings:
    """Audit a table of clips; rows are read once, in any order."""
    tally = Tally()
    for row in rows:
        tally.add(row)
    overlaps = {kind: parts.overlap() for kind, parts in tally.parts.items()}
    overlaps["copies"] = tally.overlapping_copies()
    return tally.findings(overlaps)


def audit_folds(utterances: Sequence[Utterance], folds: Sequence[Fold]) -> Findings:
    """Audit the folds of a training run.

    The bytes of the recordings are compared if they are there, and rates and bandwidths of some. An utterance that is
    in the list more than once is a recording with its augmented copies (`splits.repeat_for_copies`).
    """
    parts = np.full(len(utterances), None, object)
    for fold in folds:
        parts[fold.seen] = np.where(parts[fold.seen] == TESTED, TESTED, TRAINING)
        parts[fold.test] = TESTED
    audio = measure_some(utterances)
    rows = [to_audit_row(clip, audio[clip.path], part) for clip, part in zip(utterances, parts, strict=True)]
    times = Counter(row.path for row in rows)
    copied = [times[row.path] > 1 for row in rows]
    # Augmented copies differ in their bytes, and are not on disk.
    rows = [replace(row, sha256="") if copy else row for row, copy in zip(rows, copied, strict=True)]
    tally = Tally()
    for row in rows:
        tally.add(row)
    overlaps = {
        "speakers": _overlap([row.speaker for row in rows], folds),
        "sentences": _overlap([row.sentence for row in rows], folds),
        "contents": _overlap([row.sha256 for row in rows], folds),
        "copies": _overlap([row.name if copy else "" for row, copy in zip(rows, copied, strict=True)], folds),
    }
    return tally.findings(overlaps)


class Parts:
    """The parts of a split that each value occurs in: a fold's number, or "0" for always in training."""

    def __init__(self) -> None:
        self.of: dict[str, frozenset[str]] = {}
        self._sets: dict[frozenset[str], frozenset[str]] = {}  # few are distinct, so each is stored once

    def add(self, value: str, part: str | None) -> None:
        """Count one clip; without a value or a part there is nothing to compare."""
        if value and part is not None:
            parts = self.of.get(value, frozenset()) | {part}
            self.of[value] = self._sets.setdefault(parts, parts)

    def overlap(self) -> Overlap:
        """Return the values that a fold tests and that occur in another, too, which the fold is trained on."""
        overlap: dict[str, list[str]] = defaultdict(list)
        tested: dict[str, list[str]] = defaultdict(list)
        for value, parts in self.of.items():
            for fold in parts - {TRAINING}:
                tested[fold].append(value)
                if len(parts) > 1:
                    overlap[fold].append(value)
        return Overlap(overlap, tested)


@dataclass
class Tally:
    """What is counted of all rows."""

    clips: int = 0
    tested: int = 0
    unknown_speakers: int = 0
    outside: int = 0
    parts: dict[str, Parts] = field(default_factory=lambda: {k: Parts() for k in ("speakers", "sentences", "contents")})
    speakers: set[str] = field(default_factory=set)
    corpora: Counter[str] = field(default_factory=Counter)
    paths: Parts = field(default_factory=Parts)
    copies: list[tuple[str, str | None]] = field(default_factory=list)
    contents: dict[str, tuple[str, str]] = field(default_factory=dict)
    same: defaultdict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    labels: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    rates: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    bands: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, row: AuditRow) -> None:
        """Count one clip."""
        self.clips += 1
        self.corpora[row.corpus] += 1
        self.tested += row.part not in (None, TRAINING)
        self.outside += row.part is None
        self.unknown_speakers += not row.speaker
        if row.speaker:
            self.speakers.add(row.speaker)
        digest = row.sha256[:32]  # half of it is enough to tell clips apart
        self.parts["speakers"].add(row.speaker, row.part)
        self.parts["sentences"].add(row.sentence, row.part)
        self.parts["contents"].add(digest, row.part)
        if row.augmented_from:
            self.copies.append((_key(row.augmented_from), row.part))
        else:
            self.paths.add(_key(row.path), row.part)
        if digest:
            clip = (row.label, row.name)
            first = self.contents.setdefault(digest, clip)
            if first != clip:
                self.same[digest] |= {first, clip}
        if row.label:
            self.labels[row.label][row.corpus] += 1
        if row.sample_rate:
            self.rates[row.corpus][row.sample_rate] += 1
        if row.bandwidth_hz:
            self.bands[row.corpus][round(row.bandwidth_hz / BANDWIDTH_STEP_HZ) * BANDWIDTH_STEP_HZ] += 1

    def overlapping_copies(self) -> Overlap:
        """Return the recordings that are in both parts with their copies; a path that occurs twice is its own copy."""
        names: dict[str, str | None] = {}
        if any(key not in self.paths.of for key, _ in self.copies):  # then copies may name clips without folders
            for path in self.paths.of:
                name = path.rpartition("/")[2]
                names[name] = path if name not in names else None
        for key, part in self.copies:
            known = key if key in self.paths.of else names.get(key.rpartition("/")[2])
            self.paths.add(known or key, part)
        return self.paths.overlap()

    def findings(self, overlaps: Mapping[str, Overlap]) -> Findings:
        """Return the findings about all rows, given the overlaps of training and test."""
        findings = (*self._overlap_findings(overlaps), *self._label_findings(), *self._corpus_findings())
        ordered = tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
        return Findings(self.clips, self.tested, len(self.speakers), tuple(sorted(self.corpora)), ordered)

    def _overlap_findings(self, overlaps: Mapping[str, Overlap]) -> Iterator[Finding]:
        if not self.tested:
            sentence = (
                "No column says what is tested (test_fold, fold or split), so training and test were not compared."
            )
            yield Finding("no-split", "note", self.clips, self.clips, sentence)
            return
        if self.outside:
            sentence = f"{_of(self.outside, self.clips, 'clips')} in no part of the split, so not compared."
            yield Finding("outside-the-split", "note", self.outside, self.clips, sentence)
        if count := self.unknown_speakers:
            sentence = f"The speaker of {count:,} of {self.clips:,} clips is unknown, so they were not compared."
            yield Finding("unknown-speakers", "warning", count, self.clips, sentence)
        else:
            yield from _speakers_apart(overlaps["speakers"])
        speakers, sentences, copies, contents = (overlaps[k] for k in ("speakers", "sentences", "copies", "contents"))
        yield from _shared("shared-speakers", "leak", speakers, "speakers", "their voices are known")
        yield from _shared("shared-sentences", "warning", sentences, "sentences", "their words are known")
        yield from _shared("augmented-twins", "leak", copies, "recordings", "as copies of the same clips")
        named = {digest: _names(self.same.get(digest[:32], ())) or digest[:12] for digest in contents.distinct}
        renamed = {fold: [named[digest] for digest in digests] for fold, digests in contents.shared.items()}
        identical = Overlap(renamed, contents.tested)
        yield from _shared("identical-clips", "leak", identical, "recordings", "byte for byte the same clips")

    def _label_findings(self) -> Iterator[Finding]:
        """Yield the recordings that occur more than once with different labels."""
        torn = [sorted(clips) for clips in self.same.values() if len({label for label, _ in clips}) > 1]
        if torn:
            named = sorted(" = ".join(f"{name} ({label or 'no label'})" for label, name in clips) for clips in torn)
            sentence = (
                f"{_of(len(torn), len(self.contents), 'distinct recordings')} in the data more than once with "
                "different labels, of which at most one can be right."
            )
            id = "identical-clips-different-labels"
            yield Finding(id, "warning", len(torn), len(self.contents), sentence, tuple(named[:LONG_EXAMPLES]))

    def _corpus_findings(self) -> Iterator[Finding]:
        """Yield what identifies the corpus of a clip, and with it something about its label."""
        if len(self.corpora) < 2:
            return
        single = {label: next(iter(corpora)) for label, corpora in sorted(self.labels.items()) if len(corpora) == 1}
        if single:
            sentence = (
                f"{_of(len(single), len(self.labels), 'labels')} found in one corpus only: recognizing the corpus is "
                "enough to know the label."
            )
            named = tuple(f"{label}: {corpus}" for label, corpus in single.items())
            yield Finding("labels-of-one-corpus", "warning", len(single), len(self.labels), sentence, named[:EXAMPLES])
        yield from _giveaway("sample-rates", "sample rate", self.rates)
        measured = {corpus: bands for corpus, bands in self.bands.items() if bands.total() >= MIN_CLIPS}
        yield from _giveaway("bandwidths", "bandwidth", measured)


def _speakers_apart(overlap: Overlap) -> Iterator[Finding]:
    if not overlap.shared:
        folds = len(overlap.tested)
        sentence = f"Training and test share no speaker: {overlap.of:,} are tested in {folds} fold{'s' * (folds != 1)}."
        yield Finding("speakers-apart", "note", 0, overlap.of, sentence)


def _shared(id: str, severity: Severity, overlap: Overlap, noun: str, remark: str) -> Iterator[Finding]:
    """Yield a finding if something is in both training and test of a fold."""
    distinct = overlap.distinct
    if not distinct:
        return
    where = f" in {len(overlap.shared)} of {len(overlap.tested)} folds" if len(overlap.tested) > 1 else ""
    sentence = f"{_of(len(distinct), overlap.of, f'tested {noun}')} also in training{where}: {remark}."
    order = sorted(overlap.tested, key=lambda fold: (not fold.isdigit(), int(fold) if fold.isdigit() else 0, fold))
    folds = {fold: (len(overlap.shared.get(fold, ())), len(overlap.tested[fold])) for fold in order}
    named = distinct[: EXAMPLES if noun == "speakers" else LONG_EXAMPLES]
    yield Finding(id, severity, len(distinct), overlap.of, sentence, tuple(named), folds)


def _giveaway(id: str, what: str, counted: Mapping[str, Counter[int]]) -> Iterator[Finding]:
    """Yield a finding if a measure, in Hz, identifies some corpora; each corpus has the same weight."""
    shares = {corpus: {hz: n / hertz.total() for hz, n in hertz.items()} for corpus, hertz in counted.items()}
    given_away = {}
    for corpus, own in sorted(shares.items()):
        others = (sum(other.get(hz, 0.0) for name, other in shares.items() if name != corpus) for hz in own)
        pure = [hz for hz, rest in zip(own, others, strict=True) if own[hz] / (own[hz] + rest) >= PURE]
        if len(shares) > 1 and sum(own[hz] for hz in pure) >= MOST:
            given_away[corpus] = max(pure, key=lambda hz: own[hz])
    if given_away:
        sentence = f"The {what} alone identifies {len(given_away):,} of {len(shares):,} corpora."
        named = tuple(f"{corpus}: {hz:,} Hz" for corpus, hz in given_away.items())
        yield Finding(id, "warning", len(given_away), len(shares), sentence, named[:EXAMPLES])


def _of(count: int, of: int, noun: str) -> str:
    return f"{count:,} of {of:,} {noun} {'is' if count == 1 else 'are'}"


def _key(path: str) -> str:
    """Return a clip's path in lower case without its suffix."""
    folder, slash, _ = path.rpartition("/")
    return f"{folder}{slash}{stem_of(path)}".lower()


def _names(clips: Collection[tuple[str, str]]) -> str:
    """Return the names of a group of (label, name) as "a = b", no more than three of them."""
    names = sorted({name for _, name in clips})
    return " = ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _overlap(values: Sequence[str], folds: Sequence[Fold]) -> Overlap:
    """Return the overlap of one value for each row; an empty one is not known."""
    shared = shared_values([value or None for value in values], folds)
    both = {fold: [str(value) for value in common] for fold, common in shared.items()}
    return Overlap(both, {fold.name: {values[i] for i in fold.test if values[i]} for fold in folds})


def findings_table(findings: Findings) -> str:
    """Return the findings for a terminal."""
    lines = [
        f"{findings.clips:,} clips, {findings.tested:,} of them tested, {findings.speakers:,} speakers, "
        f"{len(findings.corpora)} {'corpus' if len(findings.corpora) == 1 else 'corpora'}",
        f"{'':8} {'finding':32} {'count':>8} {'of':>8}",
    ]
    for finding in findings.findings:
        lines.append(f"{finding.severity:8} {finding.id:32} {finding.count:8,} {finding.of:8,}")
        lines.append(f"{'':8} {finding.sentence}")
        if len(finding.folds) > 1:
            folds = ", ".join(f"{fold}: {count:,} of {of:,}" for fold, (count, of) in finding.folds.items())
            lines.append(f"{'':8} By fold: {folds}.")
        if finding.examples:
            more = ", …" if finding.count > len(finding.examples) else ""
            lines.append(f"{'':8} For example {', '.join(finding.examples)}{more}")
    if not findings.findings:
        lines.append("Training and test share nothing that they should not.")
    return "\n".join(lines)
