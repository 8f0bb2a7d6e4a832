"""Seconds from the end of a window in the browser until the chart of the live page has changed.

The microphone is replaced by audio that starts at a known time of the browser's clock. Its position in the saved
session gives the time of each window, so the figures include the way to the server and back, and transcription.
"""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright
from scipy.signal import correlate

from benchmarks.live import RATE, conversation
from ser_engine.audio.decode import encode_wav
from tests.browser.conftest import QUIET
from tests.browser.pages import Server

LISTEN_S = 25.0
# Length of the excerpts that are aligned; lost audio would shift the end of a session against its beginning.
ALIGN_S = 3.0
MOST_MOVED_S = 0.02

MICROPHONE = """
MediaDevices.prototype.getUserMedia = async () => {
  const context = new AudioContext({ sampleRate: 48000 });
  const sound = await context.decodeAudioData(await (await fetch("/said.wav")).arrayBuffer());
  const source = new AudioBufferSourceNode(context, { buffer: sound });
  const microphone = context.createMediaStreamDestination();
  source.connect(microphone);
  const begin = context.currentTime + 0.1;
  source.start(begin);
  top.saidAt = (performance.timeOrigin + performance.now()) / 1000 + begin - context.currentTime;
  return microphone.stream;
};
"""
WATCH = """element => {
  top.changed = [];
  let last = 0;
  new MutationObserver(() => {
    const end = Number(element.dataset.end);
    if (end <= last) return; // drawn again, with nothing new
    last = end;
    requestAnimationFrame(() => top.changed.push([end, (performance.timeOrigin + performance.now()) / 1000]));
  }).observe(element, { attributeFilter: ["data-end"] });
}"""


def measure(seconds: float = LISTEN_S) -> dict[str, Any]:
    """Return `live_browser_latency_p50` and `live_browser_latency_p95`, seconds."""
    sound = conversation()
    assert len(sound) >= (seconds + 10) * RATE, "the audio has to last longer than the session"
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server("app.py", Path(folder) / "log.txt", {})
        try:
            server.wait()
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("CHROMIUM") or None, args=[*QUIET, "--no-sandbox"]
            )
            page = browser.new_page()
            page.route(
                "**/said.wav", lambda route: route.fulfill(body=encode_wav(sound, RATE), content_type="audio/wav")
            )
            latencies = measure_page(page, server.url, sound, seconds)
            browser.close()
        finally:
            server.stop()
    return {
        "live_browser_latency_p50": round(float(np.median(latencies)), 3),
        "live_browser_latency_p95": round(float(np.percentile(latencies, 95)), 3),
    }


def measure_page(page: Page, url: str, sound: NDArray[np.float32], seconds: float) -> list[float]:
    """Return the seconds from the end of each window of a session to the change on the page."""
    page.add_init_script(MICROPHONE)
    page.goto(f"{url}/live")
    live = page.locator(".live")
    live.wait_for()
    # The models are loaded in the background.
    page.wait_for_timeout(10_000)
    live.evaluate(WATCH)
    live.get_by_role("button", name="Start", exact=True).click()
    page.locator(".live[data-phase=live]").wait_for()
    page.wait_for_timeout(1000 * seconds)
    live.get_by_role("button", name="Stop", exact=True).click()
    with page.expect_download() as arrival:
        page.get_by_role("button", name="Save sound").click()
    saved, rate = soundfile.read(io.BytesIO(arrival.value.path().read_bytes()), dtype="float32")
    if rate != RATE:
        raise RuntimeError(f"The session has {rate} Hz, not {RATE}.")
    first, last = position(saved, sound, 1.0), position(saved, sound, len(saved) / RATE - ALIGN_S - 1.0)
    if abs(last - first) > MOST_MOVED_S:
        raise RuntimeError(f"{abs(last - first):.3f} s of audio were lost.")
    began = page.evaluate("saidAt") + first
    return [changed - (began + end) for end, changed in page.evaluate("changed")]


def position(saved: NDArray[np.float32], sound: NDArray[np.float32], at_s: float) -> float:
    """Return the position in `sound` at which the session began, in seconds, from its excerpt at `at_s`."""
    part = saved[round(at_s * RATE) : round((at_s + ALIGN_S) * RATE)]
    return int(correlate(sound, part, mode="valid").argmax()) / RATE - at_s
