"""Merge the analyses of the stretches of a long recording into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ser_engine.audio.quality import merge_qualities
from ser_engine.speakers.lanes import join_transcripts, merge_answers
from ser_engine.speakers.voice_kind import add_kinds, add_speakers_kinds
from ser_engine.types import Analysis, Prediction, Quality, Recording, Span, Speaker, TimelineWindow, shift, total_s


def merge_stretches(parts: Sequence[tuple[float, Analysis]], recording: Recording, duration_s: float) -> Analysis:
    """Return the analysis of a recording from those of its stretches, each with its start in seconds.

    `recording` is the whole one, of `duration_s`; neither it nor the parts need samples. Scores are means weighted by
    speech, each speaker's are merged by name.
    """
    answers = [answer for _, answer in parts]
    segments = tuple(span for start, answer in parts for span in shift(answer.speech.segments, start))
    quality = merge_qualities([answer.quality for answer in answers], duration_s, recording.warnings)
    speech = replace(answers[0].speech, segments=segments, quality=quality)
    whole = replace(answers[0], recording=recording, speech=speech, quality=quality)
    if any(answer.speakers for answer in answers):
        overlaps = tuple(span for start, answer in parts for span in shift(answer.overlaps, start))
        return _merge_speakers(whole, parts, recording, duration_s, overlaps)
    quality = add_kinds(quality, _common_kinds([answer.quality for answer in answers]))
    weights = [total_s(answer.speech.segments) for answer in answers]
    said = [
        replace(answer.transcript, segments=tuple(shift(answer.transcript.segments, start)))
        for start, answer in parts
        if answer.transcript is not None
    ]
    return replace(
        whole,
        quality=quality,
        speech=replace(speech, quality=quality),
        transcript=join_transcripts(said) if said else None,
        timeline=tuple(window for start, answer in parts for window in shift(_windows(answer), start)),
        **vars(Prediction.mean([Prediction(answer.scores, answer.modalities) for answer in answers], weights)),
    )


def _merge_speakers(
    whole: Analysis,
    parts: Sequence[tuple[float, Analysis]],
    recording: Recording,
    duration_s: float,
    overlaps: tuple[Span, ...],
) -> Analysis:
    """Return the analysis of a recording of several speakers, none of whom need speak in every stretch."""
    own: dict[str, list[tuple[float, Analysis]]] = {}
    channels: dict[str, int | None] = {}
    for start, answer in parts:
        for speaker in answer.speakers:
            own.setdefault(speaker.name, []).append((start, speaker.answer))
            channels[speaker.name] = speaker.channel
    speakers = [
        Speaker(name, channels[name], 0.0, merge_stretches(each, recording, duration_s)) for name, each in own.items()
    ]
    kinds = {speaker.name: speaker.answer.quality.voice_kinds for speaker in speakers}
    speech = replace(whole.speech, quality=add_speakers_kinds(whole.quality, kinds))
    return merge_answers(recording, speech, speakers, overlaps)


def _common_kinds(qualities: Sequence[Quality]) -> tuple[str, ...]:
    """Return the kinds of a voice that are named in more than half of its speech."""
    half = sum(quality.speech_s for quality in qualities) / 2
    kinds = dict.fromkeys(kind for quality in qualities for kind in quality.voice_kinds)
    return tuple(
        kind for kind in kinds if sum(quality.speech_s for quality in qualities if kind in quality.voice_kinds) > half
    )


def _windows(answer: Analysis) -> tuple[TimelineWindow, ...]:
    """Return the timeline of a stretch; one too short for a timeline is a window of its own."""
    if answer.timeline:
        return answer.timeline
    segments = answer.speech.segments
    return (TimelineWindow(segments[0].start, segments[-1].end, answer.scores, answer.sure),)
