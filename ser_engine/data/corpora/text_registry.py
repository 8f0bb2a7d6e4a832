"""All corpora of sentences.

A new one is a module of this package that defines CORPUS, and its entry in `TEXT_CORPORA`.
"""

from __future__ import annotations

from pathlib import Path

from ser_engine.data.corpora import dailydialog, goemotions, isear, xed
from ser_engine.data.corpora.sentences import TEXT, TextCorpus
from ser_engine.errors import CorpusError

TEXT_CORPORA: dict[str, TextCorpus] = {
    corpus.id: corpus for corpus in (goemotions.CORPUS, xed.CORPUS, dailydialog.CORPUS, isear.CORPUS)
}


def get_text_corpus(name: str) -> TextCorpus:
    """Return the corpus with an id, or the path of a folder of that name; GoEmotions may be in a folder "text"."""
    key = Path(name).name.lower()
    key = goemotions.ID if key == TEXT else key
    if key not in TEXT_CORPORA:
        raise CorpusError(f"There is no corpus of sentences “{name}”; there are {', '.join(TEXT_CORPORA)}.")
    return TEXT_CORPORA[key]
