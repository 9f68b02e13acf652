"""How a calibration is judged: each check good, off and absent; and what is kept of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.calibration.ceiling import Ceiling
from harness.calibration.checks import all_good, checks
from harness.calibration.evaluation import Evaluation, Outcome, evaluate
from harness.calibration.folder import FILE_NAME, Kept, read_kept, write_kept
from harness.calibration.stall import Stall
from harness.errors import UserError
from harness.recording import bin_of
from harness.trials import GENERATOR_LIMIT, Run, Trial
from tests.harness import synthetic

STALL = Stall(stalled_s=1.0, window_s=10.0, requests=1000, server_share=0.02, p95_us=501_000, p99_us=899_000)
CEILING = Ceiling(server="nginx", ours_us=(11.0, 12.0, 13.0), peer="wrk", peer_us=(9.0, 9.0, 9.0))


def as_measured(trial: Trial) -> Trial:
    late = {bin_of(80): trial.requests} if trial.load.is_open else {}
    return replace(trial, reference_us=100.0, lateness_us=late)


@pytest.fixture(scope="module")
def run() -> Run:
    made = synthetic.run(synthetic.plan("calibrate"), noise=0.004)
    return Run(made.header, tuple(map(as_measured, made.trials)))


@pytest.fixture(scope="module")
def good(run: Run) -> Evaluation:
    return evaluate(run)


def off(found: Evaluation, stall: Stall = STALL, ceiling: Ceiling | None = CEILING) -> list[str]:
    """Return the subjects that are not as they should be."""
    return [check.subject for check in checks(found, [stall], ceiling) if check.outcome is not Outcome.GOOD]


class TestBuiltInPlan:
    def test_a_machine_on_which_all_is_well_passes(self, good: Evaluation) -> None:
        assert off(good) == []
        assert all_good(checks(good, [STALL], CEILING))

    def test_has_all_that_is_judged(self, good: Evaluation) -> None:
        subjects = " ".join(check.subject for check in checks(good, [STALL], CEILING))
        for what in ("A against A", "added CPU", "added delay", "stopped for", "ceiling", "at 100/s", "at 1000/s"):
            assert what in subjects


class TestNotAsked:
    """What a plan does not have is no fault; what it has and did not get is."""

    def test_no_stalls(self, good: Evaluation) -> None:
        assert all_good(checks(good, [], CEILING, stalls_asked=False))
        assert not all_good(checks(good, [], CEILING))

    @pytest.mark.parametrize("key", ["twin", "added_cpu_us", "added_delay_ms", "rate_per_s"])
    def test_a_part_that_the_plan_has_and_no_trial_gave(self, run: Run, key: str) -> None:
        def has(trial: Trial) -> bool:
            return bool(trial.load.rate_per_s if key == "rate_per_s" else getattr(trial.options, key))

        without = evaluate(Run(run.header, tuple(trial for trial in run.trials if not has(trial))))
        assert not all_good(checks(without, [STALL], CEILING))
        missing = [one for one in checks(without, [STALL], CEILING) if one.seen == "not measured"]
        unasked = checks(replace(without, asked=frozenset()), [STALL], CEILING)
        assert {one.outcome for one in missing} == {Outcome.UNKNOWN}, key
        assert {one.outcome for one in unasked if one.seen == "not measured"} == {Outcome.NOT_ASKED}

    def test_a_busy_generator_elsewhere_is_the_reports_to_tell(self, run: Run) -> None:
        def limited(trial: Trial) -> Trial:
            return trial if trial.options.is_calibration else replace(trial, doubts=(GENERATOR_LIMIT,))

        found = checks(evaluate(Run(run.header, tuple(map(limited, run.trials)))), [STALL], CEILING)
        (line,) = [check for check in found if "generator was the limit" in check.subject]
        assert line.outcome is Outcome.GOOD


class TestOff:
    def test_stall(self, good: Evaluation) -> None:
        (subject,) = off(good, replace(STALL, p99_us=30_000))
        assert subject.startswith("a server stopped for 1.00 s")

    def test_ceiling(self, good: Evaluation) -> None:
        (subject,) = off(good, ceiling=replace(CEILING, peer_us=(7.0, 7.0, 7.0)))
        assert "ceiling" in subject

    def test_lag(self, run: Run) -> None:
        late = Run(
            run.header,
            tuple(
                replace(trial, lateness_us={bin_of(5_000): 1}) if trial.load.rate_per_s == 100 else trial
                for trial in run.trials
            ),
        )
        assert off(evaluate(late)) == ["the generator's lag behind its schedule at 100/s"]

    def test_stolen_time_and_a_processor_that_drifts(self, run: Run) -> None:
        changed = Run(
            run.header,
            tuple(
                replace(trial, stolen_us=trial.window_s * 0.1e6, reference_us=120.0 if trial.block == 0 else 100.0)
                for trial in run.trials
            ),
        )
        stolen, drift = off(evaluate(changed))
        assert "stolen" in stolen
        assert "faster or slower" in drift

    def test_what_failed_is_said_and_off(self, good: Evaluation) -> None:
        found = checks(good, [STALL], CEILING, ["a stopped server: it ended"])
        assert not all_good(found)
        assert found[-1].seen == "a stopped server: it ended"


class TestMissing:
    def test_a_program_that_is_not_installed_is_said_and_is_not_off(self, good: Evaluation) -> None:
        alone = Ceiling(server="a trivial server", ours_us=(11.0,), peer=None)
        found = checks(good, [STALL], alone)
        assert all_good(found)
        assert any("wrk and h2load are not installed" in check.seen for check in found)

    def test_what_was_not_measured_is_not_as_it_should_be(self, run: Run) -> None:
        found = checks(evaluate(Run(run.header, ())), [], None)
        assert not all_good(found)
        assert sum(check.seen == "not measured" for check in found) == 8


class TestKept:
    def test_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        assert read_kept(tmp_path) == Kept()
        kept = Kept(ceiling=CEILING).with_stall(STALL)
        write_kept(tmp_path, kept)
        assert read_kept(tmp_path) == kept
        assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]

    @pytest.mark.parametrize("text", ["", "[]", '{"format": 2}', '{"format": 1}', '{"format": 1, "stalls": [{}]}'])
    def test_anything_else_is_one_line(self, tmp_path: Path, text: str) -> None:
        (tmp_path / FILE_NAME).write_text(text)
        with pytest.raises(UserError, match="is no calibration's file") as caught:
            read_kept(tmp_path)
        assert "\n" not in str(caught.value)
