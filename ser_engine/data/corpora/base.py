"""What a corpus is: a reader of file names, and the facts about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ser_engine.errors import CorpusError

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".webm"})


@dataclass(frozen=True)
class Utterance:
    """One clip of a corpus.

    `label` is one of ours, or None where the corpus has an emotion that we have no label for; `native` is the
    corpus's own label as it writes it ("ANG", "W", "exc"), or the word for it where it writes a number. `speaker` is
    unique over all corpora ("ravdess/07"). `sentence` is what two clips share that say the same words: the text, or
    an id without spaces where only that is known; `transcript` is the words, where the corpus has them.
    `perceived_labels` is what most listeners named from the voice alone, several labels where they were divided.
    """

    corpus: str
    path: Path
    label: str | None
    speaker: str
    gender: str | None = None
    sentence: str | None = None
    intensity: str | None = None
    transcript: str | None = None
    native: str | None = None
    perceived_labels: tuple[str, ...] = ()

    @property
    def words(self) -> str | None:
        """The words that were spoken: the transcript, or the sentence where it is a text and no id."""
        text = self.sentence if self.sentence and " " in self.sentence else None
        return self.transcript or text

    @property
    def name(self) -> str:
        """The clip's file name without folder and suffix, which no corpus uses twice."""
        return self.path.stem


@dataclass(frozen=True)
class Stray:
    """A file that a corpus's reader does not read: `reason` in a few words, `error` where its name has a wrong code."""

    path: Path
    reason: str
    error: bool = False


NO_CLIP, REPEAT, NO_LABEL = "no clip of the corpus", "a clip that is there already", "no label beside it"

Annotate = Callable[[Utterance], Utterance | None]
"""Completes an utterance with what lies beside the audio; None where it has no label there."""


@dataclass(frozen=True)
class Corpus:
    """A public corpus: how to read a file's name, and what its users should know.

    `read_name` takes a path and returns the utterance, None for a file that is not a clip of the corpus, or raises
    KeyError for a code that the corpus does not have. `read_beside`, where given, reads what lies beside the audio
    under a folder. `labels` says which of our emotions each of the corpus's own is; `expected_labels` how many clips
    of each were published. `languages` are ISO 639-1 codes.
    """

    id: str
    title: str
    languages: tuple[str, ...]
    licence: str
    citation: str
    url: str
    expected_clips: int
    expected_speakers: int
    labels: Mapping[str, str | None]
    expected_labels: Mapping[str, int]
    read_name: Callable[[Path], Utterance | None]
    sentences: Mapping[str, str]
    read_beside: Callable[[Path], Annotate] | None = None

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield every clip under `root` in the order of their paths, whatever the suffix of the audio.

        A clip that lies there twice (archives from Kaggle hold RAVDESS and TESS a second time, in a folder of the
        same name) is read once: twins would end on both sides of a split.

        Raises
        ------
        CorpusError
            There is no such folder, or a file's name has a code that the corpus does not have.
        """
        for found in self.look(root):
            if isinstance(found, Utterance):
                yield found
            elif found.error:
                raise CorpusError(f"{found.path}: {found.reason}.")

    def look(self, root: Path) -> Iterator[Utterance | Stray]:
        """Yield what `utterances` yields, and every other audio file with the reason why it is left out."""
        if not root.is_dir():
            raise CorpusError(f"{self.title} should be in {root}, but there is no such folder.")
        annotate = self.read_beside(root) if self.read_beside else None
        seen: set[tuple[str, str]] = set()
        for path in audio_files(root):
            try:
                read = self.read_name(path)
            except KeyError as error:
                yield Stray(path, f"{self.title} has no code {error}", error=True)
                continue
            if read is None:
                yield Stray(path, NO_CLIP)
                continue
            key = (read.speaker, read.name.lower())
            utterance = annotate(read) if annotate else read
            if key in seen:
                yield Stray(path, REPEAT)
            elif utterance is None:
                yield Stray(path, NO_LABEL)
            else:
                seen.add(key)
                yield utterance


def audio_files(root: Path) -> list[Path]:
    """Return the audio files under a folder in order, without what macOS leaves in archives ("._03a01Fa.wav")."""
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        found += [
            Path(folder, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES
        ]
    return sorted(found)
