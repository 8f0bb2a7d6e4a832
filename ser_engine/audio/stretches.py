"""Cut a long recording in its pauses into stretches, each of which is analyzed like a short recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ser_engine.audio.clean import PAD_S, resample
from ser_engine.audio.decode import mix_channels
from ser_engine.audio.quality import find_quietest
from ser_engine.audio.sound import Sound
from ser_engine.audio.vad import detect_speech
from ser_engine.types import SAMPLE_RATE, Recording, Span

# A stretch ends in the longest pause of the last third of what it may be at most.
LAST_PART = 1 / 3


@dataclass(frozen=True)
class Stretch:
    """A part of a recording, from `first` to `last` (exclusive) of its samples, and the speech in it.

    `start_s` is when it begins in the recording; the times of `speech` count from there.
    """

    first: int
    last: int
    start_s: float
    speech: tuple[Span, ...]


def cut_stretches(
    sound: Sound, seconds: float, visit: Callable[[NDArray[np.float32], Stretch], object] | None = None
) -> list[Stretch]:
    """Return the stretches of a recording, of at most `seconds` each, in order and without gaps.

    `visit` is called with the samples of each stretch, float32 [n] at 16 kHz, and the stretch itself.
    """
    stretches: list[Stretch] = []
    most = round(seconds * sound.rate)
    rest, first = np.empty(0, np.float32), 0  # the samples that follow the last stretch, and their number
    pieces = sound.pieces(seconds * LAST_PART)
    ended = False
    while not ended or len(rest):
        while len(rest) < most and not ended:
            piece = next(pieces, None)
            ended = piece is None
            rest = rest if piece is None else np.concatenate([rest, piece])
        if not len(rest):
            break
        samples = resample(rest[:most], sound.rate)
        speech = detect_speech(samples)
        length = len(rest)
        if not ended or length > most:
            cut_s = _find_cut(samples, speech)
            length = min(most, round(cut_s * sound.rate))
            speech = tuple(Span(span.start, min(span.end, cut_s)) for span in speech if span.start < cut_s)
        stretch = Stretch(first, first + length, first / sound.rate, speech)
        if visit:
            visit(samples[: round(length / sound.rate * SAMPLE_RATE)], stretch)
        stretches.append(stretch)
        rest, first = rest[length:], first + length
    return stretches


def read_stretches(sound: Sound, stretches: Sequence[Stretch], *, apart: bool = False) -> Iterator[Recording]:
    """Yield the sound of each stretch; `apart`, with all channels."""
    pieces = sound.rows(apart=apart)
    rest = next(pieces)
    for stretch in stretches:
        length, parts = stretch.last - stretch.first, [rest]
        while sum(part.shape[1] for part in parts) < length and (piece := next(pieces, None)) is not None:
            parts.append(piece)
        rest = np.concatenate(parts, axis=1)
        yield mix_channels(rest[:, :length].copy(), sound.rate, sound.source, ())
        rest = rest[:, length:].copy()


def _find_cut(samples: NDArray[np.float32], speech: tuple[Span, ...]) -> float:
    """Return the middle of the longest pause in the last part, in seconds, or of its quietest moment without one."""
    end = len(samples) / SAMPLE_RATE
    begin = end * (1 - LAST_PART)
    edges = [begin, *(edge for span in speech for edge in (span.start, span.end)), end]
    pauses = [Span(max(begin, start), stop) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    longest = max(pauses, key=lambda pause: pause.duration_s)
    if longest.duration_s >= 2 * PAD_S:
        return (longest.start + longest.end) / 2
    return find_quietest(samples) / SAMPLE_RATE
