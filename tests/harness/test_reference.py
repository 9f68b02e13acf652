"""The fixed piece of work runs where it should, and a run's odd trials are found by it."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from harness import reference
from harness.reference import drifted, mean_us, measure_us
from harness.trials import Run, TrialId
from tests.harness import synthetic


def with_readings(readings: list[float | None]) -> tuple[Run, list[TrialId]]:
    run = synthetic.run(synthetic.plan("smoke"))
    trials = [replace(trial, reference_us=reading) for trial, reading in zip(run.trials, readings, strict=True)]
    return replace(run, trials=tuple(trials)), [trial.id for trial in trials]


class TestMeasuring:
    def test_takes_cpu_time_on_that_processor_and_goes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = os.sched_getaffinity(0)
        where: list[set[int]] = []

        def piece() -> float:
            where.append(os.sched_getaffinity(0))
            return 5.0

        monkeypatch.setattr(reference, "_piece_us", piece)
        assert measure_us(frozenset({min(before)})) == 25.0
        assert where == [{min(before)}] * 5
        assert os.sched_getaffinity(0) == before

    def test_of_this_machine(self) -> None:
        measured = measure_us(frozenset({min(os.sched_getaffinity(0))}))
        assert measured is not None
        assert 1_000 < measured < 10_000_000

    def test_a_processor_that_is_not_to_be_had(self) -> None:
        before = os.sched_getaffinity(0)
        assert measure_us(frozenset({4095})) is None
        assert os.sched_getaffinity(0) == before

    @pytest.mark.parametrize(
        ("readings", "mean"), [([], None), ([10.0, 20.0], 15.0), ([10.0, None], None), ([None, None], None)]
    )
    def test_before_and_after(self, readings: list[float | None], mean: float | None) -> None:
        assert mean_us(readings) == mean


class TestDrift:
    """More than 5 % off the run's median, to either side."""

    def test_slow_and_fast(self) -> None:
        run, ids = with_readings([20_000, 20_400, 19_700, 21_200, 20_100, 18_600, 20_000, 20_050, 19_900, 20_900])
        assert drifted(run) == {ids[3], ids[5]}
        assert drifted(run, limit=0.1) == frozenset()

    def test_trials_without_a_reference_are_not_judged(self) -> None:
        run, ids = with_readings([20_000, None, 20_000, 20_000, None, 20_000, 20_000, 20_000, 20_000, 30_000])
        assert drifted(run) == {ids[9]}

    def test_too_few_have_no_middle(self) -> None:
        run, _ = with_readings([20_000, 90_000, 20_000, 20_000, 20_000, *[None] * 5])
        assert drifted(run) == frozenset()

    def test_a_run_from_before_there_was_one(self) -> None:
        assert drifted(synthetic.run()) == frozenset()
