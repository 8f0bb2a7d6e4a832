"""Speaker turns: embeddings of short parts of the speech, clustered into voices.

A recording that is read piece by piece is embedded piece by piece; the clustering needs the embeddings alone. Every
constant was chosen on conversations and on single voices in changing emotions, built from corpora as
`benchmarks.speakers` builds them, with other speakers than those that it measures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ser_engine.audio.clean import cut_spans
from ser_engine.models.speaker_onnx import BATCH, PART
from ser_engine.models.voice_embedder import load_embedder
from ser_engine.settings import Settings
from ser_engine.speakers.lanes import Lane
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Span, shift, total_s
from ser_engine.viterbi import find_path

# Shorter recordings are taken for those of one speaker, unless the number is given.
AUTO_FROM_S = 10.0
PART_S = 1.6
"""Length of the parts that are embedded, on which the encoder was trained."""
HOP_S = 0.4
# Parts of up to about this length in a segment of speech are clustered as one, since a single embedding is unreliable.
UNIT_S = 3.0
# Units that are shorter do not form clusters; voices with less speech in all count as one of the others.
SEED_S, MIN_VOICE_S = 1.0, 2.0
# Mean cosine distance up to which units are clustered (average linkage).
DISTANCE = 0.55
# Two clusters are one voice where the cosine of their means exceeds a + b ln(s), s being the seconds of the smaller:
# an emotion of some seconds may sound like another voice, but seldom does a mean over many.
SAME_A, SAME_B, SAME_MOST_S = -0.1, 0.21, 25.0
# Cost of a change of the speaker within a segment of speech, in sums of cosines.
CHANGE = 0.4
# Silence between two segments of one speaker that is part of a turn.
PAUSE_S = 0.8

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Turn(Span):
    """What one speaker says without a long pause; speakers are numbered from 0 in the order of their first turns."""

    speaker: int


@dataclass(frozen=True)
class Embeddings:
    """Embeddings float32 [n, width] of unit length of `parts` of segments of speech, `counts` of each, all in order."""

    segments: tuple[Span, ...]
    counts: tuple[int, ...]
    parts: tuple[Span, ...]
    vectors: Vectors

    @classmethod
    def join(cls, pieces: Sequence[Embeddings]) -> Embeddings:
        """Return the embeddings of consecutive pieces of a recording as one."""
        segments = tuple(span for piece in pieces for span in piece.segments)
        counts = tuple(count for piece in pieces for count in piece.counts)
        parts = tuple(span for piece in pieces for span in piece.parts)
        return cls(segments, counts, parts, np.concatenate([piece.vectors for piece in pieces]))


@dataclass(frozen=True)
class _Unit(Span):
    """Neighboring parts of one segment, which are clustered together; `vector` is their mean."""

    vector: Vectors


def separate(speech: CleanSpeech, settings: Settings, turns: Sequence[Turn] | None = None) -> tuple[Lane, ...]:
    """Return the speech of each speaker of one channel, as `settings.speakers` says; none for a single speaker.

    `turns` are those of a stretch of a longer recording, where they are known; then there may be one lane. Raise
    WeightsUnavailable if the encoder is missing.
    """
    if speech.recording is None or (turns is None and not may_be_several(settings, speech.quality.duration_s)):
        return ()
    known = turns is not None
    if turns is None:
        turns = find_turns(embed(speech.recording, speech.segments, settings), given_number(settings))
    lanes = []
    for number in sorted({turn.speaker for turn in turns}):
        segments = intersect(speech.segments, [turn for turn in turns if turn.speaker == number])
        seconds = total_s(segments)
        if seconds < settings.min_speech_s:
            continue
        quality = replace(speech.quality, speech_s=seconds, warnings=())
        samples = cut_spans(speech.recording, segments)
        own = replace(speech, samples=samples, segments=segments, quality=quality)
        lanes.append(Lane(own, f"Speaker {number + 1}"))
    return tuple(lanes) if known or len(lanes) > 1 else ()


def given_number(settings: Settings) -> int | None:
    """Return the number of speakers, where the settings give it."""
    return int(settings.speakers) if settings.speakers.isdecimal() else None


def may_be_several(settings: Settings, seconds: float) -> bool:
    """Whether a recording of so many seconds is searched for several speakers."""
    given = given_number(settings)
    return settings.speakers != "off" and given != 1 and (given is not None or seconds >= AUTO_FROM_S)


def intersect(spans: Sequence[Span], others: Sequence[Span]) -> tuple[Span, ...]:
    """Return the parts of spans that lie in others; both are in order and without overlap."""
    parts, first, second = [], 0, 0
    while first < len(spans) and second < len(others):
        one, other = spans[first], others[second]
        start, end = max(one.start, other.start), min(one.end, other.end)
        if start < end:
            parts.append(Span(start, end))
        first, second = (first + 1, second) if one.end < other.end else (first, second + 1)
    return tuple(parts)


def embed(samples: NDArray[np.float32], speech: Sequence[Span], settings: Settings, offset: float = 0.0) -> Embeddings:
    """Embed parts of the speech in float32 [n] at 16 kHz, at the level of `quality.normalize_level`.

    `speech` are spans of the samples in seconds. `offset` is added to the times that are returned: where the samples
    are a piece of a recording, the time at which it begins. Raise WeightsUnavailable if the encoder is missing.
    """
    encoder = load_embedder(settings)
    divided = [cut_parts(span) for span in speech]
    parts = [part for own in divided for part in own]
    vectors = [np.zeros((0, encoder.width), np.float32)]
    for first in range(0, len(parts), BATCH):
        batch = np.stack([fill_part(samples, part) for part in parts[first : first + BATCH]])
        vectors.append(normalize(encoder.project(batch)))
    counts = tuple(map(len, divided))
    return Embeddings(tuple(shift(speech, offset)), counts, tuple(shift(parts, offset)), np.concatenate(vectors))


def cut_parts(span: Span) -> list[Span]:
    """Return the parts of a segment of speech that are embedded: `PART_S` each, or all of a shorter segment."""
    starts = np.arange(span.start, span.end - PART_S + 1e-9, HOP_S) if span.duration_s > PART_S else [span.start]
    parts = [Span(float(start), min(float(start) + PART_S, span.end)) for start in starts]
    if span.end - parts[-1].end > HOP_S / 4:
        parts.append(Span(span.end - PART_S, span.end))
    return parts


def fill_part(samples: NDArray[np.float32], part: Span) -> NDArray[np.float32]:
    """Return a part of the samples, repeated where it is shorter than the encoder's."""
    piece = samples[round(part.start * SAMPLE_RATE) : round(part.end * SAMPLE_RATE)]
    return np.resize(piece, PART)


def find_turns(embeddings: Embeddings, speakers: int | None = None) -> tuple[Turn, ...]:
    """Return who speaks when, in order and without overlap; silence that is longer than `PAUSE_S` is in no turn.

    The number of speakers is found, or given. Fewer are returned where there is too little speech for so many.
    """
    if not embeddings.parts:
        return ()
    pairs = list(zip(embeddings.segments, _rows(embeddings), strict=True))
    units = [unit for span, own in pairs for unit in _units(span, own, embeddings)]
    vectors = normalize(np.stack([unit.vector for unit in units]))
    seconds = np.array([unit.duration_s for unit in units])
    means = _means(vectors, seconds, cluster(vectors, seconds, speakers))
    turns: list[Turn] = []
    for span, own in pairs:
        for turn in _divide(span, own, embeddings, means):
            last = turns[-1] if turns else None
            if last and last.speaker == turn.speaker and turn.start - last.end <= PAUSE_S:
                turns[-1] = replace(last, end=turn.end)
            else:
                turns.append(turn)
    numbers = {speaker: number for number, speaker in enumerate(dict.fromkeys(turn.speaker for turn in turns))}
    return tuple(replace(turn, speaker=numbers[turn.speaker]) for turn in turns)


def cluster(vectors: Vectors, seconds: NDArray[np.float64], speakers: int | None = None) -> NDArray[np.intp]:
    """Return the cluster of each of the embeddings [n, width] of unit length, each of so many seconds: int [n]."""
    seeds = seconds >= SEED_S if (seconds >= SEED_S).any() else np.ones(len(seconds), bool)
    own, lengths = vectors[seeds], seconds[seeds]
    labels = _link(own, lengths, speakers)
    while (count := labels.max() + 1) > (speakers or 1):
        means = _means(own, lengths, labels)
        totals = np.bincount(labels, lengths)
        smaller = np.minimum(np.minimum.outer(totals, totals), SAME_MOST_S)
        excess = means @ means.T - (SAME_A + SAME_B * np.log(smaller))
        excess[np.tril_indices(count)] = -np.inf
        first, second = np.unravel_index(excess.argmax(), excess.shape)
        if speakers is None and excess[first, second] < 0:
            break
        labels = _number(np.where(labels == second, first, labels))
    return np.asarray((vectors @ _means(own, lengths, labels).T).argmax(axis=1))


def _link(vectors: Vectors, seconds: NDArray[np.float64], speakers: int | None) -> NDArray[np.intp]:
    """Cluster by average linkage, into at least `speakers` clusters if possible; small ones join others."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist

    if len(vectors) == 1:
        return np.zeros(1, np.intp)
    tree = linkage(pdist(vectors, "cosine"), "average")
    labels = _absorb(vectors, seconds, fcluster(tree, DISTANCE, "distance"))
    for count in range(speakers or 0, len(vectors) + 1):
        if labels.max() + 1 >= (speakers or 1):
            break
        labels = _absorb(vectors, seconds, fcluster(tree, count, "maxclust"))
    return labels


def _absorb(vectors: Vectors, seconds: NDArray[np.float64], labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Dissolve clusters of less than `MIN_VOICE_S`, the smallest first, and move everything to the nearest mean."""
    labels = _number(labels)
    while len(totals := np.bincount(labels, seconds)) > 1 and totals.min() < MIN_VOICE_S:
        nearness = vectors @ _means(vectors, seconds, labels).T
        nearness[:, totals.argmin()] = -np.inf
        labels = _number(np.where(labels == totals.argmin(), nearness.argmax(axis=1), labels))
    for _ in range(3):
        labels = _number((vectors @ _means(vectors, seconds, labels).T).argmax(axis=1))
    return labels


def _number(labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the labels numbered from 0 without gaps."""
    return np.asarray(np.unique(labels, return_inverse=True)[1])


def _means(vectors: Vectors, seconds: NDArray[np.float64], labels: NDArray[np.intp]) -> Vectors:
    """Return the mean of each label's vectors, weighted by seconds, at unit length."""
    present = np.unique(labels)
    return normalize(np.stack([seconds[labels == label] @ vectors[labels == label] for label in present]))


def normalize(vectors: NDArray[np.floating]) -> Vectors:
    """Return vectors [n, width] at unit length."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32)


def _rows(embeddings: Embeddings) -> Iterator[slice]:
    """Yield the rows of the parts of each segment."""
    first = 0
    for count in embeddings.counts:
        yield slice(first, first + count)
        first += count


def _units(span: Span, rows: slice, embeddings: Embeddings) -> Iterator[_Unit]:
    """Divide a segment of speech into units of about `UNIT_S`."""
    edges = np.linspace(span.start, span.end, max(1, round(span.duration_s / UNIT_S)) + 1)
    centers = [_center(part) for part in embeddings.parts[rows]]
    places = np.clip(np.searchsorted(edges, centers, "right") - 1, 0, len(edges) - 2)
    for place, (start, end) in enumerate(pairwise(edges)):
        if (places == place).any():
            yield _Unit(float(start), float(end), embeddings.vectors[rows][places == place].mean(axis=0))


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
