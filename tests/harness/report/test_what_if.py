"""The "what if" panel: its figures are the predictor's, what it cannot tell is said, it works by hand and by key."""

from __future__ import annotations

import json
import math
import random
import re
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ViewportSize, expect
from playwright.sync_api import Page as Tab

from harness.measured import Measured
from harness.prediction import Axes, Predictor, Workload, predictors
from harness.report.naming import Names
from harness.report.page import write_report
from harness.report.what_if import MANY, TYPICAL, WhatIf, axes_for, what_if
from harness.trials import Run
from tests.harness import synthetic
from tests.harness.report.runs import (
    EVIL,
    FLASK,
    QUART,
    crowded_costs,
    crowded_plan,
    hostile_run,
    quick_run,
    without,
)

AXES = Axes()
DESK, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=844)
TOLD = "document.querySelector('#what-if-panel').dataset.ready"
GENEROUS_MS = 100.0  # for an answer to a slider, on a machine that tests share with others; seen: a few


@pytest.fixture(scope="module")
def run() -> Run:
    """Return a run of the plan `costs`: all that predictions and their checks take."""
    return synthetic.run(replace(synthetic.plan("costs", blocks=6), window_s=1.0), drift=0.03)


@pytest.fixture(scope="module")
def measured(run: Run) -> Measured:
    return Measured(run)


@pytest.fixture(scope="module")
def report(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(synthetic.write(tmp_path_factory.mktemp("run"), run))


@pytest.fixture
def tab(browser: Browser, report: Path) -> Iterator[Tab]:
    opened = panel(browser, report)
    yield opened
    opened.close()


def panel(browser: Browser, path: Path, fragment: str = "", size: ViewportSize = DESK) -> Tab:
    """Open a report and wait until the panel answers."""
    tab = browser.new_page(viewport=size)
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(path.as_uri() + fragment)
    tab.wait_for_selector("#what-if-panel[data-ready]")
    assert complaints == []
    return tab


def section(of: Run) -> WhatIf:
    measured = Measured(of)
    return what_if(measured, Names(measured.contenders))


def set_slider(tab: Tab, name: str, wanted: str) -> None:
    """Move a slider to a position by what it says there, with the arrow keys, as a hand would."""
    slider, output = tab.locator(f"#what-if-{name}"), tab.locator(f"output[for='what-if-{name}']")
    slider.focus()
    slider.press("Home")
    for _ in range(int(slider.get_attribute("max") or "0")):
        if (output.text_content() or "").replace("\u202f", " ") == wanted:
            return
        slider.press("ArrowRight")
    expect(output).to_have_text(re.compile(re.escape(wanted).replace("\\ ", ".")))


def asked(tab: Tab, deployment: int, workload: Workload) -> dict[str, Any]:
    """Ask the page's own function."""
    found: dict[str, Any] = tab.evaluate(
        "([deployment, workload]) => window.whatIf.predict(deployment, workload)",
        [
            deployment,
            {
                "requests": AXES.requests_per_connection.index(workload.requests_per_connection),
                "slow": AXES.slow_share.index(workload.slow_share),
                "rttMs": workload.rtt_ms,
                "ratePerS": workload.rate_per_s,
                "cores": workload.cores or 0,
                "clients": workload.clients or 0,
            },
        ],
    )
    return found


def between_points(predictor: Predictor, chance: random.Random, shares: tuple[float, ...]) -> Workload:
    """Return a workload that stands on no point of load or distance."""
    requests, share = chance.choice(AXES.requests_per_connection), chance.choice(shares)
    most = predictor.capacity(Workload(rate_per_s=1, requests_per_connection=requests, slow_share=share)).rate_per_s
    cores = chance.choice([1, 2, 7, 64])
    return Workload(
        rate_per_s=cores * most * chance.uniform(0.02, 0.96),
        requests_per_connection=requests,
        rtt_ms=chance.uniform(0.0, 200.0),
        slow_share=share,
        cores=cores,
    )


def has_no_bound(predictor: Predictor, workload: Workload) -> bool:
    """Say whether the interval of a latency is open upwards at the grid's next higher load."""
    most = predictor.capacity(workload).rate_per_s * (workload.cores or 1)
    above = next(load for load in AXES.load if load >= workload.rate_per_s / most)
    p99_us = predictor.predict(replace(workload, rate_per_s=above * most)).p99_us
    return p99_us is None or not math.isfinite(p99_us.high)


class TestFiguresAreThePredictors:
    """Held against `Predictor` at random workloads between the grid's points."""

    @pytest.mark.parametrize("shares", [(0.0,), AXES.slow_share], ids=["fast requests", "with slow ones"])
    def test_latency_between_points(self, tab: Tab, measured: Measured, shares: tuple[float, ...]) -> None:
        chance = random.Random(len(shares))
        errors = []
        for _ in range(60):
            number, predictor = chance.choice(list(enumerate(predictors(measured).values())))
            workload = between_points(predictor, chance, shares)
            found, true = asked(tab, number, workload), predictor.predict(workload)
            assert found["beyond"] == ""
            assert true.p50_us is not None
            assert true.p99_us is not None
            assert found["cpu"] == pytest.approx([true.cpu_us.estimate, true.cpu_us.low, true.cpu_us.high], rel=1e-3)
            assert found["busy"][0] == pytest.approx(true.cores_needed.estimate, rel=1e-3)
            for key, interval in (("p50", true.p50_us), ("p99", true.p99_us)):
                estimate, low, high = found[key]
                assert low <= estimate
                # Without bound where the costs' own interval reaches beyond capacity at the next point of load.
                assert estimate <= high or (math.isnan(high) and has_no_bound(predictor, workload))
                errors.append(abs(estimate / interval.estimate - 1))
        # Where threads run out a percentile turns sharply, and not at the same load for every cost.
        allowed = 0 if shares == (0.0,) else len(errors) // 20
        assert sorted(errors)[-1 - allowed] < 0.05
        assert statistics.median(errors) < 0.005

    def test_latency_next_door(self, tab: Tab, measured: Measured) -> None:
        """No distance hides how waits grow; fast requests, up to where the interval itself is wide."""
        predictor = predictors(measured)[next(iter(predictors(measured)))]
        for load in (0.013, 0.03, 0.06, 0.17, 0.35, 0.47, 0.58, 0.72, 0.85, 0.94):
            most = predictor.capacity(Workload(rate_per_s=1)).rate_per_s
            workload = Workload(rate_per_s=load * most, cores=1)
            found, true = asked(tab, 0, workload), predictor.predict(workload)
            assert true.p50_us is not None
            assert true.p99_us is not None
            assert found["p50"][0] == pytest.approx(true.p50_us.estimate, rel=0.05)
            assert found["p99"][0] == pytest.approx(true.p99_us.estimate, rel=0.05)
            assert found["p99"][1] == pytest.approx(true.p99_us.low, rel=0.07)
            if math.isfinite(found["p99"][2]):  # between a point with an end and one without there is none
                assert found["p99"][2] == pytest.approx(true.p99_us.high, rel=0.15)

    @pytest.mark.parametrize("rate", [10, 1000, 20_000])
    def test_as_few_processors_as_it_takes(self, tab: Tab, measured: Measured, rate: int) -> None:
        for number, predictor in enumerate(predictors(measured).values()):
            workload = Workload(rate_per_s=rate, rtt_ms=10)
            assert asked(tab, number, workload)["cores"] == predictor.predict(workload).cores


class TestWhatCannotBeTold:
    def test_beyond_capacity_has_no_latency_and_says_what_is_too_little(self, tab: Tab, measured: Measured) -> None:
        names = [contender.deployment for contender in predictors(measured)]
        busy = asked(tab, names.index(FLASK), Workload(rate_per_s=50_000, cores=1))
        assert "p99" not in busy
        assert "processors are too few" in busy["beyond"]
        waiting = asked(tab, names.index(FLASK), Workload(rate_per_s=1500, slow_share=0.2, cores=1))
        assert "threads are too few" in waiting["beyond"]
        assert not asked(tab, names.index(QUART), Workload(rate_per_s=1500, slow_share=0.2, cores=1))["beyond"]

    def test_nothing_is_extrapolated(self, tab: Tab, measured: Measured) -> None:
        predictor = next(iter(predictors(measured).values()))
        most = predictor.capacity(Workload(rate_per_s=1)).rate_per_s
        assert "over 97 % of capacity" in asked(tab, 0, Workload(rate_per_s=0.985 * most, cores=1))["beyond"]
        assert "no such distance" in asked(tab, 0, Workload(rate_per_s=10, rtt_ms=201))["beyond"]

    def test_few_clients_cannot_ask_so_often(self, tab: Tab, measured: Measured) -> None:
        predictor = next(iter(predictors(measured).values()))
        for clients, is_beyond in ((2, True), (10, False)):
            workload = Workload(rate_per_s=100, rtt_ms=50, clients=clients)
            assert bool(predictor.predict(workload).beyond) is is_beyond
            assert bool(asked(tab, 0, workload)["beyond"]) is is_beyond
        assert re.match(r"2 clients ask at most 3\d\.?\d* times", asked(tab, 0, replace(workload, clients=2))["beyond"])

    def test_what_one_deployment_lacks_is_said_of_it_alone(self, browser: Browser, run: Run, tmp_path: Path) -> None:
        lacking = without(run, lambda trial: trial.scenario == "slow-io" and trial.deployment == QUART)
        assert any(
            re.match(rf"Not measured of {QUART}: slow requests \(slow-io\); `bench run costs`", note)
            for note in section(lacking).section.notes
        )
        tab = panel(browser, write_report(synthetic.write(tmp_path / "lacking", lacking)))
        set_slider(tab, "slow", "2 %")
        row = tab.locator("#what-if-table tbody tr", has_text=QUART)
        expect(row).to_contain_text("not told: this was not measured")
        expect(tab.locator("#what-if-table tbody tr").last).to_contain_text(QUART)
        tab.close()

    def test_a_run_without_the_cells_says_what_is_missing_and_which_plan_has_it(self, run: Run) -> None:
        found = section(without(run, lambda trial: trial.scenario == "full-handshake"))
        assert found.panel is None
        assert "Nothing can be predicted from this run" in found.section.answer
        assert "new connections (full-handshake); `bench run costs`" in found.section.answer

    @pytest.mark.parametrize("kept", ["nothing", "plain HTTP"])
    def test_a_run_of_nothing_that_counts(self, kept: str) -> None:
        found = section(without(quick_run(), lambda trial: kept == "nothing" or trial.options.tls != "off"))
        assert found.panel is None
        assert found.section.answer.startswith("Nothing can be predicted from this run.")

    def test_one_block_gives_figures_without_intervals(self, browser: Browser, run: Run, tmp_path: Path) -> None:
        once = without(run, lambda trial: trial.block > 0 or trial.deployment not in {FLASK, QUART})
        tab = panel(browser, write_report(synthetic.write(tmp_path / "once", once)))
        rows = tab.locator("#what-if-table tbody tr")
        assert rows.count() == 2
        expect(rows.first.locator("td").nth(2)).to_contain_text("no interval")
        tab.close()


class TestWhatIsSaidBesideIt:
    def test_how_far_predictions_were_off(self, run: Run) -> None:
        assert re.search(
            r"Held against \d+ cases that no prediction was made of, CPU time was off by \S+ % at most, "
            r"the median by \S+ % and the 99th percentile by \S+ %\.",
            section(run).section.answer.replace("\u202f", " "),
        )

    def test_that_it_was_not_checked(self) -> None:
        said = section(quick_run()).section
        assert "was not checked in this run: `bench run costs`" in said.answer
        assert any("the least that they can be" in note for note in said.notes)

    def test_the_table_holds_what_the_predictor_says(self, run: Run, measured: Measured) -> None:
        (table,) = section(run).section.tables
        assert [column.name for column in table.columns][1:] == [said for said, _ in TYPICAL]
        assert len(table.rows) == len(predictors(measured))
        assert all("and" in cell and " of " in cell for cell in table.rows[0][1:])


class TestByHand:
    def test_a_slider_changes_the_figures_and_the_order_holds(self, tab: Tab) -> None:
        before = tab.locator("#what-if-table tbody td").all_text_contents()
        set_slider(tab, "rtt", "100 ms")
        set_slider(tab, "rate", "1,000")
        assert tab.locator("#what-if-table tbody td").all_text_contents() != before
        tab.select_option("#what-if-sort", "cpu")
        figures = tab.locator("#what-if-table tbody td:nth-child(4) .what-if-figure").all_text_contents()
        numbers = [float(figure.split("\u202f")[0]) for figure in figures]
        assert len(numbers) == 4
        assert numbers == sorted(numbers)

    def test_sliders_have_labels_and_words_for_their_values(self, tab: Tab) -> None:
        for label in ("requests a second", "requests on each connection", "round trip", "processors", "clients"):
            assert tab.get_by_label(label, exact=True).count() == 1
        slider = tab.get_by_label("requests on each connection")
        slider.focus()
        slider.press("End")
        expect(slider).to_have_attribute("aria-valuetext", "it stays open")
        expect(tab.locator("output[for='what-if-requests']")).to_have_text("it stays open")

    def test_the_live_region_speaks_once_the_slider_rests(self, tab: Tab) -> None:
        said = tab.locator("#what-if-said")
        expect(said).to_contain_text("All 4 take it.")
        tab.evaluate(
            """() => { window.spoken = 0;
               new MutationObserver(() => { window.spoken += 1; })
                 .observe(document.getElementById('what-if-said'), { childList: true }); }"""
        )
        before = said.text_content() or ""
        tab.evaluate(
            """() => { const slider = document.getElementById('what-if-rtt');
               for (const step of [9, 10, 11, 12]) {
                 slider.value = step; slider.dispatchEvent(new Event('input', { bubbles: true }));
               } }"""
        )
        expect(said).not_to_have_text(before)
        assert tab.evaluate("window.spoken") == 1

    def test_the_address_holds_the_load(self, tab: Tab, browser: Browser, report: Path) -> None:
        set_slider(tab, "rtt", "75 ms")
        set_slider(tab, "requests", "it stays open")
        expect(tab).to_have_url(re.compile("requests=open&rtt=75"))
        fragment = tab.evaluate("location.hash")
        again = panel(browser, report, fragment)
        expect(again.locator("output[for='what-if-rtt']")).to_have_text(re.compile(r"75.ms"))
        expect(again.locator("output[for='what-if-requests']")).to_have_text("it stays open")
        expect(again.get_by_role("heading", name="Would it be so for me?")).to_be_in_viewport()
        again.close()

    def test_an_address_with_nonsense_changes_nothing(self, browser: Browser, report: Path) -> None:
        tab = panel(browser, report, "#what-if?rtt=NaN&rate=1e999&requests=<img>&by=__proto__&x=%00")
        expect(tab.locator("output[for='what-if-rtt']")).to_have_text(re.compile(r"20.ms"))
        assert tab.locator("#what-if-table tbody tr").count() == 4
        tab.close()

    def test_start_again(self, tab: Tab) -> None:
        before = tab.locator("#what-if-table tbody").text_content()
        set_slider(tab, "cores", "64")
        tab.click("#what-if-reset")
        expect(tab.locator("output[for='what-if-cores']")).to_have_text("as few as it takes")
        assert tab.locator("#what-if-table tbody").text_content() == before

    def test_fits_a_phone(self, browser: Browser, report: Path) -> None:
        tab = panel(browser, report, size=PHONE)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        box = tab.locator("#what-if-table tbody tr").first.bounding_box()
        assert box is not None
        assert box["width"] <= PHONE["width"]
        tab.close()

    def test_a_hostile_name_stays_text(self, browser: Browser, tmp_path: Path) -> None:
        tab = panel(browser, write_report(synthetic.write(tmp_path / "hostile", hostile_run())))
        tab.locator("#what-if-rtt").press("End")
        expect(tab.locator("#what-if-table")).to_contain_text(EVIL)
        expect(tab.locator("#what-if-said")).to_contain_text("take it")
        assert tab.locator("img").count() == 0
        tab.close()


def test_without_javascript_a_table_stands_in_its_place(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(report.as_uri())
    expect(tab.locator("#what-if-panel")).to_be_hidden()
    table = tab.locator("#what-if-few table")
    expect(table).to_be_visible()
    expect(table).to_contain_text(FLASK)
    context.close()


def test_answers_at_once_and_stays_small(browser: Browser, tmp_path: Path) -> None:
    """A dozen deployments that all differ; the 33 that there are take less than half a megabyte."""
    plan = crowded_plan(blocks=3)
    some = synthetic.DEPLOYMENTS[:12]
    plan = replace(plan, cells=tuple(cell for cell in plan.cells if cell.server.deployment in some))
    path = write_report(synthetic.write(tmp_path / "many", synthetic.run(plan, costs=crowded_costs())))
    (data,) = re.findall(r'data-for="what-if-panel">(.*?)</script>', path.read_text("utf-8"))
    assert len(json.loads(data)["deployments"]) == len(some)
    assert len(data) < 15_000 * len(some)
    tab = panel(browser, path)
    took = tab.evaluate(
        """() => { const slider = document.getElementById('what-if-rate'); const took = [];
           for (let step = 0; step <= Number(slider.max); step += 1) {
             slider.value = step;
             const began = performance.now();
             slider.dispatchEvent(new Event('input', { bubbles: true }));
             document.getElementById('what-if-table').getBoundingClientRect();
             took.push(performance.now() - began);
           } return took; }"""
    )
    assert statistics.median(took) < GENEROUS_MS
    tab.close()


class TestManyDeployments:
    """The sliders have fewer stops, so that a page of all deployments is not minutes in the making."""

    def test_the_stops_are_some_of_the_usual_ones(self) -> None:
        few, many = axes_for(MANY - 1), axes_for(MANY)
        assert few == Axes()
        assert set(many.requests_per_connection) < set(few.requests_per_connection)
        assert set(many.slow_share) < set(few.slow_share)
        assert (many.load, many.rtt_ms) == (few.load, few.rtt_ms)
