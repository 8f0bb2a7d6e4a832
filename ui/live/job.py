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
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

from av import AudioFrame
from numpy.typing import NDArray

from ser_engine import Analyzer, Settings
from ser_engine.audio.decode import load_audio
from ser_engine.errors import SerError, TooLarge
from ser_engine.live.player import play_recording
from ser_engine.live.session import MAX_SESSION_S, LiveSession
from ser_engine.types import Baseline, Recording, TranscriptSegment

CONNECT_S = 10.0
"""How long the first sound may take before the recorder is offered instead."""
LOST_S = 4.0
"""Without a frame for so long, the browser is gone: a silent microphone sends frames, too."""
POLL_S = 0.02
"""How often the queue is polled: a frame's length."""
NICE = 10
"""Niceness of the transcribing thread on Linux, so that it never delays scores."""

Ending = Literal["stopped", "played", "left", "lost", "unreachable", "full", "failed"]
"""Why a session ended: by the person, the example, the page, the connection, no connection, an hour, or an error."""


class LiveJob:
    """One session, relative to the speaker's `baseline`, if any; a `recording` is scored before any frames.

    An `example` is scored instead of frames, as fast as it is spoken.

    Attributes
    ----------
    session : the scored windows so far; any thread may read its `timeline` and `level_db`
    words : the transcript so far, in order; replaced as a whole
    ending : why it ended; None while it goes on. With "failed", `error` is a sentence
    ended, transcribed : set when the last score, and the last word, is there
    sink : where a connection puts its frames; set by `ui.live.microphone`
    hang_up : closes the connection, if there is one; called at the end of the session, even if the page is gone
    """

    def __init__(
        self,
        analyzer: Analyzer,
        clock: Callable[[], float] = time.monotonic,
        recording: Recording | None = None,
        baseline: Baseline | None = None,
        example: Recording | None = None,
    ) -> None:
        self.settings: Settings = analyzer.settings
        self.session = LiveSession(
            analyzer, keep_audio=True, words=self.settings.transcribe, baseline=baseline, clock=clock
        )
        self.words: tuple[TranscriptSegment, ...] = ()
        self.ending: Ending | None = None
        self.error = ""
        self.ended, self.transcribed = threading.Event(), threading.Event()
        self.sink: Any = None
        self.hang_up: Callable[[], object] | None = None
        self.example = example
        self._analyzer, self._clock, self._recording = analyzer, clock, recording
        self._frames: deque[AudioFrame] = deque()
        self._last_frame_at: float | None = None
        self._started_at = clock()
        self._deciding = threading.Lock()
        self._over, self._discarded = threading.Event(), threading.Event()
        threading.Thread(target=self._score, name="live-scores", daemon=True).start()
        if self.settings.transcribe:
            threading.Thread(target=self._transcribe, name="live-words", daemon=True).start()
        else:
            self.transcribed.set()

    @property
    def connected(self) -> bool:
        """Whether any sound has come."""
        return self._last_frame_at is not None or self.example is not None

    def take(self, frame: AudioFrame) -> None:
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

    @cached_property
    def wav(self) -> bytes:
        """The session as a wav file, made once; to be read after the end."""
        return self.session.wav()

    def _score(self) -> None:
        try:
            if self._recording is not None:
                self.session.push(self._recording.samples, self._recording.rate)  # no window of it is ever late
            if self.example is not None:
                self._play(self.example)
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

    def _play(self, example: Recording) -> None:
        """Score an example in real time, and end the session with it."""
        for _ in play_recording(example, self.session, realtime=True):
            if self._over.is_set():
                return
        self.end("played")

    def _push(self) -> None:
        """Score all waiting frames."""
        while self._frames:
            frame, self._last_frame_at = self._frames.popleft(), self._clock()
            # All frames of a connection are of one length.
            waiting_s = len(self._frames) * frame.samples / frame.sample_rate
            self.session.push(_channels_last(frame), frame.sample_rate, waiting_s)

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


def play(recording: bytes, analyzer: Analyzer, baseline: Baseline | None = None) -> LiveJob:
    """Return a session of a recording instead of a microphone, which ends with it; SerError if it cannot be decoded."""
    settings = replace(analyzer.settings, max_seconds=min(analyzer.settings.max_seconds, MAX_SESSION_S))
    job = LiveJob(analyzer, recording=load_audio(recording, settings), baseline=baseline)
    job.end("stopped")
    return job


def play_aloud(recording: bytes, analyzer: Analyzer) -> LiveJob:
    """Return a session of a recording that the browser plays at the same time; SerError if it cannot be decoded."""
    return LiveJob(analyzer, example=load_audio(recording, analyzer.settings))


def _channels_last(frame: AudioFrame) -> NDArray[Any]:
    """Return a frame's samples as [n, channels]; packed ones, as WebRTC's are, come as [1, n * channels]."""
    samples = frame.to_ndarray()
    return samples.reshape(frame.samples, -1) if samples.shape[0] == 1 else samples.T


def _lower_priority() -> None:
    """Let other threads go first; elsewhere than on Linux, a single thread has no priority that Python can set."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
