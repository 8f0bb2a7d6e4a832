"""A call in stereo in a real browser: an answer for each side, lanes, names that are edited, players."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage
from tests.browser.pages import answered, settle, upload
from tests.speech import encode, speech

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def call() -> bytes:
    left = speech("Dogs are sitting by the door. It is eleven o'clock.")
    right = speech("Kids are talking by the door.", "woman")
    channels = [np.concatenate([left, 0 * right]), np.concatenate([0 * left, right])]
    return encode(np.stack(channels, axis=1))


def fits(page: Page) -> bool:
    """Whether nothing is wider than the screen."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


@pytest.mark.parametrize("width", [1280, 400])
def test_a_call_is_shown_with_a_lane_and_an_answer_for_each_side(
    new_page: NewPage, app_url: str, call: bytes, width: int
) -> None:
    page = new_page(viewport=(width, 900))
    page.goto(app_url)
    expect(page.locator("input[type=file]")).to_be_attached(timeout=30_000)
    upload(page, "call.wav", call)
    answered(page, "call.wav")
    expect(page.get_by_role("heading", name="Two speakers")).to_be_visible()
    expect(page.locator(".answers dt")).to_have_count(2)
    lanes = page.locator(".st-key-lanes [data-testid=stPlotlyChart], .st-key-lanes").first
    expect(lanes).to_contain_text("Left")
    expect(lanes).to_contain_text("Right")
    assert fits(page)
    full = page.get_by_test_id("stButtonGroup").get_by_text("Right")
    full.click()
    expect(page.get_by_role("heading", name="Channel: Right")).to_be_visible()
    settle(page)
    page.get_by_role("button", name="Rename").click()
    field = page.get_by_label("Speaker 2")
    field.fill("customer")
    field.press("Enter")
    expect(page.locator(".answers")).to_contain_text("customer")
    settle(page)
    page.keyboard.press("Escape")
    expect(page.get_by_label("Transcript (editable)")).to_have_value(re.compile(r"\ncustomer: "))
    with page.expect_download() as taken:
        page.get_by_role("button", name="Download JSON").click()
    answer = json.loads(Path(taken.value.path()).read_text(encoding="utf-8"))
    assert [each["name"] for each in answer["speakers"]] == ["Left", "customer"]
    assert page.get_by_test_id("stException").count() == 0
