"""Two opinions into one: what a voice sounds like, and what its words say.

The words become a distribution q over our K = 8 emotions. With e, how emotional they are (`TextPrediction.emotional`,
at most 1), and s(l), the share of their votes that emotion l has (0 for neutral, calm and all that they do not name):

    q(l) = (1 - m e) / K + m e s(l)        m = `MOST`

Words that say nothing are the uniform distribution, and no words rule an emotion out. The two opinions are combined
as log-opinions (a product of experts: Hinton, 2002, "Training products of experts by minimizing contrastive
divergence", section 1), the words against the uniform distribution that they would be without content:

    both(l)  ∝  p(l) (q(l) K)^(w c)        equal to softmax(log p + w c log(q / uniform))

where p is the voice's calibrated probability, c the recognizer's confidence in the words, 0 to 1, and w = `WEIGHT`.

The weight is chosen, not fitted: there is no corpus here in which real voices say emotional words, and on acted ones
the words say nothing. It is the greatest round one by which words cannot outvote a voice that is sure. Words that are
as emotional as can be, heard with full confidence, multiply an emotion's odds by R^w = 5.35, where R = (1 - m + K m) /
(1 - m) = 153. Against a voice that gives its own emotion `SURE` or more, factors up to 5.6 widen the opinion, and never
turn it; so w could be at most 0.34.

What follows, with Σ both = 1 and labels in any order:

- Nothing changes, to the last bit: words that abstain, no words, no confidence, votes for emotions that the voice's
  model does not know.
- Labels that the words do not name (calm and neutral always, and those of a foreign model) keep their ratios.
- Agreement sharpens. Where the words name one emotion and it is the voice's first, its probability rises and the
  entropy falls, for every p and w (strictly, unless the voice is certain already). Where they name several, with the
  voice's first having most votes, its probability does not fall; the entropy does not rise if no label that is less
  probable by the voice has more votes than a more probable one.
- Conflict widens. Where the words name one emotion b that is not the voice's first, b's probability rises, and the
  entropy rises for as long as b's odds afterwards are at most exp(-H), H being the entropy (in nats) of the voice's
  opinion among all labels but b. With up to eight labels and w <= `WEIGHT` that is so for every voice whose first
  emotion has at least `SURE`, which then also stays first. A voice that is less sure may be won over, and then become
  surer of the words' emotion than it was of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ser_engine.labels import EMOTIONS
from ser_engine.types import Scores, TextPrediction

WEIGHT = 1 / 3
"""w: what the log-opinion of words counts beside the voice's."""
MOST = 0.95
"""m: the words are never taken for more than 19 parts in 20 of what could be said."""
SURE = 0.85
"""From which probability of its first emotion on a voice is sure; the page calls that "very likely"."""


def fuse(speech: Scores, opinion: TextPrediction | None, confidence: float, weight: float = WEIGHT) -> Scores:
    """Return what voice and words say together: scores of the voice's labels in their order.

    Parameters
    ----------
    speech : calibrated
    opinion : of the words; None where there are none
    confidence : how sure the recognizer is of the words, 0 to 1; what is no number counts as 0
    weight : w, 0 or more; the bound on conflict holds up to `WEIGHT`
    """
    return tilted(speech, factors(opinion, confidence, speech.labels, weight))


def factors(
    opinion: TextPrediction | None, confidence: float, labels: Sequence[str], weight: float = WEIGHT
) -> NDArray[np.float64]:
    """Return by what words multiply each label's odds, float64 [labels]; all the same where they change nothing."""
    exponent = weight * (min(confidence, 1.0) if confidence > 0 else 0.0)
    return np.asarray(tilt(opinion, labels) ** exponent, np.float64)


def tilted(speech: Scores, factors: NDArray[np.float64]) -> Scores:
    """Return a voice's scores with its labels' odds multiplied; the same ones where the factors are all alike."""
    if bool((factors == factors[:1]).all()):
        return speech
    products = speech.probabilities.astype(np.float64) * factors
    return _normalised(speech.labels, products) if products.sum() > 0 else speech


def speaks(opinion: TextPrediction | None, labels: Sequence[str]) -> bool:
    """Whether the words prefer one of these labels to another."""
    ratios = tilt(opinion, labels)
    return bool((ratios != ratios[:1]).any())


def text_scores(opinion: TextPrediction, labels: Sequence[str]) -> Scores:
    """Return q over these labels alone, as scores: what the words would say if there were no voice."""
    return _normalised(tuple(labels), tilt(opinion, labels))


def tilt(opinion: TextPrediction | None, labels: Sequence[str]) -> NDArray[np.float64]:
    """Return q / uniform for each label, float64 [labels], above 0; all ones where the words abstain."""
    if opinion is None or not opinion.emotional > 0:
        return np.ones(len(labels))
    told = MOST * min(opinion.emotional, 1.0)
    shares = opinion.shares()
    return np.array([1 - told + len(EMOTIONS) * told * shares.get(label, 0.0) for label in labels])


def _normalised(labels: tuple[str, ...], values: NDArray[np.float64]) -> Scores:
    return Scores(labels, (values / values.sum()).astype(np.float32))
