"""The windows of speech that Whisper decodes at once."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_engine.audio.quality import find_quietest
from ser_engine.transcription.language import Detection
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Span

# Scripts that Whisper encodes as bytes, such as Bengali, need this many tokens; without the limit, a hallucinated
# repetition in a short recording would continue up to Whisper's own.
TOKENS_PER_S, MOST_TOKENS = 40, 224


@dataclass(frozen=True, eq=False)
class Window:
    """Samples float32 [n] at 16 kHz that are decoded at once.

    Attributes
    ----------
    speech, start : number of the speech, and the first sample in it
    stretches : (first, last) sample of each stretch of detected speech in the window
    detected : its language, once that is known
    root : `start` of the window of which it is the rest; that of most is None
    states : of the recognizer, where the window may be decoded again
    """

    speech: int
    start: int
    samples: NDArray[np.float32]
    stretches: tuple[tuple[int, int], ...] = ()
    detected: Detection | None = None
    root: int | None = None
    states: Any = None

    @property
    def tokens(self) -> int:
        """Most tokens that the text may have."""
        return min(MOST_TOKENS, TOKENS_PER_S * (1 + math.ceil(len(self.samples) / SAMPLE_RATE)))

    @property
    def language(self) -> str:
        """Its language; to be read once that is known."""
        assert self.detected is not None
        return self.detected.language

    @property
    def doubtful(self) -> bool:
        """Whether its language is no more than a guess."""
        return self.detected is not None and self.detected.doubtful

    @property
    def key(self) -> tuple[int, int]:
        """What identifies the window, together with the rest of it."""
        return self.speech, self.start if self.root is None else self.root

    def part(self, first: int, last: int, detected: Detection | None) -> Window:
        """Return the samples `first` to `last` (exclusive) as a window of its own."""
        inside = [(max(a, first) - first, min(b, last) - first) for a, b in self.stretches if a < last and b > first]
        return Window(self.speech, self.start + first, self.samples[first:last], tuple(inside), detected)

    def rest(self, first: int) -> Window:
        """Return the samples from `first` on; where the language is doubtful, they count as part of this window."""
        last, detected = len(self.samples), self.detected
        if detected is None or not (detected.doubtful or detected.chosen):
            return self.part(first, last, None)
        return replace(self.part(first, last, detected), root=self.key[1])


def cut_windows(
    number: int, speech: CleanSpeech, found: Sequence[Span], limit: int, chosen: Detection | None
) -> Iterator[Window]:
    """Yield the windows of at most `limit` samples of a speech, in which the spans `found` were detected.

    `chosen` is the language, where a person chose it.
    """
    for start, samples in split_speech(speech, limit):
        yield Window(number, start, samples, _find_stretches(speech, found, start, len(samples)), chosen)


def split_speech(speech: CleanSpeech, limit: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (first sample, samples) of pieces of at most `limit` samples, split between segments of speech.

    A segment that is too long by itself is split at the quietest tenth of a second within its last third.
    """
    samples = speech.samples
    joints = np.cumsum([round(span.duration_s * SAMPLE_RATE) for span in speech.segments])
    start = 0
    while len(samples) - start > limit:
        inside = joints[(joints > start + limit // 2) & (joints <= start + limit)]
        cut = int(inside[-1]) if len(inside) else start + find_quietest(samples[start : start + limit])
        yield start, samples[start:cut]
        start = cut
    yield start, samples[start:]


def _find_stretches(speech: CleanSpeech, found: Sequence[Span], start: int, length: int) -> tuple[tuple[int, int], ...]:
    """Return the (first, last) sample, within `length` samples from `start` on, of each stretch of speech `found`."""
    spans = speech.spans_between(start, start + length)
    if not spans:
        return ()
    first = bisect_right(found, spans[0].start, key=lambda span: span.end)
    last = bisect_left(found, spans[-1].end, key=lambda span: span.start)

    def place(time: float) -> int:
        return round(sum(min(max(time, span.start), span.end) - span.start for span in spans) * SAMPLE_RATE)

    return tuple((place(span.start), place(span.end)) for span in found[first:last])
