"""What the browser tests hold in their hands: a running Streamlit server, and a page that is watched."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect

PROJECT = Path(__file__).resolve().parents[2]
PATIENCE_MS = 180_000
"""How long an answer may take: the first one waits for the models, on a machine that is busy with other tests."""
START_S = 90.0
"""How long a server may take to answer; a cold machine reads many libraries."""


class Server:
    """A Streamlit script on a free port, started as a person would: `python -m streamlit run`, from the project.

    Attributes
    ----------
    url
        Where the page is, on this computer.
    log_path
        What the server prints, both streams.
    """

    def __init__(
        self, script: str, log_path: Path, env: Mapping[str, str], address: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.script, self.log_path, self.port = script, log_path, port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "streamlit", "run", script]
        options = ["--server.address", address, "--server.port", str(self.port), "--server.headless", "true"]
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *options],
                cwd=PROJECT,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> None:
        """Return when the server answers; RuntimeError, with its last words, if it ends or takes too long."""
        deadline = time.monotonic() + START_S
        while not self.healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"The server of {self.script} did not start:\n{self.log()[-4000:]}")
            time.sleep(0.1)

    def healthy(self) -> bool:
        """Whether the server says that it is well."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/_stcore/health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
        finally:
            connection.close()

    def log(self) -> str:
        """Return all that the server has printed until now."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """End the server, by force if it does not listen."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass
class Watch:
    """What a page did: the errors in its console, and the hosts that it asked for anything."""

    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def follow(self, context: BrowserContext, page: Page) -> None:
        """Take note of everything from now on."""
        context.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda websocket: self._asked(websocket.url))
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _asked(self, url: str) -> None:
        # blob: and data: addresses name no host; nothing leaves the page for them.
        if host := urlsplit(url).hostname:
            self.hosts.add(host)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)


def upload(page: Page, name: str, data: bytes, kind: str = "audio/wav") -> None:
    """Give the page a file, as if chosen in the dialogue."""
    page.locator("input[type=file]").set_input_files({"name": name, "mimeType": kind, "buffer": data})


def answered(page: Page, name: str) -> None:
    """Wait for the answer to the recording of that name."""
    expect(page.locator(".eyebrow", has_text=name)).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("Analyzed in")).to_be_visible()
    settle(page)


def settle(page: Page) -> None:
    """Return when no run of the script is under way, so that all of the page belongs to the same run."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=30_000)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def own_address() -> str | None:
    """Return this machine's address in its network, without sending anything; None where it has no network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Choosing a route is all that connecting a datagram socket does; the address is for documentation.
            probe.connect(("198.51.100.1", 9))
        except OSError:
            return None
        address = probe.getsockname()[0]
    return None if address.startswith("127.") or address == "0.0.0.0" else address
