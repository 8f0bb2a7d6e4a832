"""Several files at once, and several tracks in one file, in a real browser."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NewPage
from tests.browser.pages import PATIENCE_MS, Server, Watch, answered, settle, upload
from tests.ser_engine.audio.test_completeness import film
from tests.speech import speech, speech_wav

pytestmark = pytest.mark.browser

THIRTY = 30
THIRTY_MS = 400_000
NAMES = ("Neue Aufnahme.wav", "Neue Aufnahme.wav", "call ☎️ 1.wav", "letter.pdf")
DOGS, KIDS = "Dogs are sitting by the door.", "Kids are talking by the door."


def drop(page: Page, *files: tuple[str, bytes]) -> None:
    page.locator("input[type=file]").first.set_input_files(
        [{"name": name, "mimeType": "audio/wav", "buffer": data} for name, data in files]
    )


def rows(page: Page) -> Locator:
    return page.locator(".files button")


def open_app(page: Page, server: Server) -> Page:
    page.goto(server.url)
    expect(page.locator("input[type=file]").first).to_be_attached(timeout=30_000)
    return page


def test_thirty_files_at_once_get_a_row_each_and_a_click_opens_one(
    new_page: NewPage, app: Server, watches: dict[Page, Watch]
) -> None:
    page = open_app(new_page(), app)
    dogs, kids = speech_wav(DOGS), speech_wav(KIDS)
    files = [(f"memo {number}.wav", dogs) for number in range(THIRTY - 4)]
    drop(page, (NAMES[0], dogs), (NAMES[1], kids), (NAMES[2], kids), (NAMES[3], b"%PDF-1.7\n"), *files)
    expect(page.get_by_text(f"of {THIRTY} files analyzed")).to_be_visible(timeout=60_000)
    expect(rows(page)).to_have_count(THIRTY)
    expect(page.get_by_text(f"{THIRTY} files. One could not be analyzed.")).to_be_visible(timeout=THIRTY_MS)
    assert [row.split("\n")[0] for row in rows(page).all_inner_texts()[:4]] == list(NAMES)
    expect(rows(page).nth(3)).to_contain_text("This is a PDF document, not a recording.")
    for number, text in ((0, DOGS), (1, KIDS)):
        rows(page).nth(number).click()
        expect(rows(page).nth(number)).to_have_attribute("aria-current", "true", timeout=30_000)
        answered(page, NAMES[number])
        expect(page.get_by_label("Transcript (editable)")).to_have_value(text)
        expect(page.locator(".st-key-headline")).to_be_in_viewport()
    with page.expect_download() as taken:
        page.get_by_role("button", name="Download table").click()
    table = list(csv.DictReader(io.StringIO(Path(taken.value.path()).read_text(encoding="utf-8-sig"))))
    assert [row["file"] for row in table[:4]] == list(NAMES) and len(table) == THIRTY
    assert table[0]["transcript"] == DOGS and table[3]["error"] and not watches[page].errors
    page.get_by_role("button", name="Discard all files").click()
    expect(rows(page)).to_have_count(0)
    expect(page.locator(".eyebrow")).to_have_count(0)


@pytest.mark.parametrize("viewport", [(1280, 900), (400, 800)])
def test_removed_files_lose_their_rows_and_nothing_overflows(
    new_page: NewPage, app: Server, viewport: tuple[int, int]
) -> None:
    page = open_app(new_page(viewport=viewport), app)
    long_name = "an extraordinarily long name of a recording " * 4 + ".wav"
    drop(page, ("dogs.wav", speech_wav(DOGS)), (long_name, speech_wav(KIDS)), ("bad.wav", b"Dear all, " * 20))
    expect(page.get_by_text("3 files. One could not be analyzed.")).to_be_visible(timeout=PATIENCE_MS)
    widths = page.evaluate("[document.documentElement.scrollWidth, document.querySelector('.stApp').scrollWidth]")
    assert max(widths) <= viewport[0]
    rows(page).first.click()
    answered(page, "dogs.wav")
    page.get_by_role("button", name="Remove dogs.wav").click()
    expect(rows(page)).to_have_count(2)
    expect(page.locator(".eyebrow")).to_have_count(0)
    page.get_by_role("button", name="Remove bad.wav").click()
    answered(page, long_name.split(".")[0][:40])
    expect(rows(page)).to_have_count(0)
    settle(page)


def test_rows_outlast_a_visit_to_another_page(new_page: NewPage, app: Server) -> None:
    page = open_app(new_page(), app)
    drop(page, ("dogs.wav", speech_wav(DOGS)), ("kids.wav", speech_wav(KIDS)))
    expect(page.get_by_text("2 files.")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("link", name="About").click()
    expect(page.get_by_role("heading", name="Privacy")).to_be_visible()
    page.get_by_role("link", name="Listen").click()
    expect(rows(page)).to_have_count(2, timeout=30_000)
    rows(page).nth(1).click()
    answered(page, "kids.wav")


def test_another_track_of_a_film_is_analyzed_where_it_is_chosen(new_page: NewPage, app: Server) -> None:
    page = open_app(new_page(), app)
    upload(page, "film.mkv", film([speech(DOGS), speech(KIDS)]), "video/x-matroska")
    answered(page, "film.mkv")
    transcript = page.get_by_label("Transcript (editable)")
    expect(transcript).to_have_value(DOGS)
    tracks = page.locator("[class*=st-key-track] input")
    tracks.focus()
    page.wait_for_timeout(500)  # the page scrolls to it, which would close its list again
    tracks.press("ArrowDown")
    page.get_by_role("option", name="2 of 2").click()
    expect(page.get_by_text("This is audio track 2 of 2")).to_be_visible(timeout=PATIENCE_MS)
    settle(page)  # until then, both fields are there
    expect(transcript).to_have_value(KIDS)
    page.get_by_role("heading", name="Original").scroll_into_view_if_needed()


def test_one_visitor_with_many_files_does_not_keep_another_waiting(new_page: NewPage, app: Server) -> None:
    busy, other = open_app(new_page(), app), open_app(new_page(), app)
    drop(busy, *((f"memo {number}.wav", speech_wav(f"{KIDS} {DOGS} " * 2)) for number in range(24)))
    expect(busy.get_by_text("of 24 files analyzed")).to_be_visible(timeout=60_000)
    upload(other, "mine.wav", speech_wav(DOGS))
    answered(other, "mine.wav")
    expect(busy.get_by_text("of 24 files analyzed")).to_be_visible()
