"""Utterances, and corpora: a reader of file names with the facts about a corpus."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ser_engine.errors import CorpusError

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".webm"})


@dataclass(frozen=True)
class Utterance:
    """One clip of a corpus.

    `label` is one of ours, or None for an emotion that we have no label for; `native` is the corpus's own label as it
    writes it ("ANG", "W", "exc"), or the word for it if it writes a number. `speaker` is unique over all corpora
    ("ravdess/07"). `sentence` is the same for clips with the same words: the text, or an id without spaces if only
    that is known; `transcript` is the text, if the corpus has it. `perceived_labels` are the labels that most
    listeners chose from the voice alone, several if they were divided.
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
        """The spoken words: the transcript, or the sentence if it is a text."""
        text = self.sentence if self.sentence and " " in self.sentence else None
        return self.transcript or text

    @property
    def name(self) -> str:
        """The clip's file name without folder and suffix."""
        return self.path.stem


@dataclass(frozen=True)
class Stray:
    """An audio file that is not read: `reason` in a few words, `error` if its name has an invalid code."""

    path: Path
    reason: str
    error: bool = False


LFS_POINTER = b"version https://git-lfs"
"""The beginning of the small text file that Git leaves in place of a recording that was not fetched."""
LFS_POINTER_BYTES = 1024
NOT_A_CLIP, REPEAT, NO_LABEL = "not a clip of the corpus", "a clip that was read already", "no label in the corpus"

ORDINARY = "ordinary"
"""The own label of clips in which nobody was asked to express an emotion; it counts as neutral."""

Codes = dict[str, str]
"""What a file name says: the speaker and, where it says so, emotion, sentence and intensity, in the corpus's codes."""
Annotate = Callable[[Utterance], Utterance | None]
"""Completes an utterance with the corpus's annotations; returns None if it has no label in them."""


@dataclass(frozen=True)
class Corpus:
    """A public corpus: how to read its file names, and the facts about it.

    Attributes
    ----------
    id : the corpus's name in commands and configurations, and its key in docs/papers.bib
    languages : ISO 639-1 codes; none for sounds without words
    labels : the corpus's own labels, and which of our emotions each of them is
    expected_labels : how many clips of each own label were published; empty if that is not stated
    read_codes : takes a path and returns the codes in its name, or None for a file that is not a clip of the corpus
    emotion_codes : the own label of each code, where they differ
    emotion : the own label of every clip, where names have no code for it
    genders : the gender of each speaker; empty if they are not known
    sentences : the text of each sentence; without it, the code is the text or an id without spaces
    intensities : the word for each code
    read_annotations : takes the corpus's folder and reads what is stored apart from the audio
    commercial : whether the license allows commercial use
    aliases : other beginnings of folder names for this corpus
    published_folds : the fold, from 1, in which EmoBox tests each speaker, for corpora that it splits by speaker
    """

    id: str
    title: str
    languages: tuple[str, ...]
    license: str
    citation: str
    url: str
    expected_clips: int
    expected_speakers: int
    labels: Mapping[str, str | None]
    expected_labels: Mapping[str, int]
    read_codes: Callable[[Path], Codes | None]
    emotion_codes: Mapping[str, str] = field(default_factory=dict)
    emotion: str = ""
    genders: Mapping[str, str] = field(default_factory=dict)
    sentences: Mapping[str, str] = field(default_factory=dict)
    intensities: Mapping[str, str | None] = field(default_factory=dict)
    read_annotations: Callable[[Path], Annotate] | None = None
    commercial: bool = False
    aliases: tuple[str, ...] = ()
    published_folds: Mapping[str, int] = field(default_factory=dict)

    def read_name(self, path: Path) -> Utterance | None:
        """Return the utterance that a file name describes, None for a file that is not a clip of the corpus.

        Raise KeyError for a code that the corpus does not have.
        """
        codes = self.read_codes(path)
        if codes is None:
            return None
        speaker, emotion, sentence = codes["speaker"], codes.get("emotion", self.emotion), codes.get("sentence")
        native = self.emotion_codes[emotion] if emotion and self.emotion_codes else emotion
        label = self.labels[native] if native else None
        gender = self.genders[speaker] if self.genders else None
        text = self.sentences[sentence] if sentence and self.sentences else sentence
        return Utterance(
            corpus=self.id,
            path=path,
            label=label,
            speaker=f"{self.id}/{speaker}",
            gender=gender,
            sentence=text,
            intensity=self.intensities[codes["intensity"]] if "intensity" in codes else None,
            transcript=text if text and " " in text else None,
            native=native,
        )

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield every clip under `root` in the order of their paths, whatever the suffix of the audio.

        A clip that is there twice (Kaggle's archives of RAVDESS and TESS contain them a second time, in a folder of
        the same name) is read once: otherwise it could be in both the training and the test part of a split.
        Raise CorpusError if there is no such folder, if recordings are only Git LFS pointers, or if a file's name has a
        code that the corpus does not have.
        """
        for item in self.scan(root):
            if isinstance(item, Utterance):
                yield item
            elif item.error:
                raise CorpusError(f"{item.path}: {item.reason}.")

    def scan(self, root: Path) -> Iterator[Utterance | Stray]:
        """Yield what `utterances` yields, and every other audio file with the reason why it is left out.

        Files that are Git LFS pointers in place of recordings are left out as one, the first of them.
        """
        if not root.is_dir():
            raise CorpusError(f"{self.title} should be in {root}, but there is no such folder.")
        annotate = self.read_annotations(root) if self.read_annotations else None
        seen: set[tuple[str, str]] = set()
        paths = audio_files(root)
        pointers = [path for path in paths if is_pointer(path)]
        if pointers:
            others = f", like {len(pointers) - 1:,} others here," if len(pointers) > 1 else ""
            reason = f"a Git LFS pointer{others} and no recording; “git lfs pull” in its repository fetches the audio"
            yield Stray(pointers[0], reason, error=True)
        for path in sorted(set(paths) - set(pointers)) if pointers else paths:
            try:
                read = self.read_name(path)
            except KeyError as error:
                yield Stray(path, f"{self.title} has no code {error}", error=True)
                continue
            if read is None:
                yield Stray(path, NOT_A_CLIP)
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


def match_names(pattern: str) -> Callable[[Path], Codes | None]:
    """Return a `read_codes` that matches the whole name, in capitals, with a pattern whose groups are the codes."""
    compiled = re.compile(pattern)

    def read_codes(path: Path) -> Codes | None:
        match = compiled.fullmatch(path.stem.upper())
        return match.groupdict() if match else None

    return read_codes


def is_pointer(path: Path) -> bool:
    """Whether a file is a Git LFS pointer in place of what it is named after."""
    try:
        if path.stat().st_size > LFS_POINTER_BYTES:
            return False
        with path.open("rb") as file:
            return file.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False


def plain_name(name: str) -> str:
    """Return a name without the signs that differ between copies of a corpus: “CREMA-D”, or “a13 (6)” and “a13_(6)”."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def audio_files(root: Path) -> list[Path]:
    """Return the audio files under a folder in order, without macOS's metadata files ("._03a01Fa.wav")."""
    files: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__MACOSX"]
        files += [
            Path(folder, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES
        ]
    return sorted(files)
