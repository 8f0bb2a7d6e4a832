"""Speaker turns: diarization error rate on conversations built from corpora and on meetings, and single voices.

Clips of the corpora are joined into turns of one to eight seconds with pauses between them, so that it is known who
speaks when. No speaker is among those from whom `tools.bundle_speaker_encoder` learned the projection, nor among those
on whom the constants of `ser_engine.speakers` were chosen. Speech is detected as in an analysis, and the number of
speakers is found as there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pyannote.core import Annotation, Segment, Timeline
from pyannote.database.util import load_rttm
from pyannote.metrics.diarization import DiarizationErrorRate

from benchmarks.word_times import trim
from ser_engine.audio.clean import clean_speech, resample
from ser_engine.audio.decode import load_audio, load_samples
from ser_engine.audio.quality import normalize_level
from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import CorpusError
from ser_engine.settings import Settings
from ser_engine.speakers.diarization import Turn, embed, find_turns
from ser_engine.types import SAMPLE_RATE, Recording
from tools.bundle_speaker_encoder import share

CORPORA = ("cremad", "ravdess", "tess", "emodb", "emovo", "ased", "librispeech", "speechocean")
CONVERSATIONS, SINGLE_VOICES = 48, 160
CONVERSATION_S, TURN_S, PAUSE_S, SINGLE_S = 60.0, (1.0, 8.0), (0.2, 1.5), (10.5, 30.0)
# Between clips of one speaker within a turn, and of a single voice.
JOIN_S, LONG_JOIN_S = (0.1, 0.3), (0.1, 1.0)
# What is quieter than this around a clip is no speech: some corpora have noise there.
BELOW_PEAK_DB = 25.0
LEVEL_DB, NOISE_DB = 4.0, (-65.0, -50.0)
# pyannote.metrics takes it as a whole: 0.125 s before and after every boundary of the reference are not counted.
COLLAR_S = 0.25
MEETINGS = "SER_MEETINGS"
"""Environment variable with a folder of meetings: *.opus and reference.rttm."""

Samples = NDArray[np.float32]
Clips = Mapping[str, Sequence[Utterance]]  # by speaker


@dataclass(frozen=True)
class Conversation:
    """A recording, float32 [n] at 16 kHz, and who speaks when in it."""

    samples: Samples
    reference: Annotation


def measure(conversations: int = CONVERSATIONS, single_voices: int = SINGLE_VOICES) -> dict[str, float]:
    """Return error rates and the share of single voices that are found to be one, all in percent.

    What needs corpora or meetings that are not there is not measured.
    """
    settings = Settings.from_env()
    measured: dict[str, float] = {}
    available = [name for name in CORPORA if registry.is_available(name, settings.data)]
    if available:
        clips = test_clips(available, settings)
        measured |= measure_conversations(clips, conversations, settings)
        measured |= measure_single_voices(clips, single_voices, settings)
    if folder := os.environ.get(MEETINGS):
        measured |= measure_meetings(Path(folder), settings)
    return measured


def measure_conversations(clips: Clips, count: int, settings: Settings) -> dict[str, float]:
    """Return the error rate of conversations of two and three voices, and how often their number is found."""
    rng = np.random.default_rng(0)
    rate, found = error_rate(), 0
    for i in range(count):
        conversation = build_conversation(
            clips, rng, voices=2 + i % 2, same_corpus=i // 2 % 2 == 0, same_gender=i // 4 % 2 == 0,
            neutral=i // 8 % 3 == 0, settings=settings,
        )  # fmt: skip
        turns = diarize(load_samples(conversation.samples, SAMPLE_RATE, settings), settings)
        add(rate, conversation.reference, turns)
        found += len({turn.speaker for turn in turns}) == len(conversation.reference.labels())
    return {"der_conversations": percent(rate), "speakers_counted_right": round(100 * found / count, 1)}


def measure_single_voices(clips: Clips, count: int, settings: Settings) -> dict[str, float]:
    """Return how often one voice is found to be one; in one emotion, in several, and in all recordings."""
    rng = np.random.default_rng(1)
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
    found = Annotation()
    for number, turn in enumerate(turns):
        found[Segment(turn.start, turn.end), number] = str(turn.speaker)
    end = max([seconds, *(segment.end for segment in [*reference.itersegments(), *found.itersegments()])])
    return float(rate(reference, found, uem=Timeline([Segment(0.0, end)])))


def percent(rate: DiarizationErrorRate) -> float:
    """Return the rate over all recordings that were counted."""
    return round(100 * abs(rate), 1)


def test_clips(corpora: Sequence[str], settings: Settings) -> dict[str, list[Utterance]]:
    """Return the clips of the speakers that nothing was fitted or chosen on."""
    clips: dict[str, list[Utterance]] = {}
    for name in corpora:
        for utterance in registry.read_corpus(name, settings.data):
            if share(utterance.speaker) == "test":
                clips.setdefault(utterance.speaker, []).append(utterance)
    return clips


def build_conversation(
    clips: Clips,
    rng: np.random.Generator,
    *,
    voices: int,
    same_corpus: bool,
    same_gender: bool,
    neutral: bool,
    settings: Settings,
) -> Conversation:
    """Return a conversation of about `CONVERSATION_S`; neutral, or of clips of all emotions."""
    pools = {
        name: [clip for clip in own if not neutral or clip.label in (None, "neutral")] for name, own in clips.items()
    }
    speakers = draw_speakers({name: own for name, own in pools.items() if own}, rng, voices, same_corpus, same_gender)
    gains = {name: 10 ** (rng.uniform(-LEVEL_DB, LEVEL_DB) / 20) for name in speakers}
    pieces, reference, queue, last = [pause(rng, PAUSE_S)], Annotation(), list(speakers), ""
    while (length := sum(map(len, pieces)) / SAMPLE_RATE) < CONVERSATION_S:
        last = queue.pop() if queue else str(rng.choice([name for name in speakers if name != last]))
        turn = say(pools[last], rng.uniform(*TURN_S), JOIN_S, rng, settings) * gains[last]
        reference[Segment(length, length + len(turn) / SAMPLE_RATE)] = last
        pieces += [turn, pause(rng, PAUSE_S)]
    return Conversation(add_room(np.concatenate(pieces), rng), reference)


def draw_speakers(
    clips: Clips, rng: np.random.Generator, voices: int, same_corpus: bool, same_gender: bool
) -> list[str]:
    """Return speakers of one corpus or of several, and of one gender or of both."""
    for _ in range(10_000):
        chosen = [str(name) for name in rng.choice(sorted(clips), voices, replace=False)]
        corpora = {clips[name][0].corpus for name in chosen}
        genders = {clips[name][0].gender for name in chosen}
        if (len(corpora) == 1) == same_corpus and (len(genders) == 1) == same_gender:
            return chosen
    raise CorpusError(f"The corpora have too few speakers for conversations of {voices} voices.")


def build_single_voice(clips: Clips, rng: np.random.Generator, mixed: bool, settings: Settings) -> Samples:
    """Return a recording of one speaker of `SINGLE_S`, in one emotion or in at least three."""
    while True:
        own = clips[str(rng.choice(sorted(clips)))]
        labels = sorted({clip.label or "" for clip in own})
        if mixed and len(labels) < 3:
            continue
        if not mixed:
            label = labels[rng.integers(len(labels))]
            own = [clip for clip in own if (clip.label or "") == label]
        samples = say(own, rng.uniform(*SINGLE_S), LONG_JOIN_S, rng, settings)
        if len(samples) >= SINGLE_S[0] * SAMPLE_RATE:
            return add_room(np.concatenate([pause(rng, PAUSE_S), samples, pause(rng, PAUSE_S)]), rng)


def say(
    clips: Sequence[Utterance],
    seconds: float,
    between: tuple[float, float],
    rng: np.random.Generator,
    settings: Settings,
) -> Samples:
    """Return clips of one speaker, joined and cut to a length; less where there are too few of them."""
    pieces: list[Samples] = []
    left = round(seconds * SAMPLE_RATE)
    for row in rng.permutation(len(clips)):
        samples = load(clips[row], settings)
        first = int(rng.integers(max(0, len(samples) - left) + 1))
        pieces.append(samples[first : first + left])
        gap = pause(rng, between)
        left -= len(pieces[-1]) + len(gap)
        if left < SAMPLE_RATE // 2:
            break
        pieces.append(gap)
    return np.concatenate(pieces)


def load(clip: Utterance, settings: Settings) -> Samples:
    """Return a clip at 16 kHz and an even level, without silence around it."""
    recording = load_audio(clip.path, settings)
    return trim(normalize_level(resample(recording.samples, recording.rate)), BELOW_PEAK_DB)


def pause(rng: np.random.Generator, between: tuple[float, float]) -> Samples:
    """Return silence of a random length in seconds."""
    return np.zeros(round(rng.uniform(*between) * SAMPLE_RATE), np.float32)


def add_room(samples: Samples, rng: np.random.Generator) -> Samples:
    """Add the noise of a quiet room."""
    noise = 10 ** (rng.uniform(*NOISE_DB) / 20) * rng.standard_normal(len(samples))
    return (samples + noise).astype(np.float32)
