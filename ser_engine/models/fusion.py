"""Late fusion of audio and text: one prediction from a voice's scores and those of its words.

The words become a distribution q over our K = 8 emotions. With e, how emotional they are (`TextPrediction.emotional`,
at most 1), and s(l), emotion l's share of their margins (0 for neutral, calm and every emotion they do not name):

    q(l) = (1 - m e) / K + m e s(l)        m = `MAX_SHARE`

Words without emotion give the uniform distribution, and no words rule an emotion out. The two distributions are
combined as a product of experts (Hinton, 2002, "Training products of experts by minimizing contrastive divergence",
section 1), the words relative to the uniform distribution that they would be without content:

    fused(l)  ∝  p(l) (q(l) K)^(w c)        equal to softmax(log p + w c log(q / uniform))

where p is the voice's calibrated probability, c the recognizer's confidence in the words, 0 to 1, and w = `WEIGHT`.

The weight is chosen, not fitted: no corpus here has real voices that say emotional words, and on acted corpora the
words carry no emotion. It is the greatest round number with which words cannot overrule a confident voice. Words that
are as emotional as can be, transcribed with full confidence, multiply an emotion's odds by R^w = 5.35, where
R = (1 - m + K m) / (1 - m) = 153. Where the voice gives its own emotion `CONFIDENT` or more, odds of up to 5.6 raise
the entropy and never change the top emotion; so w could be at most 0.34.

What follows, with Σ fused = 1 and labels in any order:

- Nothing changes, to the last bit, with words that abstain, no words, no confidence, or margins for emotions that the
  voice's model does not know.
- Labels that the words do not name (calm and neutral always, and those of a foreign model) keep their ratios.
- Agreement sharpens. Where the words name one emotion and it is the voice's first, its probability rises and the
  entropy falls, for every p and w (strictly, unless the voice is certain already). Where they name several, and the
  voice's first has the largest margin, its probability does not fall; the entropy does not rise if no label that is
  less probable by the voice has a larger margin than a more probable one.
- Conflict widens. Where the words name one emotion b that is not the voice's first, b's probability rises, and the
  entropy rises for as long as b's odds afterwards are at most exp(-H), H being the entropy (in nats) of the voice's
  distribution over all labels but b. With up to eight labels and w <= `WEIGHT` that holds for every voice whose first
  emotion has at least `CONFIDENT`, which then also stays first. A less confident voice may be overruled, and the
  result may then be more certain of the words' emotion than the voice was of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ser_engine.labels import EMOTIONS
from ser_engine.types import Scores, TextPrediction

WEIGHT = 1 / 3
"""w: the weight of the words' log-probabilities relative to the voice's."""
MAX_SHARE = 0.95
"""m: the most that words determine of their distribution q; the rest stays uniform."""
CONFIDENT = 0.85
"""Probability of its first emotion from which a voice counts as confident; the page calls that "very likely"."""


def fuse(audio: Scores, text: TextPrediction | None, confidence: float, weight: float = WEIGHT) -> Scores:
    """Return the fused scores, for the labels of `audio` in their order.

    `audio` is calibrated; `text` is None without words; `confidence` is the recognizer's in the words, 0 to 1 (NaN
    counts as 0). The bound on conflict holds for a `weight` up to `WEIGHT`.
    """
    return apply_odds(audio, label_odds(text, confidence, audio.labels, weight))


def label_odds(
    text: TextPrediction | None, confidence: float, labels: Sequence[str], weight: float = WEIGHT
) -> NDArray[np.float64]:
    """Return the factor by which words multiply each label's odds, float64 [labels]; all equal for no change."""
    exponent = weight * (min(confidence, 1.0) if confidence > 0 else 0.0)
    return np.asarray(text_odds(text, labels) ** exponent, np.float64)


def apply_odds(audio: Scores, odds: NDArray[np.float64]) -> Scores:
    """Return the scores with each label's odds multiplied; the same scores where all factors are equal."""
    if bool((odds == odds[:1]).all()):
        return audio
    products = audio.probabilities.astype(np.float64) * odds
    return _normalized(audio.labels, products) if products.sum() > 0 else audio


def is_informative(text: TextPrediction | None, labels: Sequence[str]) -> bool:
    """Whether the words favor one of these labels over another."""
    odds = text_odds(text, labels)
    return bool((odds != odds[:1]).any())


def text_scores(text: TextPrediction, labels: Sequence[str]) -> Scores:
    """Return q over these labels alone, as scores: the prediction from the words without the voice."""
    return _normalized(tuple(labels), text_odds(text, labels))


def text_odds(text: TextPrediction | None, labels: Sequence[str]) -> NDArray[np.float64]:
    """Return q / uniform for each label, float64 [labels], above 0; all ones where the words abstain."""
    if text is None or not text.emotional > 0:
        return np.ones(len(labels))
    share = MAX_SHARE * min(text.emotional, 1.0)
    shares = text.shares()
    return np.array([1 - share + len(EMOTIONS) * share * shares.get(label, 0.0) for label in labels])


def _normalized(labels: tuple[str, ...], values: NDArray[np.float64]) -> Scores:
    return Scores(labels, (values / values.sum()).astype(np.float32))
