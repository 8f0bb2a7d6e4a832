"""The sentences that acted corpora are made of: they say nothing of the emotion, which is why they were chosen."""

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
# TESS has one sentence with 200 words; where the corpus does not lie in the data folder, these few stand for them.
TESS_WORDS = ("back", "dog", "door", "half", "learn", "merge", "nice", "road", "team", "youth")


def acted_sentences(data: Path) -> dict[str, tuple[str, ...]]:
    """Return what is said in RAVDESS, CREMA-D, TESS and, in English, EMO-DB: {corpus: its sentences, each once}.

    TESS's are those of the corpus in `data`, or some of them where it is not there.
    """
    said = tuple(tess.CARRIER.format(word) for word in TESS_WORDS)
    if registry.lies_in(tess.CORPUS.id, data):
        said = tuple(sorted({str(utterance.words) for utterance in registry.read(tess.CORPUS.id, data)})) or said
    return {
        ravdess.CORPUS.id: tuple(ravdess.SENTENCES.values()),
        cremad.CORPUS.id: tuple(cremad.SENTENCES.values()),
        tess.CORPUS.id: said,
        emodb.CORPUS.id: tuple(EMODB_ENGLISH.values()),
    }
