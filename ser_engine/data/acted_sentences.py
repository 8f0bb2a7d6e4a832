"""The sentences of acted corpora, which were chosen because they do not reveal the emotion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ser_engine.data.corpora import cremad, emodb, ravdess, registry, tess

# EMO-DB's ten in English, in the order of the corpus's codes; our translation.
EMODB_ENGLISH: Mapping[str, str] = {
    "a01": "The cloth is lying on the fridge.",
    "a02": "She will hand it in on Wednesday.",
    "a04": "Tonight I could tell him.",
    "a05": "The black sheet of paper is up there beside the piece of timber.",
    "a07": "In seven hours it will be time.",
    "b01": "What are the bags standing there under the table?",
    "b02": "They just carried it upstairs and now they are going down again.",
    "b03": "At the weekends I have always gone home now and seen Agnes.",
    "b09": "I just want to take this away and then go for a drink with Karl.",
    "b10": "It will be in the place where we always put it.",
}
# TESS has one sentence with 200 words; these stand for them if the corpus is not in the data folder.
TESS_WORDS = ("back", "dog", "door", "half", "learn", "merge", "nice", "road", "team", "youth")


def acted_sentences(data: Path) -> dict[str, tuple[str, ...]]:
    """Return the sentences of RAVDESS, CREMA-D, TESS and, in English, EMO-DB, by corpus.

    TESS's are read from the corpus in `data`; without it there are a few of them.
    """
    tess_sentences = tuple(tess.CARRIER.format(word) for word in TESS_WORDS)
    if registry.is_available(tess.CORPUS.id, data):
        read = {str(utterance.words) for utterance in registry.read_corpus(tess.CORPUS.id, data)}
        tess_sentences = tuple(sorted(read)) or tess_sentences
    return {
        ravdess.CORPUS.id: tuple(ravdess.SENTENCES.values()),
        cremad.CORPUS.id: tuple(cremad.SENTENCES.values()),
        tess.CORPUS.id: tess_sentences,
        emodb.CORPUS.id: tuple(EMODB_ENGLISH.values()),
    }
