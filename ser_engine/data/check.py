"""Check that a corpus is complete and intact: its clips against the published numbers, and what is wrong with them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import REPEAT, Corpus, Utterance, audio_files
from ser_engine.data.manifest import Row, is_manifest, read_rows_or_errors, write_manifest
from ser_engine.data.measure import AudioProperties, measure_rows
from ser_engine.errors import CorpusError
from ser_engine.labels import LABEL_SETS, LabelSet
from ser_engine.settings import Settings

# File names of a folder that are looked at to find out which corpus it is.
PROBED_NAMES = 500
# From this many clips on, one length for all means that they were cut or padded.
SAME_LENGTH_CLIPS = 20


@dataclass(frozen=True)
class Source:
    """A corpus's folder, or a manifest (then `corpus` is None)."""

    name: str
    root: Path
    corpus: Corpus | None

    @property
    def title(self) -> str:
        """The name of the source in tables."""
        return self.corpus.title if self.corpus else self.name


@dataclass
class SourceReport:
    """The state of one source, counted clip by clip.

    `labels` counts the classes of the chosen label set (None: left out), `splits` the same for each value of a
    manifest's column "split". `unreadable` and `strays` hold paths and reasons.
    """

    source: Source
    clips: int = 0
    seconds: float = 0.0
    speakers: set[str] = field(default_factory=set)
    natives: Counter[str] = field(default_factory=Counter)
    labels: Counter[str | None] = field(default_factory=Counter)
    splits: dict[str, Counter[str | None]] = field(default_factory=dict)
    sample_rates: Counter[int] = field(default_factory=Counter)
    lengths: set[float] = field(default_factory=set)
    missing: list[Path] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)
    silent: list[Path] = field(default_factory=list)
    repeats: list[Path] = field(default_factory=list)
    strays: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether the source cannot be used as it is: it is empty, or some of it cannot be read."""
        return bool(self.unreadable or self.misnamed) or not self.clips

    @property
    def all_one_length(self) -> float | None:
        """The length, s, of every clip; None if they differ, as speech does."""
        return next(iter(self.lengths)) if len(self.lengths) == 1 and self.clips >= SAME_LENGTH_CLIPS else None

    def add(self, row: Row, audio: AudioProperties, labels: LabelSet) -> None:
        """Count one clip."""
        utterance = row.utterance
        if audio.missing:
            self.missing.append(utterance.path)
            return
        if audio.problem:
            self.unreadable.append((utterance.path, audio.problem))
            return
        self.clips += 1
        self.seconds += audio.seconds
        self.speakers.add(utterance.speaker)
        self.natives[utterance.native or utterance.label or "?"] += 1
        label = labels.of(utterance)
        self.labels[label] += 1
        if split := row.extra.get("split"):
            self.splits.setdefault(str(split), Counter())[label] += 1
        self.sample_rates[audio.sample_rate] += 1
        if len(self.lengths) < 2:
            self.lengths.add(audio.seconds)
        if audio.silent:
            self.silent.append(utterance.path)


@dataclass(frozen=True)
class Duplicates:
    """Clips with the same audio, sample by sample."""

    clips: tuple[Utterance, ...]

    @property
    def disagree(self) -> bool:
        """Whether their labels differ."""
        return len({(clip.corpus, clip.native or clip.label) for clip in self.clips}) > 1

    @property
    def speakers(self) -> int:
        """How many speakers the same audio is attributed to."""
        return len({clip.speaker for clip in self.clips})


@dataclass(frozen=True)
class CheckReport:
    """The result of a check."""

    labels: LabelSet
    sources: tuple[SourceReport, ...]
    duplicates: tuple[Duplicates, ...]

    @property
    def failed(self) -> bool:
        """Whether a source cannot be used as it is."""
        return any(source.failed for source in self.sources)


def find_sources(roots: Sequence[str]) -> list[Source]:
    """Return the sources that the roots stand for.

    A root is a corpus's folder, a folder of corpora, a manifest, or NAME=ROOT if neither the folder's name nor its
    files show which corpus it is (for a manifest, NAME is the name of its corpus).
    """
    return [source for root in roots for source in _find_sources(root)]


def check_sources(sources: Sequence[Source], settings: Settings, labels: LabelSet, workers: int = 0) -> CheckReport:
    """Decode every clip of every source, with a progress bar, and return a report."""
    reports = tuple(SourceReport(source) for source in sources)
    clips_of: defaultdict[bytes, list[Utterance]] = defaultdict(list)
    for report in reports:
        for row, audio in _measured_rows(report, settings, workers):
            report.add(row, audio, labels)
            if not audio.problem and not audio.silent:  # digital silence is the same everywhere
                clips_of[audio.content].append(row.utterance)
    duplicates = tuple(Duplicates(tuple(clips)) for clips in clips_of.values() if len(clips) > 1)
    return CheckReport(labels, reports, duplicates)


def write_source_manifest(
    sources: Sequence[Source], path: Path, settings: Settings, workers: int = 0
) -> tuple[SourceReport, ...]:
    """Write one row for each clip of every source, with its properties; clips that cannot be decoded get none.

    A row has the columns of an utterance and seconds, sample_rate, bandwidth_hz and sha256. Rows are written as clips
    are measured, so memory does not grow with their number; the file appears when it is complete.
    """
    reports = tuple(SourceReport(source) for source in sources)

    def rows() -> Iterator[Row]:
        for report in reports:
            for row, audio in _measured_rows(report, settings, workers):
                report.add(row, audio, LABEL_SETS["native"])
                if not audio.problem:
                    names = ("seconds", "sample_rate", "bandwidth_hz", "sha256")
                    properties = {name: getattr(audio, name) for name in names}
                    yield Row(row.utterance, {**row.extra, **properties})

    write_manifest(rows(), path)
    return reports


def _measured_rows(report: SourceReport, settings: Settings, workers: int) -> Iterator[tuple[Row, AudioProperties]]:
    """Yield the clips of a source with their properties; add to the report what is not a clip."""
    source = report.source
    rows: Iterable[Row]
    if source.corpus is None:
        with source.root.open("rb") as file:
            total = sum(1 for _ in file) - (source.root.suffix.lower() != ".jsonl")
        rows = _read_rows(report)
    else:
        # Listed before the progress bar starts, which so has its length; a name with a wrong code is reported at once.
        rows = [Row(utterance) for utterance in _read_utterances(report, source.corpus)]
        total = len(rows)
    return measure_rows(rows, settings, workers, source.title, total)


def _read_rows(report: SourceReport) -> Iterator[Row]:
    for row in read_rows_or_errors(report.source.root, report.source.name):
        if isinstance(row, CorpusError):
            report.misnamed.append(str(row))
        else:
            yield row


def _read_utterances(report: SourceReport, corpus: Corpus) -> Iterator[Utterance]:
    for item in corpus.scan(report.source.root):
        if isinstance(item, Utterance):
            yield item
        elif item.error:
            report.misnamed.append(f"{item.path}: {item.reason}.")
        elif item.reason == REPEAT:
            report.repeats.append(item.path)
        else:
            report.strays.append((item.path, item.reason))


def _find_sources(text: str) -> Iterator[Source]:
    name, _, rest = ("", "", text) if Path(text).exists() else text.rpartition("=")
    root = Path(rest).expanduser()
    if is_manifest(root):
        if not root.is_file():
            raise CorpusError(f"There is no manifest {root}.")
        yield Source(name or root.stem.lower(), root, None)
        return
    if not root.is_dir():
        raise CorpusError(f"There is no folder {root}.")
    corpus = registry.get_corpus(name) if name else registry.find_by_folder_name(root.resolve())
    inside = [] if corpus else list(registry.find_folders(root))
    if inside:
        yield from (Source(corpus.id, folder, corpus) for corpus, folder in inside)
    else:
        corpus = corpus or _find_by_file_names(root)
        yield Source(corpus.id, root, corpus)


def _find_by_file_names(root: Path) -> Corpus:
    """Return the corpus whose reader can read most of a folder's file names."""
    understood: Counter[str] = Counter()
    for path in audio_files(root)[:PROBED_NAMES]:
        for known in registry.CORPORA.values():
            try:
                understood[known.id] += known.read_name(path) is not None
            except KeyError:
                continue
    best = [id for id, clips in understood.items() if clips and clips == max(understood.values())]
    if not best:
        raise CorpusError(
            f"There is no reader for {root}: neither its name nor its files' names are those of a known corpus. "
            f"Write NAME={root}, or a manifest (path, label, speaker) for a corpus of your own."
        )
    if len(best) > 1:
        raise CorpusError(f"{root} could be {' or '.join(best)}; say which, as in {best[0]}={root}.")
    return registry.CORPORA[best[0]]
