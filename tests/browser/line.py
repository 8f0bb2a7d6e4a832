"""A line between a browser and a server that can be cut: a small TCP proxy on this computer.

Playwright's own `set_offline` leaves open WebSockets alone.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Line:
    """Passes every connection to its port on to that of a server, until it is cut."""

    def __init__(self, port: int) -> None:
        self._server, self._open = ("127.0.0.1", port), True
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections, and refuse new ones."""
        self._open = False
        for each in list(self._sockets):
            self._end(each)

    def mend(self) -> None:
        """Pass connections on again."""
        self._open = True

    def close(self) -> None:
        """End for good."""
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener has been closed
            while True:
                browser, _ = self._listener.accept()
                if not self._open:
                    browser.close()
                    continue
                server = socket.create_connection(self._server)
                self._sockets |= {browser, server}
                for pair in ((browser, server), (server, browser)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        self._end(source)
        self._end(target)

    def _end(self, each: socket.socket) -> None:
        self._sockets.discard(each)
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
