"""What a split, or a table of clips, gives away: shared speakers, sentences and twins, labels and sounds of one corpus.

A system that is tested on voices it has learned tells little about anybody else. Everything here streams: rows are met
one at a time, and what stays in memory is one entry for each speaker, sentence, clip and checksum, not the rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from ser_engine.data.audit_rows import TESTED, TRAINING, AuditRow, row_of, sounds_of, stem_of
from ser_engine.data.corpora.base import Utterance
from ser_engine.data.splits import Fold, sentence_of, shared

Severity = Literal["leak", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("leak", "warning", "note")

# How many are named, and how many that are long.
EXAMPLES, LONG_EXAMPLES = 10, 4
# A rate or bandwidth tells a corpus when nearly nothing else has it, and when most of the corpus has such a one.
PURE, MOST = 0.95, 0.5
BANDWIDTH_STEP_HZ = 500
# Fewer measured clips than this say nothing about a corpus's bandwidth.
LEAST_CLIPS = 10


@dataclass(frozen=True)
class Finding:
    """One thing that was found, in one plain sentence: `count` of `of` are concerned, some are named in `examples`.

    `folds` says for each fold how many are concerned and how many there are, where it is about folds. "leak" means
    that the tested figure is too good, "warning" that it may be, "note" what else has to be known.
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
    """What an audit found in `clips` clips, the worst first."""

    clips: int
    tested: int
    speakers: int
    corpora: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """What makes a figure say too much."""
        return tuple(finding for finding in self.findings if finding.severity == "leak")

    def to_dict(self) -> dict[str, Any]:
        """Return what run.json holds under "audit"."""
        findings = []
        for finding in self.findings:
            folds = {name: {"count": count, "of": of} for name, (count, of) in finding.folds.items()}
            findings.append(asdict(finding) | {"examples": list(finding.examples), "folds": folds})
        counted = {"clips": self.clips, "tested": self.tested, "speakers": self.speakers}
        return {**counted, "corpora": list(self.corpora), "findings": findings}


@dataclass(frozen=True)
class Crossing:
    """Which values are tested and trained on in the same fold, and how many are tested at all, by fold."""

    shared: Mapping[str, Sequence[str]]
    tested: Mapping[str, Collection[str]]

    @property
    def distinct(self) -> list[str]:
        """The shared values, each once."""
        return sorted({value for values in self.shared.values() for value in values})


def audit(rows: Iterable[AuditRow]) -> Findings:
    """Return what a table of clips gives away; rows are read once, in any order."""
    ledger = Ledger()
    for row in rows:
        ledger.add(row)
    crossings = {kind: parts.crossing() for kind, parts in ledger.parts.items()}
    crossings["twins"] = ledger.twins()
    return ledger.findings(crossings)


def audit_folds(utterances: Sequence[Utterance], folds: Sequence[Fold]) -> Findings:
    """Return what the folds of a training run give away.

    Where the recordings are there, their bytes are compared, and rates and bandwidths of some. An utterance that
    is in the list more than once is a recording with its copies (`splits.expand`).
    """
    parts = np.full(len(utterances), None, object)
    for fold in folds:
        parts[fold.seen] = np.where(parts[fold.seen] == TESTED, TESTED, TRAINING)
        parts[fold.test] = TESTED
    ledger = Ledger()
    times = Counter(utterance.path for utterance in utterances)
    sounds = sounds_of(utterances)
    digests: list[str | None] = []
    for utterance, part in zip(utterances, parts, strict=True):
        row = row_of(utterance, sounds[utterance.path], part)
        copied = times[utterance.path] > 1  # copies have bytes of their own, which are not on disk
        digests.append(row.sha256 or None if not copied else None)
        ledger.add(replace(row, sha256="") if copied else row)
    names = [f"{utterance.corpus}/{utterance.name}" for utterance in utterances]
    crossings = {
        "speakers": _crossing([utterance.speaker for utterance in utterances], folds),
        "sentences": _crossing([sentence_of(utterance) for utterance in utterances], folds),
        "contents": _crossing(digests, folds),
        "twins": _crossing(
            [name if times[u.path] > 1 else None for name, u in zip(names, utterances, strict=True)], folds
        ),
    }
    return ledger.findings(crossings)


class Parts:
    """In which parts of a split each value is met: a fold's number, or "0" for always in training."""

    def __init__(self) -> None:
        self.met: dict[str, frozenset[str]] = {}
        self._sets: dict[frozenset[str], frozenset[str]] = {}  # there are few different ones, so each is kept once

    def meet(self, value: str, part: str | None) -> None:
        """Take note of one clip; without a value or a part there is nothing to compare."""
        if not value or part is None:
            return
        before = self.met.get(value, frozenset())
        if part not in before:
            parts = before | {part}
            self.met[value] = self._sets.setdefault(parts, parts)

    def crossing(self) -> Crossing:
        """Return what is tested in a fold and occurs in another, too: that fold is trained on all the others."""
        crossing: dict[str, list[str]] = defaultdict(list)
        tested: dict[str, list[str]] = defaultdict(list)
        for value, parts in self.met.items():
            for fold in parts - {TRAINING}:
                tested[fold].append(value)
                if len(parts) > 1:
                    crossing[fold].append(value)
        return Crossing(crossing, tested)


@dataclass
class Ledger:
    """What has been met so far."""

    clips: int = 0
    tested: int = 0
    nameless: int = 0
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
        """Take note of one clip."""
        self.clips += 1
        self.corpora[row.corpus] += 1
        self.tested += row.part not in (None, TRAINING)
        self.outside += row.part is None
        self.nameless += not row.speaker
        if row.speaker:
            self.speakers.add(row.speaker)
        digest = row.sha256[:32]  # half of it is enough to tell clips apart
        self.parts["speakers"].meet(row.speaker, row.part)
        self.parts["sentences"].meet(row.sentence, row.part)
        self.parts["contents"].meet(digest, row.part)
        self._meet_path(row)
        if digest:
            self._meet_content(digest, row)
        if row.label:
            self.labels[row.label][row.corpus] += 1
        if row.sample_rate:
            self.rates[row.corpus][row.sample_rate] += 1
        if row.bandwidth_hz:
            self.bands[row.corpus][round(row.bandwidth_hz / BANDWIDTH_STEP_HZ) * BANDWIDTH_STEP_HZ] += 1

    def _meet_path(self, row: AuditRow) -> None:
        if row.augmented_from:
            self.copies.append((_key(row.augmented_from), row.part))
        else:
            self.paths.meet(_key(row.path), row.part)

    def _meet_content(self, digest: str, row: AuditRow) -> None:
        clip = (row.label, row.name)
        first = self.contents.setdefault(digest, clip)
        if first != clip:
            self.same[digest] |= {first, clip}

    def twins(self) -> Crossing:
        """Return which recordings and copies of them are on both sides; a path that comes twice is its own copy."""
        names: dict[str, str | None] = {}
        if any(key not in self.paths.met for key, _ in self.copies):  # then copies may name clips without folders
            for path in self.paths.met:
                name = path.rpartition("/")[2]
                names[name] = path if name not in names else None
        for key, part in self.copies:
            known = key if key in self.paths.met else names.get(key.rpartition("/")[2])
            self.paths.meet(known or key, part)
        return self.paths.crossing()

    def findings(self, crossings: Mapping[str, Crossing]) -> Findings:
        """Return what all rows together say, given what is on both sides of each fold."""
        found = (*self._across(crossings), *self._same(), *self._of_corpora())
        ordered = tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))
        return Findings(self.clips, self.tested, len(self.speakers), tuple(sorted(self.corpora)), ordered)

    def _across(self, crossings: Mapping[str, Crossing]) -> Iterator[Finding]:
        if not self.tested:
            told = "Nothing says what is tested (test_fold, fold or split), so training and test were not compared."
            yield Finding("no-split", "note", self.clips, self.clips, told)
            return
        if self.outside:
            told = f"{_of(self.outside, self.clips, 'clips')} in no part of the split and not compared."
            yield Finding("outside-the-split", "note", self.outside, self.clips, told)
        if self.nameless:
            told = f"The speaker of {self.nameless:,} of {self.clips:,} clips is not known; they were not compared."
            yield Finding("unknown-speakers", "warning", self.nameless, self.clips, told)
        else:
            yield from _speakers_apart(crossings["speakers"])
        yield from _both_sides("shared-speakers", "leak", crossings["speakers"], "speakers", "the voices are known")
        yield from _both_sides(
            "shared-sentences", "warning", crossings["sentences"], "sentences", "the words are known"
        )
        yield from _both_sides(
            "augmented-twins",
            "leak",
            crossings["twins"],
            "recordings",
            "each has a twin there, a copy of the same clip",
        )
        contents = crossings["contents"]
        named = {digest: _names(self.same.get(digest[:32], ())) or digest[:12] for digest in contents.distinct}
        renamed = {fold: [named[digest] for digest in digests] for fold, digests in contents.shared.items()}
        yield from _both_sides(
            "identical-clips", "leak", Crossing(renamed, contents.tested), "recordings", "byte for byte the same clip"
        )

    def _same(self) -> Iterator[Finding]:
        """Yield recordings that are there more than once with different labels."""
        torn = [sorted(clips) for clips in self.same.values() if len({label for label, _ in clips}) > 1]
        if torn:
            named = sorted(" = ".join(f"{name} ({label or 'no label'})" for label, name in clips) for clips in torn)
            told = (
                f"{len(torn):,} of {len(self.contents):,} different recordings are there more than once with different "
                "labels, of which one at most is right."
            )
            id = "identical-clips-different-labels"
            yield Finding(id, "warning", len(torn), len(self.contents), told, tuple(named[:LONG_EXAMPLES]))

    def _of_corpora(self) -> Iterator[Finding]:
        """Yield what tells from which corpus a clip is, and with it something about its label."""
        if len(self.corpora) < 2:
            return
        single = {label: next(iter(corpora)) for label, corpora in sorted(self.labels.items()) if len(corpora) == 1}
        if single:
            told = (
                f"{_of(len(single), len(self.labels), 'labels')} found in one corpus only: who hears the corpus knows "
                "the label, without the voice."
            )
            named = tuple(f"{label}: {corpus}" for label, corpus in single.items())
            yield Finding("labels-of-one-corpus", "warning", len(single), len(self.labels), told, named[:EXAMPLES])
        yield from _giveaway("sample-rates", "sample rate", self.rates)
        heard = {corpus: bands for corpus, bands in self.bands.items() if bands.total() >= LEAST_CLIPS}
        yield from _giveaway("bandwidths", "bandwidth", heard)


def _speakers_apart(crossing: Crossing) -> Iterator[Finding]:
    count = len({speaker for speakers in crossing.tested.values() for speaker in speakers})
    if not crossing.shared:
        folds = len(crossing.tested)
        told = f"Training and test share no speaker: {count:,} are tested in {folds} fold{'s' * (folds != 1)}."
        yield Finding("speakers-apart", "note", 0, count, told)


def _both_sides(id: str, severity: Severity, crossing: Crossing, noun: str, why: str) -> Iterator[Finding]:
    """Yield a finding when something is tested that is trained on in the same fold."""
    distinct = crossing.distinct
    if not distinct:
        return
    tested = len({value for values in crossing.tested.values() for value in values})
    where = f", in {len(crossing.shared)} of {len(crossing.tested)} folds" if len(crossing.tested) > 1 else ""
    told = f"{_of(len(distinct), tested, f'tested {noun}')} trained on, too{where}: {why}."
    order = sorted(crossing.tested, key=lambda fold: (not fold.isdigit(), int(fold) if fold.isdigit() else 0, fold))
    folds = {fold: (len(crossing.shared.get(fold, ())), len(crossing.tested[fold])) for fold in order}
    named = distinct[: EXAMPLES if noun == "speakers" else LONG_EXAMPLES]
    yield Finding(id, severity, len(distinct), tested, told, tuple(named), folds)


def _giveaway(id: str, what: str, counted: Mapping[str, Counter[int]]) -> Iterator[Finding]:
    """Yield a finding when a measure, in Hz, tells some corpora from the others; each corpus counts the same."""
    shares = {corpus: {hz: n / hertz.total() for hz, n in hertz.items()} for corpus, hertz in counted.items()}
    given_away = {}
    for corpus, own in sorted(shares.items()):
        others = (sum(other.get(hz, 0.0) for name, other in shares.items() if name != corpus) for hz in own)
        pure = [hz for hz, rest in zip(own, others, strict=True) if own[hz] / (own[hz] + rest) >= PURE]
        if len(shares) > 1 and sum(own[hz] for hz in pure) >= MOST:
            given_away[corpus] = max(pure, key=lambda hz: own[hz])
    if given_away:
        told = f"By their {what} alone, {_of(len(given_away), len(shares), 'corpora')} told from the others."
        named = tuple(f"{corpus}: {hz:,} Hz" for corpus, hz in given_away.items())
        yield Finding(id, "warning", len(given_away), len(shares), told, named[:EXAMPLES])


def _of(count: int, of: int, noun: str) -> str:
    return f"{count:,} of {of:,} {noun} {'is' if count == 1 else 'are'}"


def _key(path: str) -> str:
    """Return what a clip is called by, with its folder and whatever its suffix."""
    folder, slash, _ = path.rpartition("/")
    return f"{folder}{slash}{stem_of(path)}".lower()


def _names(clips: Collection[tuple[str, str]]) -> str:
    """Return how a group of (label, name) is shown: "a = b", and no more than three."""
    names = sorted({name for _, name in clips})
    return " = ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _crossing(values: Sequence[str | None], folds: Sequence[Fold]) -> Crossing:
    hashable: Sequence[Hashable | None] = values
    both = {fold: [str(value) for value in found] for fold, found in shared(hashable, folds).items()}
    tested = {fold.name: {str(values[i]) for i in fold.test if values[i] is not None} for fold in folds}
    return Crossing(both, tested)


def table(findings: Findings) -> str:
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
            told = ", ".join(f"{fold}: {count:,} of {of:,}" for fold, (count, of) in finding.folds.items())
            lines.append(f"{'':8} By fold: {told}.")
        if finding.examples:
            more = ", …" if finding.count > len(finding.examples) else ""
            lines.append(f"{'':8} For example {', '.join(finding.examples)}{more}")
    if not findings.findings:
        lines.append("Nothing was found that training and test should not share.")
    return "\n".join(lines)
