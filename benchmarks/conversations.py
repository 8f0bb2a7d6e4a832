"""Conversations and single voices built from clips of corpora, so that it is known who speaks when.

Clips are joined into turns with pauses between them. A scene says how much the speakers talk at once, and how the
place sounds.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from benchmarks.word_times import trim
from ser_engine.audio.clean import resample
from ser_engine.audio.decode import load_audio
from ser_engine.audio.quality import normalize_level
from ser_engine.data.corpora import registry
from ser_engine.data.corpora.base import Utterance
from ser_engine.data.degrade import reverberate, simulate_room
from ser_engine.errors import CorpusError
from ser_engine.settings import Settings
from ser_engine.speakers.diarization import Turn
from ser_engine.types import SAMPLE_RATE

CORPORA = ("cremad", "ravdess", "tess", "emodb", "emovo", "ased", "librispeech", "speechocean")
CONVERSATION_S, SINGLE_S = 60.0, (10.5, 30.0)
# Between clips of one speaker within a turn, and of a single voice.
JOIN_S, LONG_JOIN_S = (0.1, 0.3), (0.1, 1.0)
# What is quieter than this around a clip is no speech: some corpora have noise there.
BELOW_PEAK_DB = 25.0
LEVEL_DB, EDGE_S = 4.0, (0.2, 1.5)

Samples = NDArray[np.float32]
Clips = Mapping[str, Sequence[Utterance]]  # by speaker


@dataclass(frozen=True)
class Scene:
    """How people talk, and how the place sounds.

    Attributes
    ----------
    turn_s, pause_s : ranges of the seconds of turns, and of the pauses between them
    overlap : share of the turns that begin before the last one ends, by some of `overlap_s` seconds
    room_s, direct_db : ranges of the reverberation and of the direct sound, as of `simulate_room`; none by default
    noise_db : range of the level of the noise in dB, full scale being 0; speech is at -23
    """

    turn_s: tuple[float, float] = (1.0, 8.0)
    pause_s: tuple[float, float] = (0.2, 1.5)
    overlap: float = 0.0
    overlap_s: tuple[float, float] = (0.4, 3.0)
    room_s: tuple[float, float] | None = None
    direct_db: tuple[float, float] = (-6.0, 6.0)
    noise_db: tuple[float, float] = (-65.0, -50.0)


QUIET = Scene()
MEETING = Scene((0.5, 6.0), (0.0, 0.8), overlap=0.4, room_s=(0.2, 0.7), noise_db=(-60.0, -42.0))
"""Short turns in a room, four of ten of which begin before the last has ended."""


@dataclass(frozen=True)
class Conversation:
    """A recording, float32 [n] at 16 kHz, and the turns of its speakers, which may overlap."""

    samples: Samples
    turns: tuple[Turn, ...]


def read_clips(corpora: Sequence[str], purpose: str, settings: Settings) -> dict[str, list[Utterance]]:
    """Return the clips of the speakers that serve one purpose, as of `share`."""
    clips: dict[str, list[Utterance]] = {}
    for name in corpora:
        for utterance in registry.read_corpus(name, settings.data):
            if share(utterance.speaker) == purpose:
                clips.setdefault(utterance.speaker, []).append(utterance)
    return clips


def share(speaker: str) -> str:
    """Return "tune" or "test": what the clips of a speaker ("ravdess/07") may be used for."""
    return ("tune", "test")[zlib.crc32(speaker.encode()) % 2]


def neutral_clips(clips: Clips) -> dict[str, list[Utterance]]:
    """Return the clips without emotion, of those who have such."""
    neutral = {name: [clip for clip in own if clip.label in (None, "neutral")] for name, own in clips.items()}
    return {name: own for name, own in neutral.items() if own}


def build_conversation(
    clips: Clips, rng: np.random.Generator, names: Sequence[str], settings: Settings, scene: Scene = QUIET
) -> Conversation:
    """Return a conversation of these speakers of about `CONVERSATION_S`, in which each says something."""
    rooms = _draw_rooms(len(names), rng, scene)
    gains = 10 ** (rng.uniform(-LEVEL_DB, LEVEL_DB, len(names)) / 20)
    tracks = np.zeros((len(names), round((CONVERSATION_S + scene.turn_s[1] + 1) * SAMPLE_RATE)), np.float32)
    turns: list[Turn] = []
    free = [0.0] * len(names)  # when each may speak again
    queue, last, end = list(range(len(names))), -1, rng.uniform(*EDGE_S)
    while end < CONVERSATION_S:
        last = queue.pop() if queue else int(rng.choice([row for row in range(len(names)) if row != last]))
        spoken = say(clips[names[last]], rng.uniform(*scene.turn_s), JOIN_S, rng, settings) * gains[last]
        start = end + rng.uniform(*scene.pause_s)
        if turns and rng.random() < scene.overlap:
            start = max(end - rng.uniform(*scene.overlap_s), turns[-1].start + 0.2, free[last])
        first = round(start * SAMPLE_RATE)
        spoken = spoken[: tracks.shape[1] - first]
        tracks[last, first : first + len(spoken)] += spoken
        turns.append(Turn(start, start + len(spoken) / SAMPLE_RATE, last))
        free[last] = turns[-1].end
        end = max(end, turns[-1].end)
    length = round((end + rng.uniform(*EDGE_S)) * SAMPLE_RATE)
    tracked = [track if room is None else reverberate(track, room) for track, room in zip(tracks, rooms, strict=True)]
    return Conversation(add_noise(np.sum(tracked, axis=0)[:length], rng, scene), tuple(turns))


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


def build_single_voice(
    clips: Clips, rng: np.random.Generator, mixed: bool, settings: Settings, scene: Scene = QUIET
) -> Samples:
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
            samples = np.concatenate([pause(rng, EDGE_S), samples, pause(rng, EDGE_S)])
            (room,) = _draw_rooms(1, rng, scene)
            return add_noise(samples if room is None else reverberate(samples, room), rng, scene)


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


@lru_cache(maxsize=8192)
def load(clip: Utterance, settings: Settings) -> Samples:
    """Return a clip at 16 kHz and an even level, without silence around it."""
    recording = load_audio(clip.path, settings)
    return trim(normalize_level(resample(recording.samples, recording.rate)), BELOW_PEAK_DB)


def pause(rng: np.random.Generator, between: tuple[float, float]) -> Samples:
    """Return silence of a random length in seconds."""
    return np.zeros(round(rng.uniform(*between) * SAMPLE_RATE), np.float32)


def add_noise(samples: Samples, rng: np.random.Generator, scene: Scene) -> Samples:
    """Add the noise of a scene."""
    noise = 10 ** (rng.uniform(*scene.noise_db) / 20) * rng.standard_normal(len(samples))
    return (samples + noise).astype(np.float32)


def _draw_rooms(count: int, rng: np.random.Generator, scene: Scene) -> list[Samples | None]:
    """Return the impulse response from each of several places in one room; None without a room."""
    if scene.room_s is None:
        return [None] * count
    seconds = rng.uniform(*scene.room_s)
    return [simulate_room(seconds, rng.uniform(*scene.direct_db), SAMPLE_RATE, rng) for _ in range(count)]
