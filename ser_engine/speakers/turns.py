"""Who speaks when on one channel, as the settings say, and a lane for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ser_engine.audio.clean import cut_spans
from ser_engine.models.overlap_detector import load_detector
from ser_engine.models.voice_embedder import load_embedder
from ser_engine.settings import Settings
from ser_engine.speakers import pyannote_pipeline
from ser_engine.speakers.diarization import Embeddings, Turn, embed, find_overlaps, find_turns
from ser_engine.speakers.lanes import Lane
from ser_engine.speakers.spans import intersect, without
from ser_engine.types import CleanSpeech, Span, total_s

# Shorter recordings are taken for those of one speaker, unless the number is given.
AUTO_FROM_S = 10.0


class TurnFinder:
    """Finds the turns of a recording that is given piece by piece, of which the embeddings alone are kept.

    A pipeline of pyannote.audio needs all of the sound at once, which is kept for it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._embeddings: list[Embeddings] = []
        self._pieces: list[NDArray[np.float32]] = []

    def add(self, samples: NDArray[np.float32], speech: Sequence[Span], start_s: float = 0.0) -> None:
        """Take the next piece, float32 [n] at 16 kHz and an even level, which begins at `start_s`, and its speech.

        Raise WeightsUnavailable if a model is missing.
        """
        if pyannote_pipeline.is_chosen(self.settings):
            self._pieces.append(samples)
        elif speech:
            self._embeddings.append(embed(samples, speech, self.settings, start_s))

    def turns(self) -> tuple[Turn, ...]:
        """Return who speaks when, in order."""
        if self._pieces:
            return pyannote_pipeline.find_turns(np.concatenate(self._pieces), self.settings)
        if not self._embeddings:
            return ()
        return find_turns(Embeddings.join(self._embeddings), given_number(self.settings))


def load_models(settings: Settings) -> None:
    """Load what finds the speakers as the settings say; raise WeightsUnavailable if something is missing."""
    if pyannote_pipeline.is_chosen(settings):
        pyannote_pipeline.load_pipeline(settings)
    elif settings.speakers != "off":
        load_embedder(settings)
        load_detector(settings)


def separate(
    speech: CleanSpeech, settings: Settings, turns: Sequence[Turn] | None = None
) -> tuple[tuple[Lane, ...], tuple[Span, ...]]:
    """Return the speech of each speaker of one channel, as `settings.speakers` says, and that of several at once.

    There are no lanes of a single speaker. `turns` are those of a stretch of a longer recording, where they are known;
    then there may be one lane. Raise WeightsUnavailable if a model is missing.
    """
    if speech.recording is None or (turns is None and not may_be_several(settings, speech.quality.duration_s)):
        return (), ()
    known = turns is not None
    if turns is None:
        finder = TurnFinder(settings)
        finder.add(speech.recording, speech.segments)
        turns = finder.turns()
    overlaps = intersect(speech.segments, find_overlaps(turns))
    earlier = _first_alone(turns)
    lanes = []
    for number in sorted({turn.speaker for turn in turns}):
        clear = _select(speech, without([turn for turn in turns if turn.speaker == number], overlaps))
        if clear.quality.speech_s < settings.min_speech_s:
            continue
        words = _select(speech, [turn for turn in earlier if turn.speaker == number]) if overlaps else None
        lanes.append(Lane(clear, f"Speaker {number + 1}", words=words))
    return (tuple(lanes), overlaps) if known or len(lanes) > 1 else ((), ())


def _first_alone(turns: Sequence[Turn]) -> list[Turn]:
    """Return turns without overlap: while a turn lasts, no other one begins."""
    alone: list[Turn] = []
    end = 0.0
    for turn in sorted(turns, key=lambda turn: turn.start):
        if turn.end > end:
            alone.append(replace(turn, start=max(turn.start, end)))
            end = turn.end
    return alone


def _select(speech: CleanSpeech, turns: Sequence[Span]) -> CleanSpeech:
    """Return the part of the speech that lies in turns."""
    assert speech.recording is not None
    segments = intersect(speech.segments, turns)
    samples = cut_spans(speech.recording, segments) if segments else speech.samples[:0]
    quality = replace(speech.quality, speech_s=total_s(segments), warnings=())
    return replace(speech, samples=samples, segments=segments, quality=quality)


def given_number(settings: Settings) -> int | None:
    """Return the number of speakers, where the settings give it."""
    return int(settings.speakers) if settings.speakers.isdecimal() else None


def may_be_several(settings: Settings, seconds: float) -> bool:
    """Whether a recording of so many seconds is searched for several speakers."""
    given = given_number(settings)
    if settings.speakers == "off" or given == 1:
        return False
    return given is not None or pyannote_pipeline.is_chosen(settings) or seconds >= AUTO_FROM_S
