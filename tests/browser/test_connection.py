"""A lost connection keeps the answer: a locked phone, a closed laptop, a tunnel."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.browser.line import Line
from tests.browser.pages import PATIENCE_MS, PROJECT, Server, answered, settle, upload
from tests.speech import speech_wav

pytestmark = pytest.mark.browser

FIVE_MINUTES_S = 300
SHORT_MS = 8_000
"""How long a short cut takes: the browser has noticed it, and asks every few seconds."""
BACK_MS = 60_000
DOGS, KIDS = "Dogs are sitting by the door.", "Kids are talking by the door."


@pytest.fixture
def line(app: Server) -> Iterator[Line]:
    line = Line(app.port)
    yield line
    line.close()


def connect(page: Page, line: Line) -> None:
    page.goto(line.url)
    expect(page.locator("input[type=file]").first).to_be_attached(timeout=30_000)


def is_connected(page: Page, state: str = "CONNECTED") -> None:
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-connection-state", state, timeout=BACK_MS)


def cut(page: Page, line: Line, milliseconds: int) -> None:
    """Cut the connection for so long, and wait until it is back."""
    line.cut()
    is_connected(page, "PINGING_SERVER")
    page.wait_for_timeout(milliseconds)
    line.mend()
    is_connected(page)


def answers_and_takes_edits(page: Page) -> None:
    """Check that the answer is there, and that it is more than a picture of itself."""
    expect(page.locator(".eyebrow", has_text="dogs.wav")).to_be_visible()
    page.get_by_label("Transcript (editable)").fill("I hate you, get out of here!")
    page.get_by_role("heading", name="Audio and text").click()
    expect(page.get_by_text("Edited by you")).to_be_visible(timeout=PATIENCE_MS)
    settle(page)
    with page.expect_download() as taken:
        page.get_by_role("button", name="Download JSON").click()
    answer = json.loads(taken.value.path().read_text(encoding="utf-8"))
    assert answer["file"] == "dogs.wav" and answer["transcript"]["original"] == DOGS


def test_an_answer_outlasts_a_cut(new_page: NewPage, line: Line) -> None:
    page = new_page()
    connect(page, line)
    upload(page, "dogs.wav", speech_wav(DOGS))
    answered(page, "dogs.wav")
    cut(page, line, SHORT_MS)
    answers_and_takes_edits(page)


def test_what_is_analyzed_during_a_cut_is_answered_after_it(new_page: NewPage, line: Line) -> None:
    page = new_page()
    connect(page, line)
    upload(page, "long.wav", speech_wav(f"{DOGS} {KIDS} " * 5))
    expect(page.locator(".steps .running")).to_be_visible(timeout=30_000)
    cut(page, line, SHORT_MS)
    answered(page, "long.wav")


def test_several_files_go_on_after_a_cut(new_page: NewPage, line: Line) -> None:
    page = new_page()
    connect(page, line)
    sound = speech_wav(f"{DOGS} {KIDS}")
    page.locator("input[type=file]").first.set_input_files(
        [{"name": f"{number}.wav", "mimeType": "audio/wav", "buffer": sound} for number in range(6)]
    )
    expect(page.get_by_text("of 6 files analyzed")).to_be_visible(timeout=30_000)
    cut(page, line, SHORT_MS)
    expect(page.get_by_text("6 files.", exact=False)).to_be_visible(timeout=PATIENCE_MS)
    assert page.locator(".files [data-state=done]").count() == 6


def reloaded(page: Page) -> None:
    page.reload()
    expect(page.locator("input[type=file]").first).to_be_attached(timeout=30_000)
    settle(page)


def test_a_reload_keeps_the_answer_until_it_is_discarded(new_page: NewPage, app_url: str) -> None:
    page = new_page()
    page.goto(app_url)
    upload(page, "dogs.wav", speech_wav(DOGS))
    answered(page, "dogs.wav")
    address = page.url
    assert "?answer=" in address
    reloaded(page)
    answers_and_takes_edits(page)
    reloaded(page)
    expect(page.get_by_text("Edited by you")).to_be_visible()
    other = new_page()  # the answer has a page already
    other.goto(address)
    expect(other.locator("input[type=file]").first).to_be_attached(timeout=30_000)
    settle(other)
    expect(other.locator(".eyebrow")).to_have_count(0)
    assert "answer" not in other.url
    page.get_by_role("button", name="Discard this recording").click()
    expect(page.locator(".eyebrow")).to_have_count(0)
    settle(page)
    assert "answer" not in page.url
    page.goto(address)
    expect(page.locator("input[type=file]").first).to_be_attached(timeout=30_000)
    settle(page)
    expect(page.locator(".eyebrow")).to_have_count(0)


def test_a_reload_during_an_analysis_does_not_end_it(new_page: NewPage, app_url: str) -> None:
    page = new_page()
    page.goto(app_url)
    upload(page, "long.wav", speech_wav(f"{DOGS} {KIDS} " * 5))
    expect(page.locator(".steps .running")).to_be_visible(timeout=30_000)
    page.reload()
    answered(page, "long.wav")


def test_a_tab_that_is_gone_for_longer_is_forgotten(app_server: Callable[..., Server], new_page: NewPage) -> None:
    server = app_server(env={"STREAMLIT_SERVER_DISCONNECTED_SESSION_TTL": "1"})
    line, page = Line(server.port), new_page()
    connect(page, line)
    upload(page, "dogs.wav", speech_wav(DOGS))
    answered(page, "dogs.wav")
    cut(page, line, SHORT_MS)
    page.get_by_text("Why this answer?").click()  # the next run, which is that of a new session
    expect(page.locator(".eyebrow")).to_have_count(0, timeout=60_000)
    line.close()


def test_the_page_is_set_to_keep_answers_for_five_minutes_and_more() -> None:
    config = tomllib.loads((PROJECT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert config["server"]["disconnectedSessionTTL"] >= 2 * FIVE_MINUTES_S


@pytest.mark.slow
def test_an_answer_outlasts_five_minutes_without_a_connection(new_page: NewPage, line: Line) -> None:
    page = new_page()
    connect(page, line)
    upload(page, "dogs.wav", speech_wav(DOGS))
    answered(page, "dogs.wav")
    cut(page, line, 1000 * (FIVE_MINUTES_S + 10))
    answers_and_takes_edits(page)
