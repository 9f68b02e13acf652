"""The page on paper: everything that was drawn or folded is there, nothing is cut, and paper is white."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ViewportSize, expect
from playwright.sync_api import Page as Tab

from tests.harness.report.browsing import SIZES, opened

A4 = ViewportSize(width=703, height=1017)  # CSS pixels within the page's margins: 210 mm less 24, 297 less 28
OVERFLOWING = """[...document.querySelectorAll('table, td, th, figure, .plot svg, pre, p, li')]
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
    .map((one) => `${one.tagName} ${one.textContent.trim().slice(0, 60)}`)"""


def on_paper(browser: Browser, path: Path) -> Tab:
    tab, _ = opened(browser, path, A4)
    tab.emulate_media(media="print")
    expect(tab.locator("details:not(.packed):not([open])")).to_have_count(0)
    return tab


@pytest.mark.parametrize("page", ["quick_page", "matrix_page"])
class TestPaper:
    def test_nothing_is_cut_at_its_edge(self, browser: Browser, page: str, request: pytest.FixtureRequest) -> None:
        tab = on_paper(browser, request.getfixturevalue(page))
        assert tab.evaluate(OVERFLOWING) == []
        tab.close()

    def test_the_first_table_is_a_table_though_paper_is_narrow(
        self, browser: Browser, page: str, request: pytest.FixtureRequest
    ) -> None:
        tab = on_paper(browser, request.getfixturevalue(page))
        expect(tab.locator(".decisions")).to_have_css("display", "table")
        expect(tab.locator(".decisions thead")).to_be_visible()
        tab.close()

    def test_it_is_white_and_its_text_dark_whatever_the_scheme(
        self, browser: Browser, page: str, request: pytest.FixtureRequest
    ) -> None:
        tab, _ = opened(browser, request.getfixturevalue(page), SIZES["desk"], "dark")
        tab.emulate_media(media="print", color_scheme="dark")
        body = tab.locator("body")
        expect(body).to_have_css("background-color", "rgb(255, 255, 255)")
        expect(body).to_have_css("color", "rgb(27, 31, 35)")
        tab.close()

    def test_headings_stay_with_what_they_head(
        self, browser: Browser, page: str, request: pytest.FixtureRequest
    ) -> None:
        tab = on_paper(browser, request.getfixturevalue(page))
        for what in ("h2", "h3", ".heading", ".answer", "summary", "caption"):
            breaks = tab.locator(what).evaluate_all("(all) => all.map((one) => getComputedStyle(one).breakAfter)")
            assert set(breaks) <= {"avoid"}, what
        tab.close()


def test_all_plots_are_on_paper_however_early_it_is_printed(browser: Browser, quick_page: Path) -> None:
    """A print right after loading starts when hardly a plot is drawn; the browser waits for none of them."""
    tab = browser.new_page(viewport=SIZES["desk"])
    # Nobody has time, and nothing comes near: so only printing draws.
    tab.add_init_script("window.requestIdleCallback = () => 0; window.IntersectionObserver = class { observe() {} };")
    tab.goto(quick_page.as_uri())
    plots = tab.locator(".plot").count()
    assert tab.locator(".plot svg").count() < plots
    paper = tab.pdf(format="A4")
    assert tab.locator(".plot svg").count() == plots
    assert len(paper) > 100_000
    again = tab.pdf(format="A4")  # when all of them are there
    assert pages(paper) == pages(again) > 1
    assert abs(len(paper) - len(again)) < 1000
    tab.close()


def pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def test_what_was_unfolded_for_paper_is_folded_again(browser: Browser, quick_page: Path) -> None:
    tab, _ = opened(browser, quick_page, SIZES["desk"])
    folded = tab.locator("details:not([open])")
    before = folded.count()
    assert before > 0
    tab.pdf(format="A4")
    expect(folded).to_have_count(before)
    tab.close()


def test_a_table_of_hundreds_of_rows_says_where_it_is(browser: Browser, matrix_page: Path) -> None:
    tab = on_paper(browser, matrix_page)
    packed = tab.locator("details.packed").first
    expect(packed.locator(".on-paper")).to_be_visible()
    expect(packed.locator(".on-paper")).to_contain_text("594 rows, on paper only if they were unfolded before")
    tab.close()
