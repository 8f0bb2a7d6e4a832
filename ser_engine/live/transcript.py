"""Transcribe the speech of a live session, one segment at a time.

Transcription takes longer than classification, so a session leaves it to its caller: the session offers the segments
of speech that ended at a pause, and a thread of the caller transcribes them when it has time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ser_engine.audio.clean import clean_speech
from ser_engine.errors import NoSpeech
from ser_engine.settings import Settings
from ser_engine.transcription.language import main_language
from ser_engine.transcription.transcriber import Transcriber
from ser_engine.types import SAMPLE_RATE, Recording, SourceInfo, TranscriptSegment

LIVE = SourceInfo("live", "LIVE", "PCM", 1, SAMPLE_RATE, 0)
"""The source of a session's audio in the engine's reports."""


@dataclass(frozen=True)
class SpeechSegment:
    """Speech between two pauses: float32 [n] at 16 kHz that begin `start` seconds into the session."""

    start: float
    samples: NDArray[np.float32] = field(repr=False)

    @property
    def end(self) -> float:
        """Seconds of the session at which the segment ends."""
        return self.start + len(self.samples) / SAMPLE_RATE

    def transcribe(
        self, transcriber: Transcriber, settings: Settings, before: Sequence[TranscriptSegment] = ()
    ) -> tuple[TranscriptSegment, ...]:
        """Return the words with their times in the session; empty without intelligible speech.

        A doubtful language is taken to be that of most of the speech `before`.
        """
        try:
            speech = clean_speech(Recording(self.samples, SAMPLE_RATE, LIVE), settings)
        except NoSpeech:
            return ()
        segments = transcriber.transcribe(speech, main=main_language(before)).segments
        return tuple(replace(part, start=self.start + part.start, end=self.start + part.end) for part in segments)
