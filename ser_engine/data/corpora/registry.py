"""All corpora that have a reader, their folders, and manifests in place of a corpus.

A new corpus is a module of this package that defines CORPUS, and its name in `MODULES`.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from ser_engine.data.corpora.base import Corpus, Utterance, plain_name
from ser_engine.data.manifest import is_manifest, read_manifest
from ser_engine.errors import CorpusError

MODULES = (
    "ravdess", "cremad", "savee", "tess", "iemocap", "emodb", "emovo", "aesdd", "shemo", "subesco", "banglaser", "ased",
    "nemo", "urdu", "baved", "emogator", "librispeech", "speechocean",
)  # fmt: skip
CORPORA: dict[str, Corpus] = {name: import_module(f"{__package__}.{name}").CORPUS for name in MODULES}


def get_corpus(name: str) -> Corpus:
    """Return the corpus with an id ("cremad"), in any spelling ("CREMA-D")."""
    key = plain_name(name)
    if key not in CORPORA:
        raise CorpusError(f"There is no reader for a corpus “{name}”; there are {', '.join(CORPORA)}.")
    return CORPORA[key]


def corpus_id(name: str) -> str:
    """Return the id of a known corpus in any spelling, and any other name unchanged."""
    return key if (key := plain_name(name)) in CORPORA else name


def read_corpus(name: str, data: Path) -> list[Utterance]:
    """Return every clip of one corpus, or of a manifest.

    Raise CorpusError if it is not there, or something in it cannot be understood.

    Parameters
    ----------
    name : an id in any spelling, whose folder is in `data`; or the path of a manifest (.csv, .tsv, .jsonl), relative
        to the working folder or to `data`
    data : folder of corpora, whose names may have any spelling, too
    """
    if is_manifest(Path(name)):
        return list(read_manifest(_manifest(name, data)))
    corpus = get_corpus(name)
    folder = _folder(corpus, data)
    if folder is None:
        raise CorpusError(f"There is no folder named {corpus.id} for {corpus.title} in {data}.")
    return list(corpus.utterances(folder))


def is_available(name: str, data: Path) -> bool:
    """Whether a corpus has a folder in `data`, or a manifest exists."""
    if is_manifest(Path(name)):
        return _manifest(name, data).is_file()
    return _folder(get_corpus(name), data) is not None


def find_folders(data: Path) -> Iterator[tuple[Corpus, Path]]:
    """Yield every corpus that has a folder in `data`, with the folder."""
    for corpus in CORPORA.values():
        folder = _folder(corpus, data)
        if folder is not None:
            yield corpus, folder


def find_by_folder_name(folder: Path) -> Corpus | None:
    """Return the corpus that a folder is named after ("ravdess-emotional-speech-audio"), None if there is none."""
    plain = plain_name(folder.name)
    return next((corpus for corpus in CORPORA.values() if plain.startswith((*corpus.aliases, corpus.id))), None)


def _folder(corpus: Corpus, data: Path) -> Path | None:
    """Return the folder of a corpus: the one with its exact name, or the only one whose name begins with it."""
    folders = [folder for folder in sorted(data.iterdir()) if folder.is_dir()] if data.is_dir() else []
    exact = [folder for folder in folders if plain_name(folder.name) == corpus.id]
    matching = exact or [folder for folder in folders if find_by_folder_name(folder) is corpus]
    if len(matching) > 1 and not exact:
        raise CorpusError(f"{corpus.title} could be {' or '.join(map(str, matching))}; name one of them {corpus.id}.")
    return matching[0] if matching else None


def _manifest(name: str, data: Path) -> Path:
    path = Path(name).expanduser()
    return path if path.is_absolute() or path.is_file() else data / path
