"""The page of a run that was really measured, the one that docs/sample-run keeps, used as its readers use it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from playwright.sync_api import Page as Tab

from harness.report.page import render
from harness.report.reading import read_folder
from tests.harness.report.browsing import SIZES, opened

SAMPLE = Path(__file__).parents[3] / "docs" / "sample-run"


@pytest.fixture(scope="module", params=["quick", "matrix"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = read_folder(SAMPLE / request.param)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render(found.run, found.blocks, found.lacks), "utf-8")
    return path


@pytest.fixture
def tab(browser: Browser, report: Path) -> Iterator[Tab]:
    """Open the page; whatever is done with it, it complains of nothing and asks no network."""
    tab, heard = opened(browser, report, SIZES["desk"])
    yield tab
    assert heard.complaints == []
    assert [url for url in heard.requests if not url.startswith("blob:")] == [report.as_uri()]
    tab.close()


def test_a_load_is_tried_in_the_panel(tab: Tab) -> None:
    table = tab.locator("#what-if-table")
    row = table.locator("tbody tr", has_text="flask-threaded").first
    before = row.locator("td").nth(2).inner_text()
    slider = tab.locator("#what-if-requests")
    slider.focus()
    slider.press("Home")
    expect(row.locator("td").nth(2)).not_to_have_text(before)
    tab.locator("#what-if-reset").click()
    expect(row.locator("td").nth(2)).to_contain_text(before.split()[0])


def test_a_table_is_found_sorted_and_taken_along(tab: Tab, report: Path) -> None:
    anchor = "matrix-every-deployment"
    tab.goto(f"{report.as_uri()}#{anchor}")  # unfolds it, where it is long
    heading = tab.locator(f"#{anchor} th[scope=col]").nth(1)
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    with tab.expect_download() as download:
        tab.locator(f"#{anchor} + .take-along").get_by_role("button", name="CSV").click()
    text = Path(download.value.path()).read_bytes().decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    costs = [float(row["CPU, a request on an open connection (µs)"]) for row in rows]
    assert costs == sorted(costs)
    assert len(costs) == tab.locator(f"#{anchor} tbody tr").count() > 1


def test_it_is_read_in_the_dark(tab: Tab) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(paper)
    tab.emulate_media(color_scheme="dark")
    assert tab.evaluate(paper) != light


def test_all_trials_come_out_of_it(tab: Tab) -> None:
    tab.emulate_media(reduced_motion="reduce")
    link = tab.locator("a[download='trials.csv']")
    with tab.expect_download() as download:
        link.click()
    lines = Path(download.value.path()).read_text("utf-8").splitlines()
    assert len(lines) > 100
