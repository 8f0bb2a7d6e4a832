"""The report of a batch in a real browser: it needs no network, and no recording can write into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ser_engine.batch.report import write_report
from tests.browser.conftest import NewPage
from tests.browser.pages import Watch
from tests.ser_engine.batch.archive import outcome, write_archive
from tests.ser_engine.batch.test_report import HOSTILE

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    made = [outcome(number) for number in range(60)]
    made[0] = outcome(0, file=f"/calls/{HOSTILE}.wav", sentence=HOSTILE, warnings=[HOSTILE], confidence=0.999)
    for each in made[:2]:
        assert each.row is not None
        each.row["speakers"][0]["name"] = each.row["extra"]["team"] = f"<b>{HOSTILE}"
    write_report(write_archive(folder / "out", *made), folder / "report.html")
    return folder / "report.html"


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 360)])
def test_the_page_opens_without_a_network(
    new_page: NewPage, watches: dict[Page, Watch], report: Path, scheme: str, width: int
) -> None:
    tab = new_page(color_scheme=scheme, viewport=(width, 800), offline=True)
    requests: list[str] = []
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(report.as_uri())
    tab.wait_for_selector("#speakers .main-svg")
    assert len(requests) == 1 and not watches[tab].errors
    assert tab.title() == "Emotions in recordings"
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator("img, b b, #certain script").count() == 0
    assert HOSTILE in tab.locator("#certain").inner_text()
    assert tab.locator("#chosen").inner_text() == "60 of 60 recordings."
    tab.select_option("select[name=answer]", "2")
    assert tab.locator("#chosen").inner_text() == "3 of 60 recordings."
    assert "No recording with an emotion" in tab.locator("#certain").inner_text()
    tab.get_by_role("button", name="Show all").click()
    expect(tab.locator("#chosen")).to_have_text("60 of 60 recordings.")
