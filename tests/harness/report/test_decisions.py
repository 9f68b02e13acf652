"""What the table decides, on runs whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.costs import costs
from harness.load import Load
from harness.measured import Measured, Scenario
from harness.report.decisions import NEEDS, TABLE_LEVEL, Decision, Outcome, decide, how_likely
from harness.report.flips import NEVER, flips
from harness.report.naming import Names, warning
from harness.statistics import Verdict
from harness.trials import Run, Trial, TrialId
from tests.harness import synthetic
from tests.harness.report.runs import FLASK, QUART, changed, failed, quick_plan, quick_run, usual, without

THIRD = "quart-hypercorn-own"
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
        assert found["the most clients at once"].best.contender.deployment == FLASK  # more throughput
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


class TestTies:
    """Of a tie the cheapest is taken, and compared with the best: only from that one it is known to tie with all."""

    @staticmethod
    def with_a_cheaper_one(run: Run) -> Run:
        """Add a third that serves a little less than FLASK, now more and now less of it, for a little less CPU."""
        copies = [
            replace(
                trial,
                deployment=THIRD,
                requests=int(trial.requests * (1.01 if trial.block % 2 else 0.97)),
                server_cpu_us=trial.server_cpu_us * (0.95 if trial.block % 2 else 0.90),
            )
            for trial in run.trials
            if trial.deployment == FLASK
        ]
        return Run(run.header, (*run.trials, *copies))

    def test_the_cheapest_is_the_choice_and_the_best_the_runner_up(self) -> None:
        row = decided(self.with_a_cheaper_one(quick_run(plan=PLAN)))["few busy clients"]
        assert row.outcome is Outcome.TIE
        assert [one.contender.deployment for one in row.standings[:2]] == [FLASK, THIRD]
        assert [one.contender.deployment for one in row.level] == [THIRD, FLASK]
        assert row.choice.contender.deployment == THIRD
        assert row.runner_up is not None
        assert row.runner_up.contender.deployment == FLASK
        assert not row.runner_up.advantage.excludes(1.0)
        assert row.runner_up.advantage.estimate < 1 < row.rivals[0].advantage.estimate

    def test_too_few_blocks_are_no_reason_to_take_the_cheaper_one(self) -> None:
        """Flask's slow requests are cheaper, and a third as many: that is no tie, if no verdict either."""
        row = decided(quick_run(plan=quick_plan(blocks=5, window_s=0.1, keep=usual)))["many slow requests"]
        assert (row.outcome, row.is_open) == (Outcome.TIE, True)
        assert row.cheapest[0].deployment == FLASK
        assert row.choice.contender.deployment == QUART


class TestWhoCanBeChosen:
    def test_who_fails_a_request_is_no_choice_anywhere(self) -> None:
        run = changed(
            quick_run(plan=PLAN),
            lambda trial: (
                failed(trial, 3)
                if (trial.deployment, trial.scenario, trial.block) == (FLASK, "full-handshake", 2)
                else trial
            ),
        )
        for decision in decide(Measured(run)):
            assert decision.outcome is Outcome.ALONE
            assert decision.choice.contender.deployment == QUART
            (failing,) = decision.failing
            assert (failing.contender.deployment, failing.failed, failing.scenario) == (FLASK, 3, "full-handshake")

    def test_what_was_added_to_check_the_bench_fails_for_itself_alone(self) -> None:
        run = changed(quick_run(plan=PLAN), lambda trial: failed(trial, 3) if trial.options.is_calibration else trial)
        assert not any(decision.failing for decision in decide(Measured(run)))

    def test_nobody_wins_where_the_generator_was_somebodys_limit(self) -> None:
        def limited(trial: Trial) -> Trial:
            if (trial.deployment, trial.scenario, trial.load.clients) != (FLASK, "keep-alive", 4):
                return trial
            return replace(trial, doubts=("the generator was the limit: 98 % of its processor",))

        run = quick_run(plan=PLAN)
        third = [replace(trial, deployment=THIRD) for trial in run.trials if trial.deployment == QUART]
        slower = [replace(trial, requests=int(trial.requests * 0.8)) for trial in third]
        row = decided(changed(Run(run.header, (*run.trials, *slower)), limited))["few busy clients"]
        assert row.rivals[0].verdict is Verdict.MORE
        assert (row.outcome, row.unlimited, row.is_open) == (Outcome.TIE, (FLASK,), True)
        assert row.p_value == 1.0

    def test_the_cpu_of_one_whose_limit_was_the_generator_is_known_all_the_same(self) -> None:
        run = changed(quick_run(plan=PLAN), lambda trial: replace(trial, doubts=("the generator was the limit",)))
        row = decided(run)["the least CPU"]
        assert (row.outcome, row.unlimited) == (Outcome.WINNER, ())

    def test_who_lost_clearly_may_lack_blocks_and_the_runner_up_may_not(self) -> None:
        run = quick_run(plan=PLAN)
        slow = [
            replace(trial, deployment=THIRD, server_cpu_us=trial.server_cpu_us * 2)
            for trial in run.trials
            if trial.deployment == QUART
        ]
        both = Run(run.header, (*run.trials, *slow))

        def lacking(deployment: str, blocks: int) -> Decision:
            return decided(without(both, lambda trial: trial.deployment == deployment and trial.block >= blocks))[
                "few busy clients" if deployment == QUART else "the least CPU"
            ]

        assert lacking(THIRD, 4).outcome is Outcome.WINNER
        assert lacking(THIRD, 2).set_aside == (THIRD,)
        assert lacking(QUART, 5).outcome is Outcome.TIE


class TestWhichLoad:
    """Each need has a load of its own."""

    @staticmethod
    def at(run: Run, *, clients: int, rate_per_s: float = 0.0, deployments: tuple[str, ...]) -> Run:
        added = [
            replace(
                trial,
                id=TrialId(trial.block, f"{trial.deployment} {clients} {rate_per_s}"),
                load=Load(clients=clients, rate_per_s=rate_per_s),
            )
            for trial in run.trials
            if trial.deployment in deployments and trial.scenario == "keep-alive" and trial.load.clients == 64
        ]
        return Run(run.header, (*run.trials, *added))

    def test_steady_latency_is_asked_of_an_open_load_where_there_is_one(self) -> None:
        run = quick_run(plan=PLAN)
        closed = decided(run)["steady latency under load"].condition
        assert closed is not None
        assert (closed.clients, closed.rate_per_s) == (64, 0)
        opened = decided(self.at(run, clients=64, rate_per_s=300, deployments=(FLASK, QUART)))
        condition = opened["steady latency under load"].condition
        assert condition is not None
        assert condition.rate_per_s == 300
        lonely = decided(self.at(run, clients=64, rate_per_s=300, deployments=(FLASK,)))
        assert lonely["steady latency under load"].condition == closed

    def test_the_most_clients_are_the_most_that_any_two_were_put_under(self) -> None:
        third = [replace(trial, deployment=THIRD) for trial in quick_run(plan=PLAN).trials if trial.deployment == QUART]
        run = quick_run(plan=PLAN)
        run = self.at(Run(run.header, (*run.trials, *third)), clients=1000, deployments=(FLASK, QUART))
        run = self.at(run, clients=2000, deployments=(FLASK,))
        found = decided(run)
        most, least_cpu = found["the most clients at once"], found["the least CPU"]
        assert most.condition is not None
        assert least_cpu.condition is not None
        assert (most.condition.clients, len(most.standings)) == (1000, 2)
        assert (least_cpu.condition.clients, len(least_cpu.standings)) == (64, 3)


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
        assert how_likely(found["many slow requests"]) == "p < 0.0001 after correction for 7 comparisons"
        few = decided(quick_run(plan=quick_plan(blocks=5, window_s=0.1, keep=usual)))
        assert how_likely(few["many slow requests"]) == "too few blocks to tell"
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
        assert flip(dear, "the least CPU").startswith("under about ")

    def test_whoever_minds_a_warning_is_told_of_one_without(self) -> None:
        """The choice of slow requests carries a warning; a copy that is served as well does not."""
        assert warning(QUART)
        assert not warning(THIRD)
        run = quick_run(plan=PLAN)
        copies = [
            replace(trial, deployment=THIRD, requests=int(trial.requests * 0.9))
            for trial in run.trials
            if trial.deployment == QUART
        ]
        said = flip(Run(run.header, (*run.trials, *copies)), "many slow requests")
        assert f"if its warning counts: {THIRD}" in said

    def test_another_than_the_runner_up_may_be_better_elsewhere(self) -> None:
        """A third that is slow with few clients and the quickest with many."""
        run = quick_run(plan=PLAN)
        third = [
            replace(trial, deployment=THIRD, requests=int(trial.requests * (2 if trial.load.clients == 64 else 0.2)))
            for trial in run.trials
            if trial.deployment == FLASK
        ]
        assert f"at 64 clients: {THIRD}" in flip(Run(run.header, (*run.trials, *third)), "few busy clients")

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
