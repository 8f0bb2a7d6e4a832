"""Where the microphone's frames arrive: a sink for streamlit-webrtc that loses none and leaves nothing behind.

streamlit-webrtc 0.79.0 has sinks of its own, but one that is stopped before any sound has come leaves a task of
aiortc 1.16.0 waiting for good. `release` below is the only place that touches aiortc's private attributes; a test says
when it is no longer needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame


class Sink:
    """Hands every frame of one track on, in order (the protocol `streamlit_webrtc.sink.MediaSink`).

    Parameters
    ----------
    take : gets each frame, on the server's own event loop: it may put the frame aside, and nothing else
    ended : called once when no more will come, whoever ended it; from any thread
    """

    def __init__(self, take: Callable[[AudioFrame], None], ended: Callable[[], None]) -> None:
        self._take, self._ended = take, ended
        self._track: MediaStreamTrack | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def addTrack(self, track: MediaStreamTrack) -> None:
        """Take this track; another one that was there is let go."""
        self.stop()
        self._track = track

    def hasTrack(self) -> bool:
        """Whether there is a track."""
        return self._track is not None

    def start(self) -> None:
        """Begin to listen; streamlit-webrtc calls this on the event loop."""
        if self._track is not None and self._task is None:
            self._loop = asyncio.get_running_loop()
            self._task = self._loop.create_task(self._listen(self._track))

    def stop(self) -> None:
        """Let the track go, from any thread; once more does no harm."""
        track, task, loop = self._track, self._task, self._loop
        self._track = self._task = None
        if track is None:
            return
        if task is None or loop is None or loop.is_closed():
            track.stop()
            self._ended()
        else:
            with suppress(RuntimeError):  # the loop has closed this very moment, and its tasks with it
                loop.call_soon_threadsafe(release, track, task)

    async def _listen(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                self._take(await track.recv())  # type: ignore[arg-type]
        except MediaStreamError:
            pass
        finally:
            self._ended()


def release(track: MediaStreamTrack, task: asyncio.Task[None]) -> None:
    """End a sink's task and the relay's behind it, on the event loop.

    The relay waits for the next frame of the browser's track. Where none will ever come, only None in that track's
    queue, which is how aiortc itself ends a track, lets it go.
    """
    source = getattr(track, "_source", None)
    task.cancel()
    track.stop()
    queue = getattr(source, "_queue", None)
    if queue is not None:
        queue.put_nowait(None)
