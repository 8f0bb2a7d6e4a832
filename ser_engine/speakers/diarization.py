"""Speaker turns: embeddings of short parts of the speech, clustered into voices, and where several speak at once.

A recording that is read piece by piece is embedded piece by piece; the clustering needs the embeddings alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ser_engine.models.overlap_detector import FRAME_S, load_detector
from ser_engine.models.voice_embedder import BATCH, WIDTH, load_embedder
from ser_engine.settings import Settings
from ser_engine.speakers.clustering import THRESHOLDS, Thresholds, Vectors, cluster, mean_vectors, normalize
from ser_engine.speakers.spans import intersect, unite
from ser_engine.types import SAMPLE_RATE, Span, shift
from ser_engine.viterbi import find_path

PART_S = 1.6
"""Length of the parts that are embedded."""
HOP_S = 0.6
# Parts within about this length of a segment of speech are clustered as one.
UNIT_S = 1.6
# Cost of a change of the speaker within a segment of speech, in sums of cosines.
CHANGE = 0.2
# Silence between two segments of one speaker that is part of a turn.
PAUSE_S = 0.8
# Several speak at once where their probability reaches this; shorter overlaps, and gaps in them, do not count.
OVERLAPPED, OVERLAP_S = 0.5, 0.2
# The weight of what is overlapped, relative to what is not, so that something remains of speech without a clear part.
LEAST = 1e-3


@dataclass(frozen=True)
class Turn(Span):
    """What one speaker says without a long pause; speakers are numbered from 0 in the order of their first turns.

    Where several speak at once, their turns overlap.
    """

    speaker: int


@dataclass(frozen=True)
class Embeddings:
    """Embeddings float32 [n, width] of unit length of `parts` of segments of speech, `counts` of each, all in order.

    `overlaps` are the parts of the recording in which several speak at once.
    """

    segments: tuple[Span, ...]
    counts: tuple[int, ...]
    parts: tuple[Span, ...]
    vectors: Vectors
    overlaps: tuple[Span, ...] = ()

    @classmethod
    def join(cls, pieces: Sequence[Embeddings]) -> Embeddings:
        """Return the embeddings of consecutive pieces of a recording as one."""
        segments = tuple(span for piece in pieces for span in piece.segments)
        counts = tuple(count for piece in pieces for count in piece.counts)
        parts = tuple(span for piece in pieces for span in piece.parts)
        overlaps = tuple(span for piece in pieces for span in piece.overlaps)
        return cls(segments, counts, parts, np.concatenate([piece.vectors for piece in pieces]), overlaps)


@dataclass(frozen=True)
class _Unit(Span):
    """Neighboring parts of one segment, which are clustered together.

    `vector` is their mean, and `clear_s` the seconds in which one speaks alone.
    """

    vector: Vectors
    clear_s: float


def find_overlaps(turns: Sequence[Turn]) -> tuple[Span, ...]:
    """Return where turns of different speakers overlap, in order."""
    ordered = sorted(turns, key=lambda turn: turn.start)
    overlaps = []
    for place, turn in enumerate(ordered):
        for later in ordered[place + 1 :]:
            if later.start >= turn.end:
                break
            overlaps.append(Span(later.start, min(turn.end, later.end)))
    return unite(overlaps)


def embed(samples: NDArray[np.float32], speech: Sequence[Span], settings: Settings, offset: float = 0.0) -> Embeddings:
    """Embed parts of the speech in float32 [n] at 16 kHz, at the level of `quality.normalize_level`.

    `speech` are spans of the samples in seconds. `offset` is added to the times that are returned: where the samples
    are a piece of a recording, the time at which it begins. Raise WeightsUnavailable if a model is missing.
    """
    embedder = load_embedder(settings)
    divided = [cut_parts(span) for span in speech]
    parts = [part for own in divided for part in own]
    vectors = [np.zeros((0, WIDTH), np.float32)]
    for first in range(0, len(parts), BATCH):
        batch = np.stack([fill_part(samples, part) for part in parts[first : first + BATCH]])
        vectors.append(normalize(embedder.embed(batch)))
    overlaps = intersect(speech, detect_overlaps(samples, settings))
    return Embeddings(
        tuple(shift(speech, offset)),
        tuple(map(len, divided)),
        tuple(shift(parts, offset)),
        np.concatenate(vectors),
        tuple(shift(overlaps, offset)),
    )


def detect_overlaps(samples: NDArray[np.float32], settings: Settings) -> tuple[Span, ...]:
    """Return where several speak at once in float32 [n] at 16 kHz; raise WeightsUnavailable without the detector."""
    probable = load_detector(settings).probabilities(samples) >= OVERLAPPED
    edges = np.flatnonzero(np.diff(probable, prepend=False, append=False)).reshape(-1, 2) * FRAME_S
    spans: list[Span] = []
    for start, end in edges.tolist():
        if spans and start - spans[-1].end < OVERLAP_S:
            start = spans.pop().start
        spans.append(Span(start, end))
    return tuple(span for span in spans if span.duration_s >= OVERLAP_S)


def cut_parts(span: Span) -> list[Span]:
    """Return the parts of a segment of speech that are embedded: `PART_S` each, or all of a shorter segment."""
    starts = np.arange(span.start, span.end - PART_S + 1e-9, HOP_S) if span.duration_s > PART_S else [span.start]
    parts = [Span(float(start), min(float(start) + PART_S, span.end)) for start in starts]
    if span.end - parts[-1].end > HOP_S / 4:
        parts.append(Span(span.end - PART_S, span.end))
    return parts


def fill_part(samples: NDArray[np.float32], part: Span) -> NDArray[np.float32]:
    """Return a part of the samples, repeated where it is shorter than `PART_S`."""
    piece = samples[round(part.start * SAMPLE_RATE) : round(part.end * SAMPLE_RATE)]
    return np.resize(piece, round(PART_S * SAMPLE_RATE))


def find_turns(
    embeddings: Embeddings, speakers: int | None = None, thresholds: Thresholds = THRESHOLDS
) -> tuple[Turn, ...]:
    """Return who speaks when, in order; silence that is longer than `PAUSE_S` is in no turn.

    The number of speakers is found, or given. Fewer are returned where there is too little speech for so many. Where
    several speak at once, turns of two overlap.
    """
    if not embeddings.parts:
        return ()
    pairs = list(zip(embeddings.segments, _rows(embeddings), strict=True))
    units = [unit for span, own in pairs for unit in _units(span, own, embeddings)]
    vectors = normalize(np.stack([unit.vector for unit in units]))
    seconds = np.array([unit.clear_s for unit in units])
    means = mean_vectors(vectors, seconds, cluster(vectors, seconds, speakers, thresholds))
    turns: list[Turn] = []
    for span, own in pairs:
        for turn in _divide(span, own, embeddings, means):
            last = turns[-1] if turns else None
            if last and last.speaker == turn.speaker and turn.start - last.end <= PAUSE_S:
                turns[-1] = replace(last, end=turn.end)
            else:
                turns.append(turn)
    if len(means) > 1:
        turns = _unite([*turns, *_second_turns(turns, embeddings, means)])
    numbers = {speaker: number for number, speaker in enumerate(dict.fromkeys(turn.speaker for turn in turns))}
    return tuple(replace(turn, speaker=numbers[turn.speaker]) for turn in turns)


def _unite(turns: Sequence[Turn]) -> list[Turn]:
    """Return turns in order, where those of one speaker that touch are one."""
    speakers = {turn.speaker for turn in turns}
    united = [
        Turn(span.start, span.end, speaker)
        for speaker in speakers
        for span in unite([turn for turn in turns if turn.speaker == speaker])
    ]
    return sorted(united, key=lambda turn: (turn.start, turn.end))


def _shares(spans: Sequence[Span], overlaps: Sequence[Span]) -> NDArray[np.float64]:
    """Return the share of each span in which several speak at once, float64 [n]."""
    edges = np.array([0.0, *(edge for span in overlaps for edge in (span.start, span.end))])
    lengths = np.diff(edges, prepend=0.0)
    lengths[1::2] = 0.0  # before an overlap
    bounds = np.array([[span.start, span.end] for span in spans])
    passed = np.interp(bounds, edges, np.cumsum(lengths))
    return np.asarray((passed[:, 1] - passed[:, 0]) / np.maximum(bounds[:, 1] - bounds[:, 0], 1e-9))


def _second_turns(turns: Sequence[Turn], embeddings: Embeddings, means: Vectors) -> Iterator[Turn]:
    """Yield the turns of those who speak at the same time as another one: of the others, the most likely one."""
    centers = np.array([_center(part) for part in embeddings.parts])
    for turn in turns:
        for span in intersect(embeddings.overlaps, [turn]):
            distances = np.maximum(np.maximum(span.start - centers, centers - span.end), 0)
            rows = distances <= distances.min()
            scores = (embeddings.vectors[rows] @ means.T).mean(axis=0)
            scores[turn.speaker] = -np.inf
            yield Turn(span.start, span.end, int(scores.argmax()))


def _rows(embeddings: Embeddings) -> Iterator[slice]:
    """Yield the rows of the parts of each segment."""
    first = 0
    for count in embeddings.counts:
        yield slice(first, first + count)
        first += count


def _units(span: Span, rows: slice, embeddings: Embeddings) -> Iterator[_Unit]:
    """Divide a segment of speech into units of about `UNIT_S`, in whose vectors parts of one speaker count most."""
    edges = np.linspace(span.start, span.end, max(1, round(span.duration_s / UNIT_S)) + 1).tolist()
    parts, vectors = embeddings.parts[rows], embeddings.vectors[rows]
    weights = 1 - _shares(parts, embeddings.overlaps) + LEAST
    bounds = [Span(start, end) for start, end in pairwise(edges)]
    clear = 1 - _shares(bounds, embeddings.overlaps) + LEAST
    places = np.clip(np.searchsorted(edges, [_center(part) for part in parts], "right") - 1, 0, len(bounds) - 1)
    for place, unit in enumerate(bounds):
        own = places == place
        if own.any():
            vector = np.average(vectors[own], axis=0, weights=weights[own])
            yield _Unit(unit.start, unit.end, vector, float(clear[place]) * unit.duration_s)


def _center(span: Span) -> float:
    return (span.start + span.end) / 2


def _divide(span: Span, rows: slice, embeddings: Embeddings, means: Vectors) -> Iterator[Turn]:
    """Yield the turns of a segment of speech: the most likely sequence of speakers, where each change has its cost."""
    parts = embeddings.parts[rows]
    labels = find_path(embeddings.vectors[rows] @ means.T, CHANGE)
    changes = [n for n in range(1, len(labels)) if labels[n] != labels[n - 1]]
    times = [(_center(parts[n - 1]) + _center(parts[n])) / 2 for n in changes]
    for row, (start, end) in zip([0, *changes], pairwise([span.start, *times, span.end]), strict=True):
        yield Turn(start, end, int(labels[row]))
