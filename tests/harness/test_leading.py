"""Who leads so far: the report's own decisions, looked at no oftener than the time of a run allows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.leading import BUDGET_S, Leading, leads
from harness.measured import Measured
from harness.report.decisions import decide
from harness.trials import GENERATOR_LIMIT, Run
from tests.harness import synthetic

WHOLE = synthetic.run(synthetic.plan("quick"))


def first_trials(count: int) -> Run:
    return Run(WHOLE.header, WHOLE.trials[:count])


class TestLeads:
    def test_as_the_report_decides(self) -> None:
        decided = {decision.need.name: decision for decision in decide(Measured(WHOLE)) if decision.rivals}
        found = {lead.need: lead for lead in leads(WHOLE)}
        assert found.keys() == decided.keys()
        for name, lead in found.items():
            assert lead.leader == decided[name].best.contender.deployment
            assert lead.advantage == decided[name].rivals[0].advantage

    def test_nothing_of_nothing(self) -> None:
        assert leads(first_trials(0)) == ()
        assert leads(first_trials(1)) == ()

    def test_under_three_blocks_there_is_no_interval(self) -> None:
        two_blocks = Run(WHOLE.header, tuple(trial for trial in WHOLE.trials if trial.block < 2))
        assert leads(two_blocks)
        assert not any(lead.is_told_apart for lead in leads(two_blocks))

    def test_who_was_faster_than_the_generator_is_no_loser(self) -> None:
        limited = tuple(
            replace(trial, doubts=(f"{GENERATOR_LIMIT} (99 % busy)",))
            if trial.deployment == "flask-threaded" and trial.scenario == "keep-alive"
            else trial
            for trial in WHOLE.trials
        )
        needs = {lead.need for lead in leads(Run(WHOLE.header, limited))}
        assert "few busy clients" not in needs
        assert "many short connections" in needs

    def test_set_ups_of_one_deployment_are_told_by_name(self) -> None:
        both = tuple(
            replace(trial, deployment="flask-threaded", options=replace(trial.options, threads=4))
            if trial.deployment.startswith("quart")
            else trial
            for trial in WHOLE.trials
        )
        (lead, *_) = leads(Run(WHOLE.header, both))
        assert {lead.leader, lead.runner_up} == {"flask-threaded t16 w1", "flask-threaded t4 w1"}


class TestLeading:
    """A look is followed by as many trials without one as make it BUDGET_S each."""

    @pytest.mark.parametrize(("looks_take", "every"), [(0.1, 1), (0.9, 1), (1.5, 2), (9.9, 10), (33.2, 34)])
    def test_rationed(self, looks_take: float, every: int) -> None:
        now_s, looks = 0.0, 0

        def run() -> Run:
            nonlocal now_s, looks
            now_s += looks_take * BUDGET_S
            looks += 1
            return first_trials(0)

        leading = Leading(run, clock_s=lambda: now_s)
        seen = []
        for _ in range(101):
            leading.after_trial()
            seen.append(looks)
        assert seen == [trial // every + 1 for trial in range(101)]

    def test_in_between_the_last_look_stands(self) -> None:
        count = [len(WHOLE.trials)]
        now = iter([0.0, 2 * BUDGET_S, 1.0, 1.0])
        leading = Leading(lambda: first_trials(count[0]), clock_s=lambda: next(now))
        first = leading.after_trial()
        count[0] = 0
        assert leading.after_trial() == first != ()
        assert leading.after_trial() == ()
