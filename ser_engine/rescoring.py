"""Score edited sentences of a long recording, of whose sound nothing was kept: it is read from the file again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ser_engine.audio.clean import cut_spans, reduce_noise, resample
from ser_engine.audio.quality import normalize_level
from ser_engine.audio.sound import Sound
from ser_engine.models.base import Model
from ser_engine.sentences import SENTENCE_S, widen
from ser_engine.settings import Settings
from ser_engine.speakers.lanes import merge_transcripts
from ser_engine.types import SAMPLE_RATE, Analysis, CleanSpeech, Recording, Span, Transcript, total_s


def rescore_sentences(
    model: Model, settings: Settings, sound: Sound, original: Analysis, edited: Analysis, threshold: float | None
) -> Analysis:
    """Return the edited analysis in which the sentences whose words differ from the original have scores of their own.

    The scores of the whole recording and of its timeline stay. `sound` is that of the recording.
    """
    before = [each.answer for each in original.speakers] or [original]
    after = [each.answer for each in edited.speakers] or [edited]
    used = [channel.number for channel in original.channels if channel.used]
    channels = [[each.channel] if each.channel else used for each in original.speakers] or [used]
    changed: list[tuple[int, int, tuple[Span, ...]]] = []  # numbers of the answer and the sentence, and its speech
    for number, (answer, old) in enumerate(zip(after, before, strict=True)):
        for row in _changed(old.transcript, answer.transcript):
            speech = _speech(old, row)
            if total_s(speech) >= settings.min_speech_s:
                changed.append((number, row, speech))
    changed.sort(key=lambda each: each[2][0].start)
    parts = sound.parts([Span(speech[0].start, speech[-1].end) for *_, speech in changed])
    for (number, row, speech), part in zip(changed, parts, strict=True):
        answer = after[number]
        assert answer.transcript is not None
        segments = list(answer.transcript.segments)
        words = replace(answer.transcript, text=segments[row].text, segments=(segments[row],), confidence=1.0)
        (prediction,) = model.predict([_clean(part, channels[number], speech, answer)], [words])
        scores = prediction.scores
        segments[row] = replace(segments[row], scores=scores, sure=scores.reach(threshold))
        after[number] = replace(answer, transcript=replace(answer.transcript, segments=tuple(segments)))
    if not edited.speakers:
        return after[0]
    speakers = tuple(replace(each, answer=answer) for each, answer in zip(edited.speakers, after, strict=True))
    return replace(edited, speakers=speakers, transcript=merge_transcripts(speakers))


def _changed(old: Transcript | None, new: Transcript | None) -> list[int]:
    """Return the numbers of the sentences whose words differ."""
    if old is None or new is None:
        return []
    pairs = zip(old.segments, new.segments, strict=False)  # words without any sentence before became one
    return [row for row, (one, other) in enumerate(pairs) if one.text != other.text]


def _speech(answer: Analysis, row: int) -> tuple[Span, ...]:
    """Return the speech of a sentence, and around it where it is short."""
    assert answer.transcript is not None
    wide = widen(answer.transcript.segments[row], SENTENCE_S, answer.quality.duration_s)
    spans = (Span(max(wide.start, span.start), min(wide.end, span.end)) for span in answer.speech.segments)
    return tuple(span for span in spans if span.start < span.end)


def _clean(part: Recording, channels: Sequence[int], speech: tuple[Span, ...], answer: Analysis) -> CleanSpeech:
    """Return speech as `clean_speech` makes it of a part that begins with it, from the mean of some channels or all."""
    mono: NDArray[np.float32] = part.samples
    if part.channels is not None and channels:
        mono = part.channels[[number - 1 for number in channels]].mean(axis=0)
    samples = resample(mono, part.rate)
    spans = tuple(Span(span.start - speech[0].start, span.end - speech[0].start) for span in speech)
    if answer.quality.noise_reduced:
        samples = reduce_noise(samples, spans)
    samples = normalize_level(cut_spans(samples, spans))
    quality = replace(answer.quality, duration_s=part.duration_s, speech_s=len(samples) / SAMPLE_RATE)
    return CleanSpeech(samples, spans, quality, baseline=answer.speech.baseline)
