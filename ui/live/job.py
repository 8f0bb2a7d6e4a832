"""A live session in the background: one thread scores the microphone's frames, another one transcribes.

Both end with the session, for whatever reason: stop, a closed tab, another page, a broken connection.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ser_engine.errors import SerError, TooLarge
from ser_engine.live.session import LiveSession
from ser_engine.types import TranscriptSegment

if TYPE_CHECKING:
    from ser_engine import Analyzer, Settings

CONNECT_S = 10.0
"""How long the first sound may take before the recorder is offered instead."""
LOST_S = 4.0
"""Without a frame for so long, the browser is gone: a silent microphone sends frames, too."""
POLL_S = 0.02
"""How often the queue is polled: a frame's length."""
BATCH_S = 0.1
"""How much is scored at once at most, so that the session knows how much is waiting."""
NICE = 10
"""Niceness of the transcribing thread on Linux, so that it never delays scores."""

Ending = Literal["stopped", "left", "lost", "unreachable", "full", "failed"]
"""Why a session ended: by the person, the page, the connection, no connection at all, an hour, or an error."""


class Frame(Protocol):
    """The part of `av.AudioFrame` that is used."""

    samples: int
    sample_rate: int

    def to_ndarray(self) -> NDArray[Any]: ...  # noqa: D102


class Sound:
    """A frame that comes from no connection: float or int16 samples [n] at a rate in Hz."""

    def __init__(self, samples: NDArray[Any], sample_rate: int) -> None:
        self._array, self.samples, self.sample_rate = samples, len(samples), sample_rate

    def to_ndarray(self) -> NDArray[Any]:
        """Return the samples."""
        return self._array


class LiveJob:
    """One session, started on creation.

    Attributes
    ----------
    session
        The scored windows so far; any thread may read its `timeline` and `level_db`.
    words
        The transcript so far, in order; replaced as a whole.
    ending
        Why it ended; None while it goes on. With "failed", `error` is a sentence.
    ended, transcribed
        Set when the last score, and the last word, is there.
    sink
        Where a connection puts its frames; set by `ui.live.microphone`.
    hang_up
        Closes the connection, if there is one; called at the end of the session, even if the page is gone.
    """

    def __init__(self, analyzer: Analyzer, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings: Settings = analyzer.settings
        self.session = LiveSession(analyzer, keep_audio=True, words=self.settings.transcribe, clock=clock)
        self.words: tuple[TranscriptSegment, ...] = ()
        self.ending: Ending | None = None
        self.error = ""
        self.ended, self.transcribed = threading.Event(), threading.Event()
        self.sink: Any = None
        self.hang_up: Callable[[], object] | None = None
        self._analyzer, self._clock = analyzer, clock
        self._frames: deque[Frame] = deque()
        self._last_frame_at: float | None = None
        self._started_at = clock()
        self._deciding = threading.Lock()
        self._over, self._discarded = threading.Event(), threading.Event()
        self._wav: bytes | None = None
        threading.Thread(target=self._score, name="live-scores", daemon=True).start()
        if self.settings.transcribe:
            threading.Thread(target=self._transcribe, name="live-words", daemon=True).start()
        else:
            self.transcribed.set()

    @property
    def connected(self) -> bool:
        """Whether any sound has come."""
        return self._last_frame_at is not None

    def take(self, frame: Frame) -> None:
        """Queue a frame; cheap enough for the server's event loop."""
        if not self._over.is_set():
            self._frames.append(frame)

    def connect(self) -> None:
        """Start the timeout of the connection, which the browser has just been asked to make."""
        self._started_at = self._clock()

    def end(self, ending: Ending) -> None:
        """End the session, from any thread; the first reason counts."""
        with self._deciding:
            if self.ending is None:
                self.ending = ending
        self._over.set()

    def discard(self) -> None:
        """End the session and its transcription."""
        self._discarded.set()
        self.end("stopped")

    def wav(self) -> bytes:
        """Return the session as a wav file, made once; call it after the end."""
        if self._wav is None:
            self._wav = self.session.wav()
        return self._wav

    def _score(self) -> None:
        try:
            while not self._over.wait(POLL_S):
                self._push()
                self._check_timeouts()
            self._push()
        except TooLarge:
            self.end("full")
        except SerError as error:
            self._fail(str(error))
        except Exception:
            logging.getLogger(__name__).exception("A live session failed unexpectedly")
            self._fail("Something went wrong; the session ended here.")
        finally:
            self._frames.clear()
            try:
                self.session.finish()
            except Exception:
                logging.getLogger(__name__).exception("The end of a live session could not be scored")
            self.ended.set()
            if self.hang_up is not None:
                self.hang_up()
                self.hang_up = None

    def _push(self) -> None:
        """Score all waiting frames."""
        while self._frames:
            frame = self._frames.popleft()
            rate, chunk = frame.sample_rate, [_channels_last(frame)]
            length = len(chunk[0])
            self._last_frame_at = self._clock()
            while self._frames and length < BATCH_S * rate and self._frames[0].sample_rate == rate:
                chunk.append(_channels_last(self._frames.popleft()))
                length += len(chunk[-1])
            # All frames of a connection are of one length; a recording is never behind.
            behind_s = None if isinstance(frame, Sound) else len(self._frames) * frame.samples / rate
            self.session.push(np.concatenate(chunk), rate, behind_s)

    def _check_timeouts(self) -> None:
        now = self._clock()
        if self._last_frame_at is None and now - self._started_at > CONNECT_S:
            self.end("unreachable")
        elif self._last_frame_at is not None and now - self._last_frame_at > LOST_S:
            self.end("lost")

    def _fail(self, sentence: str) -> None:
        self.error = sentence
        self.end("failed")

    def _transcribe(self) -> None:
        _lower_priority()
        try:
            while not self._discarded.is_set():
                last = self.ended.wait(POLL_S * 5)
                for segment in self.session.take_segments():
                    if self._discarded.is_set():
                        return
                    self.words += segment.transcribe(self._analyzer.transcriber, self.settings)
                if last:
                    return
        except Exception:
            # The scores go on without the transcript.
            logging.getLogger(__name__).exception("A live session could not be transcribed")
        finally:
            self.transcribed.set()


def play(recording: bytes, analyzer: Analyzer) -> LiveJob:
    """Return a session of a recording instead of a microphone, which ends with it.

    Raises
    ------
    SerError
        The recording cannot be decoded.
    """
    from ser_engine.audio.decode import load_audio

    waveform = load_audio(recording, analyzer.settings, name="Your recording.wav")
    job = LiveJob(analyzer)
    job.take(Sound(waveform.samples, waveform.rate))
    job.end("stopped")
    return job


def _channels_last(frame: Frame) -> NDArray[Any]:
    """Return a frame's samples as [n] or [n, channels]; packed ones, as WebRTC's are, come as [1, n * channels]."""
    samples = frame.to_ndarray()
    if samples.ndim == 1:
        return samples
    return samples.reshape(frame.samples, -1) if samples.shape[0] == 1 else samples.T


def _lower_priority() -> None:
    """Let other threads go first; elsewhere than on Linux, a single thread has no priority that Python can set."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
