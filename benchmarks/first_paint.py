"""Seconds from a cold start of the application to the first paint in a browser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from statistics import median
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from ser_engine.settings import PROJECT

REPETITIONS = 3
PATIENCE_S = 60.0


def measure() -> dict[str, Any]:
    """Return the medians over three cold starts, for the first visitor and for the next."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or None,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        times = [_start_and_visit(browser) for _ in range(REPETITIONS)]
        browser.close()
    return {
        "first_paint_seconds": round(median(cold for cold, _ in times), 2),
        "next_paint_seconds": round(median(warm for _, warm in times), 2),
    }


def _start_and_visit(browser: Browser) -> tuple[float, float]:
    """Return the seconds from process start to the first visit's paint, and of a second visit."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = time.perf_counter()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    server = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_healthy(port)
        _visit(browser, port)
        cold = time.perf_counter() - begun
        begun = time.perf_counter()
        _visit(browser, port)
        return cold, time.perf_counter() - begun
    finally:
        server.terminate()
        server.wait()


def wait_until_healthy(port: int) -> None:
    """Return when the server on this port answers."""
    deadline = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < deadline:
        connection = HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", "/_stcore/health")
            if connection.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            time.sleep(0.02)
        finally:
            connection.close()
    raise TimeoutError(f"the application did not start within {PATIENCE_S:g} s")


def _visit(browser: Browser, port: int) -> None:
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{port}")
    page.get_by_role("heading", level=1).wait_for()
    page.close()
