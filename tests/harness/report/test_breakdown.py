"""The section on where a request's time goes: bars, their wholes, and the checks below them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.costs import costs
from harness.measured import Measured
from harness.report import breakdown
from harness.report.content import Section
from harness.report.naming import Names
from harness.trials import Run
from tests.harness import synthetic
from tests.harness.report.runs import FLASK, changed, quick_run, without


def section(run: Run) -> Section:
    measured = Measured(run)
    return breakdown.section(measured, costs(measured), Names(measured.contenders))


def part(whole: Section, anchor: str) -> Section:
    return next(one for one in whole.parts if one.anchor == anchor)


@pytest.fixture(scope="module")
def costly() -> Run:
    return synthetic.run(replace(synthetic.plan("costs", blocks=6), window_s=1.0), drift=0.03)


def rows_of(spec: dict[str, Any]) -> list[dict[str, object]]:
    rows: list[dict[str, object]]
    (rows,) = spec["datasets"].values()  # as Altair writes it
    return rows


class TestBars:
    def test_parts_and_what_is_unexplained_are_stacked_beside_the_whole(self, costly: Run) -> None:
        rows = rows_of(dict(section(costly).plots[0].spec))
        mine = [row for row in rows if row["bar"] == FLASK]
        assert [row["part"] for row in mine] == [
            "server, framework and route",
            "Digest",
            "TLS records",
            "datastore",
            "new TCP connection",
            "TLS handshake",
            "unexplained",
            "unexplained",
        ]
        (whole,) = [row for row in mine if "each_whole" in row]
        truth = synthetic.Costs()
        request = truth.request[FLASK] + truth.digest + truth.tls_records + truth.datastore
        assert whole["each_whole"] == pytest.approx(request, rel=0.1)
        assert whole["connection"] == pytest.approx(430, rel=0.15)

    def test_the_request_drawn_is_said(self, costly: Run) -> None:
        assert "reads one interface from the datastore" in " ".join(section(costly).notes)
        assert "datastore" not in " ".join(section(quick_run()).notes)

    def test_a_run_with_few_kinds_of_trial_explains_nothing(self) -> None:
        found = section(quick_run())
        assert "unexplained" not in {mark.label for mark in found.legend}
        assert part(found, "time-sum").answer.startswith("By construction")
        assert [one.anchor for one in found.parts] == ["time-sum", "time-paid-back"]


class TestChecks:
    def test_the_sum_is_checked_for_each_whole(self, costly: Run) -> None:
        (shown,) = part(section(costly), "time-sum").tables
        assert len(shown.rows) == 4 * 3
        assert {row[1] for row in shown.rows} == {
            "on an open connection",
            "on an open connection, from the datastore",
            "on a new connection",
        }

    def test_the_handshake_is_paid_back(self, costly: Run) -> None:
        found = part(section(costly), "time-paid-back")
        assert found.answer.startswith("From ")
        rows = {row[0]: row for row in found.tables[0].rows}
        assert int(rows[FLASK][1]) == pytest.approx(13, abs=1)  # (9 x 350 - 80) / 235
        assert int(rows[FLASK][3]) < int(rows[FLASK][1])

    def test_predictions_are_checked(self, costly: Run) -> None:
        cpu, latency = part(section(costly), "time-predicted").tables
        assert len(cpu.rows) == 4 * 3
        assert len(latency.rows) == 4

    def test_a_whole_that_its_parts_do_not_make_is_seen(self, costly: Run) -> None:
        dearer = changed(
            costly,
            lambda trial: (
                replace(trial, server_cpu_us=1.25 * trial.server_cpu_us)
                if (trial.scenario, trial.options.tls, trial.options.auth) == ("full-handshake", "1.3", "digest")
                else trial
            ),
        )
        assert "To within 2" in part(section(dearer), "time-sum").answer  # 20 % of the whole
        assert "on a new connection" in part(section(dearer), "time-sum").answer

    def test_no_tls_no_section(self, costly: Run) -> None:
        found = section(without(costly, lambda trial: trial.options.tls == "off"))
        assert found.answer.startswith("Not measured")
        assert not found.parts
