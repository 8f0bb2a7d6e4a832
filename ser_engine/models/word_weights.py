"""How much each word of a text weighs in the emotion that is recognized in it, by leaving one word out at a time.

Occlusion, or leave-one-out: Li et al. (2016), "Understanding Neural Networks through Representation Erasure",
arXiv:1612.08220, section 3.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ser_engine.labels import NEUTRAL
from ser_engine.models.text_emotion import SENTENCE_END, TextEmotion

WORD = re.compile(r"\w+(?:['’-]\w+)*")


class WordWeight(NamedTuple):
    """The word text[start:end] and its weight: by how much the emotion's log-odds are lower without it."""

    start: int
    end: int
    weight: float


def word_weights(model: TextEmotion, text: str, language: str | None = None, label: str = "") -> list[WordWeight]:
    """Return the weight of each word, in order; nothing for a text without words or in a language the model lacks.

    Parameters
    ----------
    language : code of the text's language; None where it is not known
    label : the emotion; by default the one with the highest probability in relation to its threshold, but not neutral
    """
    words = [match.span() for match in WORD.finditer(text)]
    if not words or language not in (None, *model.languages):
        return []
    contexts = _contexts(model, text)
    around = [next((first, last) for first, last in contexts if start < last) for start, _ in words]
    whole = [text[first:last] for first, last in contexts]
    without = [text[first:start] + text[end:last] for (first, last), (start, end) in zip(around, words, strict=True)]
    column = model.labels.index(label) if label else _top_emotion(model, text)
    logits = model.logits([*whole, *without])[:, column]
    before, after = dict(zip(contexts, logits, strict=False)), logits[len(whole) :]
    return [
        WordWeight(*word, float(before[place] - value)) for word, place, value in zip(words, around, after, strict=True)
    ]


def _top_emotion(model: TextEmotion, text: str) -> int:
    """Return the index of the emotion whose probability is highest in relation to its threshold, neutral aside."""
    ratios = model.predict([text])[0].probabilities / model.thresholds
    ratios[model.labels.index(NEUTRAL)] = -1
    return int(ratios.argmax())


def _contexts(model: TextEmotion, text: str) -> list[tuple[int, int]]:
    """Return the spans that are encoded at once: the whole text, or its sentences where it is too long."""
    if len(model.pieces(text)) < 2:
        return [(0, len(text))]
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    return list(zip([0, *ends], [*ends, len(text)], strict=True))
