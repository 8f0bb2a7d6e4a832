"""What a corpus is: a reader of file names, and the facts about it."""

from __future__ import annotations

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
    an id without spaces where only that is known; `transcript` is the words, where the corpus tells them.
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
class Corpus:
    """A public corpus: how to read a file's name, and what its users should know.

    `read_name` takes a path and returns the utterance, None for a file that is not a clip of the corpus, or raises
    KeyError for a code that the corpus does not have.
    """

    id: str
    title: str
    licence: str
    citation: str
    expected_clips: int
    expected_speakers: int
    read_name: Callable[[Path], Utterance | None]
    sentences: Mapping[str, str]

    def utterances(self, root: Path) -> Iterator[Utterance]:
        """Yield every clip under `root` in the order of their paths, whatever the suffix of the audio.

        Raises
        ------
        CorpusError
            There is no such folder, or a file's name has a code that the corpus does not have.
        """
        if not root.is_dir():
            raise CorpusError(f"{self.title} should be in {root}, but there is no such folder.")
        for path in sorted(path for path in root.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES):
            try:
                utterance = self.read_name(path)
            except KeyError as error:
                raise CorpusError(f"{path}: {self.title} has no code {error}.") from None
            if utterance is not None:
                yield utterance
