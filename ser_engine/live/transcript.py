"""What was said in a live session, stretch by stretch, for whoever transcribes it beside the scores.

Transcribing takes longer than scoring, so a session never does it: it hands out stretches of speech that ended at a
pause, and a thread of the caller's turns them into words when it has time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import NoSpeech
from ser_engine.live.ring_buffer import RingBuffer
from ser_engine.settings import Settings
from ser_engine.types import SAMPLE_RATE, CleanSpeech, Recording, SourceInfo, Span, TranscriptSegment

if TYPE_CHECKING:
    from ser_engine.transcription.transcriber import Transcriber

# A stretch ends where nobody speaks for so long; shorter pauses lie within sentences.
PAUSE_S = 0.6
# Who speaks on and on is cut after this: it fits into one window of the transcriber (15.36 s less a margin).
LONGEST_S = 12.0
# Handed out around a stretch, since the first consonant of a sentence is easily taken for noise.
AROUND_S = 0.3
# Utterances that wait for a transcriber; at most 7 MB. Older ones are lost, and counted.
WAITING = 8

LIVE = SourceInfo("live", "LIVE", "PCM", 1, SAMPLE_RATE, 0)
"""What the engine's reports call the sound of a session."""


@dataclass(frozen=True)
class Utterance:
    """A stretch of speech: float32 [n] at 16 kHz that begin `start` seconds into the session."""

    start: float
    samples: NDArray[np.float32] = field(repr=False)

    @property
    def end(self) -> float:
        """Seconds of the session at which it ends."""
        return self.start + len(self.samples) / SAMPLE_RATE

    def clean(self, settings: Settings) -> CleanSpeech | None:
        """Return it as a model or the transcriber hears it; None where there is too little speech after all."""
        from ser_engine.audio.clean import clean_speech

        try:
            return clean_speech(Recording(self.samples, SAMPLE_RATE, LIVE), settings)
        except NoSpeech:
            return None

    def transcribe(self, transcriber: Transcriber, settings: Settings) -> tuple[TranscriptSegment, ...]:
        """Return the words with their times in the session; none where nothing intelligible was said."""
        speech = self.clean(settings)
        if speech is None:
            return ()
        found = transcriber.transcribe(speech).segments
        return tuple(replace(one, start=self.start + one.start, end=self.start + one.end) for one in found)


class Segmenter:
    """Cuts a session at its pauses, told window by window where somebody spoke.

    Parameters
    ----------
    latest : the session's sound; it has to hold `LONGEST_S`, a window and a little more
    """

    def __init__(self, latest: RingBuffer) -> None:
        self.lost = 0
        """How many stretches nobody fetched in time."""
        self._latest = latest
        self._open: float | None = None
        self._closed, self._paused = 0.0, False
        self._waiting: deque[Utterance] = deque()

    def window(self, end: float, speech: Sequence[Span]) -> None:
        """Learn of a window that ends at `end`; all times are seconds of the session, spans in order."""
        new = self._new(speech)
        if not new:
            self.close(end)
            return
        if self._open is None:
            self._open = new[0].start
        ends = [*(span.start for span in new[1:]), end]
        for number, (span, following) in enumerate(zip(new, ends, strict=True)):
            if following - span.end >= PAUSE_S:
                self.close(span.end)
                self._open = new[number + 1].start if number + 1 < len(new) else None
        if self._open is not None and end - self._open >= LONGEST_S:
            self.close(new[-2].end if len(new) > 1 and new[-2].end > self._open else end, paused=False)

    def close(self, end: float, paused: bool = True) -> None:
        """End the stretch that is open, if one is, at `end` seconds; without a pause, its speech goes on after that."""
        if self._open is None:
            return
        self._waiting.append(self._spoken(self._open, end + AROUND_S))
        self._open, self._closed, self._paused = None, end, paused
        while len(self._waiting) > WAITING:
            self._waiting.popleft()
            self.lost += 1

    def _new(self, speech: Sequence[Span]) -> list[Span]:
        """Return the spans that belong to no stretch that has ended.

        What reaches over the end of one into its pause is doubt of the detector, which hears only the rest of it now.
        """
        if self._paused:
            return [span for span in speech if span.start >= self._closed]
        return [Span(max(span.start, self._closed), span.end) for span in speech if span.end > self._closed + AROUND_S]

    def take(self) -> list[Utterance]:
        """Return the stretches that have ended since the last call, the oldest first."""
        taken = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        return taken

    def so_far(self) -> Utterance | None:
        """Return the stretch that is being spoken, up to now; None in a pause."""
        begun = self._open  # once: another thread may close it
        return None if begun is None else self._spoken(begun, self._latest.total / SAMPLE_RATE)

    def _spoken(self, start: float, end: float) -> Utterance:
        last = min(round(end * SAMPLE_RATE), self._latest.total)
        samples = self._latest.between(max(0, round((start - AROUND_S) * SAMPLE_RATE)), last)
        return Utterance((last - len(samples)) / SAMPLE_RATE, samples)
