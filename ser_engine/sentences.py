"""The sentences of a transcript as recordings of their own: their speech, and the emotions that a model finds in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ser_engine.speakers.lanes import merge_transcripts, read_turns, select_speaker
from ser_engine.transcription.alignment import replace_words
from ser_engine.types import Analysis, CleanSpeech, Scores, Span, Transcript

SENTENCE_S = 2.0
"""A shorter sentence, in seconds, is scored with the speech around it.

It is the length of the shortest clips that the models were trained on (those of TESS). A single word is too short to
show an emotion, and Whisper's times of it are off by up to `TIME_TOLERANCE_S`.
"""


def cut_sentences(
    speech: CleanSpeech, transcript: Transcript | None, short: bool, min_speech_s: float
) -> dict[int, tuple[CleanSpeech, Transcript]]:
    """Return the speech and the words of sentences by their numbers, without those that are not scored by themselves.

    These have less than `min_speech_s` of speech, or are the only sentence of a recording that is `short`, one without
    a timeline.
    """
    sentences: dict[int, tuple[CleanSpeech, Transcript]] = {}
    if transcript is None or (short and len(transcript.segments) == 1):
        return sentences
    for number, segment in enumerate(transcript.segments):
        span = widen(segment, SENTENCE_S, speech.quality.duration_s)
        part = replace(speech, samples=speech.between(span.start, span.end))
        if part.duration_s >= min_speech_s:
            words = replace(transcript, text=segment.text, segments=(segment,), confidence=segment.confidence)
            sentences[number] = (part, words)
    return sentences


def score_sentences(
    transcript: Transcript, scores: Mapping[int, Scores], rest: Scores | None, threshold: float | None
) -> Transcript:
    """Return a transcript whose sentences have `scores`, by their numbers, or `rest`; `threshold` as of the model."""
    segments = []
    for number, segment in enumerate(transcript.segments):
        own = scores.get(number, rest)
        segments.append(replace(segment, scores=own, sure=None if own is None else own.reach(threshold)))
    return replace(transcript, segments=tuple(segments))


def edit_words(analysis: Analysis, words: str) -> Analysis:
    """Return the analysis with a person's words, not scored again; each word is in the sentence that it belongs to.

    Of several speakers, lines that begin with a name ("agent: Good morning.") are that speaker's.
    """
    if analysis.transcript is not None and words == analysis.transcript.text:
        return analysis
    if not analysis.speakers:
        return replace(analysis, transcript=replace_words(analysis.transcript, words, analysis.speech.segments))
    turns = read_turns(words, [each.name for each in analysis.speakers])
    if turns is None:
        shared = replace_words(analysis.transcript, words, analysis.speech.segments)
        own = [select_speaker(shared, each.name) for each in analysis.speakers]
    else:
        answers = [each.answer for each in analysis.speakers]
        own = [
            replace_words(answer.transcript, text, answer.speech.segments)
            for answer, text in zip(answers, turns.values(), strict=True)
        ]
    speakers = tuple(
        replace(each, answer=replace(each.answer, transcript=transcript))
        for each, transcript in zip(analysis.speakers, own, strict=True)
    )
    return replace(analysis, speakers=speakers, transcript=merge_transcripts(speakers))


def widen(span: Span, seconds: float, length: float) -> Span:
    """Return a span of at least `seconds` around the middle of `span`, within a recording of `length` seconds."""
    missing = max(0.0, seconds - span.duration_s)
    start = max(0.0, min(span.start - missing / 2, length - seconds))
    return Span(start, min(length, max(span.end, start + seconds)))
