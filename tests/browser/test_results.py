"""The results page as a person meets it: real Chromium, real server, the results that are committed."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from ser_engine.evaluation import published
from tests.browser.conftest import NewPage
from tests.browser.pages import PROJECT, Server, Watch, settle
from ui.results import comparison, corpora

pytestmark = pytest.mark.browser

REAL = PROJECT / "results"
FOUND = comparison.read_results(REAL)
BEST = next(run for run in FOUND.runs if run == comparison.best(FOUND.runs))
PHONE = (375, 800)
MISSED = "Failed to load resource: the server responded with a status of 404 (Not Found)"
"""What the console says twice at a page's own address: Streamlit's client looks for its server there, then above."""
WORST_UA = "11.1"
TABS = {
    "Overview": "Confusion matrix",
    "Runs": "All runs",
    "The papers": "",
    "Protocols": "The effect of the protocol",
    "Conversations": "",
    "Corpora": "Augmentation",
}
"""Tabs, each with a heading on it where the folder of the tests has some."""
LEAST_CHARTS = {"Overview": 2, "Runs": 4, "Protocols": 1, "Corpora": 5}
"""Each of these tabs has at least so many."""


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, app_server: Callable[..., Server]) -> Server:
    """Return a server that nobody has visited: a real run, and next to it the worst, a random and a broken one."""
    folder = tmp_path_factory.mktemp("several") / "results"
    shutil.copytree(REAL / BEST.id, folder / BEST.id)
    for file in (published.FILE, corpora.FILE):
        shutil.copy(REAL / file, folder)
    real = json.loads((REAL / BEST.id / "run.json").read_text())
    for name, given in {
        "zz-worst": {"metrics": real["metrics"] | {"UA": float(WORST_UA)}, "model": "the worst"},
        "zz-random": {
            "metrics": real["metrics"] | {"UA": 93.3},
            "protocol": "random",
            "split": "",
            "speaker_independent": False,
        },
        "zz-broken": None,
    }.items():
        (folder / name).mkdir()
        (folder / name / "run.json").write_text(json.dumps(real | given) if given else "{")
    return app_server("app.py", {"SER_RESULTS": str(folder)})


def open_results(page: Page, url: str, query: str = "?tab=Runs") -> Page:
    page.goto(f"{url}/results{query}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("accuracy on unseen speakers", timeout=60_000)
    settle(page)
    if "Runs" in query:
        expect(page.locator(".st-key-runs canvas").first).to_be_visible()
    return page


def rows(page: Page) -> list[list[str]]:
    """Return what the table of runs says, from the copy that it keeps for screen readers."""
    listening(page)
    # All at once: a table that is drawn anew between two questions would answer with rows of two drawings.
    return page.locator(".st-key-runs canvas").first.evaluate(
        """(canvas) => [...canvas.querySelectorAll("[role=row]")].slice(1)
            .map((row) => [...row.querySelectorAll("[role=gridcell]")].map((cell) => cell.textContent))"""
    )


def column(page: Page, name: str) -> int:
    """Return which column has that name."""
    listening(page)
    names = page.locator(".st-key-runs canvas [role=columnheader]").all_text_contents()
    return names.index(name)


def listening(page: Page) -> None:
    """Return when the table's copy for screen readers is there, which it makes some time after it is painted."""
    expect(page.locator(".st-key-runs canvas [role=columnheader]", has_text="UA").first).to_be_attached(timeout=30_000)
    expect(page.locator(".st-key-runs canvas [role=gridcell]").first).to_be_attached(timeout=30_000)


def errors(watch: Watch) -> list[str]:
    return [error for error in watch.errors if error != MISSED]


def too_wide(page: Page) -> int:
    """Return by how many pixels the page, or what scrolls it, is wider than the window."""
    return page.evaluate(
        """() => Math.max(...[document.documentElement, document.body, ...document.querySelectorAll(
            "[data-testid=stMain], [data-testid=stAppViewContainer], [data-testid=stApp]")]
            .map((element) => element.scrollWidth - element.clientWidth))"""
    )


def outside(page: Page) -> list[str]:
    """Return charts, texts and widgets that reach beyond the window's right edge."""
    return page.evaluate(
        """() => [...document.querySelectorAll("[data-testid=stMainBlockContainer] [data-testid^=st]")]
            .filter((element) => element.getBoundingClientRect().right > window.innerWidth + 1
                && element.offsetParent !== null
                && !element.closest("[data-testid=stTable], [data-testid=stDataFrame], [role=tablist]"))
            .map((element) => element.dataset.testid)"""
    )


def test_a_link_to_a_run_opens_it_on_a_server_that_has_just_started(
    several: Server, new_page: NewPage, watches: dict[Page, Watch]
) -> None:
    page = open_results(new_page(), several.url, "?tab=Runs&run=zz-worst")
    # The whole app, not a page by itself next to a list of files.
    for name in ("Listen", "Results", "About"):
        expect(page.get_by_role("link", name=name)).to_be_visible()
    expect(page.get_by_role("heading", name="the worst")).to_be_visible()
    expect(page.get_by_role("heading", level=2, name="All runs")).to_be_visible()
    titles = page.get_by_role("heading", level=2).all_text_contents()
    assert titles.index("One run") < titles.index("All runs")
    expect(page.get_by_text("zz-broken/run.json is not JSON")).to_be_visible()
    assert not errors(watches[page])


def test_a_tab_has_an_address_of_its_own(several: Server, new_page: NewPage, watches: dict[Page, Watch]) -> None:
    page = open_results(new_page(), several.url, "")
    for tab, heading in TABS.items():
        page.get_by_role("tab", name=tab).click()
        settle(page)
        if heading:
            expect(page.get_by_role("heading", name=heading).first).to_be_visible()
        shared = open_results(new_page(), several.url, page.url.removeprefix(f"{several.url}/results"))
        expect(shared.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
    assert not errors(watches[page])


def test_the_table_sorts_by_a_column(several: Server, new_page: NewPage) -> None:
    page = open_results(new_page(), several.url)
    ua = column(page, "UA")
    before = [row[ua] for row in rows(page)]
    assert float(before[0]) == pytest.approx(BEST.metrics["UA"], abs=0.05)
    table = page.locator(".st-key-runs")
    table.scroll_into_view_if_needed()
    # The grid is a canvas: nothing tells when it listens, and a click before that is lost. A further click turns the
    # order round. The headers are painted: checkbox, model (170 px), voices, UA.
    for _ in range(8):
        page.wait_for_timeout(500)
        table.click(position={"x": 370, "y": 16})
        page.wait_for_timeout(1_500)
        if rows(page)[0][ua] == WORST_UA:
            break
    assert sorted(before, key=float) == [row[ua] for row in rows(page)]


def test_a_click_on_a_row_shows_that_run_and_puts_it_into_the_address(several: Server, new_page: NewPage) -> None:
    page = open_results(new_page(), several.url)
    table = page.locator(".st-key-runs")
    settle(page)
    table.scroll_into_view_if_needed()
    # The grid is a canvas: nothing tells when it listens, and a click before that is lost.
    for _ in range(8):
        page.wait_for_timeout(500)
        table.click(position={"x": 20, "y": 36 * len(rows(page)) + 16})
        page.wait_for_timeout(1_500)
        if "run=" in page.url:
            break
    expect(page).to_have_url(f"{several.url}/results?run=zz-random")
    settle(page)
    expect(page.get_by_text("seen speakers · random")).to_be_visible()


def test_the_committed_results_are_shown_without_a_complaint(
    app_url: str, new_page: NewPage, watches: dict[Page, Watch]
) -> None:
    page = new_page()
    page.goto(app_url)
    page.get_by_role("link", name="Results").click()
    # Who comes from the first page shares the server with the models that it wakes up.
    expect(page.get_by_role("heading", name=comparison.headline(FOUND))).to_be_visible(timeout=120_000)
    page.get_by_role("tab", name="Runs").click()
    settle(page)
    assert float(rows(page)[0][column(page, "UA")]) == FOUND.runs[0].metrics["UA"]
    page.get_by_role("heading", name="Confusion matrix").first.scroll_into_view_if_needed()
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible()
    expect(page.get_by_test_id("stAlert")).to_have_count(0)
    # Reached by a click, not even a request for something that is not there.
    assert not watches[page].errors
    assert watches[page].hosts == {"127.0.0.1"}


def test_the_table_and_the_run_can_be_taken_home(app_url: str, new_page: NewPage) -> None:
    page = open_results(new_page(), app_url)
    with page.expect_download() as taken:
        page.get_by_role("button", name="Download the table as CSV").click()
    table = list(csv.DictReader(io.StringIO(Path(taken.value.path()).read_text(encoding="utf-8"))))
    assert [row["run"] for row in table] == [run.id for run in FOUND.runs]
    assert [float(row["UA"]) for row in table] == [run.metrics["UA"] for run in FOUND.runs]
    with page.expect_download() as taken:
        page.get_by_role("button", name="Download this run as JSON").click()
    assert taken.value.suggested_filename == f"{BEST.id.replace('/', '-')}.json"
    assert Path(taken.value.path()).read_bytes() == (REAL / BEST.id / "run.json").read_bytes()


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [(1280, 900), PHONE])
@pytest.mark.parametrize("tab", TABS)
def test_nothing_is_wider_than_the_window_in_either_theme(
    several: Server,
    new_page: NewPage,
    tab: str,
    viewport: tuple[int, int],
    color_scheme: str,
    watches: dict[Page, Watch],
) -> None:
    page = open_results(new_page(viewport=viewport, color_scheme=color_scheme), several.url, f"?tab={tab}")
    assert too_wide(page) <= 0 and not outside(page)
    background = page.get_by_test_id("stApp").evaluate("(element) => getComputedStyle(element).backgroundColor")
    light = sum(int(part) for part in background.removeprefix("rgb(").removesuffix(")").split(", ")) > 380
    assert light == (color_scheme == "light")
    assert not errors(watches[page])


@pytest.mark.parametrize(("tab", "least"), LEAST_CHARTS.items())
def test_every_chart_says_what_it_shows(several: Server, new_page: NewPage, tab: str, least: int) -> None:
    page = open_results(new_page(), several.url, f"?tab={tab}")
    charts = page.get_by_test_id("stPlotlyChart")
    expect(charts.nth(least - 1)).to_be_attached(timeout=60_000)
    for chart in charts.all():
        # Charts are drawn when they are first seen.
        chart.scroll_into_view_if_needed()
        described = "descendant-or-self::*[string-length(@aria-label) > 20 or string-length(@alt) > 20]"
        expect(chart.locator(f"xpath={described}").first).to_be_attached()
