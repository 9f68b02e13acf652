"""What the table decides, on runs whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.costs import costs
from harness.measured import Measured, Scenario
from harness.report.decisions import NEEDS, TABLE_LEVEL, Decision, Outcome, decide, how_likely
from harness.report.flips import NEVER, flips
from harness.report.naming import Names
from harness.trials import Run
from tests.harness import synthetic
from tests.harness.report.runs import FLASK, QUART, changed, quick_plan, quick_run, usual, without

PLAN = quick_plan(window_s=0.1, keep=usual)


def decided(run: Run) -> dict[str, Decision]:
    return {decision.need.name: decision for decision in decide(Measured(run))}


def flip(run: Run, need: str) -> str:
    measured = Measured(run)
    decisions = decide(measured)
    decision = next(decision for decision in decisions if decision.need.name == need)
    return flips(decision, decisions, measured, Names(measured.contenders))


class TestFalseWinners:
    """A page names a winner that is none, in any row of its table, in at most 5 % of all runs."""

    def test_nothing_differs(self) -> None:
        seeds = 200
        alike = synthetic.Costs().alike()
        false = 0
        for seed in range(seeds):
            decisions = decide(Measured(quick_run(seed=seed, costs=alike, plan=PLAN)))
            false += any(decision.outcome is Outcome.WINNER for decision in decisions)
        assert false <= 0.05 * seeds

    @pytest.mark.parametrize("seed", range(5))
    def test_a_fifth_is_found_everywhere(self, seed: int) -> None:
        # Whole requests that differ by 20 %: the slow ones alone are bound by waiting, and are alike.
        whole = synthetic.Costs(
            digest=0, tls_records=0, connection=0, handshake=dict.fromkeys(synthetic.Costs().handshake, 0.0)
        )
        truth = replace(whole, request={FLASK: 250.0, QUART: 300.0}, slow_at_once={FLASK: 64.0, QUART: 64.0})
        for decision in decide(Measured(quick_run(seed=seed, costs=truth, plan=PLAN))):
            if decision.need.scenario is not Scenario.SLOW_IO:
                assert decision.outcome is Outcome.WINNER, decision.need.name
                assert decision.best.contender.deployment == FLASK


class TestVerdicts:
    def test_the_choice_is_the_better_one_whatever_the_measure(self) -> None:
        found = decided(quick_run(plan=PLAN))
        assert found["many short connections"].best.contender.deployment == FLASK  # less CPU
        assert found["many clients at once"].best.contender.deployment == FLASK  # more throughput
        assert found["many slow requests"].best.contender.deployment == QUART
        assert all(decision.next and decision.next.advantage.estimate > 1 for decision in found.values())

    def test_the_true_ratio_lies_in_the_interval(self) -> None:
        row = decided(quick_run(plan=PLAN))["few busy clients"].next
        assert row is not None
        assert not row.advantage.excludes((420 + 55) / (180 + 55))

    def test_five_blocks_are_a_tie_however_clear(self) -> None:
        found = decided(quick_run(plan=quick_plan(blocks=5, window_s=0.1, keep=usual)))
        assert {decision.outcome for decision in found.values()} == {Outcome.TIE}

    def test_a_block_with_a_doubt_does_not_count(self) -> None:
        run = quick_run(plan=PLAN)
        doubtful = changed(
            run,
            lambda trial: (
                replace(trial, doubts=("the generator was the limit",))
                if (trial.block, trial.deployment, trial.scenario) == (0, FLASK, "slow-io")
                else trial
            ),
        )
        row = decided(doubtful)["many slow requests"]
        assert row.outcome is Outcome.TIE
        assert row.next is not None
        assert row.next.advantage.n == 5

    def test_alone_is_no_winner(self) -> None:
        found = decided(without(quick_run(plan=PLAN), lambda trial: trial.deployment == QUART))
        assert {decision.outcome for decision in found.values()} == {Outcome.ALONE}

    def test_what_was_not_measured_is_said(self) -> None:
        found = decided(without(quick_run(plan=PLAN), lambda trial: trial.scenario == "slow-io"))
        assert found["many slow requests"].outcome is Outcome.UNMEASURED
        assert len(found) == len(NEEDS)

    def test_a_winner_is_told_apart_from_everyone(self) -> None:
        third = "quart-uvicorn"
        run = quick_run(plan=PLAN)
        copies = [
            replace(trial, deployment=third, server_cpu_us=trial.server_cpu_us * (1.3 if trial.block % 2 else 0.8))
            for trial in run.trials
            if trial.deployment == FLASK
        ]
        row = decided(Run(run.header, (*run.trials, *copies)))["few busy clients"]
        assert row.outcome is Outcome.TIE
        assert {row.best.contender.deployment, *(rival.contender.deployment for rival in row.tied)} == {FLASK, third}


class TestCorrection:
    """All rows of the table together: Holm's procedure, and intervals that say the same."""

    @pytest.mark.parametrize("seed", range(10))
    def test_a_winner_is_significant_after_correction_and_nothing_else_is(self, seed: int) -> None:
        close = synthetic.Costs(request={FLASK: 250.0, QUART: 257.0}, slow_at_once={FLASK: 64.0, QUART: 64.0})
        for decision in decide(Measured(quick_run(seed=seed, costs=close, plan=PLAN))):
            assert decision.comparisons == len(NEEDS)
            assert (decision.outcome is Outcome.WINNER) == (decision.p_value <= 1 - TABLE_LEVEL)
            assert decision.next is not None
            assert decision.next.advantage.excludes(1.0) == (decision.outcome is Outcome.WINNER)

    def test_the_surest_row_carries_the_whole_correction_the_others_less(self) -> None:
        decisions = decide(Measured(quick_run(plan=PLAN)))
        uncorrected = [decision.rivals[0].p_value for decision in decisions]
        surest = min(range(len(decisions)), key=uncorrected.__getitem__)
        assert decisions[surest].p_value == pytest.approx(len(NEEDS) * uncorrected[surest])
        assert all(
            before <= decision.p_value <= len(NEEDS) * before or decision.p_value == 1.0
            for before, decision in zip(uncorrected, decisions, strict=True)
        )

    def test_rows_without_a_choice_take_no_correction(self) -> None:
        few = without(quick_run(plan=PLAN), lambda trial: trial.scenario != "slow-io")
        (decision,) = (one for one in decide(Measured(few)) if one.outcome is not Outcome.UNMEASURED)
        assert decision.comparisons == 1
        assert decision.p_value == decision.rivals[0].p_value

    def test_said(self) -> None:
        found = decided(quick_run(plan=PLAN))
        assert how_likely(found["many slow requests"]) == "p < 0.0001 after correction for 6 comparisons"
        few = decided(quick_run(plan=quick_plan(blocks=5, window_s=0.1, keep=usual)))
        assert how_likely(few["many slow requests"]) == "p = 1 after correction for 6 comparisons"
        alone = decided(without(quick_run(plan=PLAN), lambda trial: trial.deployment == QUART))
        assert how_likely(alone["few busy clients"]) == ""

    def test_blocks_that_were_added_because_of_the_others_give_no_degrees_of_freedom(self) -> None:
        """A run that went on: the header's `blocks` is what was fixed beforehand."""
        long = quick_run(plan=quick_plan(blocks=12, window_s=0.1, keep=usual))
        header = replace(long.header, plan={**long.header.plan, "blocks": 6, "max_blocks": 12})
        fixed, all_of_them = (decided(run)["few busy clients"].next for run in (Run(header, long.trials), long))
        assert fixed is not None
        assert all_of_them is not None
        assert fixed.advantage.n == all_of_them.advantage.n == 12
        assert fixed.advantage.half_width > all_of_them.advantage.half_width


class TestFlips:
    """A flip is read off what was measured, or the row says that there was none."""

    def test_slow_requests_name_the_threads(self) -> None:
        assert "16 threads" in flip(quick_run(plan=PLAN), "many slow requests").replace("all 16", "16 threads")
        assert flip(quick_run(plan=PLAN), "many slow requests").startswith("up to 16 clients")

    def test_the_same_winner_everywhere_never_flips(self) -> None:
        assert flip(quick_run(plan=PLAN), "many short connections") == NEVER

    def test_a_dearer_connection_is_paid_back(self) -> None:
        """Quart's requests are cheaper here by 100 µs and its handshakes dearer by 500: even at 5 requests."""
        run = quick_run(plan=PLAN, costs=synthetic.Costs(request={FLASK: 300.0, QUART: 200.0}))
        dear = changed(
            run,
            lambda trial: (
                replace(trial, server_cpu_us=trial.server_cpu_us + 500.0 * trial.requests)
                if (trial.deployment, trial.scenario) == (QUART, "full-handshake")
                else trial
            ),
        )
        said = flip(dear, "many short connections")
        assert said.startswith("over about ")
        assert float(said.split()[2]) == pytest.approx(5, rel=0.25)
        assert flip(dear, "few busy clients").startswith("under about ")

    def test_a_tie_flips_only_where_another_row_has_a_winner(self) -> None:
        alike = quick_run(plan=PLAN, costs=synthetic.Costs().alike(), seed=3)
        assert flip(alike, "many short connections") == NEVER


class TestCosts:
    def test_the_truth_is_found_again(self) -> None:
        truth = synthetic.Costs()
        run = synthetic.run(quick_plan(blocks=30, window_s=1.0), drift=0.02, seed=4)
        for cost in costs(Measured(run)):
            for found, true in (
                (cost.tls_request, truth.tls_records),
                (cost.tls_connection, truth.handshake["1.3", "ecdsa-p256", "full"]),
                (cost.tls_resumed, truth.handshake["1.3", "ecdsa-p256", "resumed"]),
                (cost.tcp_connection, truth.connection),
                (cost.digest, truth.digest),
                (cost.challenge, truth.challenge),
            ):
                assert found is not None
                assert found.n == 30
                assert found.estimate == pytest.approx(true, abs=2 * (found.high - found.low))

    def test_what_takes_missing_cells_is_not_guessed(self) -> None:
        run = without(quick_run(), lambda trial: trial.options.tls == "off" or trial.options.auth == "none")
        for cost in costs(Measured(run)):
            assert cost.challenge is not None
            assert (cost.tls_request, cost.tls_connection, cost.tls_resumed, cost.digest) == (None,) * 4
