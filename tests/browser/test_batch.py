"""Many recordings at once in a real browser: dropped or in a folder, found again by the link, cancelled, downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NewPage
from tests.browser.pages import PATIENCE_MS, Server, Watch, answered, settle
from tests.speech import speech_wav

pytestmark = pytest.mark.browser
DOGS, KIDS = "Dogs are sitting by the door.", "Kids are talking by the door."


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the server offers, with two recordings and a link to a place outside of it."""
    root = tmp_path_factory.mktemp("offered")
    (root / "calls").mkdir()
    (root / "calls/dogs.wav").write_bytes(speech_wav(DOGS))
    (root / "calls/kids.wav").write_bytes(speech_wav(KIDS, "woman"))
    (root / "elsewhere").symlink_to(tmp_path_factory.mktemp("secret"))
    return root


@pytest.fixture(scope="module")
def server(app_server: Callable[..., Server], root: Path, tmp_path_factory: pytest.TempPathFactory) -> Server:
    results = tmp_path_factory.mktemp("batches")
    return app_server("app.py", {"SER_BATCH_SOURCES": str(root), "SER_BATCH_RESULTS": str(results)})


def open_page(page: Page, server: Server, query: str = "") -> Page:
    page.goto(f"{server.url}/batch{query}")
    expect(page.get_by_role("heading", name="Many recordings")).to_be_visible(timeout=30_000)
    return page


def choose_folder(page: Page, name: str) -> None:
    page.get_by_role("combobox", name="Folder").click()
    expect(page.get_by_role("option")).to_have_count(2)  # neither the link nor what it leads to
    page.get_by_role("option", name=name, exact=True).click()


def progress(page: Page) -> Locator:
    return page.locator(".st-key-batch-progress")


def test_a_folder_and_dropped_files_become_rows_that_a_link_finds_again(
    new_page: NewPage, server: Server, watches: dict[Page, Watch]
) -> None:
    page = open_page(new_page(), server)
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    page.locator("input[type=file]").set_input_files(
        [
            {"name": "dogs.wav", "mimeType": "audio/wav", "buffer": speech_wav(DOGS, "woman")},
            {"name": "letter.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7\n"},
        ]
    )
    expect(page.get_by_text("letter.pdf")).to_be_visible()
    choose_folder(page, "calls")
    page.get_by_role("button", name="Start").click()
    expect(progress(page)).to_be_visible(timeout=PATIENCE_MS)
    link = page.url
    assert "?batch=" in link

    page.close()  # the work goes on
    page = new_page()
    page.goto(link)
    expect(progress(page)).to_contain_text("4 of 4 recordings", timeout=PATIENCE_MS)
    expect(progress(page)).to_contain_text("1 without an answer")
    expect(page.get_by_role("heading", name="Downloads")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("4 recordings. Mark one")).to_be_visible()
    page.get_by_label("Words in names and transcripts").fill("talking kids")
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 recording. Mark one")).to_be_visible()
    page.get_by_test_id("stDataFrame").locator(".dvn-scroller").click(position={"x": 15, "y": 52})
    expect(page.get_by_role("heading", name="kids.wav")).to_be_visible(timeout=30_000)
    expect(page.get_by_test_id("stMarkdown").filter(has_text=KIDS)).to_be_visible()
    expect(page.locator("audio")).to_be_attached()

    for name, count in (("Parquet", 4), ("CSV", 4)):
        with page.expect_download() as taken:
            page.get_by_role("button", name=name, exact=True).click()
        read = pd.read_parquet if name == "Parquet" else pd.read_csv
        assert len(read(taken.value.path())) == count
    with page.expect_download() as taken:
        page.get_by_role("button", name="Report").click()
    assert KIDS in Path(taken.value.path()).read_text(encoding="utf-8")

    page.get_by_role("button", name="Open full answer").click()
    answered(page, "kids.wav")
    expect(page.get_by_label("Transcript (editable)")).to_have_value(KIDS)
    # Of an address with a page's name, Streamlit first asks for its own files next to it, which are not there.
    assert all("404" in error for error in watches[page].errors)
    page.goto(link)
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("button", name="Start")).to_be_visible()
    page.goto(link)
    expect(page.get_by_text("There is no such batch")).to_be_visible(timeout=30_000)


@pytest.mark.parametrize("viewport", [(400, 800), (1280, 900)])
def test_a_batch_is_cancelled_and_continued(
    new_page: NewPage, server: Server, root: Path, viewport: tuple[int, int]
) -> None:
    page = open_page(new_page(viewport=viewport), server)
    choose_folder(page, "calls")
    page.get_by_text("With transcripts").click()
    settle(page)
    page.get_by_role("button", name="Start").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Continue")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Continue").click()
    expect(progress(page)).to_contain_text("2 of 2 recordings", timeout=PATIENCE_MS)
    expect(page.get_by_role("heading", name="Downloads")).to_be_visible(timeout=PATIENCE_MS)
    widths = page.evaluate("[document.documentElement.scrollWidth, document.querySelector('.stApp').scrollWidth]")
    assert max(widths) <= viewport[0]


@pytest.mark.parametrize("query", ["?results=../../..", "?results=elsewhere", "?results=/etc"])
def test_a_link_opens_nothing_outside_of_the_folder(new_page: NewPage, server: Server, query: str) -> None:
    page = open_page(new_page(), server, query)
    expect(page.get_by_text("lies outside of the folder")).to_be_visible(timeout=30_000)
