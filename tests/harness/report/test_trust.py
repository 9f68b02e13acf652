"""What the page says of the bench's check of itself, from the run's own trials; or that there was none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.measured import Measured
from harness.report.trust import line_of_trust, trust
from harness.trials import Run
from tests.harness import synthetic
from tests.harness.report.runs import changed, without


@pytest.fixture(scope="module")
def run() -> Run:
    return synthetic.run(replace(synthetic.plan(), window_s=0.25), noise=0.004)


def facts(run: Run) -> str:
    return " · ".join(line_of_trust(trust(Measured(run)))).replace("\u202f", " ")


class TestFirstScreen:
    def test_tied_and_found(self, run: Run) -> None:
        assert "A/A tied (3 of 3) · an added 3 % was found · " in facts(run)

    def test_a_twin_that_differs(self, run: Run) -> None:
        dearer = changed(
            run, lambda trial: replace(trial, server_cpu_us=1.1 * trial.server_cpu_us) if trial.options.twin else trial
        )
        assert "A/A: 1 of 3 differ, and nothing does" in facts(dearer)

    def test_an_addition_that_is_not_found(self, run: Run) -> None:
        gone = changed(
            run,
            lambda trial: (
                replace(trial, server_cpu_us=0.9 * trial.server_cpu_us) if trial.options.added_cpu_us else trial
            ),
        )
        assert "an added 3 % was not found (0." in facts(gone)

    def test_too_few_blocks(self, run: Run) -> None:
        said = facts(without(run, lambda trial: trial.block > 3))
        assert said.startswith("A/A: too few blocks to tell · an added ")
        assert " could not be looked for: too few blocks · " in said

    def test_not_checked(self, run: Run) -> None:
        assert "not checked against itself" in facts(without(run, lambda trial: trial.options.is_calibration))
