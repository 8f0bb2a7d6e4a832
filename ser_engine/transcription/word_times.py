"""Times of words by dynamic time warping through the cross-attention: Whisper's own method, in numpy.

`whisper.timing.add_word_timestamps` is the reference: tests hold the words of both against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from whisper.tokenizer import Tokenizer

Array = NDArray[np.float32]
Attend = Callable[[Sequence[int], Sequence[int]], tuple[Array, Array]]
"""From tokens and positions to the logits there, and all alignment heads' scores [heads, tokens, positions]."""
SECONDS_PER_POSITION = 0.02
MEDIAN_WIDTH = 7
BEFORE_WORD, AFTER_WORD = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"
"""Punctuation that belongs to the word that follows, and to the one before."""
SENTENCE_END = ".。!！?？"
# A word is at most twice as long as the median word where a pause precedes it or a sentence ends with it.
LONGEST_MEDIAN_S = 0.7


@dataclass(frozen=True)
class _Timed:
    """A word with its tokens, its times in seconds and its probability."""

    word: str
    tokens: int
    start: float
    end: float
    probability: float


def time_words(
    attend: Attend, tokenizer: Tokenizer, pieces: Sequence[tuple[float, float, list[int]]], frames: int
) -> list[list[dict[str, Any]]]:
    """Return the words of each piece of a window: "word", "start" and "end" in seconds, "probability".

    `pieces` are (start, end, tokens); `frames` is the length of the speech in frames of the spectrogram.
    """
    texts = [[token for token in tokens if token < tokenizer.eot] for _, _, tokens in pieces]
    timed = _align(attend, tokenizer, list(chain.from_iterable(texts)), frames)
    lengths = np.array([each.end - each.start for each in timed])
    lengths = lengths[lengths.nonzero()]
    median = min(LONGEST_MEDIAN_S, float(np.median(lengths))) if len(lengths) else 0.0
    if len(lengths):
        _shorten_at_ends(timed, 2 * median)
    waiting = _join_punctuation(timed)[::-1]
    found: list[list[dict[str, Any]]] = []
    latest = 0.0
    for (start, end, _), tokens in zip(pieces, texts, strict=True):
        words: list[dict[str, Any]] = []
        taken = 0
        while waiting and taken < len(tokens):
            each = waiting.pop()
            taken += each.tokens
            if each.word:
                times = {"start": round(each.start, 2), "end": round(each.end, 2)}
                words.append({"word": each.word, **times, "probability": each.probability})
        if words:
            latest = _fit_to_piece(words, start, end, latest, median)
        found.append(words)
    return found


def _align(attend: Attend, tokenizer: Tokenizer, text: list[int], frames: int) -> list[_Timed]:
    """Return the words of a text with the times at which the attention arrives at them."""
    if not text:
        return []
    prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
    first = len(tokenizer.sot_sequence)
    logits, scores = attend([*prompt, *text, tokenizer.eot], range(first, first + len(text)))
    words, word_tokens = tokenizer.split_to_word_tokens([*text, tokenizer.eot])
    if len(word_tokens) <= 1:
        return []
    logits = logits[:, : tokenizer.eot]
    certain = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = certain[np.arange(len(text)), text] / certain.sum(axis=1)
    rows, columns = warp(-_attention(scores[:, :, : frames // 2])[first:-1])
    jumps = np.concatenate([[True], np.diff(rows) > 0])
    moments = columns[jumps] * SECONDS_PER_POSITION
    bounds = [0, *accumulate(len(tokens) for tokens in word_tokens[:-1])]
    return [
        _Timed(word, len(tokens), float(moments[a]), float(moments[b]), float(probabilities[a:b].mean()))
        for word, tokens, a, b in zip(words, word_tokens, bounds, bounds[1:], strict=False)
    ]


def _attention(scores: Array) -> Array:
    """Return the mean of the heads' attention [tokens, positions], standardized over tokens and without outliers."""
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    weights /= weights.sum(axis=2, keepdims=True)
    weights = (weights - weights.mean(axis=1, keepdims=True)) / weights.std(axis=1, keepdims=True)
    side = MEDIAN_WIDTH // 2
    if weights.shape[2] > side:
        padded = np.pad(weights, ((0, 0), (0, 0), (side, side)), mode="reflect")
        weights = np.median(np.lib.stride_tricks.sliding_window_view(padded, MEDIAN_WIDTH, axis=2), axis=3)
    return np.asarray(weights.mean(axis=0), np.float32)


def warp(costs: NDArray[np.floating[Any]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and columns of the cheapest path through costs [n, m], by dynamic time warping.

    Of steps that are equally cheap, the one along the columns is taken. One diagonal is computed at a time.
    """
    n, m = costs.shape
    total = np.full((n + 1, m + 1), np.inf, np.float32)
    total[0, 0] = 0
    step = np.full((n + 1, m + 1), 2, np.int8)
    step[:, 0], step[0, :] = 1, 2
    for diagonal in range(2, n + m + 1):
        i = np.arange(max(1, diagonal - m), min(n, diagonal - 1) + 1)
        j = diagonal - i
        both, down, right = total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]
        kind = np.where((both < down) & (both < right), 0, np.where((down < both) & (down < right), 1, 2))
        step[i, j] = kind
        total[i, j] = costs[i - 1, j - 1] + np.choose(kind, (both, down, right))
    i, j, path = n, m, []
    while i > 0 or j > 0:
        path.append((i - 1, j - 1))
        i, j = i - (step[i, j] != 2), j - (step[i, j] != 1)
    rows, columns = np.array(path[::-1], np.int64).T
    return rows, columns


def _shorten_at_ends(timed: list[_Timed], longest: float) -> None:
    """Shorten the long words at ends of sentences, in place."""
    for n in range(1, len(timed)):
        if timed[n].end - timed[n].start > longest:
            if timed[n].word in SENTENCE_END:
                timed[n] = replace(timed[n], end=timed[n].start + longest)
            elif timed[n - 1].word in SENTENCE_END:
                timed[n] = replace(timed[n], start=timed[n].end - longest)


def _join_punctuation(timed: Sequence[_Timed]) -> list[_Timed]:
    """Join opening marks with the word that follows, then closing marks with the one before."""
    joined: list[_Timed] = []
    for each in reversed(timed):
        if joined and each.word.startswith(" ") and each.word.strip() in BEFORE_WORD:
            after = joined[-1]
            joined[-1] = replace(after, word=each.word + after.word, tokens=each.tokens + after.tokens)
        else:
            joined.append(each)
    found: list[_Timed] = []
    for each in reversed(joined):
        if found and not found[-1].word.endswith(" ") and each.word in AFTER_WORD:
            found[-1] = replace(found[-1], word=found[-1].word + each.word, tokens=found[-1].tokens + each.tokens)
        else:
            found.append(each)
    return found


def _fit_to_piece(words: list[dict[str, Any]], start: float, end: float, latest: float, median: float) -> float:
    """Shorten the first words after a pause, and keep the words near their piece; return the piece's end.

    `latest` is the end of the speech before, in seconds.
    """
    longest, first, final = 2 * median, words[0], words[-1]
    second = words[1] if len(words) > 1 else None
    long = first["end"] - first["start"] > longest or (second and second["end"] - first["start"] > 2 * longest)
    if first["end"] - latest > 4 * median and long:
        if second and second["end"] - second["start"] > longest:
            first["end"] = second["start"] = max(second["end"] / 2, second["end"] - longest)
        first["start"] = max(0, first["end"] - longest)
    if first["start"] + 0.5 < start < first["end"]:
        first["start"] = max(0, min(first["end"] - median, start))
    if final["start"] < end < final["end"] - 0.5:
        final["end"] = max(final["start"] + median, end)
        return end
    return float(final["end"])
