"""A recording of several speakers as lanes, each the speech of one of them, and their answers as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ser_engine.types import (
    Analysis,
    CleanSpeech,
    Prediction,
    Span,
    Speaker,
    Transcript,
    TranscriptSegment,
)


@dataclass(frozen=True)
class Lane:
    """The speech of one speaker; `channel` is as of `Speaker`, and `name` is empty where there is only one speaker."""

    speech: CleanSpeech
    name: str = ""
    channel: int | None = None


def merge_answers(
    speech: CleanSpeech, lanes: Sequence[Lane], answers: Sequence[Analysis], overlaps: tuple[Span, ...] = ()
) -> Analysis:
    """Return the answer to a recording from the answers for each of its lanes, weighted by their speech.

    `speech` is that of all speakers together, of which `overlaps` are in no lane.
    """
    # Not the samples: those of a long recording are not kept.
    lengths = [sum(span.duration_s for span in lane.speech.segments) for lane in lanes]
    prediction = Prediction.mean([Prediction(each.scores, each.modalities) for each in answers], lengths)
    speakers = tuple(
        Speaker(lane.name, lane.channel, length / sum(lengths), answer)
        for lane, length, answer in zip(lanes, lengths, answers, strict=True)
    )
    windows = [replace(window, speaker=each.name) for each in speakers for window in each.answer.timeline]
    return replace(
        answers[0],
        transcript=merge_transcripts(speakers),
        timeline=tuple(sorted(windows, key=lambda window: window.start)),
        quality=speech.quality,
        speech=speech,
        speakers=speakers,
        overlaps=overlaps,
        **vars(prediction),
    )


def merge_transcripts(speakers: Sequence[Speaker]) -> Transcript | None:
    """Return the sentences of all speakers in the order of time, each with its speaker; None without transcription."""
    known = [(each.name, each.answer.transcript) for each in speakers if each.answer.transcript is not None]
    if not known:
        return None
    return join_transcripts(
        [replace(own, segments=tuple(replace(each, speaker=name) for each in own.segments)) for name, own in known]
    )


def join_transcripts(parts: Sequence[Transcript]) -> Transcript:
    """Return the sentences of several transcripts in the order of time; the language is that of most text."""
    segments = sorted((segment for part in parts for segment in part.segments), key=lambda segment: segment.start)
    longest = max(parts, key=lambda part: len(part.text))
    confidence = np.average([part.confidence for part in parts], weights=[len(part.text) + 1 for part in parts])
    return replace(longest, text=join_text(segments), segments=tuple(segments), confidence=float(confidence))


def select_speaker(transcript: Transcript, name: str) -> Transcript:
    """Return the sentences of one speaker as a transcript of its own."""
    segments = [replace(segment, speaker="") for segment in transcript.segments if segment.speaker == name]
    return replace(transcript, text=join_text(segments), segments=tuple(segments))


def join_text(segments: Sequence[TranscriptSegment]) -> str:
    """Return the text of sentences in their order."""
    return " ".join(segment.text for segment in segments if segment.text)
