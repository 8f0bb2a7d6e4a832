"""A server of files that misbehaves on purpose."""

from __future__ import annotations

import hashlib
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves `body` under every path, in the `way` that a test wants; `ranges` are the Range headers it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = os.urandom(3_000_000)
        self.way = "well"
        self.ranges: list[str | None] = []
        self.over = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        way, body = self.server.way, self.server.body
        self.server.ranges.append(self.headers["Range"])
        start = int(self.headers["Range"].split("=")[1][:-1]) if self.headers["Range"] and way != "no ranges" else 0
        if way == "silent":
            self.server.over.wait(10)
            return
        if way == "404" or start >= len(body):
            self.send_error(404 if way == "404" else 416)
            return
        self.send_response(206 if start else 200)
        if way != "no length":
            self.send_header("Content-Length", str(10**17 if way == "endless" else len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : len(body) // 2] if way in ("stalls", "breaks off") else body[start:])
        if way == "stalls":
            self.server.over.wait(10)

    def log_message(self, *args: object) -> None:
        """Say nothing."""
