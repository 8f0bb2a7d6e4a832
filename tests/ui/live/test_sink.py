"""The microphone's sink: every frame in order, and no task left, whenever it is stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from fractions import Fraction

import aiortc
import numpy as np
import streamlit_webrtc
from aiortc.contrib.media import MediaRelay
from aiortc.rtcrtpreceiver import RemoteStreamTrack
from av import AudioFrame
from streamlit_webrtc import create_audio_sink_track
from streamlit_webrtc.sink import AudioSinkTrack, MediaSink

from ui.live.sink import Sink


def frame(number: int) -> AudioFrame:
    made = AudioFrame.from_ndarray(np.full((1, 1920), number, np.int16), format="s16", layout="stereo")
    made.sample_rate, made.pts, made.time_base = 48_000, 960 * number, Fraction(1, 48_000)
    return made


def leftovers(work: Coroutine) -> list[str]:
    """Run `work` on a loop of its own and return what else is still running on it a moment later."""

    async def watched() -> list[str]:
        await work
        await asyncio.sleep(0.05)
        return [task.get_coro().__qualname__ for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    return asyncio.run(watched())


class Arrivals:
    """What a sink handed on."""

    def __init__(self) -> None:
        self.frames: list[AudioFrame] = []
        self.ended = 0

    def sink(self) -> Sink:
        return Sink(self.frames.append, self.end)

    def end(self) -> None:
        self.ended += 1

    @property
    def numbers(self) -> list[int]:
        return [int(one.to_ndarray()[0, 0]) for one in self.frames]


def test_it_is_a_sink_for_streamlit_webrtc() -> None:
    assert isinstance(Arrivals().sink(), MediaSink)


def test_every_frame_comes_in_order_and_the_end_is_known() -> None:
    arrivals = Arrivals()

    async def session() -> None:
        source, sink = RemoteStreamTrack("audio"), arrivals.sink()
        sink.addTrack(MediaRelay().subscribe(source))
        assert sink.hasTrack()
        sink.start()
        for number in range(100):
            source._queue.put_nowait(frame(number))
        source._queue.put_nowait(None)  # how aiortc ends a track
        await asyncio.sleep(0.05)

    assert leftovers(session()) == []
    assert arrivals.numbers == list(range(100)) and arrivals.ended == 1


def test_stopped_before_any_sound_nothing_is_left() -> None:
    arrivals = Arrivals()

    async def session() -> None:
        sink = arrivals.sink()
        sink.addTrack(MediaRelay().subscribe(RemoteStreamTrack("audio")))
        sink.start()
        await asyncio.sleep(0.02)
        sink.stop()
        sink.stop()

    assert leftovers(session()) == [] and not arrivals.frames and arrivals.ended == 1


def test_stopped_from_another_thread_amid_sound_nothing_is_left() -> None:
    arrivals = Arrivals()

    async def session() -> None:
        source, sink = RemoteStreamTrack("audio"), arrivals.sink()
        sink.addTrack(MediaRelay().subscribe(source))
        sink.start()
        source._queue.put_nowait(frame(7))
        await asyncio.sleep(0.02)
        stopper = threading.Thread(target=sink.stop)
        stopper.start()
        await asyncio.sleep(0.02)
        stopper.join()
        assert not sink.hasTrack()

    assert leftovers(session()) == [] and arrivals.numbers == [7] and arrivals.ended == 1


def test_stopped_before_it_was_started_the_end_is_known_too() -> None:
    arrivals = Arrivals()

    async def session() -> None:
        sink = arrivals.sink()
        sink.addTrack(MediaRelay().subscribe(RemoteStreamTrack("audio")))
        sink.stop()

    assert leftovers(session()) == [] and arrivals.ended == 1


def test_ten_sessions_through_one_relay_leave_nothing() -> None:
    arrivals = Arrivals()

    async def sessions() -> None:
        relay, sink = MediaRelay(), arrivals.sink()
        for number in range(10):
            source = RemoteStreamTrack("audio")
            sink.addTrack(relay.subscribe(source))
            sink.start()
            source._queue.put_nowait(frame(number))
            await asyncio.sleep(0.01)
            sink.stop()

    assert leftovers(sessions()) == [] and arrivals.numbers == list(range(10))


def test_the_own_sink_is_still_needed() -> None:
    """Fails when the library's own sink leaves no task any more: then `ui/live_sink.py` can go."""
    assert callable(create_audio_sink_track)

    async def session() -> None:
        sink = AudioSinkTrack(callback=lambda _: None)
        sink.addTrack(MediaRelay().subscribe(RemoteStreamTrack("audio")))
        sink.start()
        await asyncio.sleep(0.02)
        sink.stop()

    versions = f"streamlit-webrtc {streamlit_webrtc.__version__}, aiortc {aiortc.__version__}"
    assert any("run_track" in name for name in leftovers(session())), f"{versions}: use AudioSinkTrack again"
