"""Whisper's decoding in numpy: openai-whisper's rules, greedy search and beam search (Radford et al., 2023, 4.5).

`whisper.decoding` is the reference: tests hold the tokens and probabilities of both against each other.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from whisper.tokenizer import Tokenizer

Array = NDArray[np.float32]
MAX_INITIAL_S = 1.0
"""Latest beginning of the first segment, in seconds of a window of 30 s."""

# fmt: off
NON_SPEECH = (
    1, 2, 7, 8, 9, 10, 14, 25, 26, 27, 28, 29, 31, 58, 59, 60, 61, 62, 63, 90, 91, 92, 93, 359, 503, 522, 542, 873, 893,
    902, 918, 922, 931, 1350, 1853, 1982, 2460, 2627, 3246, 3253, 3268, 3536, 3846, 3961, 4183, 4667, 6585, 6647, 7273,
    9061, 9383, 10428, 10929, 11938, 12033, 12331, 12562, 13793, 14157, 14635, 15265, 15618, 16553, 16604, 18362, 18956,
    20075, 21675, 22520, 26130, 26161, 26435, 28279, 29464, 31650, 32302, 32470, 36865, 42863, 47425, 49870, 50254,
)
# fmt: on
"""Tokens of symbols that nobody speaks: the multilingual tokenizer's `non_speech_tokens`, which take it a while."""


@dataclass(frozen=True)
class Decoded:
    """The text of one window, by the names of whisper's DecodingResult; `audio_features` are its encoder's states."""

    audio_features: Any
    language: str
    tokens: list[int]
    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float


class Inference(Protocol):
    """A decoder with its cache of all tokens so far."""

    def logits(self, tokens: NDArray[np.int64], rows: Sequence[int]) -> Array:
        """Return the logits [n, rows, vocabulary] at these positions of further tokens [n, t]."""

    def select(self, rows: Sequence[int]) -> None:
        """Go on from these of the sequences."""


class Rules:
    """What may follow a sequence of tokens.

    Parameters
    ----------
    tokenizer : for the language of the speech
    positions : of the encoder's window
    """

    def __init__(self, tokenizer: Tokenizer, positions: int) -> None:
        self.tokenizer = tokenizer
        self.prompt = list(tokenizer.sot_sequence)
        never = {
            *NON_SPEECH, tokenizer.transcribe, tokenizer.translate, tokenizer.sot, tokenizer.sot_prev,
            tokenizer.sot_lm, tokenizer.no_speech, tokenizer.no_timestamps,
        }  # fmt: skip
        self._never = np.array(sorted(never))
        self._not_first = np.array([*tokenizer.encode(" ", disallowed_special=()), tokenizer.eot])
        self._latest_first = tokenizer.timestamp_begin + round(MAX_INITIAL_S * positions / 30)

    def apply(self, logits: Array, sampled: Sequence[Sequence[int]]) -> None:
        """Set the logits [n, vocabulary] of what may not follow the sampled tokens of each row to -inf."""
        begin = self.tokenizer.timestamp_begin
        logits[:, self._never] = -np.inf
        if not sampled[0]:
            logits[:, self._not_first] = -np.inf
            logits[:, :begin] = -np.inf
            logits[:, self._latest_first + 1 :] = -np.inf
        for row, tokens in zip(logits, sampled, strict=True):
            self._pair_timestamps(row, tokens)
            peak = row.max()
            # Where a moment is more probable than any one text token, there is a moment.
            moments = float(np.exp(row[begin:] - peak).sum())
            if moments > 0 and np.log(moments) + peak > row[:begin].max():
                row[:begin] = -np.inf

    def _pair_timestamps(self, row: Array, tokens: Sequence[int]) -> None:
        """Let moments come in pairs, except before the end, and never go back."""
        begin = self.tokenizer.timestamp_begin
        last = bool(tokens) and tokens[-1] >= begin
        before = len(tokens) < 2 or tokens[-2] >= begin
        if last:
            if before:
                row[begin:] = -np.inf
            else:
                row[: self.tokenizer.eot] = -np.inf
        latest = next((token for token in reversed(tokens) if token >= begin), None)
        if latest is not None:
            row[begin : latest + (0 if last and not before else 1)] = -np.inf


def log_softmax(logits: Array) -> Array:
    """Return log-probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), np.float32)


def decode(
    inference: Inference, rules: Rules, states: Sequence[Any], language: str, limit: int, beams: int = 0
) -> list[Decoded]:
    """Decode windows of one language greedily, or a single one with `beams`; `limit` is the most tokens of a text."""
    n = max(len(states), beams)
    tokens = np.tile(np.array(rules.prompt, np.int64), (n, 1))
    logits = inference.logits(tokens, [0, len(rules.prompt) - 1])
    silence = np.exp(log_softmax(logits[:, 0]))[:, rules.tokenizer.no_speech]
    if beams:
        found = [_search_beams(inference, rules, logits[:, 1], limit, beams)]
    else:
        found = _search_greedily(inference, rules, logits[:, 1], limit)
    decoded = []
    for row, (own, total) in enumerate(found):
        text = rules.tokenizer.decode(own).strip()
        ratio = len(text.encode()) / len(zlib.compress(text.encode()))
        mean = total / (len(own) + 1)
        decoded.append(Decoded(states[row], language, own, text, mean, float(silence[row]), ratio))
    return decoded


def _search_greedily(inference: Inference, rules: Rules, logits: Array, limit: int) -> list[tuple[list[int], float]]:
    """Return the tokens of each row up to the end, and the sum of their log-probabilities."""
    end = rules.tokenizer.eot
    sampled: list[list[int]] = [[] for _ in logits]
    totals, ended = np.zeros(len(logits), np.float32), np.zeros(len(logits), bool)
    for step in range(limit):
        rules.apply(logits, sampled)
        following = logits.argmax(axis=1)
        chosen = log_softmax(logits)[np.arange(len(logits)), following]
        totals += np.where(ended, 0, chosen).astype(np.float32)
        following[ended] = end
        ended |= following == end
        for tokens, token in zip(sampled, following.tolist(), strict=True):
            tokens.append(token)
        if ended.all() or step + 1 == limit:
            break
        logits = inference.logits(following[:, None], [0])[:, 0]
    cut = [tokens[: tokens.index(end)] if end in tokens else tokens for tokens in sampled]
    return [(tokens, float(total)) for tokens, total in zip(cut, totals, strict=True)]


def _search_beams(inference: Inference, rules: Rules, logits: Array, limit: int, beams: int) -> tuple[list[int], float]:
    """Return the tokens of the best of `beams` sequences, by log-probability a token, and the sum of those."""
    end = rules.tokenizer.eot
    sequences: list[tuple[int, ...]] = [()] * beams
    totals = np.zeros(beams, np.float32)
    finished: dict[tuple[int, ...], float] = {}
    for step in range(limit):
        rules.apply(logits, sequences)
        log_probs = log_softmax(logits)
        scores: dict[tuple[int, ...], float] = {}
        sources: dict[tuple[int, ...], int] = {}
        for row, sequence in enumerate(sequences):
            best = np.argpartition(-log_probs[row], beams)[: beams + 1]
            for token in best[np.argsort(-log_probs[row][best], kind="stable")].tolist():
                scores[(*sequence, token)] = float(totals[row] + log_probs[row][token])
                sources[(*sequence, token)] = row
        going: list[tuple[int, ...]] = []
        ended: list[tuple[int, ...]] = []
        for sequence in sorted(scores, key=lambda each: scores[each], reverse=True):
            (ended if sequence[-1] == end else going).append(sequence)
            if len(going) == beams:
                break
        for sequence in ended[: beams - len(finished)]:
            finished[sequence] = scores[sequence]
        sequences = going
        totals = np.array([scores[sequence] for sequence in going], np.float32)
        if len(finished) >= beams or step + 1 == limit:
            break
        inference.select([sources[sequence] for sequence in going])
        logits = inference.logits(np.array([[sequence[-1]] for sequence in going], np.int64), [0])[:, 0]
    for row in np.argsort(totals)[::-1]:
        if len(finished) >= beams:
            break
        finished[(*sequences[row], end)] = float(totals[row])
    candidates = [(list(sequence[: sequence.index(end)]), total) for sequence, total in finished.items()]
    return candidates[int(np.argmax([total / max(1, len(own)) for own, total in candidates]))]
