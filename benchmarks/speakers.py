"""Speaker turns: diarization error rate on conversations built from corpora and on meetings, and single voices.

No speaker of the built recordings is among those on whom `tools.tune_speakers` chose the thresholds. Speech is detected
as in an analysis, and the number of speakers is found as there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database.util import load_rttm
from pyannote.metrics.diarization import DiarizationErrorRate

from benchmarks.conversations import (
    CORPORA,
    MEETING,
    Clips,
    build_conversation,
    build_single_voice,
    draw_speakers,
    neutral_clips,
    read_clips,
)
from ser_engine.audio.clean import clean_speech
from ser_engine.audio.decode import load_audio, load_samples
from ser_engine.data.corpora import registry
from ser_engine.settings import Settings
from ser_engine.speakers.diarization import Turn, embed, find_overlaps, find_turns
from ser_engine.speakers.spans import intersect
from ser_engine.types import SAMPLE_RATE, Recording, total_s

CONVERSATIONS, OVERLAPPED, SINGLE_VOICES = 48, 24, 160
# The first conversations of the seeds 0 and 1 were looked at while the constants were chosen.
SEEDS = (2, 3, 4)
# pyannote.metrics takes it as a whole: 0.125 s before and after every boundary of the reference are not counted.
COLLAR_S = 0.25
MEETINGS = "SER_MEETINGS"
"""Environment variable with a folder of meetings: *.opus and reference.rttm."""


def measure(
    conversations: int = CONVERSATIONS, overlapped: int = OVERLAPPED, single_voices: int = SINGLE_VOICES
) -> dict[str, float]:
    """Return error rates and the share of single voices that are found to be one, all in percent.

    What needs corpora or meetings that are not there is not measured.
    """
    settings = Settings.from_env()
    measured: dict[str, float] = {}
    available = [name for name in CORPORA if registry.is_available(name, settings.data)]
    if available:
        clips = read_clips(available, "test", settings)
        measured |= measure_conversations(clips, conversations, settings)
        measured |= measure_overlapped(clips, overlapped, settings)
        measured |= measure_single_voices(clips, single_voices, settings)
    if folder := os.environ.get(MEETINGS):
        measured |= measure_meetings(Path(folder), settings)
    return measured


def measure_conversations(clips: Clips, count: int, settings: Settings) -> dict[str, float]:
    """Return the error rate of conversations of two and three voices, and how often their number is found."""
    rng = np.random.default_rng(SEEDS[0])
    rate, found = error_rate(), 0
    for i in range(count):
        pools = neutral_clips(clips) if i // 8 % 3 == 0 else clips
        names = draw_speakers(pools, rng, 2 + i % 2, same_corpus=i // 2 % 2 == 0, same_gender=i // 4 % 2 == 0)
        conversation = build_conversation(pools, rng, names, settings)
        turns = diarize(load_samples(conversation.samples, SAMPLE_RATE, settings), settings)
        add(rate, annotate(conversation.turns), turns)
        found += len({turn.speaker for turn in turns}) == len(names)
    return {"der_conversations": percent(rate), "speakers_counted_right": round(100 * found / count, 1)}


def measure_overlapped(clips: Clips, count: int, settings: Settings) -> dict[str, float]:
    """Return the error rate of conversations in rooms with short turns and overlaps, and how well these are found."""
    rng = np.random.default_rng(SEEDS[1])
    rate, marked_s, true_s, both_s = error_rate(), 0.0, 0.0, 0.0
    for i in range(count):
        names = draw_speakers(clips, rng, 2 + i % 3, same_corpus=i // 2 % 2 == 0, same_gender=i // 4 % 2 == 0)
        conversation = build_conversation(clips, rng, names, settings, MEETING)
        recording = load_samples(conversation.samples, SAMPLE_RATE, settings)
        speech = clean_speech(recording, settings)
        assert speech.recording is not None
        embeddings = embed(speech.recording, speech.segments, settings)
        add(rate, annotate(conversation.turns), find_turns(embeddings))
        true = find_overlaps(conversation.turns)
        marked_s += total_s(embeddings.overlaps)
        true_s += total_s(true)
        both_s += total_s(intersect(embeddings.overlaps, true))
    return {
        "der_overlapped": percent(rate),
        "overlap_precision": round(100 * both_s / max(marked_s, 1e-9), 1),
        "overlap_recall": round(100 * both_s / true_s, 1),
    }


def measure_single_voices(clips: Clips, count: int, settings: Settings) -> dict[str, float]:
    """Return how often one voice is found to be one; in one emotion, in several, and in all recordings."""
    rng = np.random.default_rng(SEEDS[2])
    right: dict[bool, list[bool]] = {False: [], True: []}
    for i in range(count):
        mixed = i % 2 == 1
        samples = build_single_voice(clips, rng, mixed, settings)
        turns = diarize(load_samples(samples, SAMPLE_RATE, settings), settings)
        right[mixed].append(len({turn.speaker for turn in turns}) == 1)
    names = {False: "single_voice_one_emotion_right", True: "single_voice_mixed_emotions_right"}
    shares = {names[mixed]: round(100 * float(np.mean(rows)), 1) for mixed, rows in right.items()}
    return {"single_voice_right": round(100 * float(np.mean([*right[False], *right[True]])), 1), **shares}


def measure_meetings(folder: Path, settings: Settings) -> dict[str, float]:
    """Return the error rate of all meetings in a folder, the mean of those of each, and that of given numbers."""
    rate, counted = error_rate(), error_rate()
    references = load_rttm(folder / "reference.rttm")
    each = []
    for path in sorted(path for path in folder.iterdir() if path.stem in references and path.suffix != ".rttm"):
        recording, reference = load_audio(path, settings), references[path.stem]
        each.append(add(rate, reference, diarize(recording, settings), recording.duration_s))
        given = len(reference.labels())
        add(counted, reference, diarize(recording, settings, given), recording.duration_s)
    mean = round(100 * float(np.mean(each)), 1)
    return {"der_meetings": percent(rate), "der_meetings_mean": mean, "der_meetings_counted": percent(counted)}


def diarize(recording: Recording, settings: Settings, speakers: int | None = None) -> tuple[Turn, ...]:
    """Return who speaks when, as an analysis finds it, or for a given number of speakers."""
    speech = clean_speech(recording, settings)
    assert speech.recording is not None
    return find_turns(embed(speech.recording, speech.segments, settings), speakers)


def error_rate() -> DiarizationErrorRate:
    """Return the metric, in which overlapped speech counts."""
    return DiarizationErrorRate(collar=COLLAR_S, skip_overlap=False)


def add(rate: DiarizationErrorRate, reference: Annotation, turns: Sequence[Turn], seconds: float = 0.0) -> float:
    """Count the errors of one recording and return its own rate."""
    found = annotate(turns)
    end = max([seconds, *(segment.end for segment in [*reference.itersegments(), *found.itersegments()])])
    return float(rate(reference, found, uem=Timeline([Segment(0.0, end)])))


def annotate(turns: Sequence[Turn]) -> Annotation:
    """Return turns as pyannote has them."""
    annotation = Annotation()
    for number, turn in enumerate(turns):
        annotation[Segment(turn.start, turn.end), number] = str(turn.speaker)
    return annotation


def percent(rate: DiarizationErrorRate) -> float:
    """Return the rate over all recordings that were counted."""
    return round(100 * abs(rate), 1)
