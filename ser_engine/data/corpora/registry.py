"""Every corpus that has a reader, where it lies under a data folder, and manifests in a corpus's place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ser_engine.data import manifest
from ser_engine.data.corpora import aesdd, banglaser, cremad, emodb, iemocap, ravdess, savee, shemo, subesco, tess
from ser_engine.data.corpora.base import Corpus, Utterance
from ser_engine.errors import CorpusError

READERS = (ravdess, cremad, savee, tess, iemocap, emodb, aesdd, shemo, subesco, banglaser)
CORPORA: dict[str, Corpus] = {reader.CORPUS.id: reader.CORPUS for reader in READERS}
# Other names that people's folders and papers have for them.
ALIASES = {"bser": "banglaser", "berlin": "emodb", "toronto": "tess", "surrey": "savee", "sharif": "shemo"}


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
    """Return every clip of one corpus, or of a manifest.

    Parameters
    ----------
    name : an id in any common spelling, whose folder lies under `data`; or the path of a manifest (.csv, .tsv,
        .jsonl), from the working folder or from `data`
    data : folder of corpora, whose names may be spelled in any common way, too

    Raises
    ------
    CorpusError
        There is no such folder or manifest, or something in it cannot be understood.
    """
    if manifest.is_manifest(Path(name)):
        return list(manifest.read(_manifest(name, data)))
    wanted = corpus(name)
    folder = _folder(wanted, data)
    if folder is None:
        raise CorpusError(f"{wanted.title} was looked for in {data}, but no folder there is named {wanted.id}.")
    return list(wanted.utterances(folder))


def lies_in(name: str, data: Path) -> bool:
    """Whether a corpus has a folder under `data`, or a manifest is there."""
    if manifest.is_manifest(Path(name)):
        return _manifest(name, data).is_file()
    return _folder(corpus(name), data) is not None


def folders(data: Path) -> Iterator[tuple[Corpus, Path]]:
    """Yield every corpus that has a folder under `data`, with the folder."""
    for known in CORPORA.values():
        folder = _folder(known, data)
        if folder is not None:
            yield known, folder


def named(folder: Path) -> Corpus | None:
    """Return the corpus that a folder's name is about ("ravdess-emotional-speech-audio"), None where none is."""
    plain = _plain(folder.name)
    starts = ALIASES | {id: id for id in CORPORA}
    return next((CORPORA[id] for start, id in starts.items() if plain.startswith(start)), None)


def _folder(wanted: Corpus, data: Path) -> Path | None:
    """Return the folder of a corpus: the one that has its very name, or the only one whose name begins with it."""
    found = [folder for folder in sorted(data.iterdir()) if folder.is_dir()] if data.is_dir() else []
    exact = [folder for folder in found if _plain(folder.name) == wanted.id]
    about = exact or [folder for folder in found if named(folder) is wanted]
    if len(about) > 1 and not exact:
        raise CorpusError(f"{wanted.title} could be {' or '.join(map(str, about))}; name one of them {wanted.id}.")
    return about[0] if about else None


def _manifest(name: str, data: Path) -> Path:
    path = Path(name).expanduser()
    return path if path.is_absolute() or path.is_file() else data / path


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
