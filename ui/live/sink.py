"""A sink for streamlit-webrtc that takes the microphone's frames, loses none and leaves no task behind.

The sinks of streamlit-webrtc 0.79.0, when stopped before any sound has come, leave a task of aiortc 1.16.0 waiting
forever. `release` is the only function that touches private attributes of aiortc; a test fails when it is no longer
needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame


class Sink:
    """Passes every frame of one track on, in order (the protocol `streamlit_webrtc.sink.MediaSink`).

    Parameters
    ----------
    take : called with each frame, on the server's event loop, so it should only queue the frame
    ended : called once, from any thread, when there are no more frames
    """

    def __init__(self, take: Callable[[AudioFrame], None], ended: Callable[[], None]) -> None:
        self._take, self._ended = take, ended
        self._track: MediaStreamTrack | None = None
        self._task: asyncio.Task[None] | None = None

    def addTrack(self, track: MediaStreamTrack) -> None:
        """Use this track instead of any other."""
        self.stop()
        self._track = track

    def hasTrack(self) -> bool:
        """Whether there is a track."""
        return self._track is not None

    def start(self) -> None:
        """Start to receive; called by streamlit-webrtc on the event loop."""
        if self._track is not None and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._receive(self._track))

    def stop(self) -> None:
        """Release the track, from any thread; may be called again."""
        track, task = self._track, self._task
        self._track = self._task = None
        if track is None:
            return
        if task is None or task.get_loop().is_closed():
            track.stop()
            self._ended()
        else:
            with suppress(RuntimeError):  # the loop has just closed, with its tasks
                task.get_loop().call_soon_threadsafe(release, track, task)

    async def _receive(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                self._take(await track.recv())  # type: ignore[arg-type]
        except MediaStreamError:
            pass
        finally:
            self._ended()


def release(track: MediaStreamTrack, task: asyncio.Task[None]) -> None:
    """End the tasks of a sink and of its relay, on the event loop.

    The relay waits for the next frame of the browser's track. If none comes, only None in the queue of that track ends
    it, as aiortc itself does.
    """
    source = getattr(track, "_source", None)
    task.cancel()
    track.stop()
    queue = getattr(source, "_queue", None)
    if queue is not None:
        queue.put_nowait(None)
