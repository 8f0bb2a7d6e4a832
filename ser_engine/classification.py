"""Score recordings, the windows of long ones, and sentences, with a model of emotions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ser_engine.explanation import remove
from ser_engine.models.base import Model
from ser_engine.sentences import cut_sentences, score_sentences
from ser_engine.settings import Settings
from ser_engine.transcription.alignment import select_words
from ser_engine.types import (
    WINDOW_S,
    Analysis,
    CleanSpeech,
    Prediction,
    Scores,
    Span,
    TimelineWindow,
    Transcript,
)

Part = tuple[Span, CleanSpeech, Transcript | None]
"""A part of a recording, its speech, and the words said in it."""
Classified = tuple[Prediction, tuple[TimelineWindow, ...], Transcript | None]
"""The answer to a recording, its timeline, and its transcript with emotions."""

# A recording longer than this gets a timeline of overlapping windows, which are as long as the utterances that the
# models were trained on. A window with less speech than the last figure is left out.
TIMELINE_FROM_S, HOP_S, WINDOW_SPEECH_S = 6.0, 1.5, 0.5
# Windows and sentences of a long recording that are scored between two reports.
SCORED_TOGETHER = 32


def classify(
    model: Model,
    settings: Settings,
    speeches: Sequence[CleanSpeech],
    transcripts: Sequence[Transcript | None],
    step: Callable[[float], object] | None = None,
) -> list[Classified]:
    """Score a short recording as one utterance, a long one as the mean of its windows weighted by their speech.

    Each window is scored with the words said in it, and each sentence of the transcript by itself. With `step`, a
    few are scored at a time, before which it is called with the share that is done.
    """
    parts = [cut_windows(*both) for both in zip(speeches, transcripts, strict=True)]
    sentences = [
        cut_sentences(speech, transcript, len(own) == 1, settings.min_speech_s)
        for speech, transcript, own in zip(speeches, transcripts, parts, strict=True)
    ]
    flat = [(part, words) for own in parts for _, part, words in own]
    flat += [each for rows in sentences for each in rows.values()]
    predictions: list[Prediction] = []
    size = SCORED_TOGETHER if step else len(flat)
    for first in range(0, len(flat), size):
        if step:
            step(first / len(flat))
        together = flat[first : first + size]
        predictions += model.predict([part for part, _ in together], [words for _, words in together])
    windows, alone = iter(predictions), iter(predictions[sum(map(len, parts)) :])
    classified: list[Classified] = []
    for own, rows, transcript in zip(parts, sentences, transcripts, strict=True):
        scored = [next(windows) for _ in own]
        timeline = tuple(
            TimelineWindow(span.start, span.end, each.scores, each.scores.reach(model.threshold))
            for (span, *_), each in zip(own, scored, strict=True)
        )
        prediction = Prediction.mean(scored, [speech.duration_s for _, speech, _ in own]) if len(own) > 1 else scored[0]
        scores = {row: next(alone).scores for row in rows}
        rest = prediction.scores if len(own) == 1 else None  # of sentences that were not scored by themselves
        said = transcript and score_sentences(transcript, scores, rest, model.threshold)
        classified.append((prediction, timeline if len(own) > 1 else (), said))
    return classified


def classify_without(model: Model, analysis: Analysis, pieces: Sequence[tuple[int, int]]) -> list[Scores]:
    """Score a recording without each piece (samples from, to); windows that it does not touch keep their scores."""
    known = {window.start: Prediction(window.scores) for window in analysis.timeline}
    whole = cut_windows(analysis.speech, None) if known else []
    lengths = {span.start: len(speech.samples) for span, speech, _ in whole}
    changed: dict[tuple[int, float], Part] = {}
    weights: list[dict[float, float]] = []
    for row, piece in enumerate(pieces):
        parts = cut_windows(remove(analysis.speech, *piece), analysis.transcript)
        weights.append({span.start: speech.duration_s for span, speech, _ in parts})
        changed |= {(row, each[0].start): each for each in parts if len(each[1].samples) != lengths.get(each[0].start)}
    predictions = model.predict([part for _, part, _ in changed.values()], [words for *_, words in changed.values()])
    fresh = dict(zip(changed, predictions, strict=True))
    return [
        Prediction.mean([fresh.get((row, start)) or known[start] for start in own], list(own.values())).scores
        for row, own in enumerate(weights)
    ]


def cut_windows(speech: CleanSpeech, transcript: Transcript | None) -> list[Part]:
    """Return the windows of a long recording that contain enough speech; the whole where there are fewer than two."""
    duration = speech.quality.duration_s
    windows: list[Part] = []
    starts = np.arange(0.0, duration - WINDOW_S + HOP_S, HOP_S) if duration > TIMELINE_FROM_S else ()
    for start in starts:
        span = Span(float(start), float(min(start + WINDOW_S, duration)))
        if sum(max(0.0, min(span.end, s.end) - max(span.start, s.start)) for s in speech.segments) >= WINDOW_SPEECH_S:
            part = replace(speech, samples=speech.between(span.start, span.end))
            windows.append((span, part, transcript and select_words(transcript, span.start, span.end)))
    return windows if len(windows) > 1 else [(Span(0.0, duration), speech, transcript)]
