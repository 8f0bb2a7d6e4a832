"""Cut the audio of a live session into segments of speech, at its pauses."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ser_engine.live.ring_buffer import RingBuffer
from ser_engine.live.transcript import SpeechSegment
from ser_engine.types import SAMPLE_RATE, Span

# A segment ends where there is no speech for this long; shorter pauses occur within sentences.
PAUSE_S = 0.6
# Speech without a pause is cut after this, so that it fits into one window of the transcriber (15.36 s less a margin).
LONGEST_S = 12.0
# Added around a segment, since voice activity detection easily misses the first consonant of a sentence.
AROUND_S = 0.3
# Segments waiting for a transcriber; at most 7 MB. Older ones are dropped and counted.
WAITING = 8


class Segmenter:
    """Cuts a session at its pauses, given the spans of speech of one window after another.

    `audio` is the session's latest; it has to hold `LONGEST_S`, a window and a little more.
    """

    def __init__(self, audio: RingBuffer) -> None:
        self.lost = 0
        """Segments dropped because they were not taken in time."""
        self._audio = audio
        self._open: float | None = None
        self._closed, self._paused = 0.0, False
        self._waiting: deque[SpeechSegment] = deque()

    def add_window(self, end: float, speech: Sequence[Span]) -> None:
        """Continue with a window that ends at `end`; all times are seconds of the session, spans in order."""
        new = self._new_spans(speech)
        if not new:
            self.close(end)
            return
        if self._open is None:
            self._open = new[0].start
        starts = [*(span.start for span in new[1:]), end]
        for number, (span, following) in enumerate(zip(new, starts, strict=True)):
            if following - span.end >= PAUSE_S:
                self.close(span.end)
                self._open = new[number + 1].start if number + 1 < len(new) else None
        if self._open is not None and end - self._open >= LONGEST_S:
            self.close(new[-2].end if len(new) > 1 and new[-2].end > self._open else end, paused=False)

    def close(self, end: float, paused: bool = True) -> None:
        """End the open segment, if any, at `end` seconds; if not at a pause, its speech continues after that."""
        if self._open is None:
            return
        self._waiting.append(self._cut(self._open, end + AROUND_S))
        self._open, self._closed, self._paused = None, end, paused
        while len(self._waiting) > WAITING:
            self._waiting.popleft()
            self.lost += 1

    def take(self) -> list[SpeechSegment]:
        """Return the segments that have ended since the last call, the oldest first."""
        taken = []
        while self._waiting:
            taken.append(self._waiting.popleft())
        return taken

    def _new_spans(self, speech: Sequence[Span]) -> list[Span]:
        """Return the spans that belong to no closed segment.

        A span that reaches from a closed segment into the pause after it is an error of the detector, to which only
        the segment's last part is still visible.
        """
        if self._paused:
            return [span for span in speech if span.start >= self._closed]
        return [Span(max(span.start, self._closed), span.end) for span in speech if span.end > self._closed + AROUND_S]

    def _cut(self, start: float, end: float) -> SpeechSegment:
        last = min(round(end * SAMPLE_RATE), self._audio.total)
        samples = self._audio.between(max(0, round((start - AROUND_S) * SAMPLE_RATE)), last)
        return SpeechSegment((last - len(samples)) / SAMPLE_RATE, samples)
