"""What is judged of a calibration, and how each check came out. Pure: figures in, a table of words out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from harness.calibration.ceiling import MOST_OF_PEER, Ceiling
from harness.calibration.evaluation import Addition, Evaluation, Machine, Outcome
from harness.calibration.stall import MOST_SHARE, PERCENTS, TOLERANCE, Stall
from harness.measured import Condition, Contender
from harness.reference import DRIFT_LIMIT
from harness.statistics import MIN_BLOCKS_FOR_VERDICT, Interval
from harness.window import LATENESS_LIMIT_US, STOLEN_LIMIT

FAULTS: Final = frozenset({Outcome.OFF, Outcome.UNKNOWN})
MOST_DRIFTED: Final = 0.1  # of the trials; blocks take out what drifts, but not within themselves


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table."""

    subject: str
    expected: str
    seen: str
    outcome: Outcome


def checks(
    evaluation: Evaluation,
    stalls: Sequence[Stall],
    ceiling: Ceiling | None,
    failures: Sequence[str] = (),
    *,
    stalls_asked: bool = True,
) -> tuple[Check, ...]:
    """Judge all that was measured. What was not is there as well, and says so. failures: what could not be measured."""
    return (
        *run_checks(evaluation),
        *_stall_checks(stalls, asked=stalls_asked),
        *_ceiling_checks(ceiling),
        *(Check("measuring", "no failure", failure, Outcome.OFF) for failure in failures),
    )


def run_checks(evaluation: Evaluation) -> tuple[Check, ...]:
    """Judge what any run tells of the bench by its own trials."""
    return (
        *_twins_checks(evaluation),
        *_found_checks(evaluation),
        *_lag_checks(evaluation),
        *_machine_checks(evaluation.machine),
    )


def all_good(found: Sequence[Check]) -> bool:
    """Say whether everything is as it should be; what cannot be told is not.

    What nobody asked for, and a program that is not installed, are no fault.
    """
    return all(check.outcome not in FAULTS for check in found)


def _twins_checks(evaluation: Evaluation) -> Iterator[Check]:
    if not evaluation.twins:
        yield _not_measured("A against A", "a tie", asked="twin" in evaluation.asked)
    for one in evaluation.twins:
        yield Check(
            f"A against A: {one.figure}, twin {one.twin}, {_where(one.contender, one.condition)}",
            "a tie: an interval that holds 1",
            _or_blocks(one.ratio, f"{one.ratio.estimate:.3f} ({one.ratio.low:.3f} to {one.ratio.high:.3f})"),
            one.outcome,
        )


def _found_checks(evaluation: Evaluation) -> Iterator[Check]:
    for addition, key in ((Addition.CPU, "added_cpu_us"), (Addition.DELAY, "added_delay_ms")):
        if not any(one.addition is addition for one in evaluation.found):
            yield _not_measured(f"an added {addition}", "found", asked=key in evaluation.asked)
    for one in evaluation.found:
        share = f" ({one.share:.1%} of {one.base_us:.0f} µs)" if math.isfinite(one.share) else ""
        yield Check(
            f"added {one.addition}, {_where(one.contender, one.condition)}",
            f"{one.truth_us:g} µs a request found{share if one.addition is Addition.CPU else ''}",
            _or_blocks(
                one.difference,
                f"{one.difference.estimate:.1f} µs ({one.difference.low:.1f} to {one.difference.high:.1f})",
            ),
            one.outcome,
        )


def _stall_checks(stalls: Sequence[Stall], *, asked: bool) -> Iterator[Check]:
    if not stalls:
        yield _not_measured("a server stopped for 1 s", "percentiles as theory says", asked=asked)
    for number, stall in enumerate(stalls, start=1):
        yield Check(
            f"a server stopped for {stall.stalled_s:.2f} s under open load, try {number}",
            ", ".join(f"p{percent:g} {stall.theory_us(percent) / 1e6:.2f} s" for percent in PERCENTS)
            + f", ± {TOLERANCE:.0%}; server share ≤ {MOST_SHARE:.0%}",
            ", ".join(
                f"p{percent:g} {stall.seen_us(percent) / 1e6:.3f} s ({stall.deviation(percent):+.1%})"
                for percent in PERCENTS
            )
            + f"; {stall.server_share:.1%}",
            Outcome.GOOD if stall.is_as_theory_says else Outcome.OFF,
        )


def _ceiling_checks(ceiling: Ceiling | None) -> Iterator[Check]:
    if ceiling is None:
        yield _not_measured("the generator's ceiling", "a C generator's CPU, nearly", asked=True)
        return
    ours = f"{ceiling.us:.1f} µs a request, so at most {ceiling.requests_per_s:,.0f}/s on a processor"
    of_peer = ceiling.of_peer
    subject = f"the generator's ceiling, against {ceiling.server}"
    if of_peer is None:
        yield Check(subject, "beside wrk or h2load", f"{ours}; wrk and h2load are not installed", Outcome.ABSENT)
    else:
        yield Check(
            subject,
            f"at most {MOST_OF_PEER:g} times the CPU of {ceiling.peer}",
            f"{of_peer:.2f} times; {ours}",
            Outcome.GOOD if of_peer <= MOST_OF_PEER else Outcome.OFF,
        )


def _lag_checks(evaluation: Evaluation) -> Iterator[Check]:
    if not evaluation.lags:
        asked = "rate_per_s" in evaluation.asked
        expected = f"p99 ≤ {LATENESS_LIMIT_US / 1000:g} ms"
        yield _not_measured("the generator's lag behind its schedule", expected, asked=asked)
    for lag in evaluation.lags:
        yield Check(
            f"the generator's lag behind its schedule at {lag.rate_per_s:g}/s",
            f"p99 ≤ {LATENESS_LIMIT_US / 1000:g} ms",
            f"p50 {lag.p50_us / 1000:.2f} ms, p99 {lag.p99_us / 1000:.2f} ms, {lag.arrivals:,} arrivals",
            Outcome.GOOD if lag.p99_us <= LATENESS_LIMIT_US else Outcome.OFF,
        )


def _machine_checks(machine: Machine) -> Iterator[Check]:
    yield Check(
        "trials of the check in which the generator was the limit",
        "none",
        f"{machine.generator_limit} of {machine.checked}",
        Outcome.OFF if machine.generator_limit else Outcome.GOOD,
    )
    subject, expected = "time stolen by other virtual machines", f"at most {STOLEN_LIMIT:.0%}"
    if math.isfinite(machine.stolen):
        yield Check(
            subject,
            expected,
            f"{machine.stolen:.1%}, at most {machine.stolen_most:.1%} of a trial",
            Outcome.GOOD if machine.stolen <= STOLEN_LIMIT else Outcome.OFF,
        )
    else:
        yield _not_measured(subject, expected, asked=True)
    subject = f"trials whose processor was over {DRIFT_LIMIT:.0%} faster or slower than in the run's middle"
    expected = f"at most {MOST_DRIFTED:.0%}"
    if math.isfinite(machine.drift):
        yield Check(
            subject,
            expected,
            f"{machine.drifted} of {machine.trials}, at most {machine.drift:.1%}",
            Outcome.GOOD if machine.drifted <= MOST_DRIFTED * machine.trials else Outcome.OFF,
        )
    else:
        yield _not_measured(subject, expected, asked=True)


def _not_measured(subject: str, expected: str, *, asked: bool) -> Check:
    return Check(subject, expected, "not measured", Outcome.UNKNOWN if asked else Outcome.NOT_ASKED)


def _or_blocks(interval: Interval, said: str) -> str:
    if interval.n >= MIN_BLOCKS_FOR_VERDICT:
        return said
    return f"{interval.n} usable blocks: a verdict takes {MIN_BLOCKS_FOR_VERDICT}"


def _where(contender: Contender, condition: Condition) -> str:
    clients = "1 client" if condition.clients == 1 else f"{condition.clients} clients"
    return f"{contender.deployment} {condition.scenario}, {clients}"
