"""Every corpus that has a reader, and where it lies under a data folder."""

from __future__ import annotations

from pathlib import Path

from ser_engine.corpora import cremad, emodb, ravdess, tess
from ser_engine.corpora.base import Corpus, Utterance
from ser_engine.errors import CorpusError

CORPORA: dict[str, Corpus] = {reader.CORPUS.id: reader.CORPUS for reader in (ravdess, cremad, tess, emodb)}


def corpus(name: str) -> Corpus:
    """Return the corpus of that id ("cremad"), however it is spelled ("CREMA-D").

    Raises
    ------
    CorpusError
        No reader has that id.
    """
    key = _plain(name)
    if key not in CORPORA:
        raise CorpusError(f"There is no reader for a corpus “{name}”; there are {', '.join(CORPORA)}.")
    return CORPORA[key]


def read(name: str, data: Path) -> list[Utterance]:
    """Return every clip of one corpus under `data`, whose folder may be spelled in any common way.

    Raises
    ------
    CorpusError
        There is no folder of that name, or a file name in it cannot be understood.
    """
    wanted = corpus(name)
    for folder in sorted(data.iterdir()) if data.is_dir() else ():
        if folder.is_dir() and _plain(folder.name) == wanted.id:
            return list(wanted.utterances(folder))
    raise CorpusError(f"{wanted.title} was looked for in {data}, but no folder there is named {wanted.id}.")


def lies_in(name: str, data: Path) -> bool:
    """Whether a corpus has a folder under `data`."""
    return data.is_dir() and any(_plain(folder.name) == corpus(name).id for folder in data.iterdir() if folder.is_dir())


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
