"""The tables of a page in a real browser: each can be sorted, linked to, copied as Markdown, saved as CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, ViewportSize, expect
from playwright.sync_api import Page as Tab

from harness import words
from harness.measured import Measured
from harness.report.content import table
from harness.report.page import number_attributes
from harness.statistics import Interval
from tests.harness.report.browsing import opened
from tests.harness.report.runs import quick_run

DESK = ViewportSize(width=1280, height=800)
COSTS = "time-server-cpu-by-part"
TRIALS = "again-every-trial"


@pytest.fixture(scope="module")
def report(quick_page: Path) -> Path:
    return quick_page


@pytest.fixture
def tab(browser: Browser, report: Path) -> Iterator[Tab]:
    tab, heard = opened(browser, report, DESK)
    yield tab
    assert heard.complaints == []
    tab.close()


def tools(tab: Tab, anchor: str) -> Locator:
    """What stands below a table: its buttons."""
    return tab.locator(f"#{anchor} + .take-along")


def saved(tab: Tab, anchor: str, kind: str) -> str:
    """Press a button below a table, and return the file that comes."""
    button = tools(tab, anchor).get_by_role("button", name=kind, include_hidden=True)  # folded or not
    with tab.expect_download() as download:
        button.dispatch_event("click")
    assert download.value.suggested_filename == f"{anchor}.{kind.lower()}"
    return Path(download.value.path()).read_bytes().decode("utf-8")


def lines_of(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8"), newline="")))


def column(tab: Tab, anchor: str, place: int) -> list[str]:
    found: list[str] = tab.locator(f"#{anchor} tbody tr").evaluate_all(
        f"(rows) => rows.map((row) => row.cells[{place}].textContent.trim())"
    )
    return found


class TestNumbers:
    """What is said of a number keeps the number."""

    @pytest.mark.parametrize(
        ("said", "kept"),
        [
            (words.microseconds(1234.5), ' data-value="1234.5" data-unit="µs"'),
            (
                words.microseconds_between(Interval(288.0, 285.0, 291.0, 6)),
                ' data-value="288" data-low="285" data-high="291" data-unit="µs"',
            ),
            (words.ratio_range(Interval(1.84, 1.5, 2.25, 6)), ' data-low="1.5" data-high="2.25"'),
            (words.percent(0.031), ' data-value="3.1" data-unit="%"'),
            (words.per_second(Interval(float("nan"), 0.0, 0.0, 0)), ""),
            ("not measured", ""),
        ],
    )
    def test_as_attributes(self, said: str, kept: str) -> None:
        assert number_attributes(said) == kept

    def test_columns_of_one_name_are_told_apart(self) -> None:
        made = table("Two ranges, of what", ["deployment"], ["p50", "range", "p99", "range"], [])
        assert made.column_names == ("deployment", "p50", "range", "p99", "range of p99")
        assert made.anchor == "two-ranges"


class TestFiles:
    def test_csv_has_numbers_in_columns_of_their_own(self, tab: Tab) -> None:
        rows = list(csv.DictReader(io.StringIO(saved(tab, COSTS, "CSV"), newline="")))
        assert [row["deployment"] for row in rows] == column(tab, COSTS, 0)
        name = "TLS handshake, a connection"
        for row in rows:
            value, low, high = (float(row[f"{name} (µs){end}"]) for end in ("", ", low", ", high"))
            assert low < value < high
        measured = Measured(quick_run())
        assert {row["blocks"] for row in rows} == {str(len({trial.block for trial in measured.run.cost_trials}))}

    def test_csv_of_every_trial(self, tab: Tab) -> None:
        rows = list(csv.DictReader(io.StringIO(saved(tab, TRIALS, "CSV"), newline="")))
        trials = sorted(quick_run().trials, key=lambda trial: trial.order)
        assert [int(row["requests"]) for row in rows] == [trial.requests for trial in trials]
        assert [float(row["server CPU a request (µs)"]) for row in rows] == pytest.approx(
            [trial.server_cpu_us_per_request for trial in trials], rel=1e-5
        )

    def test_json_has_units_and_ends(self, tab: Tab) -> None:
        told: dict[str, Any] = json.loads(saved(tab, COSTS, "JSON"))
        assert told["page"] == tab.title()
        assert told["table"].startswith("Server CPU by part")
        name = "Digest, a request"
        assert told["units"][name] == "µs"
        assert [row["deployment"] for row in told["rows"]] == column(tab, COSTS, 0)
        assert all(row[name]["low"] < row[name]["value"] < row[name]["high"] for row in told["rows"])

    def test_every_table_gives_a_file(self, tab: Tab) -> None:
        # A browser asks before a page saves a dozen files in a row: they are caught before that.
        tab.evaluate(
            """() => {
              window.saved = [];
              URL.createObjectURL = (blob) => { window.saved.push(blob.text()); return 'blob:caught'; };
              HTMLAnchorElement.prototype.click = () => {};
            }"""
        )
        buttons = tab.locator(".take-along").get_by_role("button", name="CSV", include_hidden=True)
        assert buttons.count() == tab.locator("main table").count() > 10
        for button in buttons.all():
            button.dispatch_event("click")
        for text in tab.evaluate("Promise.all(window.saved)"):
            header, *rows = csv.reader(io.StringIO(text, newline=""))
            assert len(set(header)) == len(header)
            assert rows
            assert all(len(row) == len(header) for row in rows)

    def test_what_stands_on_the_first_screen_and_in_the_panel(self, tab: Tab) -> None:
        first = tab.locator(".take-along[data-tables]")
        with tab.expect_download() as download:
            first.get_by_role("button", name="CSV").first.click()
        assert download.value.suggested_filename == "decision.csv"
        rows = lines_of(download.value.path())
        assert rows[0] == ["If you have (or want) …", "take", "over the next best", "how sure (95 %)", "flips when"]
        assert rows[1][0].startswith("many short connections")
        panel = tab.locator("#what-if-panel")
        with tab.expect_download() as download:
            panel.get_by_role("button", name="JSON").click()
        told = json.loads(Path(download.value.path()).read_text("utf-8"))
        for row in told["rows"]:
            cpu = row["CPU a request"]
            assert cpu["value"] > 0


class TestMarkdown:
    def test_is_copied(self, browser: Browser, report: Path) -> None:
        context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
        tab = context.new_page()
        tab.goto(report.as_uri())
        button = tools(tab, COSTS).get_by_role("button", name="Copy as Markdown")
        button.click()
        expect(tools(tab, COSTS).locator("output")).to_have_text("copied")
        lines = tab.evaluate("navigator.clipboard.readText()").splitlines()
        assert lines[0].startswith("**Server CPU by part")
        assert lines[2].startswith("| deployment | ")
        assert lines[3].startswith("| --- | ---: |")
        assert [line.split(" | ")[0] for line in lines[4:]] == [f"| {name}" for name in column(tab, COSTS, 0)]
        context.close()

    def test_is_copied_where_the_page_may_not_write_to_the_clipboard_itself(self, tab: Tab) -> None:
        tab.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        tools(tab, COSTS).get_by_role("button", name="Copy as Markdown").click()
        expect(tools(tab, COSTS).locator("output")).to_have_text("copied")
        expect(tab.locator("textarea")).to_have_count(0)

    def test_is_not_said_to_be_copied_when_it_was_not(self, tab: Tab) -> None:
        tab.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        tab.evaluate("document.execCommand = () => false")
        tools(tab, COSTS).get_by_role("button", name="Copy as Markdown").click()
        expect(tools(tab, COSTS).locator("output")).to_contain_text("save it as CSV")


class TestOrder:
    def test_by_a_measured_number_whatever_its_unit_on_the_page(self, tab: Tab) -> None:
        unfold(tab, TRIALS)
        heading = tab.locator(f"#{TRIALS} th", has_text="server CPU")
        place = heading.evaluate("(cell) => cell.cellIndex")
        shown = {text.rpartition("\u202f")[2] for text in column(tab, TRIALS, place)}
        assert len(shown) > 1, "the trials' CPU is to be in µs and ms"
        values = f"(rows) => rows.map((row) => Number(row.cells[{place}].dataset.value))"
        heading.get_by_role("button").click()
        expect(heading).to_have_attribute("aria-sort", "ascending")
        found = tab.locator(f"#{TRIALS} tbody tr").evaluate_all(values)
        assert found == sorted(found)
        heading.get_by_role("button").press("Enter")
        expect(heading).to_have_attribute("aria-sort", "descending")
        found = tab.locator(f"#{TRIALS} tbody tr").evaluate_all(values)
        assert found == sorted(found, reverse=True)

    def test_by_a_count_and_by_a_name(self, tab: Tab) -> None:
        unfold(tab, TRIALS)
        headings = tab.locator(f"#{TRIALS} th[scope=col]")
        headings.filter(has_text="deployment").get_by_role("button").click()
        names = column(tab, TRIALS, 0)
        assert names == sorted(names)
        order = headings.get_by_text("order", exact=True)
        order.click()
        assert [int(text) for text in column(tab, TRIALS, 4)] == list(range(1, len(names) + 1))
        expect(tab.locator(f"#{TRIALS} th[aria-sort]")).to_have_count(1)

    def test_files_come_in_the_order_that_is_shown(self, tab: Tab) -> None:
        heading = tab.locator(f"#{COSTS} th[scope=col]").first.get_by_role("button")
        heading.click()
        heading.click()
        rows = list(csv.DictReader(io.StringIO(saved(tab, COSTS, "CSV"), newline="")))
        names = [row["deployment"] for row in rows]
        assert names == sorted(names, reverse=True)


class TestLinks:
    def test_every_table_and_section_has_an_address_of_its_own(self, tab: Tab) -> None:
        ids: list[str] = tab.locator("[id]").evaluate_all("(all) => all.map((one) => one.id)")
        assert len(ids) == len(set(ids))
        addresses: list[str] = tab.locator(".data caption a").evaluate_all("(all) => all.map((a) => a.hash.slice(1))")
        assert addresses
        assert set(addresses) <= set(ids)

    @pytest.mark.parametrize("page", ["quick_page", "matrix_page"], ids=["folded", "packed"])
    def test_a_link_to_a_table_that_is_put_away_brings_it_out(
        self, browser: Browser, page: str, request: pytest.FixtureRequest
    ) -> None:
        path: Path = request.getfixturevalue(page)
        tab = browser.new_page(viewport=DESK, reduced_motion="reduce")
        tab.goto(f"{path.as_uri()}#{TRIALS}")
        expect(tab.locator(f"#{TRIALS} thead")).to_be_in_viewport()
        expect(tools(tab, TRIALS).get_by_role("button", name="CSV")).to_be_visible()
        tab.close()


def unfold(tab: Tab, anchor: str) -> None:
    tab.locator("details", has=tab.locator(f"#{anchor}")).locator("summary").click()
