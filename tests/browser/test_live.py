"""Live sessions in a real browser: a microphone that plays known speech, over WebRTC on this computer."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Locator, Page, expect
from scipy.signal import fftconvolve

from tests.browser.conftest import NewPage
from tests.browser.pages import Server, Watch

pytestmark = pytest.mark.browser

SCRIPT = "tests/browser/live_app.py"
RATE = 48_000
INSECURE = """
Object.defineProperty(window, "isSecureContext", { value: false });
Object.defineProperty(Navigator.prototype, "mediaDevices", { value: undefined });
"""
BUSY = "MediaDevices.prototype.getUserMedia = async () => { throw new DOMException('', 'NotReadableError'); }"
UNCONNECTED = "RTCPeerConnection.prototype.setRemoteDescription = () => new Promise(() => {})"
FREE = {"threads": [], "decoders": 0, "tasks": []}
CLEANED_S = 60.0
"""How long the server may take to notice that a tab is gone."""


@pytest.fixture(scope="module")
def server(app_server: Callable[..., Server]) -> Server:
    return app_server(SCRIPT)


@pytest.fixture
def open_page(server: Server, speaking_page: Callable[..., Page]) -> Callable[..., Page]:
    """Return a function that opens the live page; its microphone plays speech unless something else is said."""
    return lambda **wishes: visit(speaking_page(**wishes), server.url)


def visit(page: Page, url: str) -> Page:
    page.goto(url)
    expect(live(page)).to_be_visible(timeout=60_000)
    return page


def live(page: Page) -> Locator:
    return page.locator(".live")


def button(page: Page, name: str) -> Locator:
    return live(page).get_by_role("button", name=name, exact=True)


def status(page: Page) -> Locator:
    return live(page).locator(".status")


def start(page: Page) -> None:
    button(page, "Start").click()
    expect(live(page)).to_have_attribute("data-phase", "live", timeout=30_000)


def stop(page: Page) -> None:
    button(page, "Stop").click()
    expect(live(page)).to_have_attribute("data-phase", "ended", timeout=30_000)


def is_answered(page: Page) -> None:
    expect(live(page).locator(".row")).not_to_have_count(0, timeout=60_000)


def save(page: Page, name: str) -> bytes:
    with page.expect_download() as arrival:
        page.get_by_role("button", name=name).click()
    return arrival.value.path().read_bytes()


def is_free(server: Server, new_page: NewPage) -> None:
    """Wait until nothing of a live session is left on the server."""
    page = new_page()
    deadline = time.monotonic() + CLEANED_S
    while True:
        page.goto(f"{server.url}/busy")
        found = page.get_by_test_id("stText")
        expect(found).to_be_visible(timeout=30_000)
        if json.loads(found.inner_text()) == FREE:
            return
        assert time.monotonic() < deadline, found.inner_text()
        time.sleep(1)


def likeness(saved: np.ndarray, played: np.ndarray) -> list[tuple[float, int]]:
    """Return for each two seconds of what was saved the best correlation with any two of what was played, and where."""
    width = 2 * RATE
    loop = np.concatenate([played, played, played])[: len(played) + 2 * width].astype(np.float64)
    energy = np.cumsum(np.concatenate([[0.0], np.square(loop)]))
    energy = np.sqrt(np.maximum(energy[width:] - energy[:-width], 1e-9))
    found = []
    for first in range(0, len(saved) - width + 1, width):
        part = saved[first : first + width].astype(np.float64)
        match = fftconvolve(loop, part[::-1], mode="valid") / energy[: len(loop) - width + 1]
        found.append((float(match.max() / max(np.linalg.norm(part), 1e-9)), int(match.argmax())))
    return found


def lost_ms(alike: list[tuple[float, int]], played: int) -> float:
    """Return by how much two of the two seconds that were found again lie further apart than they were saved, at most.

    Chromium's microphone slips by some 4 ms now and then; a lost frame would be 20 ms.
    """
    found = [(number, place) for number, (match, place) in enumerate(alike) if match >= 0.9]
    slips = [
        abs((later - place - (after - number) * 2 * RATE + played // 2) % played - played // 2) / (after - number)
        for (number, place), (after, later) in pairwise(found)
    ]
    return 1000 * max(slips) / RATE


def test_what_was_said_is_answered_shown_and_saved(
    server: Server, new_page: NewPage, open_page: Callable[..., Page], speech_wav: Path, watches: dict[Page, Watch]
) -> None:
    page = open_page()
    live(page).evaluate("element => (element.mark = 'mine')")
    start(page)
    is_answered(page)
    expect(live(page).locator(".meter")).not_to_have_attribute("aria-valuenow", "0")
    # Both views and both kinds of label change at once, without asking the server.
    button(page, "One label").click()
    expect(live(page).locator(".answer")).to_be_visible()
    expect(live(page).locator(".bars")).to_be_hidden()
    button(page, "Probabilities").click()
    button(page, "Four groups").click()
    expect(live(page).locator(".row .name").first).to_have_text("Anger or disgust")
    assert live(page).locator(".row").count() == 4
    button(page, "All labels").click()
    page.wait_for_timeout(9_000)
    stop(page)
    expect(page.get_by_role("heading", name="Session", exact=True)).to_be_visible(timeout=30_000)
    assert live(page).evaluate("element => element.mark") == "mine", "the component was made anew"
    saved, rate = soundfile.read(io.BytesIO(save(page, "Save recording")), dtype="float32")
    played, _ = soundfile.read(speech_wav, dtype="float32")
    alike = likeness(saved, played)
    assert rate == RATE and len(alike) >= 4 and np.median([match for match, _ in alike]) >= 0.9, alike
    assert lost_ms(alike, len(played)) < 10
    table = save(page, "Timeline as CSV").decode().splitlines()
    whole = json.loads(save(page, "Timeline as JSON"))
    assert len(table) - 1 == len(whole["updates"]) >= 12
    assert whole["duration_s"] == pytest.approx(len(saved) / rate, abs=0.01)
    assert any(update["scores"] for update in whole["updates"])
    assert watches[page].hosts == {"127.0.0.1"} and not watches[page].errors
    is_free(server, new_page)


@pytest.mark.corpora
def test_an_angry_voice_is_called_so(open_page: Callable[..., Page], real_speech_wav: Path) -> None:
    page = open_page(fake_audio=real_speech_wav)
    start(page)
    button(page, "One label").click()
    expect(live(page).locator(".answer")).to_contain_text("angry", timeout=30_000)
    expect(live(page).locator(".words")).to_contain_text(re.compile("dogs", re.IGNORECASE), timeout=60_000)
    stop(page)


def test_ten_sessions_in_a_row(server: Server, new_page: NewPage, open_page: Callable[..., Page]) -> None:
    page = open_page()
    for _ in range(10):
        start(page)
        is_answered(page)
        stop(page)
    is_free(server, new_page)


@pytest.mark.parametrize(
    ("wishes", "said"),
    [
        ({"deny_microphone": True}, "is blocked"),
        ({"no_microphone": True}, "No microphone was found"),
        ({"init_script": BUSY}, "in use by another program"),
    ],
)
def test_a_microphone_that_cannot_be_had_is_reported_at_once(open_page: Callable, wishes: dict, said: str) -> None:
    page = open_page(**wishes)
    button(page, "Start").click()
    expect(status(page)).to_contain_text(said, timeout=1_000)
    expect(button(page, "Start")).to_be_visible()


def test_plain_http_is_reported_before_anybody_tries(open_page: Callable[..., Page]) -> None:
    expect(status(open_page(init_script=INSECURE))).to_contain_text("https or localhost", timeout=1_000)


def test_a_second_tab_is_refused_and_may_record_when_the_first_has_stopped(
    server: Server, open_page: Callable[..., Page]
) -> None:
    first = open_page()
    start(first)
    second = visit(first.context.new_page(), server.url)
    button(second, "Start").click()
    expect(status(second)).to_contain_text("Another tab", timeout=1_000)
    stop(first)
    start(second)
    stop(second)


def test_who_leaves_the_page_ends_the_session_and_finds_it_on_return(
    server: Server, new_page: NewPage, open_page: Callable[..., Page]
) -> None:
    page = open_page()
    start(page)
    is_answered(page)
    page.get_by_role("link", name="Elsewhere").click()
    expect(page.get_by_role("heading", name="Elsewhere")).to_be_visible()
    is_free(server, new_page)
    page.get_by_role("link", name="Live").click()
    expect(status(page)).to_contain_text("the session ended")
    expect(page.get_by_role("heading", name="Session", exact=True)).to_be_visible()
    start(page)
    stop(page)


@pytest.mark.parametrize("waits", [True, False])
def test_a_closed_tab_leaves_nothing(
    server: Server, new_page: NewPage, open_page: Callable[..., Page], waits: bool
) -> None:
    page = open_page()
    button(page, "Start").click()
    if waits:
        is_answered(page)
    page.close()
    is_free(server, new_page)


def test_where_webrtc_does_not_connect_the_recorder_is_offered_and_answers(open_page: Callable[..., Page]) -> None:
    page = open_page(init_script=UNCONNECTED)
    button(page, "Start").click()
    expect(status(page)).to_contain_text("could not connect within ten seconds", timeout=20_000)
    page.get_by_role("button", name="Record 3 s").click()
    expect(page.get_by_role("heading", name="Session", exact=True)).to_be_visible(timeout=60_000)
    is_answered(page)
    assert json.loads(save(page, "Timeline as JSON"))["duration_s"] == pytest.approx(3.0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_timeline_is_drawn_in_the_colors_of_the_theme(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    start(page)
    is_answered(page)
    stop(page)
    # Names are written at 85% in the text's color: light on dark, dark on light.
    brightest = (
        live(page)
        .locator("canvas")
        .evaluate(
            """canvas => {
            const dots = canvas.getContext("2d").getImageData(0, 0, 60, canvas.height).data;
            let sum = 0, count = 0;
            for (let i = 0; i < dots.length; i += 4) if (dots[i + 3] > 150) { sum += dots[i]; count++; }
            return count ? sum / count : -1;
        }"""
        )
    )
    assert (brightest > 150) if scheme == "dark" else (0 <= brightest < 100), brightest
