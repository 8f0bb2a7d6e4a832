"""A recording of several speakers as lanes, each the speech of one of them, and their answers as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from ser_engine.audio.clean import cut_spans
from ser_engine.audio.quality import MOSTLY_SILENT, normalize_level
from ser_engine.speakers.spans import unite
from ser_engine.types import (
    SAMPLE_RATE,
    Analysis,
    CleanSpeech,
    Prediction,
    Recording,
    Span,
    Speaker,
    Transcript,
    TranscriptSegment,
    total_s,
)


@dataclass(frozen=True)
class Lane:
    """The speech of one speaker; `channel` is as of `Speaker`, and `name` is empty where there is only one speaker.

    `recording` is that channel alone; None where speakers share one. `words` is what is transcribed, where that is more
    than what is scored: with the parts in which another one begins to speak.
    """

    speech: CleanSpeech
    name: str = ""
    channel: int | None = None
    recording: Recording | None = None
    words: CleanSpeech | None = None


def merge_speech(lanes: Sequence[Lane], warnings: tuple[str, ...] = ()) -> CleanSpeech:
    """Return the speech of all lanes, whose channels have the same length, mixed at equal levels.

    Its quality is that of the worst lane, except for lengths; `warnings` come before those of the lanes.
    """
    speeches = [lane.speech for lane in lanes]
    segments = unite([span for speech in speeches for span in speech.segments])
    mixed = sum((speech.recording for speech in speeches if speech.recording is not None), np.zeros(1, np.float32))
    recording = normalize_level(np.asarray(mixed, np.float32))
    own = [lane.speech.quality for lane in lanes]
    notes = [f"{lane.name}: {note}" for lane, each in zip(lanes, own, strict=True) for note in each.warnings]
    ratios = [each.snr_db for each in own if each.snr_db is not None]
    quality = replace(
        own[0],
        speech_s=total_s(segments),
        bandwidth_hz=min(each.bandwidth_hz for each in own),
        snr_db=min(ratios, default=None),
        clipping=max(each.clipping for each in own),
        level_db=min(each.level_db for each in own),
        noise_reduced=any(each.noise_reduced for each in own),
        warnings=(*warnings, *notes),
        voice_kinds=tuple(dict.fromkeys(kind for each in own for kind in each.voice_kinds)),
    )
    return CleanSpeech(cut_spans(recording, segments), segments, quality, recording)


def drop_lane_warnings(speech: CleanSpeech) -> CleanSpeech:
    """Return the speech of one of several speakers without the warning that others speak most of the time."""
    warnings = tuple(note for note in speech.quality.warnings if not note.startswith(MOSTLY_SILENT))
    return replace(speech, quality=replace(speech.quality, warnings=warnings))


def mute(speech: CleanSpeech, spans: Sequence[Span]) -> CleanSpeech:
    """Silence parts of the recording around the speech, which is searched for the edges of words."""
    if speech.recording is None or not spans:
        return speech
    recording = speech.recording.copy()
    for span in spans:
        recording[round(span.start * SAMPLE_RATE) : round(span.end * SAMPLE_RATE)] = 0
    return replace(speech, recording=recording, samples=cut_spans(recording, speech.segments))


def merge_answers(
    recording: Recording, speech: CleanSpeech, speakers: Sequence[Speaker], overlaps: tuple[Span, ...] = ()
) -> Analysis:
    """Return the answer to a recording from the answers for each of its speakers, weighted by their speech.

    The speakers' shares are computed. `speech` is that of all speakers together, of which `overlaps` are in no answer.
    """
    # Not the samples: those of a long recording are not kept.
    lengths = [total_s(each.answer.speech.segments) for each in speakers]
    own = tuple(replace(each, share=length / sum(lengths)) for each, length in zip(speakers, lengths, strict=True))
    answers = [each.answer for each in own]
    prediction = Prediction.mean([Prediction(each.scores, each.modalities) for each in answers], lengths)
    windows = [replace(window, speaker=each.name) for each in own for window in each.answer.timeline]
    return replace(
        answers[0],
        transcript=merge_transcripts(own),
        timeline=tuple(sorted(windows, key=lambda window: window.start)),
        quality=speech.quality,
        recording=recording,
        speech=speech,
        speakers=own,
        overlaps=overlaps,
        **vars(prediction),
    )


def merge_transcripts(speakers: Sequence[Speaker]) -> Transcript | None:
    """Return the sentences of all speakers in the order of time, each with its speaker; None without transcription.

    The text has a line for each turn: "agent: Good morning."
    """
    known = [(each.name, each.answer.transcript) for each in speakers if each.answer.transcript is not None]
    if not known:
        return None
    said = [replace(own, segments=tuple(replace(each, speaker=name) for each in own.segments)) for name, own in known]
    joined = join_transcripts(said)
    return replace(joined, text=write_turns(joined.segments))


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


def write_turns(segments: Sequence[TranscriptSegment]) -> str:
    """Return sentences of several speakers as lines that begin with the speaker's name."""
    turns = groupby((segment for segment in segments if segment.text), key=lambda segment: segment.speaker)
    return "\n".join(f"{name}: {join_text(list(turn))}" for name, turn in turns)


def read_turns(text: str, names: Sequence[str]) -> dict[str, str] | None:
    """Return the words of each speaker from lines as of `write_turns`; None where no line begins with a name.

    A line without a name continues the one before it.
    """
    turns: list[tuple[str, str]] = []
    longest = sorted(names, key=len, reverse=True)  # one name may begin with another
    for line in text.splitlines():
        name = next((name for name in longest if line.startswith(f"{name}:")), None)
        if name is not None:
            turns.append((name, line[len(name) + 1 :].strip()))
        elif turns or line.strip():
            turns.append((turns[-1][0] if turns else "", line.strip()))
    if not any(name for name, _ in turns):
        return None
    first = next(name for name, _ in turns if name)
    return {name: " ".join(words for owner, words in turns if (owner or first) == name and words) for name in names}


def rename_turns(text: str, names: Mapping[str, str]) -> str:
    """Return lines as of `write_turns` with other names, {old: new}."""
    lines = []
    for line in text.split("\n"):
        old = next((name for name in names if line.startswith(f"{name}:")), None)
        lines.append(line if old is None else names[old] + line[len(old) :])
    return "\n".join(lines)


def rename_speakers(analysis: Analysis, names: Mapping[str, str]) -> Analysis:
    """Return the analysis with other names, {old: new}, of its speakers and channels."""
    if not analysis.speakers:
        return analysis
    speakers = tuple(replace(each, name=names.get(each.name, each.name)) for each in analysis.speakers)
    own = {each.channel: each.name for each in speakers}
    return replace(
        analysis,
        speakers=speakers,
        transcript=analysis.transcript and merge_transcripts(speakers),
        timeline=tuple(replace(each, speaker=names.get(each.speaker, each.speaker)) for each in analysis.timeline),
        channels=tuple(replace(each, name=own.get(each.number, each.name)) for each in analysis.channels),
    )


def join_text(segments: Sequence[TranscriptSegment]) -> str:
    """Return the text of sentences in their order."""
    return " ".join(segment.text for segment in segments if segment.text)
