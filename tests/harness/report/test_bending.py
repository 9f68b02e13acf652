"""How does it bend under load: what was found, what was not, and that it is said where a reader looks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.capacity.reading import searches_in
from harness.measured import Measured
from harness.plan import Plan
from harness.report import bending, under_load
from harness.report.content import Section
from harness.report.naming import Names
from harness.report.page import render
from harness.trials import Run
from tests.harness import synthetic
from tests.harness.capacity.searching import CAPACITIES, run_with_searches
from tests.harness.report.runs import EVIL, hostile_run, quick_run

PLAN = synthetic.plan("capacity")
UVICORN = "quart-uvicorn-uvloop"


def two(*names: str) -> Plan:
    return replace(PLAN, searches=tuple(each for each in PLAN.searches if each.server.deployment in names))


def section(run: Run) -> Section:
    names = Names(list(dict.fromkeys([*Measured(run).contenders, *bending.contenders(run)])))
    return bending.section(run, names)


@pytest.fixture(scope="module")
def found() -> Run:
    return run_with_searches(two("flask-threaded", UVICORN))


@pytest.fixture(scope="module")
def limited() -> Run:
    """A run in which the generator was too slow for one of two servers."""
    return run_with_searches(two("flask-threaded", UVICORN), generator_per_s={UVICORN: 2500.0})


class TestFound:
    def test_the_answer_names_limit_and_rates(self, found: Run) -> None:
        answer = section(found).answer
        assert answer.startswith("With p99 under 250\u202fms and no error it keeps up with 3,")
        assert f" on {UVICORN} and 2," in answer
        assert "at 50\u202f% of it to " in answer

    def test_a_small_plot_each_on_the_same_axes(self, found: Run) -> None:
        plots = section(found).plots
        assert [plot.heading for plot in plots] == ["flask-threaded", UVICORN]
        axes = [(scale(plot.spec, "x"), scale(plot.spec, "y")) for plot in plots]
        assert axes[0] == axes[1]
        x, y = axes[0]
        assert y["type"] == "log"
        assert x["domain"][0] == 0

    def test_capacity_and_limit_are_drawn(self, found: Run) -> None:
        for plot, searched in zip(section(found).plots, searches_in(found), strict=True):
            assert searched.capacity is not None
            rows = [row for data in plot.spec["datasets"].values() for row in data] if "datasets" in plot.spec else []
            rows += [row for layer in plot.spec["layer"] for row in layer.get("data", {}).get("values", [])]
            assert any(row.get("rate") == searched.capacity.held_per_s and "/s" in row["note"] for row in rows)
            assert {"value": 250.0} in rows

    def test_no_figure_is_drawn_that_no_table_holds(self, found: Run) -> None:
        drawn = section(found)
        rates = {row[1] for row in drawn.tables[-1].rows}
        assert len(drawn.tables[-1].rows) == sum(len(searched.rates) for searched in searches_in(found))
        assert {row[2] for row in drawn.tables[0].rows} <= rates

    def test_the_latency_below_it_has_three_percentiles(self, found: Run) -> None:
        table = section(found).tables[1]
        assert [column.name for column in table.columns][3:6] == ["p50", "p99", "p99.9"]
        assert [row[1] for row in table.rows] == ["50\u202f%", "80\u202f%"] * 2

    def test_each_rate_above_the_capacity_counts_as_not_held(self, found: Run) -> None:
        for searched in searches_in(found):
            assert searched.capacity is not None
            assert searched.capacity.held_per_s is not None
            held = [at_rate for at_rate in searched.rates if at_rate.rate_per_s <= searched.capacity.held_per_s]
            assert held[-1].rate_per_s == searched.capacity.held_per_s
            assert held[-1].held >= 3


class TestNotFound:
    def test_the_generator_was_the_limit(self, limited: Run) -> None:
        drawn = section(limited)
        assert UVICORN not in drawn.answer
        assert drawn.tables[0].rows[1][2].startswith("not found; 2,500")
        assert "the generator was the limit, at 2,5" in drawn.tables[0].rows[1][5]
        assert "its capacity was not found" in drawn.plots[1].caption
        assert drawn.notes[-1].startswith(f"Not found: {UVICORN} (2,500")

    def test_none_at_all(self) -> None:
        run = run_with_searches(two(UVICORN), generator_per_s={UVICORN: 2500.0})
        assert section(run).answer.startswith(f"No capacity was found for {UVICORN} (2,500")

    def test_a_run_that_was_killed(self) -> None:
        run = run_with_searches(two("flask-threaded"), most_trials=4)
        drawn = section(run)
        assert "the run ended before it was found" in drawn.answer
        assert drawn.plots
        nothing = section(run_with_searches(two("flask-threaded"), most_trials=0))
        assert nothing.answer == "Not measured: flask-threaded (the run ended before it was searched for)."
        assert not nothing.has_plots

    def test_a_run_of_other_rules(self, found: Run) -> None:
        changed = [
            replace(trial, load=replace(trial.load, rate_per_s=trial.load.rate_per_s * 1.01))
            if trial.is_searched and trial.block == 3
            else trial
            for trial in found.trials
        ]
        assert "another version wrote this run" in section(replace(found, trials=tuple(changed))).answer

    def test_no_search(self) -> None:
        drawn = section(quick_run())
        assert drawn.answer.startswith("Not measured: no capacity was searched for in this run.")
        assert drawn.command == "bench run capacity"


class TestPage:
    def test_with_blocks_and_searches(self, limited: Run) -> None:
        text = render(limited)
        assert "How does it bend under load?" in text
        assert "plot-load-2" in text

    def test_searches_alone(self, found: Run) -> None:
        alone = replace(found, trials=tuple(trial for trial in found.trials if trial.is_searched))
        assert f"on {UVICORN}" in render(alone)

    def test_a_search_s_trials_are_in_no_block(self, found: Run) -> None:
        blocks = replace(found, trials=tuple(trial for trial in found.trials if not trial.is_searched))
        assert Measured(found).cells == Measured(blocks).cells
        assert Measured(found).run.trials == blocks.trials

    def test_markup_in_a_plan(self) -> None:
        run = hostile_run()
        header = replace(run.header, plan={"name": EVIL, "capacity": [{"deployment": EVIL, "scenario": EVIL}]})
        assert EVIL not in render(Run(header, run.trials))

    def test_every_deployment_of_the_plan_is_simulated(self) -> None:
        assert {search.server.deployment for search in PLAN.searches} == set(CAPACITIES)


class TestClients:
    """Throughput and p99 beside each other, never one alone."""

    def test_both_for_each_kind_of_request(self) -> None:
        measured = Measured(quick_run())
        drawn = under_load.clients_section(measured, Names(measured.contenders))
        assert [part.question for part in drawn.parts] == ["Quick requests", "Slow requests (100 ms in the device)"]
        for part in drawn.parts:
            assert [plot.heading for plot in part.plots] == ["Throughput", "p99"]
            assert [table.caption.split()[0] for table in part.tables] == ["Throughput", "Latency"]
            assert "p99" in part.answer

    def test_up_to_a_thousand(self) -> None:
        plan = synthetic.plan("full")
        cells = tuple(
            cell
            for cell in plan.cells
            if cell.scenario == "keep-alive" and cell.server.tls == "1.3" and cell.server.auth == "digest"
        )
        run = synthetic.run(replace(plan, cells=cells, blocks=3, window_s=0.25))
        measured = Measured(run)
        drawn = under_load.clients_section(measured, Names(measured.contenders))
        assert "Quick requests, 1,000 clients: " in drawn.answer
        assert "1, 4, 16, 64, 256 and 1,000 clients" in drawn.notes[0]


def scale(spec: Mapping[str, Any], channel: str) -> dict[str, Any]:
    """Find the scale of a channel in whichever layer has it."""
    found: dict[str, Any] = next(
        layer["encoding"][channel]["scale"] for layer in spec["layer"] if "scale" in layer["encoding"].get(channel, {})
    )
    return found
