"""A live session beside the page: one thread scores what the microphone gives, another writes down the words.

Both end with the session, however that comes: stop, a closed tab, another page, a connection that breaks.
"""

from __future__ import annotations

import logging
import os
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
"""How long the first sound may take; then there is the recorder instead."""
LOST_S = 4.0
"""Without a frame for so long, the browser is gone: a microphone that is silent sends frames as well."""
GLANCE_S = 0.02
"""How often the queue is looked at: a frame's length."""
BATCH_S = 0.1
"""What is scored at once at most, so that the session knows how much waits behind it."""
NICE = 10
"""How much the words' thread stands back behind the scores, on systems where a thread has a niceness."""

Ending = Literal["stopped", "left", "lost", "unreachable", "full", "failed"]
"""Why a session is over: the person, the page or the connection, no connection at all, an hour, or trouble."""


class Frame(Protocol):
    """What `av.AudioFrame` gives."""

    samples: int
    sample_rate: int

    def to_ndarray(self) -> NDArray: ...  # noqa: D102


class Sound:
    """Samples that are no frame of a connection: float or int16 [n] at a rate in Hz."""

    def __init__(self, samples: NDArray, sample_rate: int) -> None:
        self._array, self.samples, self.sample_rate = samples, len(samples), sample_rate

    def to_ndarray(self) -> NDArray:
        """Return the samples."""
        return self._array


class LiveJob:
    """One session, begun when this is made.

    Attributes
    ----------
    session
        What was heard so far; any thread may read its `timeline` and `level_db`.
    words
        What was said, in order; replaced as a whole.
    ending
        Why it ended; None while it goes on. With "failed", `error` says it in a sentence.
    ended, worded
        Set when the last score, and the last word, is there.
    sink
        Where a connection puts its frames; the microphone's own.
    hang_up
        Closes the connection, if there is one: called when the session has ended, also where no page is there to see.
    """

    def __init__(self, analyzer: Analyzer, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings: Settings = analyzer.settings
        self.session = LiveSession(analyzer, keep_audio=True, words=self.settings.transcribe, clock=clock)
        self.words: tuple[TranscriptSegment, ...] = ()
        self.ending: Ending | None = None
        self.error = ""
        self.ended, self.worded = threading.Event(), threading.Event()
        self.sink: Any = None
        self.hang_up: Callable[[], object] | None = None
        self._analyzer, self._clock = analyzer, clock
        self._frames: deque[Frame] = deque()
        self._heard: float | None = None
        self._begun = clock()
        self._deciding = threading.Lock()
        self._over, self._forgotten = threading.Event(), threading.Event()
        self._wav: bytes | None = None
        threading.Thread(target=self._score, name="live-scores", daemon=True).start()
        if self.settings.transcribe:
            threading.Thread(target=self._write, name="live-words", daemon=True).start()
        else:
            self.worded.set()

    @property
    def connected(self) -> bool:
        """Whether any sound has come."""
        return self._heard is not None

    def take(self, frame: Frame) -> None:
        """Put a frame aside; cheap enough for the server's event loop."""
        if not self._over.is_set():
            self._frames.append(frame)

    def connect(self) -> None:
        """Begin to count the seconds that a connection may take: only now has the browser been told to make one."""
        self._begun = self._clock()

    def end(self, ending: Ending) -> None:
        """Let it end, from any thread; the first reason counts."""
        with self._deciding:
            if self.ending is None:
                self.ending = ending
        self._over.set()

    def forget(self) -> None:
        """Let it end, words as well: nobody waits for them."""
        self._forgotten.set()
        self.end("stopped")

    def wav(self) -> bytes:
        """Return the session as a wav file, made once; call it when it has ended."""
        if self._wav is None:
            self._wav = self.session.wav()
        return self._wav

    def _score(self) -> None:
        try:
            while not self._over.wait(GLANCE_S):
                self._push()
                self._look_at_the_clock()
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
        """Score all that waits."""
        while self._frames:
            frame = self._frames.popleft()
            rate, chunk = frame.sample_rate, [_channels_last(frame)]
            length = len(chunk[0])
            self._heard = self._clock()
            while self._frames and length < BATCH_S * rate and self._frames[0].sample_rate == rate:
                chunk.append(_channels_last(self._frames.popleft()))
                length += len(chunk[-1])
            # All frames of a connection are of one length; nobody waits behind a recording.
            behind_s = None if isinstance(frame, Sound) else len(self._frames) * frame.samples / rate
            self.session.push(np.concatenate(chunk), rate, behind_s)

    def _look_at_the_clock(self) -> None:
        now = self._clock()
        if self._heard is None and now - self._begun > CONNECT_S:
            self.end("unreachable")
        elif self._heard is not None and now - self._heard > LOST_S:
            self.end("lost")

    def _fail(self, sentence: str) -> None:
        self.error = sentence
        self.end("failed")

    def _write(self) -> None:
        _stand_back()
        try:
            while not self._forgotten.is_set():
                last = self.ended.wait(GLANCE_S * 5)
                for spoken in self.session.take_segments():
                    if self._forgotten.is_set():
                        return
                    self.words += spoken.transcribe(self._analyzer.transcriber, self.settings)
                if last:
                    return
        except Exception:
            # The scores go on without the words; nobody's session ends for them.
            logging.getLogger(__name__).exception("The words of a live session could not be written down")
        finally:
            self.worded.set()


def hear(recording: bytes, analyzer: Analyzer) -> LiveJob:
    """Return a session that hears a recording instead of a microphone, and ends with it.

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


def _channels_last(frame: Frame) -> NDArray:
    """Return a frame's samples as [n] or [n, channels]; packed ones, as WebRTC's are, come as [1, n * channels]."""
    samples = frame.to_ndarray()
    if samples.ndim == 1:
        return samples
    return samples.reshape(frame.samples, -1) if samples.shape[0] == 1 else samples.T


def _stand_back() -> None:
    """Let other threads go first, so that words never delay scores; Linux alone knows a thread's niceness."""
    if hasattr(threading, "get_native_id") and hasattr(os, "setpriority"):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
