"""HTTP by uvicorn, with a limit of the time for the head of a request, and problem details for what is no HTTP."""

from __future__ import annotations

import asyncio
import json
import sys
from http import HTTPStatus

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ser_engine.service.problems import MEDIA_TYPE, Problem


def limited_protocol(header_s: float) -> type[H11Protocol]:
    """Return uvicorn's protocol with so many seconds for the head of a request."""

    class LimitedProtocol(H11Protocol):
        """Closes connections that send the head of a request too slowly, or go on with a body that was refused."""

        _patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            """Start the clock."""
            super().connection_made(transport)
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            """Stop the clock."""
            self._stop_waiting()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            """Stop the clock when the head is complete, and start it with the first byte of the next."""
            super().data_received(data)
            incomplete = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
            refused = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
            if self.transport.get_protocol() is not self or not (incomplete or refused):
                self._stop_waiting()
            elif self._patience is None:
                self._wait()

        def send_400_response(self, msg: str) -> None:
            """Refuse what is no HTTP, or has headers that are too large."""
            hint = getattr(sys.exc_info()[1], "error_status_hint", 400)
            if hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
                self._refuse(Problem("headers-too-large"))
            else:
                self._refuse(Problem("bad-request", "The request is no valid HTTP."))

        def _wait(self) -> None:
            self._patience = self.loop.call_later(header_s, self._give_up)

        def _stop_waiting(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

        def _give_up(self) -> None:
            if self.conn.our_state is h11.IDLE:
                self._refuse(Problem("too-slow", "The head of the request did not arrive in time."))
            elif not self.transport.is_closing():
                self.transport.close()

        def _refuse(self, problem: Problem) -> None:
            if self.transport.is_closing():
                return
            body = json.dumps(problem.to_dict(), ensure_ascii=False).encode()
            status = HTTPStatus(problem.status_code)
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {MEDIA_TYPE}\r\n"
            self.transport.write(f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
            self.transport.close()

    return LimitedProtocol
