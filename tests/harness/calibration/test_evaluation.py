"""What a run says of the bench, from runs whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.calibration.evaluation import Addition, Evaluation, Outcome, evaluate
from harness.load import Load
from harness.plan import Cell, Plan, ServerKey
from harness.recording import bin_of
from harness.trials import GENERATOR_LIMIT, Run, Trial
from tests.harness import synthetic

SERVER = ServerKey(deployment="flask-threaded")
QUIET = 0.004  # noise of a trial that makes an addition of 3 % plain


def plan(*servers: ServerKey, blocks: int = 8, load: Load | None = None) -> Plan:
    """Return a plan of these servers under one load."""
    cells = tuple(
        Cell(server=server, scenario="keep-alive", load=load or Load(clients=1)) for server in (SERVER, *servers)
    )
    return Plan(name="mine", seed=1, blocks=blocks, window_s=2.0, budget_s=1e6, cells=cells)


def calibrated(*servers: ServerKey, noise: float = QUIET, seed: int = 1, blocks: int = 8) -> Evaluation:
    """Evaluate a run of them."""
    return evaluate(synthetic.run(plan(*servers, blocks=blocks), noise=noise, seed=seed))


def slower(run: Run, factor: float, **of: object) -> Run:
    """Return the run with more CPU in the trials of servers with that option."""

    def change(trial: Trial) -> Trial:
        if any(getattr(trial.options, name) != value for name, value in of.items()):
            return trial
        return replace(trial, server_cpu_us=trial.server_cpu_us * factor)

    return Run(run.header, tuple(map(change, run.trials)))


class TestTwins:
    """A against A ties, but for the chance that the level says; a twin that differs is told."""

    def test_each_figure_of_each_twin_is_compared(self) -> None:
        found = calibrated(replace(SERVER, twin=1), replace(SERVER, twin=2)).twins
        assert [(one.twin, one.figure) for one in found] == [
            (twin, figure) for twin in (1, 2) for figure in ("server CPU a request", "throughput", "median latency")
        ]
        assert all(one.ratio.n == 8 for one in found)

    def test_false_alarms_of_all_together_are_as_rare_as_the_level_says(self) -> None:
        twins = [replace(SERVER, twin=number) for number in (1, 2, 3)]
        alarms = sum(
            any(one.outcome is Outcome.OFF for one in calibrated(*twins, noise=0.015, seed=seed).twins)
            for seed in range(100)
        )
        assert alarms <= 10  # 5 are allowed by chance

    def test_one_that_differs_is_off(self) -> None:
        run = slower(synthetic.run(plan(replace(SERVER, twin=1)), noise=QUIET), 1.03, twin=1)
        cpu = evaluate(run).twins[0]
        assert cpu.outcome is Outcome.OFF
        assert cpu.ratio.estimate == pytest.approx(1.03, rel=0.01)

    def test_too_few_blocks_cannot_tell(self) -> None:
        assert {one.outcome for one in calibrated(replace(SERVER, twin=1), blocks=5).twins} == {Outcome.UNKNOWN}

    def test_other_loads_and_deployments_are_not_twins(self) -> None:
        assert calibrated(replace(SERVER, threads=4, twin=1)).twins == ()

    def test_doubtful_rates_and_latencies_are_left_out_but_not_cpu(self) -> None:
        run = synthetic.run(plan(replace(SERVER, twin=1)), noise=QUIET)
        doubtful = Run(run.header, tuple(replace(trial, doubts=(GENERATOR_LIMIT,)) for trial in run.trials))
        assert [one.ratio.n for one in evaluate(doubtful).twins] == [8, 0, 0]


class TestAdditions:
    """An addition is found with its size; one that is not there, or of another size, is told."""

    CPU = replace(SERVER, added_cpu_us=6.0)

    def test_cpu(self) -> None:
        (found,) = calibrated(self.CPU).found
        assert (found.addition, found.truth_us, found.outcome) == (Addition.CPU, 6.0, Outcome.GOOD)
        assert found.difference.low <= 6.0 <= found.difference.high
        assert found.share == pytest.approx(6 / 235, rel=0.3)  # drift of a block is a tenth

    def test_delay_is_found_in_the_latency_of_one_client(self) -> None:
        (found,) = calibrated(replace(SERVER, added_delay_ms=1.0)).found
        assert (found.addition, found.truth_us, found.outcome) == (Addition.DELAY, 1000.0, Outcome.GOOD)

    def test_both_at_once_are_two_findings(self) -> None:
        found = calibrated(replace(SERVER, added_cpu_us=20.0, added_delay_ms=1.0)).found
        assert [one.addition for one in found] == [Addition.CPU, Addition.DELAY]

    def test_one_that_is_not_there_is_not_found(self) -> None:
        run = synthetic.run(plan(self.CPU), noise=QUIET, costs=synthetic.Costs().alike())
        gone = slower(run, 235 / 241, added_cpu_us=6.0)
        (found,) = evaluate(gone).found
        assert not found.is_found
        assert found.outcome is Outcome.OFF

    def test_one_of_another_size_is_off(self) -> None:
        (found,) = evaluate(slower(synthetic.run(plan(self.CPU), noise=QUIET), 1.1, added_cpu_us=6.0)).found
        assert found.is_found
        assert not found.holds_truth
        assert found.outcome is Outcome.OFF

    def test_a_server_that_got_faster_is_not_found(self) -> None:
        (found,) = evaluate(slower(synthetic.run(plan(self.CPU), noise=QUIET), 0.9, added_cpu_us=6.0)).found
        assert not found.is_found

    def test_twins_narrow_the_interval(self) -> None:
        def width(*twins: ServerKey) -> float:
            widths = []
            for seed in range(30):
                (found,) = calibrated(self.CPU, *twins, noise=0.015, seed=seed).found
                widths.append(found.difference.high - found.difference.low)
            return sum(widths)

        assert width(replace(SERVER, twin=1), replace(SERVER, twin=2)) < 0.93 * width()

    def test_without_the_same_unaltered_server_there_is_nothing_to_tell(self) -> None:
        alone = Plan(
            name="mine",
            seed=1,
            blocks=8,
            window_s=2.0,
            budget_s=1e6,
            cells=tuple(
                Cell(server=replace(SERVER, added_cpu_us=added), scenario="keep-alive", load=Load(clients=1))
                for added in (6.0, 7.0)
            ),
        )
        assert {found.outcome for found in evaluate(synthetic.run(alone)).found} == {Outcome.UNKNOWN}

    def test_truth_is_held_as_often_as_the_level_says(self) -> None:
        found = [calibrated(self.CPU, noise=0.015, seed=seed).found[0] for seed in range(100)]
        held = sum(one.difference.low <= 6.0 <= one.difference.high for one in found)
        assert held >= 89  # 95 are expected
        assert all(one.holds_truth for one in found if one.difference.low <= 6.0 <= one.difference.high)


class TestGeneratorAndMachine:
    def test_an_empty_run_says_nothing(self) -> None:
        run = synthetic.run(plan())
        found = evaluate(Run(run.header, ()))
        assert (found.twins, found.found, found.lags, found.machine.trials) == ((), (), (), 0)

    def test_lag_is_that_of_all_trials_of_a_rate_together(self) -> None:
        run = synthetic.run(plan(load=Load(clients=4, rate_per_s=100.0), blocks=2))
        late = [{bin_of(100): 99, bin_of(9_000): 1}, {bin_of(100): 97, bin_of(9_000): 3}]
        changed = [replace(trial, lateness_us=late[trial.block]) for trial in run.trials]
        (lag,) = evaluate(Run(run.header, tuple(changed))).lags
        assert (lag.rate_per_s, lag.arrivals, lag.p50_us) == (100.0, 200, 100.0)
        assert lag.p99_us == pytest.approx(9_000, rel=0.001)

    def test_limits_stolen_time_and_drift_are_counted(self) -> None:
        run = synthetic.run(plan(replace(SERVER, twin=1)))
        trials = list(run.trials)
        limited = (f"{GENERATOR_LIMIT}: neighbours took 70% of its processor",)
        trials = [replace(one, doubts=limited) if one.block == 0 else one for one in trials]
        trials[1] = replace(trials[1], stolen_us=0.4e6)
        trials = [replace(trial, reference_us=110.0 if trial.block == 3 else 100.0) for trial in trials]
        machine = evaluate(Run(run.header, tuple(trials))).machine
        checked = sum(trial.options.is_calibration for trial in trials)
        assert (machine.checked, machine.drifted, machine.trials) == (checked, 2, 16)
        assert checked == 8
        assert machine.generator_limit == sum(trial.options.is_calibration for trial in trials if trial.block == 0)
        assert machine.drift == pytest.approx(0.1)
        assert machine.stolen_most == pytest.approx(0.1)  # 0.4 s of two processors' 2 s each
        assert machine.stolen == pytest.approx(0.1 / 16)
