"""Live sessions over a WebSocket: PCM in, updates out."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import WebSocket
from numpy.typing import NDArray
from pydantic import BaseModel, Field
from starlette.websockets import WebSocketDisconnect

from ser_engine.audio.limits import MAX_RATE, MIN_RATE
from ser_engine.errors import InvalidAudio, SerError, TooLarge
from ser_engine.live.session import HOP_S, WINDOW_S, LiveSession, Update
from ser_engine.service.analyses import Engines
from ser_engine.service.logs import log
from ser_engine.service.metrics import Metrics
from ser_engine.service.problems import Problem

FORMATS = {"s16le": "<i2", "f32le": "<f4"}
MAX_MESSAGE = 2**20
"""Bytes of a message."""
AHEAD_S = 10.0
"""Seconds of sound that may wait for the session; beyond them, the client's sending has to wait, too."""
NORMAL, GOING_AWAY, INVALID, POLICY, TOO_BIG, FAILED, AGAIN = 1000, 1001, 1007, 1008, 1009, 1011, 1013
RETRY_S = 10.0
END = {"type": "end"}


class LiveOptions(BaseModel, extra="forbid"):
    """The query of a live session."""

    rate: Annotated[int, Field(ge=MIN_RATE, le=MAX_RATE, description="samples per second")]
    format: Annotated[Literal["s16le", "f32le"], Field(description="encoding of the samples")] = "s16le"
    channels: Annotated[int, Field(ge=1, le=8, description="interleaved channels, of which the mean is taken")] = 1
    model: Annotated[str, Field(max_length=200, description="name of a model of /v1/models")] = ""
    window: Annotated[float, Field(ge=1, le=10, description="seconds of a window")] = WINDOW_S
    hop: Annotated[float, Field(ge=0.1, le=10, description="seconds between windows")] = HOP_S
    gate: Annotated[Literal["speech", "rms"], Field(description="windows that are scored: with speech, or loud")] = (
        "speech"
    )
    groups: Annotated[bool, Field(description="four groups of emotions instead of the labels of the model")] = False
    skip: Annotated[bool, Field(description="skip windows that are late, as for a microphone")] = True


class Sessions:
    """The live sessions of a service, a few at a time, each computed by a thread of its own."""

    def __init__(self, most: int, idle_s: float, metrics: Metrics) -> None:
        self.most, self.idle_s, self.metrics = most, idle_s, metrics
        self.open = 0
        self.stopping = asyncio.Event()
        """Set when sessions are to finish, since the service is being stopped."""
        self.pool = ThreadPoolExecutor(most, thread_name_prefix="service-live")

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Take a place for a session; raise a problem if there is none."""
        if self.stopping.is_set():
            raise Problem.retry("stopping", "The service is being stopped", RETRY_S)
        if self.open >= self.most:
            raise Problem.retry("busy", f"There are {self.most} live sessions, the most at a time", RETRY_S)
        self.open += 1
        self.metrics.sessions.inc()
        try:
            yield
        finally:
            self.open -= 1
            self.metrics.sessions.dec()

    async def finished(self, seconds: float) -> None:
        """Let all sessions finish, for so many seconds at most."""
        self.stopping.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.open:
                    await asyncio.sleep(0.05)


class Inbox:
    """The sound that waits for a session, as it comes from the client."""

    def __init__(self, websocket: WebSocket, options: LiveOptions) -> None:
        self._websocket, self._type = websocket, np.dtype(FORMATS[options.format])
        self._channels, self._rate = options.channels, options.rate
        self._frame = self._type.itemsize * options.channels
        self._bytes = bytearray()
        self._changed = asyncio.Condition()
        self.ended = self.left = False
        self.problem: Problem | None = None

    async def fill(self) -> None:
        """Take messages until the client ends the session or leaves."""
        most = round(AHEAD_S * self._rate) * self._frame
        while not self.ended:
            message = await self._websocket.receive()
            async with self._changed:
                if message["type"] == "websocket.disconnect":
                    self.ended = self.left = True
                elif (data := message.get("bytes")) is not None:
                    self._bytes += data
                elif _is_end(message.get("text") or ""):
                    self.ended = True
                else:
                    self.problem = Problem(
                        "bad-request", f"A text message is {json.dumps(END)}, which ends the session."
                    )
                    self.ended = True
                self._changed.notify_all()
                await self._changed.wait_for(lambda: len(self._bytes) <= most or self.ended)

    async def take(self) -> NDArray[Any] | None:
        """Wait for sound and return all of it, [n, channels]; None at the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._bytes) >= self._frame or self.ended)
            whole = len(self._bytes) // self._frame * self._frame
            if not whole:
                return None
            data = bytes(self._bytes[:whole])
            del self._bytes[:whole]
            self._changed.notify_all()
        return np.frombuffer(data, self._type).reshape(-1, self._channels)


def _is_end(text: str) -> bool:
    try:
        return bool(json.loads(text) == END)
    except ValueError:
        return False


async def serve_session(websocket: WebSocket, options: LiveOptions, engines: Engines, sessions: Sessions) -> None:
    """Serve one session, from its query to its end."""
    engine = engines.find(options.model)
    async with sessions.place():
        loop = asyncio.get_running_loop()
        model = await loop.run_in_executor(sessions.pool, lambda: engine.model)
        session = LiveSession(engine, window_s=options.window, hop_s=options.hop, gate=options.gate)
        await websocket.accept()
        inbox = Inbox(websocket, options)
        filling = asyncio.create_task(inbox.fill())
        try:
            await websocket.send_json({"type": "ready", "model": model.id, "labels": list(model.labels)})
            code = await _play(websocket, options, session, inbox, sessions)
            if code is not None:
                await websocket.close(code)
        except (WebSocketDisconnect, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not inbox.left:
                raise
        finally:
            filling.cancel()
            sessions.metrics.audio.labels("live").inc(session.duration_s)
            sessions.metrics.skipped.inc(session.skipped)
            websocket.state.log = {"audio_s": round(session.duration_s, 1), "skipped": session.skipped}


async def _play(
    websocket: WebSocket, options: LiveOptions, session: LiveSession, inbox: Inbox, sessions: Sessions
) -> int | None:
    """Send the updates of a session until it ends; return the code to close with, None if the client has left."""
    loop, pool = asyncio.get_running_loop(), sessions.pool
    behind = 0.0 if options.skip else None

    async def send(updates: list[Update]) -> None:
        for update in updates:
            shown = update.grouped() if options.groups else update
            await websocket.send_json({"type": "update", **shown.to_dict()})

    try:
        while not sessions.stopping.is_set():
            chunk = await _next(inbox, sessions)
            if chunk is None:
                break
            await send(await loop.run_in_executor(pool, session.push, chunk, options.rate, behind))
        if inbox.problem:
            raise inbox.problem
        if inbox.left:
            return None
        await send(await loop.run_in_executor(pool, session.finish))
    except (SerError, Problem) as error:
        problem = Problem.of(error) if isinstance(error, SerError) else error
        websocket.scope["state"]["problem"] = problem.kind
        await websocket.send_json({"type": "error", "problem": problem.to_dict()})
        return TOO_BIG if isinstance(error, TooLarge) else INVALID if isinstance(error, InvalidAudio) else POLICY
    except WebSocketDisconnect:
        raise
    except Exception:
        if inbox.left:
            return None
        log("failed", 40, exc_info=True, id=websocket.scope["state"].get("id"))
        websocket.scope["state"]["problem"] = "failed"
        return FAILED
    stopping = sessions.stopping.is_set() and not inbox.ended
    await websocket.send_json(
        {**END, "duration_s": round(session.duration_s, 3), "skipped": session.skipped, "stopping": stopping}
    )
    return GOING_AWAY if stopping else NORMAL


async def _next(inbox: Inbox, sessions: Sessions) -> NDArray[Any] | None:
    """Return the next sound; None at the end, also that of the service. Raise a problem after a long silence."""
    taking, stopping = asyncio.create_task(inbox.take()), asyncio.create_task(sessions.stopping.wait())
    try:
        done, _ = await asyncio.wait({taking, stopping}, timeout=sessions.idle_s, return_when=asyncio.FIRST_COMPLETED)
        if taking in done:
            return taking.result()
        if stopping in done:
            return None
        raise Problem("too-slow", f"No sound came for {sessions.idle_s:g} s, so that the session was ended.")
    finally:
        taking.cancel()
        stopping.cancel()
