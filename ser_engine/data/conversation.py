"""Labeled conversations: read from a CSV of turns, or built from clips of a corpus with pauses between.

Islam et al. (section 3.5.2) test their live system on two scenes from films, which cannot be redistributed. A built
conversation has the properties that a live system must handle: speakers who take turns, emotions that last for some
sentences, pauses, room noise, and no hint where one clip ends.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ser_engine.audio.clean import clean_speech
from ser_engine.audio.decode import encode_wav, load_audio
from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import CorpusError, InvalidSettings, NoSpeech
from ser_engine.io import atomic_write, write_text
from ser_engine.labels import find_emotion
from ser_engine.settings import PROJECT, Settings
from ser_engine.types import SAMPLE_RATE

Samples = NDArray[np.float32]

# Sentences that a speaker says in one emotion before the other answers.
SENTENCES = (1, 3)
# Seconds between sentences of one speaker, and between two speakers; now and then both are silent for longer.
PAUSE_S, TURN_S, SILENCE_S, SILENT_TURNS = (0.2, 0.5), (0.4, 1.2), (2.0, 4.0), 0.12
# Speakers differ in loudness, and a room has noise: white, RMS in dB below full scale.
LOUDNESS_DB, ROOM_DB = 3.0, -65.0


@dataclass(frozen=True)
class Turn:
    """One emotion of one speaker from `start` to `end` seconds; an unknown speaker is empty."""

    start: float
    end: float
    emotion: str
    speaker: str = ""


def build_conversation(
    utterances: Sequence[Utterance], seconds: float, speakers: int, seed: int, settings: Settings
) -> tuple[Samples, list[Turn]]:
    """Return a conversation of at least `seconds`, float32 [n] at 16 kHz, and its turns, one per clip.

    The same seed gives the same conversation. Every clip is used at most once, and a clip without speech is skipped.
    Raise CorpusError if there are too few speakers or clips.
    """
    rng = np.random.default_rng(seed)
    by_speaker: dict[str, dict[str, list[Utterance]]] = defaultdict(lambda: defaultdict(list))
    for utterance in sorted(utterances, key=lambda clip: (clip.speaker, clip.name)):
        if utterance.label:
            by_speaker[utterance.speaker][utterance.label].append(utterance)
    if len(by_speaker) < speakers:
        raise CorpusError(f"A conversation of {speakers} speakers is impossible: the clips have {len(by_speaker)}.")
    chosen = [str(name) for name in rng.choice(sorted(by_speaker), speakers, replace=False)]
    gains = {speaker: 10 ** (rng.uniform(-LOUDNESS_DB, LOUDNESS_DB) / 20) for speaker in chosen}
    pieces: list[Samples] = []
    turns: list[Turn] = []
    length = _pause(pieces, TURN_S, rng)
    takers = cycle(chosen)
    while length < seconds * SAMPLE_RATE:
        speaker = next(takers)
        emotions = [emotion for emotion, clips in sorted(by_speaker[speaker].items()) if clips]
        if not emotions:
            raise CorpusError(f"There are not enough clips of {speaker} for {seconds:g} s; ask for less.")
        emotion = emotions[rng.integers(len(emotions))]
        for _ in range(rng.integers(SENTENCES[0], SENTENCES[1] + 1)):
            clips = by_speaker[speaker][emotion]
            if not clips:
                break
            speech = _load_speech(clips.pop(rng.integers(len(clips))), settings)
            if not len(speech):
                continue
            pieces.append(speech * np.float32(gains[speaker]))
            turns.append(Turn(length / SAMPLE_RATE, (length + len(speech)) / SAMPLE_RATE, emotion, speaker))
            length += len(speech) + _pause(pieces, PAUSE_S, rng)
        length += _pause(pieces, SILENCE_S if rng.random() < SILENT_TURNS else TURN_S, rng)
    samples = np.concatenate(pieces)
    room = 10 ** (ROOM_DB / 20) * rng.standard_normal(len(samples))
    return (samples + room).astype(np.float32), turns


def _pause(pieces: list[Samples], between: tuple[float, float], rng: np.random.Generator) -> int:
    """Append a pause and return its length."""
    pieces.append(np.zeros(round(rng.uniform(*between) * SAMPLE_RATE), np.float32))
    return len(pieces[-1])


def _load_speech(utterance: Utterance, settings: Settings) -> Samples:
    """Return a normalized clip from its first word to its last; empty without speech."""
    try:
        speech = clean_speech(load_audio(utterance.path, settings), settings)
    except NoSpeech:
        return np.zeros(0, np.float32)
    assert speech.recording is not None
    first, last = speech.segments[0].start, speech.segments[-1].end
    return speech.recording[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)]


def write_conversation(target: Path, samples: Samples, turns: Sequence[Turn], settings: Settings) -> Path:
    """Write the audio to `target`, a WAV file, and the turns to a CSV file next to it; return the CSV's path.

    Raise InvalidSettings if that is in the project's folder, which must not contain recordings of corpora.
    """
    target = target.expanduser().resolve()
    if target.is_relative_to(PROJECT) and not target.is_relative_to(settings.cache.resolve()):
        raise InvalidSettings(
            "A conversation contains recordings of a corpus; choose a place outside the project's folder."
        )
    labels = target.with_suffix(".csv")
    table = pd.DataFrame(turns).to_csv(index=False, float_format="%.3f", lineterminator="\n")
    try:
        with atomic_write(target) as part:
            part.write_bytes(encode_wav(samples, SAMPLE_RATE))
        write_text(labels, table)
    except OSError as error:
        raise InvalidSettings(f"{target} cannot be written ({error.strerror}).") from None
    return labels


def read_turns(path: Path) -> list[Turn]:
    """Read a CSV with the columns start, end (seconds), emotion and, if known, speaker.

    An emotion may have any common name ("anger"); any other word, such as a group of Islam et al., stays unchanged.
    Raise CorpusError if the file, a line or a column is missing or invalid, or two turns overlap.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except FileNotFoundError:
        raise CorpusError(f"There is no file “{path}”.") from None
    except (OSError, UnicodeDecodeError, csv.Error):
        raise CorpusError(f"{path} cannot be read as a CSV.") from None
    turns = []
    for number, row in enumerate(rows, start=2):
        try:
            start, end, word = float(row["start"]), float(row["end"]), row["emotion"].strip()
            if not 0 <= start < end < float("inf") or not word:
                raise ValueError
        except KeyError as error:
            raise CorpusError(f"{path} has no column {error}; it needs start, end and emotion.") from None
        except (TypeError, ValueError, AttributeError):
            raise CorpusError(f"{path}, line {number}: start and end are seconds, emotion is a word.") from None
        turns.append(Turn(start, end, find_emotion(word) or word.lower(), (row.get("speaker") or "").strip()))
    turns.sort(key=lambda turn: turn.start)
    if not turns:
        raise CorpusError(f"{path} contains no turns.")
    if any(after.start < before.end - 1e-3 for before, after in pairwise(turns)):
        raise CorpusError(f"{path} has two turns at the same time; each moment must have one emotion.")
    return turns
