"""Every way to serve, a row each: sorted by CPU, with what is not known said, and with failures in sight."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

import deployments
from harness import words
from harness.measured import Measured
from harness.recording import Handshakes
from harness.report import abilities, matrix
from harness.report.content import Section
from harness.report.matrix import Row
from harness.report.naming import Names
from harness.report.page import render
from harness.trials import Run, Trial
from tests.harness.report.runs import (
    EVIL,
    FLASK,
    QUART,
    changed,
    crowded_costs,
    crowded_plan,
    failed,
    hostile_run,
    quick_plan,
    quick_run,
    usual,
    without,
)


@pytest.fixture(scope="module")
def crowded() -> Run:
    return quick_run(plan=crowded_plan(), costs=crowded_costs())


@pytest.fixture(scope="module")
def few() -> Run:
    return quick_run(plan=quick_plan(keep=usual))


def row_of(run: Run, deployment: str) -> Row:
    return next(row for row in matrix.rows(Measured(run)) if row.contender.deployment == deployment)


def section_of(run: Run) -> Section:
    measured = Measured(run)
    return matrix.section(measured, Names(measured.contenders))


def of(run: Run, deployment: str, scenario: str) -> Run:
    """Return the run with one failed trial of a deployment."""
    first = next(t for t in run.trials if t.deployment == deployment and t.scenario == scenario and t.block == 0)
    return changed(run, lambda trial: failed(trial, 3) if trial.id == first.id else trial)


@pytest.fixture(scope="module")
def reconnecting(few: Run) -> Run:
    """Return a run in which every request of one deployment took a connection of its own."""

    def closes(trial: Trial) -> Trial:
        return replace(trial, handshakes=Handshakes(full=trial.requests)) if trial.deployment == FLASK else trial

    return changed(few, closes)


@pytest.fixture(scope="module")
def failing(crowded: Run) -> Run:
    """Return a run in which one trial of one deployment lost three requests."""
    return of(crowded, QUART, "slow-io")


class TestRows:
    """One row each, the cheapest request first."""

    def test_every_deployment_once(self, crowded: Run) -> None:
        shown = [row.contender.deployment for row in matrix.rows(Measured(crowded))]
        assert sorted(shown) == sorted({trial.deployment for trial in crowded.trials})

    def test_sorted_by_cpu_of_a_request(self, crowded: Run) -> None:
        costs = [row.each.estimate for row in matrix.rows(Measured(crowded)) if row.each]
        assert costs == sorted(costs)
        assert len(costs) == len(deployments.names())

    def test_both_costs_with_their_intervals(self, few: Run) -> None:
        row = row_of(few, FLASK)
        assert row.each is not None
        assert row.new is not None
        assert row.each.low < row.each.estimate < row.each.high < row.new.low
        assert matrix.cells(row)[:2] == (words.microseconds_between(row.each), words.microseconds_between(row.new))

    def test_slow_requests_with_their_p99(self, few: Run) -> None:
        row = row_of(few, FLASK)
        assert row.slow is not None
        assert row.slow_p99 is not None
        assert row.slow_p99.whole > 0

    @pytest.mark.parametrize(
        ("deployment", "said"),
        [
            ("flask-werkzeug", "stalls everyone"),
            ("flask-gunicorn-gthread", "holds one thread"),
            ("flask-threaded", "disturbs nobody"),
        ],
    )
    def test_what_a_stalled_handshake_does(self, crowded: Run, deployment: str, said: str) -> None:
        assert row_of(crowded, deployment).stalled == said

    def test_each_place_of_a_handshake_has_its_words(self) -> None:
        assert {deployments.find(name).abilities.handshake for name in deployments.names()} <= set(matrix.STALLED)

    def test_a_deployment_that_nobody_knows(self) -> None:
        assert row_of(hostile_run(), EVIL).stalled == matrix.NOT_KNOWN

    def test_what_was_not_measured_is_said_and_comes_last(self, few: Run) -> None:
        run = without(few, lambda trial: trial.deployment == FLASK and trial.scenario == "keep-alive")
        row = matrix.rows(Measured(run))[-1]
        assert row.contender.deployment == FLASK
        assert matrix.cells(row)[0] == matrix.NOT_MEASURED


class TestReconnecting:
    """A server that keeps no connection makes each request pay for one, and each client wait for one."""

    def test_the_cell_says_so(self, reconnecting: Run) -> None:
        assert matrix.cells(row_of(reconnecting, FLASK))[0].endswith("(connects anew)")
        assert row_of(reconnecting, QUART).keeps_connections

    def test_the_wait_is_clients_by_throughput(self, reconnecting: Run) -> None:
        row = row_of(reconnecting, FLASK)
        clients = next(trial.load.clients for trial in reconnecting.trials if trial.scenario == "slow-io")
        assert row.slow is not None
        assert row.slow_with_connecting_us == pytest.approx(clients / row.slow.estimate * 1e6)
        assert math.isnan(row_of(reconnecting, QUART).slow_with_connecting_us)


class TestFailing:
    """One unanswered request in any trial is shown, with what failed."""

    def test_the_row_says_what_failed(self, failing: Run) -> None:
        said = matrix.cells(row_of(failing, QUART))[-1]
        assert said.startswith("failing: 3 of ")
        assert "requests that wait 100 ms in the device" in said
        assert said.endswith("(connection closed before the answer)")

    def test_the_first_sentences_name_it(self, failing: Run) -> None:
        assert section_of(failing).answer.endswith(f"Failing, for requests went unanswered: {QUART}.")

    def test_the_plot_marks_it(self, failing: Run) -> None:
        assert f"{QUART} (failing)" in str(section_of(failing).plots[0].spec)

    def test_the_others_do_not_fail(self, failing: Run) -> None:
        others = [row for row in matrix.rows(Measured(failing)) if row.contender.deployment != QUART]
        assert all(matrix.cells(row)[-1] == matrix.NO_ERRORS for row in others)

    def test_one_that_never_had_a_usable_trial_is_there_too(self, crowded: Run) -> None:
        run = changed(crowded, lambda trial: failed(trial, 1) if trial.deployment == QUART else trial)
        assert row_of(run, QUART).each is None
        assert QUART in [row[0] for row in section_of(run).tables[0].rows]


class TestSection:
    """A plot and its table where there are many; a table alone where there are few."""

    def test_many(self, crowded: Run) -> None:
        section = section_of(crowded)
        assert len(section.plots) == 1
        assert len(section.tables[0].rows) == len(deployments.names())

    def test_few(self, few: Run) -> None:
        section = section_of(few)
        assert not section.plots
        assert [row[0] for row in section.tables[0].rows] == [FLASK, QUART]

    def test_the_plot_has_both_costs_of_all(self, crowded: Run) -> None:
        section = section_of(crowded)
        (data,) = section.plots[0].spec["datasets"].values() if "datasets" in section.plots[0].spec else [None]
        points = data or section.plots[0].spec["layer"][0]["data"]["values"]
        assert len(points) == 2 * len(deployments.names())
        assert {point["family"] for point in points} == {"flask", "quart"}

    def test_nothing_measured(self, few: Run) -> None:
        run = without(few, lambda trial: trial.scenario in {"keep-alive", "full-handshake"})
        assert section_of(run).answer.startswith("Not measured: ")

    def test_it_stands_on_the_page(self, few: Run) -> None:
        page = render(few)
        assert page.index('id="matrix"') < page.index('id="abilities"')


class TestAbilities:
    """Beside the figures: what each can do, said once where it is the same for many."""

    def test_few_are_columns_of_one_table(self, few: Run) -> None:
        section = abilities.section(Measured(few).contenders)
        assert [column.name for column in section.tables[0].columns] == ["ability", FLASK, QUART]
        assert not section.parts

    def test_many_are_grouped_and_fold(self, crowded: Run) -> None:
        parts = abilities.section(Measured(crowded).contenders).parts
        assert [part.question for part in parts] == [
            "Flask by itself",
            "Flask behind a proxy",
            "Quart by itself",
            "Quart behind a proxy",
            "What should one mind?",
        ]
        tables = [table for part in parts for table in part.tables]
        assert all(table.is_folded for table in tables)
        assert sum(len(table.rows) for table in tables) == len(deployments.names())

    def test_what_a_group_shares_is_in_no_column(self, crowded: Run) -> None:
        behind = abilities.section(Measured(crowded).contenders).parts[1]
        assert "stop finishes requests: yes" in behind.answer
        columns = [column.name for column in behind.tables[0].columns]
        assert "stop finishes requests" not in columns
        for place in range(1, len(columns)):
            assert len({row[place] for row in behind.tables[0].rows}) > 1

    def test_equal_warnings_are_one(self, crowded: Run) -> None:
        warned = abilities.section(Measured(crowded).contenders).parts[-1].notes
        of_apache = [note for note in warned if "flask-waitress@apache" in note]
        assert len(of_apache) == 1
        assert "quart-uvicorn-uvloop@apache" in of_apache[0]
