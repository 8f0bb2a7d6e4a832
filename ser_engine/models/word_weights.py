"""How much each word of a text weighs in the emotion that is recognized in it, by leaving one word out at a time.

Occlusion, or leave-one-out: Li et al. (2016), "Understanding Neural Networks through Representation Erasure",
arXiv:1612.08220, section 3.
"""

from __future__ import annotations

import re

from ser_engine.labels import NEUTRAL
from ser_engine.models.text_model import SENTENCE_END, TextModel
from ser_engine.types import TextPrediction, WeightedWord

WORD = re.compile(r"\w+(?:['’-]\w+)*")
MOST_WORDS = 300
"""Words that are weighed in a second or so."""


def word_weights(model: TextModel, text: str, label: str) -> tuple[WeightedWord, ...]:
    """Return the weight of each word for one of the model's labels, in order; nothing for a text without words.

    Of a text of several sentences and more than `MOST_WORDS` words, the sentences in which the emotion is most probable
    are weighed.
    """
    column = model.labels.index(label)
    contexts = _contexts(model, text)
    whole = dict(zip(contexts, model.logits([text[first:last] for first, last in contexts])[:, column], strict=True))
    words: list[tuple[tuple[int, int], tuple[int, int]]] = []
    for context in sorted(contexts, key=whole.__getitem__, reverse=True):
        found = [(context, match.span()) for match in WORD.finditer(text, *context)]
        if words and len(words) + len(found) > MOST_WORDS:
            break
        words += found
    if not words:
        return ()
    without = model.logits([text[first:start] + text[end:last] for (first, last), (start, end) in words])[:, column]
    weights = [float(whole[context] - value) for (context, _), value in zip(words, without, strict=True)]
    weighted = [WeightedWord(*word, weight) for (_, word), weight in zip(words, weights, strict=True)]
    return tuple(sorted(weighted, key=lambda word: word.start))


def top_emotion(model: TextModel, prediction: TextPrediction) -> str:
    """Return the emotion whose predicted probability is highest in relation to its threshold, neutral aside."""
    ratios = prediction.probabilities / model.thresholds
    ratios[model.labels.index(NEUTRAL)] = -1
    return model.labels[int(ratios.argmax())]


def _contexts(model: TextModel, text: str) -> list[tuple[int, int]]:
    """Return the spans that are encoded at once: the whole text, or its sentences where it is too long."""
    if len(model.pieces(text)) < 2:
        return [(0, len(text))]
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    return list(zip([0, *ends], [*ends, len(text)], strict=True))
