"""A model of emotion in words, whatever computes its network: thresholds, margins, and long texts in pieces.

A text may hold several emotions at once, or none, so each label has a sigmoid of its own. Two thresholds go with each
emotion: from the lower one on it counts as present, as the sentences of GoEmotions are measured; only above the higher
one does it have a margin, which influences a voice's scores. The higher one is set so that hardly any sentence labeled
neutral has a margin: most speech carries its emotion in the voice alone, and its words must not count as neutral.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.labels import EMOTIONS, NEUTRAL
from ser_engine.types import TextPrediction

ARCHITECTURE = "text-emotion"
MAX_TOKENS = 128
"""Tokens of one piece, special ones among them; a longer text is encoded in pieces."""
MAX_PIECES = 64
"""Of a text with more pieces, this many are encoded, evenly over it: some twenty minutes of speech."""
BATCH = 32
"""Pieces that are encoded at once."""
SENTENCE_END = re.compile(r"(?<=[.!?…])\s+|\n+")
# Entries of config.json that `save` writes itself; the others are the card.
WRITTEN = ("id", "architecture", "labels", "languages", "thresholds", "margin_thresholds", "encoder", "weights")


class TextModel(ABC):
    """Network, tokenizer and thresholds; safe to call from several threads. It needs text alone, so it is no `Model`.

    Parameters
    ----------
    id : name of the model
    labels : emotions, neutral among them, in the order of the logits
    thresholds : float32 [labels]; probability from which a label counts as present
    margin_thresholds : float32 [labels]; probability above which an emotion has a margin; neutral's is not used
    languages : codes of the languages that it was trained on
    card : further entries of config.json
    tokens : most tokens of a piece
    """

    def __init__(
        self,
        id: str,
        labels: tuple[str, ...],
        thresholds: NDArray[np.float32],
        margin_thresholds: NDArray[np.float32],
        languages: tuple[str, ...] = ("en",),
        card: dict[str, Any] | None = None,
        tokens: int = MAX_TOKENS,
    ) -> None:
        self.id, self.labels, self.languages = id, labels, languages
        self.thresholds, self.margin_thresholds = thresholds, margin_thresholds
        self.card = card or {}
        self.tokens = tokens

    @abstractmethod
    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, without special tokens."""

    @abstractmethod
    def batch_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 [n, labels] of texts that are encoded together."""

    def predict(self, texts: Sequence[str | None]) -> list[TextPrediction]:
        """Return the prediction for each text, the same alone and in any batch; None and empty texts abstain.

        A text of more than `MAX_TOKENS` is encoded in pieces that end with its sentences; probabilities and margins
        are means over them, weighted by their tokens.
        """
        pieces_by_text = [self.pieces(text or "") for text in texts]
        probabilities = self.probabilities([piece for pieces in pieces_by_text for piece, _ in pieces])
        margins = self.margins(probabilities)
        predictions, first = [], 0
        for pieces in pieces_by_text:
            rows = slice(first, first + len(pieces))
            first += len(pieces)
            if not pieces:
                zeros = np.zeros(len(self.labels), np.float32)
                predictions.append(TextPrediction(self.labels, zeros, zeros))
                continue
            weights = np.array([length for _, length in pieces], np.float64)
            means = [np.average(values[rows], axis=0, weights=weights) for values in (probabilities, margins)]
            predictions.append(TextPrediction(self.labels, *(values.astype(np.float32) for values in means)))
        return predictions

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 [n, labels] of texts, each cut after `MAX_TOKENS`; zeros for an empty one."""
        probabilities = np.zeros((len(texts), len(self.labels)), np.float32)
        rows = [row for row, text in enumerate(texts) if text.strip()]
        probabilities[rows] = 1 / (1 + np.exp(-self.logits([texts[row] for row in rows])))
        return probabilities

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 [n, labels], the log-odds of texts, each cut after `MAX_TOKENS`."""
        logits = np.zeros((len(texts), len(self.labels)), np.float32)
        rows = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        for first in range(0, len(rows), BATCH):
            batch = rows[first : first + BATCH]
            logits[batch] = self.batch_logits([texts[row] for row in batch])
        return logits

    def margins(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how far each emotion is above its threshold and above neutral, relative to the distance to 1.

        Float32 [n, labels] of probabilities [n, labels]; exactly 0 for neutral and below the threshold. A margin rises
        from 0 without a jump, so that a word more or less never changes an answer abruptly.
        """
        neutral = self.labels.index(NEUTRAL)
        floor = np.maximum(self.margin_thresholds, probabilities[:, [neutral]])
        margins = np.clip((probabilities - floor) / np.maximum(1 - floor, 1e-6), 0, 1)
        margins[:, neutral] = 0
        return np.asarray(margins, np.float32)

    def pieces(self, text: str) -> list[tuple[str, int]]:
        """Return the pieces of a text that are encoded one by one, each with its number of tokens."""
        room = self.tokens - 2  # without the special tokens at beginning and end
        if not text.strip():
            return []
        if len(text) <= room:  # a token has at least one character
            return [(text, 1)]
        waiting = [sentence for sentence in SENTENCE_END.split(text) if sentence.strip()][::-1]
        lengths = self.lengths(waiting)
        found: list[tuple[str, int]] = []
        while waiting:
            sentence, length = waiting.pop(), lengths.pop()
            words = sentence.split()
            if length > room and len(words) > 1:
                halves = [" ".join(words[len(words) // 2 :]), " ".join(words[: len(words) // 2])]
                waiting += halves
                lengths += self.lengths(halves)
            elif found and found[-1][1] + length <= room:
                found[-1] = (f"{found[-1][0]} {sentence}", found[-1][1] + length)
            else:
                found.append((sentence, min(max(1, length), room)))
        return found[:: -(-len(found) // MAX_PIECES)]


def read_thresholds(config: Mapping[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return both thresholds of a model's config.json; raise ValueError if they or the labels cannot be used."""
    labels = config["labels"]
    present, margin = (np.array(config[name], np.float32) for name in ("thresholds", "margin_thresholds"))
    inside = all(row.shape == (len(labels),) and ((row > 0) & (row < 1)).all() for row in (present, margin))
    known = NEUTRAL in labels and set(labels) <= set(EMOTIONS) and len(set(labels)) == len(labels)
    if not (inside and known and isinstance(config["id"], str)):
        raise ValueError("labels or thresholds cannot be used")
    return present, margin
