"""What every request passes: its key and its limits on the way in, its log and its figures on the way out."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ser_engine.service.config import LOOPBACK, ServiceSettings
from ser_engine.service.keys import ANYONE, Key, RateLimit, find_key
from ser_engine.service.logs import log
from ser_engine.service.metrics import Metrics
from ser_engine.service.problems import Problem

ANALYZE = "/v1/analyze"
OPEN = ("/healthz", "/readyz", "/openapi.json")
"""Addresses without a key."""
SMALL_BODY = 64 * 2**10
"""Bytes of a body other than a recording, and of the frame that a form puts around one."""
LEFT = 499
"""The status in logs and figures of a request whose client has left, as nginx has it."""
SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass
class Limits:
    """The limits of bodies; `max_bytes` are those of a recording."""

    settings: ServiceSettings
    max_bytes: int
    keys: tuple[Key, ...] = ()
    rate: RateLimit = field(default_factory=RateLimit)


class Gate:
    """ASGI middleware around the whole service."""

    def __init__(self, app: ASGIApp, limits: Limits, metrics: Metrics) -> None:
        self.app, self.limits, self.metrics = app, limits, metrics
        self._origins = frozenset(limits.settings.origins.split())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        begun, status, started = time.monotonic(), 0, False
        state: dict[str, Any] = scope.setdefault("state", {})
        state["id"] = uuid.uuid4().hex

        async def send_noting(message: Message) -> None:
            nonlocal status, started
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status, started = message["status"], True
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = state["id"]
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")
            elif message["type"] == "websocket.accept":
                status, started = 101, True
            elif message["type"] == "websocket.close" and not started:
                status = 403
            await send(message)

        try:
            try:
                key = self._admit(scope)
                body = Body(scope, receive, self._most(scope, key), self.limits)
                state["key"] = key
                await self.app(scope, body.receive if scope["type"] == "http" else receive, send_noting)
            except Problem as problem:
                state["problem"] = problem.kind
                await problem.response()(scope, receive, send_noting)
        except (ClientDisconnect, Left):
            status = LEFT
        except Exception:
            log("failed", logging.ERROR, exc_info=True, id=state["id"])
            state["problem"] = "failed"
            if not started:
                await Problem("failed").response()(scope, receive, send_noting)
        finally:
            self._note(scope, status or LEFT, time.monotonic() - begun)

    def _admit(self, scope: Scope) -> Key:
        """Return the key of a request; raise a problem for one that is not allowed."""
        headers = Headers(scope=scope)
        host = (urlsplit(f"//{headers.get('host', '')}").hostname or "") if _is_host(headers.get("host")) else ""
        if not self.limits.keys and host not in LOOPBACK:
            # A web site whose name was turned to this computer would otherwise be taken for a page of its own.
            raise Problem("forbidden", "Without keys the service answers to the name localhost alone.")
        origin = headers.get("origin")
        if origin is not None and scope.get("method") not in SAFE and origin not in self._origins:
            raise Problem("forbidden")
        if not self.limits.keys or scope["path"] in OPEN:
            return ANYONE
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Problem("missing-key")
        key = find_key(self.limits.keys, secret.strip())
        if key is None:
            raise Problem("wrong-key")
        if scope["path"].startswith("/v1/") and (seconds := self.limits.rate.take(key)):
            raise Problem.retry("too-many-requests", f"This key may send {key.per_minute} requests a minute", seconds)
        return key

    def _most(self, scope: Scope, key: Key) -> int:
        """Return the bytes that a body may have."""
        if scope["path"] != ANALYZE:
            return SMALL_BODY
        return min(self.limits.max_bytes, key.max_bytes or self.limits.max_bytes) + SMALL_BODY

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        state = scope["state"]
        # FastAPI notes the route's own path, which unlike the address of a request has few values.
        route = getattr(scope.get("route"), "path", scope["path"] if scope["path"] in OPEN else "none")
        method = scope.get("method", "WEBSOCKET")
        if method not in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"):
            method = "other"
        problem = state.get("problem")
        self.metrics.requests.labels(route, method, str(status)).observe(seconds)
        if problem:
            self.metrics.errors.labels(problem).inc()
        key = state.get("key")
        log(
            "request", id=state["id"], method=method, route=route, status=status, seconds=round(seconds, 4),
            problem=problem, key=key.name if key else None, **state.get("log", {}),
        )  # fmt: skip


class Left(Exception):
    """The client has left before it got an answer."""


class Body:
    """The body of a request, which is refused while it is read where it is too large or too slow."""

    def __init__(self, scope: Scope, receive: Receive, most: int, limits: Limits) -> None:
        self._receive, self._most, self._settings = receive, most, limits.settings
        self._deadline, self._got, self._ended = time.monotonic() + limits.settings.body_s, 0, False
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise self._too_large()

    def _too_large(self) -> Problem:
        if self._most <= SMALL_BODY:
            return Problem("too-large", f"The body has more than {SMALL_BODY // 2**10} kB, the most that is taken.")
        most = f"{(self._most - SMALL_BODY) / 2**20:.4g} MB, the most that is taken"
        return Problem("too-large", f"The recording has more than {most}.")

    async def receive(self) -> Message:
        """Return the next part; raise a problem beyond a limit."""
        if self._ended:
            return await self._receive()
        left = self._deadline + self._got / self._settings.bytes_per_s - time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, left))
        except TimeoutError:
            self._ended = True
            raise Problem("too-slow", headers={"Connection": "close"}) from None
        self._got += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        if self._got > self._most:
            self._ended = True
            raise self._too_large()
        return message


def _is_host(host: str | None) -> bool:
    try:
        urlsplit(f"//{host}").port  # noqa: B018 (raises ValueError for what is no host)
    except ValueError:
        return False
    return True
