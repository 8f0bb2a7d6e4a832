"""Weigh the moments of a recording by occlusion (Zeiler and Fergus, 2014, section 4.2).

The weight of a moment is how far the log-odds of the answer fall if it is removed, as if it were silence. That needs
only the predictions of a model, of whatever kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ser_engine.types import SAMPLE_RATE, Analysis, CleanSpeech, Scores, WeightedSpan

PIECE_S, MAX_PIECES = 0.5, 24
"""Length of a piece in seconds, and the most pieces of a recording; a longer one has longer pieces."""
LEAST = 1e-9


def cut_pieces(speech: CleanSpeech) -> list[tuple[int, int]]:
    """Return the first and last sample (exclusive) of each piece: two or more of equal length, which cover all speech.

    The last piece also has the few samples that are left over.
    """
    total = len(speech.samples)
    count = min(MAX_PIECES, max(2, round(total / (PIECE_S * SAMPLE_RATE))))
    edges = [row * (total // count) for row in range(count)]
    return list(zip(edges, [*edges[1:], total], strict=True))


def remove(speech: CleanSpeech, first: int, last: int) -> CleanSpeech:
    """Return the speech without the samples `first` to `last` (exclusive), as if they were silence of the recording."""
    samples = np.delete(speech.samples, slice(first, last))
    segments = (*speech.spans_between(0, first), *speech.spans_between(last, len(speech.samples)))
    return replace(speech, samples=samples, segments=segments)


def weigh(analysis: Analysis, pieces: Sequence[tuple[int, int]], without: Sequence[Scores]) -> tuple[WeightedSpan, ...]:
    """Return the weight of each piece for the top emotion; `without` has the scores without the piece.

    The weights are those of parts of the recording: a piece that removed silence divides becomes several.
    """
    label = analysis.scores.top
    odds = log_odds(analysis.scores, label)
    return tuple(
        WeightedSpan(span.start, span.end, odds - log_odds(scores, label))
        for piece, scores in zip(pieces, without, strict=True)
        for span in analysis.speech.spans_between(*piece)
    )


def log_odds(scores: Scores, label: str) -> float:
    """Return the logarithm of the probability of a label divided by that of all others."""
    values = scores.probabilities.astype(np.float64)
    chosen = np.array([name == label for name in scores.labels])
    return float(np.log(max(values[chosen].sum(), LEAST)) - np.log(max(values[~chosen].sum(), LEAST)))
