"""Run the service until it is asked to stop."""

from __future__ import annotations

import asyncio
import signal
import socket

import uvicorn
from fastapi import FastAPI

from ser_engine.errors import InvalidSettings
from ser_engine.heap import return_large_blocks
from ser_engine.models.registry import find_model
from ser_engine.service.app import Service, create_app
from ser_engine.service.config import ServiceSettings
from ser_engine.service.keys import read_keys
from ser_engine.service.live import MAX_MESSAGE
from ser_engine.service.logs import log, set_up_logs
from ser_engine.service.protocol import limited_protocol
from ser_engine.settings import Settings

KEEP_ALIVE_S = 15
LIVE_FINISH_S = 5.0
MAX_HEADERS = 16 * 2**10
BACKLOG = 1024
GRACE_S = 10
"""Seconds that requests have to send their last answer once their analyses were ended."""


class Server(uvicorn.Server):
    """uvicorn's server, which lets live sessions send their last message before it closes their connections."""

    def __init__(self, app: FastAPI, settings: ServiceSettings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=limited_protocol(settings.header_s),
                ws="websockets-sansio",
                ws_max_size=MAX_MESSAGE,
                ws_per_message_deflate=False,
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=round(settings.finish_s) + GRACE_S,
                h11_max_incomplete_event_size=MAX_HEADERS,
            )
        )
        self.service: Service = app.state.service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more, finish what is under way, and end."""
        service = self.service
        service.stopping = True
        log("stopping", analyses=service.analyses.queue.running, waiting=service.analyses.queue.waiting)
        for server in self.servers:
            server.close()
        saving = asyncio.create_task(service.batches.stop(service.settings.finish_s))  # meanwhile
        asyncio.get_running_loop().call_later(service.settings.finish_s, service.analyses.stopping.set)
        await service.sessions.finished(LIVE_FINISH_S)
        await super().shutdown(sockets)
        await saving
        log("stopped")


def listen(settings: ServiceSettings) -> socket.socket:
    """Return a socket that listens on the host and the port; raise InvalidSettings if it cannot."""
    try:
        info = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(info[4][:2], family=info[0], backlog=BACKLOG)
    except OSError as error:
        place = f"{settings.host}, port {settings.port}"
        raise InvalidSettings(f"The service cannot listen on {place} ({error.strerror}).") from None


def run(settings: Settings, service_settings: ServiceSettings) -> int:
    """Serve until SIGTERM or Ctrl-C; return the exit code.

    Raise InvalidSettings for settings that do not fit, or a port in use, WeightsUnavailable for a missing model.
    """
    service_settings.check_host(bool(read_keys(service_settings)))
    find_model(settings)
    return_large_blocks()
    app = create_app(settings, service_settings)
    bound = listen(service_settings)
    set_up_logs()
    server = Server(app, service_settings)
    # uvicorn raises the signal again once it has ended in order, which is then no reason for another exit code.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    host, port = bound.getsockname()[:2]
    log("listening", host=host, port=port)
    server.run([bound])
    return 0
