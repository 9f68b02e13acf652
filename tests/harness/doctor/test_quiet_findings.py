"""Whether a machine is quiet enough: by the limits that trials are judged by, and in words for intervals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness import evening, window
from harness.doctor import quiet_findings as judging
from harness.doctor.findings import Finding, Standing, obstacles
from harness.doctor.quiet_findings import NEIGHBOUR_LIMIT, STARVED_OTHERS, STOLEN_LIMIT, quiet_findings
from harness.doctor.watching import Busy, Pace, Watched
from tests.harness.doctor.facts import WATCHED

SERVER, GENERATOR = WATCHED.processors
LOAD, PACE = "others on processor 2 (server)", "pace of processor 2 (server)"


def found(watched: Watched) -> dict[str, Finding]:
    return {finding.subject: finding for finding in quiet_findings(watched)}


def with_server(*, others_share: float = 0.0, pace: Pace | None = SERVER.pace) -> Watched:
    return replace(WATCHED, processors=(replace(SERVER, others_share=others_share, pace=pace), GENERATOR))


def slower(ratio: float) -> Pace:
    return Pace(pieces=1480, fast_us=20.0, slow_us=20.0 * ratio, slowed_share=0.3)


@pytest.mark.parametrize(
    "name", ["NEIGHBOUR_LIMIT", "STARVED_OTHERS", "STOLEN_LIMIT", "STOLEN_COST_LIMIT", "SUSPENDED_LIMIT_S"]
)
def test_the_limits_are_those_of_trials(name: str) -> None:
    assert getattr(judging, name) == getattr(window, name)


def test_costs_follow_the_pace_as_evening_expects() -> None:
    assert judging.PRIOR == evening.PRIOR


class TestQuiet:
    def test_all_good(self) -> None:
        findings = found(WATCHED)
        assert {finding.standing for finding in findings.values()} == {Standing.GOOD}
        assert findings[LOAD].seen == "they took 1% of it in 3 s"
        assert findings[PACE].seen == (
            "the slowest tenth of 1,480 pieces of the same work took 1.04 times as long as the fastest, or longer; 0% "
            "took over 1.25 times as long: even"
        )


class TestOthers:
    def test_noticed(self) -> None:
        finding = found(with_server(others_share=0.12))[LOAD]
        assert (finding.standing, finding.in_the_way) == (Standing.MIND, False)
        assert finding.advice == "end it or wait; over 20% trials would lose their rates and latencies"

    def test_trials_would_be_marked(self) -> None:
        watched = replace(
            with_server(others_share=NEIGHBOUR_LIMIT + 0.01),
            busiest=(Busy("firefox", 4711, 0.31), Busy("cc1plus", 42, 0.05)),
        )
        assert obstacles(quiet_findings(watched)) == (LOAD,)
        assert "firefox (process 4711) 31%, cc1plus (process 42) 5%" in found(watched)[LOAD].seen
        assert "no rate, no latency" in found(watched)[LOAD].advice

    @pytest.mark.parametrize("role", ["generator", "server and generator"])
    def test_a_generator_can_spare_less(self, role: str) -> None:
        loud = replace(GENERATOR, role=role, others_share=STARVED_OTHERS + 0.01)
        assert obstacles(quiet_findings(replace(WATCHED, processors=(loud,)))) == (f"others on processor 3 ({role})",)


class TestStolen:
    @pytest.mark.parametrize(
        ("share", "kept"),
        [(STOLEN_LIMIT + 0.01, "only CPU times are left of trials"), (0.2, "nothing is left of trials")],
    )
    def test_in_the_way(self, share: float, kept: str) -> None:
        findings = quiet_findings(replace(WATCHED, stolen_share=share))
        assert obstacles(findings) == ("stolen time",)
        (finding,) = (each for each in findings if each.subject == "stolen time")
        assert finding.advice.startswith(kept)

    def test_a_little(self) -> None:
        assert found(replace(WATCHED, stolen_share=STOLEN_LIMIT))["stolen time"].standing is Standing.GOOD


class TestPace:
    """It widens intervals and is never in the way: a run takes most of it off."""

    def test_a_little_uneven(self) -> None:
        finding = found(with_server(pace=slower(1.2)))[PACE]
        assert (finding.standing, finding.in_the_way) == (Standing.MIND, False)
        assert "took 1.20 times as long" in finding.seen
        assert "up to 15% more" in finding.advice  # 1.2 ** 0.75
        assert "a little wider" in finding.advice

    def test_very_uneven(self) -> None:
        finding = found(with_server(pace=slower(1.8)))[PACE]
        assert (finding.standing, finding.in_the_way) == (Standing.MIND, False)
        assert "30% took over 1.25 times as long" in finding.seen
        assert "up to 55% more" in finding.advice
        assert "stay ties" in finding.advice
        assert "more blocks (max_blocks)" in finding.advice

    def test_of_the_generator(self) -> None:
        watched = replace(WATCHED, processors=(SERVER, replace(GENERATOR, pace=slower(1.8))))
        finding = found(watched)["pace of processor 3 (generator)"]
        assert finding.standing is Standing.MIND
        assert "costs do not" in finding.advice

    def test_no_piece_got_to_run(self) -> None:
        finding = found(with_server(pace=None))[PACE]
        assert finding.standing is Standing.MIND
        assert "did not get to run" in finding.seen


def test_a_machine_that_slept_meanwhile() -> None:
    findings = quiet_findings(replace(WATCHED, suspended_s=4.2))
    assert obstacles(findings) == ("sleep meanwhile",)
    assert "slept for 4.2 s" in findings[-1].seen
