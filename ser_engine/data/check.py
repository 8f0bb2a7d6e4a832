"""Is a corpus whole and sound? What was found against what was published, and what is wrong with the clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from ser_engine.data import manifest
from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import REPEAT, Corpus, Utterance, audio_files
from ser_engine.data.manifest import Row
from ser_engine.data.sound import Sound, listen_to
from ser_engine.errors import CorpusError
from ser_engine.labels import LabelSet
from ser_engine.settings import Settings

# So many file names of a folder tell whose corpus it is.
SNIFFED = 500
# Clips of speech are all of one length only where somebody cut and padded them.
SAME_LENGTH_CLIPS = 20


@dataclass(frozen=True)
class Source:
    """Where clips come from: a corpus's folder, or a manifest (then `corpus` is None)."""

    name: str
    root: Path
    corpus: Corpus | None

    @property
    def title(self) -> str:
        """How the source is called in tables."""
        return self.corpus.title if self.corpus else self.name


@dataclass
class Findings:
    """What a check found out about one source, clip by clip; lists hold the path and what is to be said about it.

    `labels` counts the classes of the label set that was asked for (None: left out), `splits` the same for each value
    of a manifest's column “split”.
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
        """Whether the source cannot be used as it is: nothing in it, or something that nobody can read."""
        return bool(self.unreadable or self.misnamed) or not self.clips

    @property
    def all_one_length(self) -> float | None:
        """The length, s, that every clip has; None where they differ as speech does."""
        return next(iter(self.lengths)) if len(self.lengths) == 1 and self.clips >= SAME_LENGTH_CLIPS else None

    def add(self, row: Row, sound: Sound, labels: LabelSet) -> None:
        """Count one clip."""
        utterance = row.utterance
        if sound.missing:
            self.missing.append(utterance.path)
            return
        if sound.problem:
            self.unreadable.append((utterance.path, sound.problem))
            return
        self.clips += 1
        self.seconds += sound.seconds
        self.speakers.add(utterance.speaker)
        self.natives[utterance.native or utterance.label or "?"] += 1
        label = labels.of(utterance)
        self.labels[label] += 1
        if split := row.extra.get("split"):
            self.splits.setdefault(str(split), Counter())[label] += 1
        self.sample_rates[sound.sample_rate] += 1
        if len(self.lengths) < 2:
            self.lengths.add(sound.seconds)
        if sound.silent:
            self.silent.append(utterance.path)


@dataclass(frozen=True)
class Twins:
    """Clips that hold the same sound, sample by sample."""

    clips: tuple[Utterance, ...]

    @property
    def disagree(self) -> bool:
        """Whether they are labelled differently."""
        return len({(clip.corpus, clip.native or clip.label) for clip in self.clips}) > 1

    @property
    def speakers(self) -> int:
        """How many speakers the same sound is said to be of."""
        return len({clip.speaker for clip in self.clips})


@dataclass(frozen=True)
class Check:
    """Everything that a check found out."""

    labels: LabelSet
    findings: tuple[Findings, ...]
    twins: tuple[Twins, ...]

    @property
    def failed(self) -> bool:
        """Whether anything is unreadable or no corpus."""
        return any(found.failed for found in self.findings)


def sources(roots: Sequence[str]) -> list[Source]:
    """Return what is meant by each root.

    A root is a corpus's folder, a folder that holds several, a manifest, or NAME=ROOT where neither the folder's name
    nor its content says which corpus it is (for a manifest, NAME is what its corpus is called).

    Raises
    ------
    CorpusError
        There is no such folder or file, or it is no corpus that has a reader.
    """
    return [source for root in roots for source in _sources(root)]


def check(roots: Sequence[Source], settings: Settings, labels: LabelSet, workers: int = 0) -> Check:
    """Listen to every clip of every source, with a progress bar, and return what was found."""
    everything = tuple(Findings(source) for source in roots)
    first: dict[bytes, Utterance] = {}
    twins: dict[bytes, list[Utterance]] = {}
    for found in everything:
        for row, sound in _listened(found, settings, workers):
            found.add(row, sound, labels)
            if sound.problem or sound.silent:
                continue  # digital silence is alike everywhere
            if sound.content in first:
                twins.setdefault(sound.content, [first[sound.content]]).append(row.utterance)
            else:
                first[sound.content] = row.utterance
    return Check(labels, everything, tuple(Twins(tuple(clips)) for clips in twins.values()))


def write_manifest(roots: Sequence[Source], path: Path, settings: Settings, workers: int = 0) -> tuple[Findings, ...]:
    """Write one row a clip of every source, with what it sounds like; clips without sound get none.

    Beside the columns of an utterance a row has seconds, sample_rate, bandwidth_hz and sha256. Rows are written as
    clips are heard, so memory does not grow with them; the file appears when it is whole.
    """
    everything = tuple(Findings(source) for source in roots)
    as_they_are = LabelSet("native", (), {}, "")

    def rows() -> Iterator[Row]:
        for found in everything:
            for row, sound in _listened(found, settings, workers):
                found.add(row, sound, as_they_are)
                if not sound.problem:
                    measured = {
                        "seconds": sound.seconds,
                        "sample_rate": sound.sample_rate,
                        "bandwidth_hz": sound.bandwidth_hz,
                        "sha256": sound.sha256,
                    }
                    yield Row(row.utterance, {**row.extra, **measured}, row.line)

    manifest.write(rows(), path)
    return everything


def _listened(found: Findings, settings: Settings, workers: int) -> Iterator[tuple[Row, Sound]]:
    """Yield the clips of a source with their sound, behind a progress bar; put what is no clip into the findings."""
    source = found.source
    rows: Iterable[Row]
    if source.corpus is None:
        with source.root.open("rb") as file:
            total = sum(1 for _ in file) - (source.root.suffix.lower() != ".jsonl")
        rows = _rows(found)
    else:
        # Before the bar starts: its length is known, and a name with a wrong code is told at once.
        rows = [Row(utterance) for utterance in _utterances(found, source.corpus)]
        total = len(rows)
    heard = listen_to(rows, settings, workers)
    yield from tqdm(heard, total=total, desc=source.title, unit="clip")


def _rows(found: Findings) -> Iterator[Row]:
    for row in manifest.rows_or_errors(found.source.root, found.source.name):
        if isinstance(row, CorpusError):
            found.misnamed.append(str(row))
        else:
            yield row


def _utterances(found: Findings, corpus: Corpus) -> Iterator[Utterance]:
    for look in corpus.look(found.source.root):
        if isinstance(look, Utterance):
            yield look
        elif look.error:
            found.misnamed.append(f"{look.path}: {look.reason}.")
        elif look.reason == REPEAT:
            found.repeats.append(look.path)
        else:
            found.strays.append((look.path, look.reason))


def _sources(text: str) -> Iterator[Source]:
    name, _, rest = ("", "", text) if Path(text).exists() else text.rpartition("=")
    root = Path(rest).expanduser()
    if manifest.is_manifest(root):
        if not root.is_file():
            raise CorpusError(f"There is no manifest {root}.")
        yield Source(name or root.stem.lower(), root, None)
        return
    if not root.is_dir():
        raise CorpusError(f"There is no folder {root}.")
    about = registry.corpus(name) if name else registry.named(root.resolve())
    inside = [] if about else list(registry.folders(root))
    if inside:
        yield from (Source(corpus.id, folder, corpus) for corpus, folder in inside)
    else:
        about = about or _sniffed(root)
        yield Source(about.id, root, about)


def _sniffed(root: Path) -> Corpus:
    """Return the corpus whose reader understands most of a folder's file names."""
    understood: Counter[str] = Counter()
    for path in audio_files(root)[:SNIFFED]:
        for known in registry.CORPORA.values():
            try:
                understood[known.id] += known.read_name(path) is not None
            except KeyError:
                continue
    best = [id for id, clips in understood.items() if clips and clips == max(understood.values())]
    if not best:
        raise CorpusError(
            f"{root} is no corpus that has a reader: not by its name, nor by those of the files in it. "
            f"Write NAME={root}, or a manifest (path, label, speaker) for a corpus of your own."
        )
    if len(best) > 1:
        raise CorpusError(f"{root} could be {' or '.join(best)}; say which, as in {best[0]}={root}.")
    return registry.CORPORA[best[0]]
