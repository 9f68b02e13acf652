"""Which cells are compared with each other: those that differ in what is asked about, and in nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.comparisons import CPU, MEDIAN, P99, THROUGHPUT, Comparison, Figures, Kind, comparisons, measures
from harness.load import Load
from harness.plan import Cell, Plan, ServerKey
from tests.harness import synthetic

FLASK = ServerKey(deployment="flask-threaded")
QUART = ServerKey(deployment="quart-hypercorn-asyncio")


def cell(server: ServerKey, scenario: str = "keep-alive", clients: int = 4, rate_per_s: float = 0.0) -> Cell:
    return Cell(server=server, scenario=scenario, load=Load(clients=clients, rate_per_s=rate_per_s))


def plan(*cells: Cell) -> Plan:
    return Plan(name="p", seed=1, blocks=6, window_s=1.0, budget_s=1e6, cells=cells)


def pairs(kind: Kind, *cells: Cell) -> list[tuple[Cell, Cell]]:
    return [(one.left, one.right) for one in comparisons(plan(*cells)) if one.kind is kind]


class TestChoices:
    """Deployments, or one set up in two ways, under the same conditions."""

    def test_two_deployments(self) -> None:
        assert pairs(Kind.CHOICE, cell(FLASK), cell(QUART)) == [(cell(FLASK), cell(QUART))]

    def test_threads_are_a_choice(self) -> None:
        more = replace(FLASK, threads=32)
        assert pairs(Kind.CHOICE, cell(FLASK), cell(more)) == [(cell(FLASK), cell(more))]

    @pytest.mark.parametrize(
        "other",
        [
            cell(QUART, clients=8),
            cell(QUART, rate_per_s=100.0),
            cell(QUART, scenario="full-handshake"),
            cell(replace(QUART, tls="1.2")),
            cell(replace(QUART, tls="off")),
            cell(replace(QUART, auth="none")),
            cell(replace(QUART, certificate_kind="rsa-2048")),
            cell(replace(QUART, twin=1)),
            cell(replace(QUART, added_cpu_us=5.0)),
        ],
    )
    def test_other_conditions_are_none(self, other: Cell) -> None:
        assert pairs(Kind.CHOICE, cell(FLASK), other) == []

    def test_without_tls_the_key_means_nothing(self) -> None:
        one, other = replace(FLASK, tls="off"), replace(QUART, tls="off", certificate_kind="rsa-2048")
        assert len(pairs(Kind.CHOICE, cell(one), cell(other))) == 1

    @pytest.mark.parametrize(
        ("under", "by"),
        [
            (cell(FLASK, clients=4), (CPU,)),
            (cell(FLASK, clients=64), (CPU, THROUGHPUT, P99)),
            (cell(FLASK, scenario="slow-io", clients=64), (THROUGHPUT,)),
            (cell(FLASK, clients=64, rate_per_s=50.0), (CPU, P99)),
        ],
    )
    def test_the_figures_that_decide(self, under: Cell, by: tuple[object, ...]) -> None:
        assert measures(under) == by


class TestCosts:
    """One deployment, with and without."""

    @pytest.mark.parametrize(
        "other",
        [
            replace(FLASK, tls="off"),
            replace(FLASK, tls="1.2"),
            replace(FLASK, auth="none"),
            replace(FLASK, certificate_kind="rsa-2048"),
            replace(FLASK, tls="off", certificate_kind="rsa-2048"),
        ],
    )
    def test_one_difference(self, other: ServerKey) -> None:
        assert pairs(Kind.COST, cell(FLASK), cell(other)) == [(cell(FLASK), cell(other))]
        assert pairs(Kind.CHOICE, cell(FLASK), cell(other)) == []

    @pytest.mark.parametrize(
        "other", [replace(FLASK, tls="off", auth="none"), replace(FLASK, tls="1.2", certificate_kind="rsa-2048")]
    )
    def test_two_differences_are_no_cost(self, other: ServerKey) -> None:
        assert pairs(Kind.COST, cell(FLASK), cell(other)) == []

    def test_another_deployment_or_load_is_no_cost(self) -> None:
        assert pairs(Kind.COST, cell(FLASK), cell(replace(QUART, tls="off"))) == []
        assert pairs(Kind.COST, cell(FLASK), cell(replace(FLASK, tls="off"), clients=8)) == []


class TestChecks:
    """Each server with something added, or nothing, against the one without."""

    def test_twin_and_addition(self) -> None:
        twin, dearer = replace(FLASK, twin=1), replace(FLASK, twin=1, added_cpu_us=5.0)
        assert pairs(Kind.CHECK, cell(FLASK), cell(twin), cell(dearer)) == [
            (cell(twin), cell(FLASK)),
            (cell(dearer), cell(FLASK)),
        ]

    def test_what_waits_is_judged_by_its_latency(self) -> None:
        slower = cell(replace(FLASK, added_delay_ms=1.0))
        (check,) = comparisons(plan(cell(FLASK), slower))
        assert (check.kind, check.measure) == (Kind.CHECK, MEDIAN)

    def test_without_its_original_there_is_nothing_to_compare(self) -> None:
        assert pairs(Kind.CHECK, cell(replace(FLASK, twin=1)), cell(QUART)) == []


class TestQuick:
    def test_every_need_and_every_cost_of_its_is_there(self) -> None:
        names = [one.name for one in comparisons(synthetic.plan("quick"))]
        both = "flask-threaded to quart-hypercorn-asyncio"
        assert f"{both}, keep-alive c64 tls1.3 digest ecdsa-p256: p99" in names
        assert f"{both}, slow-io c64 tls1.3 digest ecdsa-p256: throughput" in names
        assert (
            "digest to no-digest, flask-threaded keep-alive c4 tls1.3 ecdsa-p256: server CPU for one request" in names
        )
        assert len(names) == len(set(names))


class TestFigures:
    """A contended trial tells its CPU time and nothing else; a void one tells nothing."""

    PLAN = replace(synthetic.plan("smoke"), window_s=0.2)
    TRIALS = synthetic.run(PLAN).trials

    def figures(self, doubt: str) -> tuple[dict[int, float], dict[int, float]]:
        first = self.PLAN.cells[0]
        trials = [
            replace(trial, doubts=(doubt,)) if (trial.cell, trial.block) == (first.name, 0) else trial
            for trial in self.TRIALS
        ]
        figures = Figures(trials)
        return dict(figures.of(first, CPU)), dict(figures.of(first, THROUGHPUT))

    def test_contended(self) -> None:
        cost, rate = self.figures("the generator was the limit")
        assert (sorted(cost), sorted(rate)) == ([0, 1], [1])

    def test_void(self) -> None:
        cost, rate = self.figures("the generator failed: it ended too early")
        assert (sorted(cost), sorted(rate)) == ([1], [1])

    def test_a_cell_without_trials(self) -> None:
        comparison = Comparison(kind=Kind.CHOICE, left=cell(FLASK), right=cell(QUART, clients=99), measure=CPU)
        assert [len(side) for side in comparison.paired(Figures(self.TRIALS))] == [0, 0]
