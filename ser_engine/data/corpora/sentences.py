"""Corpora of sentences: their labels and parts, and how their files are found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import CorpusError
from ser_engine.labels import ANGRY, DISGUST, FEARFUL, HAPPY, NEUTRAL, SAD, SURPRISED

Part = Literal["train", "dev", "test"]
PARTS: tuple[Part, ...] = get_args(Part)

LABELS = (NEUTRAL, HAPPY, SAD, ANGRY, FEARFUL, DISGUST, SURPRISED)
"""Ekman's six emotions and neutral, which all texts are labeled with, in our order: all of ours but calm."""
TEXT = "text"
"""A folder for the files of several corpora, in the data folder or next to it."""


@dataclass(frozen=True)
class Sentences:
    """Texts with the emotions in them: `labels` is bool [n, len(LABELS)], with at least one in each row.

    `corpora` has the id of the corpus of each text; it is empty where all are of one.
    """

    texts: tuple[str, ...]
    labels: NDArray[np.bool_]
    corpora: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def of(cls, rows: Sequence[tuple[str, Collection[str]]]) -> Sentences:
        """Return texts, each given with its labels."""
        marks = [[label in labels for label in LABELS] for _, labels in rows]
        return cls(tuple(text for text, _ in rows), np.array(marks, bool).reshape(len(rows), len(LABELS)))

    def subset(self, rows: Sequence[int] | NDArray[np.int_]) -> Sentences:
        """Return the texts of some rows."""
        corpora = tuple(self.corpora[row] for row in rows) if self.corpora else ()
        return Sentences(tuple(self.texts[row] for row in rows), self.labels[rows], corpora)

    def groups(self) -> dict[str, NDArray[np.int_]]:
        """Return the rows of each corpus, in the order in which the corpora begin."""
        corpora = np.array(self.corpora or ("",) * len(self))
        return {str(corpus): np.flatnonzero(corpora == corpus) for corpus in dict.fromkeys(corpora.tolist())}


@dataclass(frozen=True)
class TextCorpus:
    """A public corpus of sentences, and the facts about it.

    Attributes
    ----------
    id : the corpus's name in configurations, and its key in docs/papers.bib
    commercial : whether the license allows commercial use of what is trained on it
    hub : its name on the Hugging Face hub, for model cards; empty if it has none
    forms : names of the files that belong together; several, where it is published in several forms
    read : takes the folder and returns a part; raises CorpusError for a file that cannot be understood
    single_label : whether each text has exactly one label
    """

    id: str
    title: str
    license: str
    commercial: bool
    citation: str
    url: str
    hub: str
    forms: tuple[tuple[str, ...], ...]
    read: Callable[[Path, Part], Sentences]
    single_label: bool = False

    def files(self, folder: Path) -> tuple[Path, ...]:
        """Return the corpus's files in a folder; none if one is missing."""
        paths = (tuple(folder / name for name in form) for form in self.forms)
        return next((form for form in paths if all(path.is_file() for path in form)), ())

    def find(self, name: str, data: Path) -> Path:
        """Return the folder: `name` in `data`, the path `name`, `data` itself, or a folder `TEXT` in or next to it."""
        places = (data / name, Path(name).expanduser(), data, data / TEXT, data.parent / TEXT)
        if folder := next((place for place in places if self.files(place)), None):
            return folder
        files = " or ".join(" and ".join(form) for form in self.forms)
        raise CorpusError(f"{self.title} was looked for in {places[0]}, but {files} are not there.")


def read_lines(path: Path) -> list[str]:
    """Return the lines of a file in UTF-8.

    Only a line feed ends a line: comments contain other characters that Python would split at.
    """
    try:
        return [line.rstrip("\r") for line in path.read_bytes().decode("utf-8").split("\n")]
    except (OSError, UnicodeDecodeError):
        raise CorpusError(f"{path} cannot be read as UTF-8 text.") from None


def hashed_part(key: str) -> Part:
    """Return the part of a key by its hash, 80:10:10; keys that differ in case and spaces are the same."""
    number = int(hashlib.sha256(" ".join(key.casefold().split()).encode()).hexdigest()[:8], 16)
    return {8: "dev", 9: "test"}.get(number % 10, "train")  # type: ignore[return-value]


def split_by_hash(rows: Iterable[tuple[str, str, Collection[str]]], part: Part) -> Sentences:
    """Return the sentences of a part; a row is the key that is hashed, the text, and its labels."""
    return Sentences.of([(text, labels) for key, text, labels in rows if hashed_part(key) == part])
