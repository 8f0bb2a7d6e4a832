"""Labelled conversations: read from a CSV of turns, or built from clips of a corpus with pauses and turns between.

Paper-3 (section 3.5.2) tests its live system on two scenes from films, which are nobody's to give away. What is built
here is not a conversation that anybody had, but it has what a live system has to cope with: voices that take turns,
moods that last for some sentences, pauses, a quiet room, and no hint where one clip ends.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_engine.audio import decode as audio
from ser_engine.audio.clean import clean_speech
from ser_engine.data.corpora.base import Utterance
from ser_engine.errors import CorpusError, InvalidSettings, NoSpeech
from ser_engine.labels import GROUPS, LABEL_SETS, find_emotion
from ser_engine.settings import PROJECT, Settings
from ser_engine.types import SAMPLE_RATE

Samples = NDArray[np.float32]
COLUMNS = ("start", "end", "emotion", "speaker")

# As long as paper-3's first clip (section 3.5.2): two minutes and 22 seconds.
SECONDS = 142.0
VOICES = 2
# Sentences that a voice says in one mood before the other answers.
SENTENCES = (1, 3)
# Seconds between sentences of one voice and between two voices; now and then both are silent for longer.
PAUSE_S, TURN_S, SILENCE_S, SILENT_TURNS = (0.2, 0.5), (0.4, 1.2), (2.0, 4.0), 0.12
# Voices are not equally loud, and a room is never digitally silent: white noise, RMS in dB below full scale.
LOUDNESS_DB, ROOM_DB = 3.0, -65.0


@dataclass(frozen=True)
class Turn:
    """Who speaks in which emotion, from `start` to `end` seconds; an unnamed speaker is empty."""

    start: float
    end: float
    emotion: str
    speaker: str = ""


def build(
    utterances: Sequence[Utterance], seconds: float, voices: int, seed: int, settings: Settings
) -> tuple[Samples, list[Turn]]:
    """Return a conversation of at least `seconds`, float32 [n] at 16 kHz, and its turns, one a clip.

    The same seed gives the same. Every clip is used once at most; a clip without speech is passed over.

    Raises
    ------
    CorpusError
        There are fewer voices than asked for, or not enough clips of them.
    """
    rng = np.random.default_rng(seed)
    by_speaker: dict[str, dict[str, list[Utterance]]] = defaultdict(lambda: defaultdict(list))
    for utterance in sorted(utterances, key=lambda one: (one.speaker, one.name)):
        if utterance.label:
            by_speaker[utterance.speaker][utterance.label].append(utterance)
    if len(by_speaker) < voices:
        raise CorpusError(f"A conversation of {voices} voices needs as many; the clips have {len(by_speaker)}.")
    speakers = [str(name) for name in rng.choice(sorted(by_speaker), voices, replace=False)]
    gains = {speaker: 10 ** (rng.uniform(-LOUDNESS_DB, LOUDNESS_DB) / 20) for speaker in speakers}
    pieces: list[Samples] = []
    turns: list[Turn] = []
    length = _pause(pieces, TURN_S, rng)
    number = 0
    while length < seconds * SAMPLE_RATE:
        speaker = speakers[number % voices]
        number += 1
        moods = [mood for mood, clips in sorted(by_speaker[speaker].items()) if clips]
        if not moods:
            raise CorpusError(f"The clips of {speaker} are not enough for {seconds:g} s; ask for less.")
        mood = moods[rng.integers(len(moods))]
        for _ in range(rng.integers(SENTENCES[0], SENTENCES[1] + 1)):
            clips = by_speaker[speaker][mood]
            if not clips:
                break
            said = _said(clips.pop(rng.integers(len(clips))), settings)
            if not len(said):
                continue
            pieces.append(said * np.float32(gains[speaker]))
            turns.append(Turn(length / SAMPLE_RATE, (length + len(said)) / SAMPLE_RATE, mood, speaker))
            length += len(said) + _pause(pieces, PAUSE_S, rng)
        length += _pause(pieces, SILENCE_S if rng.random() < SILENT_TURNS else TURN_S, rng)
    samples = np.concatenate(pieces)
    room = 10 ** (ROOM_DB / 20) * rng.standard_normal(len(samples))
    return (samples + room).astype(np.float32), turns


def _pause(pieces: list[Samples], between: tuple[float, float], rng: np.random.Generator) -> int:
    """Append a pause and return its length."""
    pieces.append(np.zeros(round(rng.uniform(*between) * SAMPLE_RATE), np.float32))
    return len(pieces[-1])


def _said(utterance: Utterance, settings: Settings) -> Samples:
    """Return a clip at an even level from its first word to its last; empty where there is none."""
    try:
        speech = clean_speech(audio.load_audio(utterance.path, settings), settings)
    except NoSpeech:
        return np.zeros(0, np.float32)
    assert speech.recording is not None
    first, last = speech.segments[0].start, speech.segments[-1].end
    return speech.recording[round(first * SAMPLE_RATE) : round(last * SAMPLE_RATE)]


def write(target: Path, samples: Samples, turns: Sequence[Turn], settings: Settings) -> Path:
    """Write the sound to `target`, a wav, and its turns beside it; return the CSV's path.

    Raises
    ------
    InvalidSettings
        `target` lies in the project: recordings of corpora never become part of it.
    """
    target = target.expanduser().resolve()
    if target.is_relative_to(PROJECT) and not target.is_relative_to(settings.cache.resolve()):
        raise InvalidSettings("A conversation holds a corpus's recordings; choose a place outside of the project.")
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows((f"{turn.start:.3f}", f"{turn.end:.3f}", turn.emotion, turn.speaker) for turn in turns)
    labels = target.with_suffix(".csv")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        for path, data in ((target, audio.encode_wav(samples, SAMPLE_RATE)), (labels, text.getvalue().encode())):
            beside = path.with_name(f".{path.name}.part")
            beside.write_bytes(data)
            beside.replace(path)
    except OSError as error:
        raise InvalidSettings(f"{target} cannot be written ({error.strerror}).") from None
    return labels


def read_turns(path: Path) -> list[Turn]:
    """Read a CSV with the columns start, end (seconds), emotion and, if it is known, speaker.

    An emotion may have any common name ("anger"), or that of one of paper-3's groups; what is neither stays as it is.

    Raises
    ------
    CorpusError
        There is no such file, a column is missing, a line makes no sense, or two turns are at the same time.
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
        except KeyError as error:
            raise CorpusError(f"{path} has no column {error}; it needs start, end and emotion.") from None
        except (TypeError, ValueError, AttributeError):
            raise CorpusError(f"{path}, line {number}: start and end are seconds, emotion is a word.") from None
        if not 0 <= start < end < float("inf") or not word:
            raise CorpusError(f"{path}, line {number}: start and end are seconds, emotion is a word.")
        group = next((label for label in LABEL_SETS[GROUPS].labels if label == word.lower()), None)
        turns.append(Turn(start, end, find_emotion(word) or group or word.lower(), (row.get("speaker") or "").strip()))
    turns.sort(key=lambda turn: turn.start)
    if not turns:
        raise CorpusError(f"{path} names no turn.")
    if any(after.start < before.end - 1e-3 for before, after in pairwise(turns)):
        raise CorpusError(f"{path} has two turns at the same time; of each moment one emotion can be right.")
    return turns
