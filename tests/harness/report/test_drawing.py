"""When plots are drawn, and what is packed until it is wanted."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from harness.report.page import write_report
from tests.harness import synthetic
from tests.harness.report.browsing import SIZES, opened
from tests.harness.report.runs import crowded_costs, everything_plan

NO_TIME = "window.requestIdleCallback = () => 0;"
MEGABYTE = 1_000_000


class TestPlotsAreDrawnWhenTheReaderComesNear:
    def test_not_before(self, browser: Browser, quick_page: Path) -> None:
        tab = browser.new_page(viewport=SIZES["desk"])
        tab.add_init_script(NO_TIME)
        tab.goto(quick_page.as_uri())
        expect(tab.locator("#plot-time svg")).to_be_attached()
        expect(tab.locator("#plot-trust svg")).to_have_count(0)
        tab.locator("#trust").scroll_into_view_if_needed()
        expect(tab.locator("#plot-trust svg")).to_be_attached()
        tab.close()

    @pytest.mark.parametrize(
        "lacking", ["delete window.IntersectionObserver;", "delete window.requestIdleCallback;", ""]
    )
    def test_all_of_them_in_the_end_whatever_a_browser_lacks(
        self, browser: Browser, quick_page: Path, lacking: str
    ) -> None:
        tab = browser.new_page(viewport=SIZES["desk"])
        tab.add_init_script(lacking)
        tab.goto(quick_page.as_uri())
        expect(tab.locator(".plot:not(:has(svg))")).to_have_count(0)
        tab.close()

    def test_a_link_to_a_section_lands_on_it_and_stays(self, browser: Browser, quick_page: Path) -> None:
        tab = browser.new_page(viewport=SIZES["desk"], reduced_motion="reduce")
        # Without the browser's own anchoring of what is in view, which not all have.
        tab.add_init_script(
            "addEventListener('DOMContentLoaded', () => { document.documentElement.style.overflowAnchor = 'none'; })"
        )
        tab.goto(f"{quick_page.as_uri()}#trust")
        tab.wait_for_selector("html[data-drawn]", state="attached")
        expect(tab.locator("#what-if-panel")).to_be_visible()
        assert abs(float(tab.locator("#trust").evaluate("(one) => one.getBoundingClientRect().top")) - 16) < 12
        tab.close()


class TestLongTables:
    """More than 200 rows are packed, to a tenth of what they take."""

    def test_are_there_once_they_are_unfolded(self, browser: Browser, matrix_page: Path) -> None:
        tab, heard = opened(browser, matrix_page, SIZES["desk"])
        trials = tab.locator("details.packed", has_text="Every trial")
        expect(trials.locator("table")).to_have_count(0)
        trials.locator("summary").click()
        expect(trials.locator("tbody tr")).to_have_count(33 * 3 * 6)
        expect(trials.locator(".packed-note")).to_be_hidden()
        expect(trials.get_by_role("button", name="CSV")).to_be_visible()
        assert heard.complaints == []
        tab.close()

    def test_a_link_to_one_unfolds_it(self, browser: Browser, matrix_page: Path) -> None:
        tab, _ = opened(browser, matrix_page, SIZES["desk"])
        trials = tab.locator("details.packed", has_text="Every trial")
        trials.locator("summary").click()
        anchor = trials.locator(".scroll").get_attribute("id")
        tab.close()
        tab = browser.new_page(viewport=SIZES["desk"])
        tab.goto(f"{matrix_page.as_uri()}#{anchor}")
        expect(tab.locator(f"#{anchor}")).to_be_in_viewport()
        tab.close()

    def test_long_downloads_come_out_whole(self, browser: Browser, matrix_page: Path) -> None:
        tab, _ = opened(browser, matrix_page, SIZES["desk"])
        with tab.expect_download() as download:
            tab.click("a[download='trials.csv']")
        with Path(download.value.path()).open(encoding="utf-8", newline="") as file:
            assert len(list(csv.DictReader(file))) == 33 * 3 * 6
        tab.close()

    def test_without_javascript_say_where_they_are(self, browser: Browser, matrix_page: Path) -> None:
        context = browser.new_context(java_script_enabled=False)
        tab = context.new_page()
        tab.goto(matrix_page.as_uri())
        trials = tab.locator("details.packed", has_text="Every trial")
        trials.locator("summary").click()
        expect(trials.locator(".packed-note")).to_contain_text("594 rows, unpacked by JavaScript")
        expect(tab.locator("a[download='trials.csv']")).to_be_hidden()
        context.close()


def test_a_page_of_every_deployment_under_everything_of_the_full_plan_stays_under_3_mb(tmp_path: Path) -> None:
    run = synthetic.run(everything_plan(), costs=crowded_costs())
    assert len(run.trials) > 6000
    path = write_report(synthetic.write(tmp_path / "everything", run))
    assert path.stat().st_size < 3 * MEGABYTE
