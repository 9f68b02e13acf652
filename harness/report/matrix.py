"""Section: how do all ways to serve compare? What a run knows of each deployment, in one row.

The rows are figures first (`rows`), so that the page and docs/deployments.md say the same; they are sorted by the
server's CPU time for a request on an open connection, for that is the steadiest figure that every run has.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from deployments import DeploymentError, find
from harness import words
from harness.measured import (
    SCENARIO_WORDS,
    Condition,
    Contender,
    Measured,
    Scenario,
    Spread,
    contender_of,
    cpu_us,
    throughput,
)
from harness.report import charts
from harness.report.content import Mark, Plot, Section, Table, table
from harness.report.naming import Names, family
from harness.statistics import Interval

FEW = 6  # up to so many deployments a table alone shows it
SLOW_CLIENTS = 64  # at which slow requests are shown, where they were measured at it
EACH, NEW = "a request on an open connection", "a new connection with one request"
STALLED: Mapping[str, str] = {  # by deployments.Abilities.handshake
    "in the accept loop": "stalls everyone",
    "in a pool thread": "holds one thread",
    "in the event loop": "disturbs nobody",
}
NOT_KNOWN = "not known"
NOT_MEASURED = "not measured"
NO_ERRORS = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the figures of all rows were taken under; None: no trial of it can be used."""

    each: Condition | None
    new: Condition | None
    slow: Condition | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Requests of one scenario that were not answered as they should."""

    scenario: str
    failed: int
    requests: int  # with those that failed
    reasons: tuple[str, ...]  # the most frequent first


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is known of one deployment. None: no trial of it can be used."""

    contender: Contender
    each: Interval | None  # server CPU, µs a request on an open connection
    new: Interval | None  # server CPU, µs a new connection with a full handshake and one request
    slow: Interval | None  # slow requests answered per second
    slow_p99: Spread | None  # their latency, µs; without the wait for a connection
    slow_with_connecting_us: float  # mean, with the wait for a connection; NaN where connections were kept
    keeps_connections: bool  # as the clients saw it; True where nobody could see
    stalled: str  # what one client does to it that stalls in the TLS handshake
    failures: tuple[Failure, ...]

    @property
    def is_failing(self) -> bool:
        """Whether a request of it failed in any trial."""
        return bool(self.failures)


def conditions(measured: Measured) -> Conditions:
    """Return what most deployments were put through, of each kind of client."""
    slow = _over_tls(measured, Scenario.SLOW_IO)
    at_64 = [condition for condition in slow if condition.clients == SLOW_CLIENTS]
    return Conditions(
        each=measured.usual(_over_tls(measured, Scenario.KEEP_ALIVE)),
        new=measured.usual(_over_tls(measured, Scenario.FULL_HANDSHAKE)),
        slow=measured.usual(at_64 or slow),
    )


def rows(measured: Measured) -> tuple[Row, ...]:
    """Return a row for each deployment, the cheapest request first; those without that figure come last."""
    failures = _failures(measured)
    under = conditions(measured)
    everyone = dict.fromkeys([*measured.contenders, *failures])
    found = [_row(contender, measured, under, failures.get(contender, ())) for contender in everyone]
    return tuple(sorted(found, key=lambda row: (row.each.estimate if row.each else math.inf, row.contender.deployment)))


def section(measured: Measured, names: Names) -> Section:
    """Lay all deployments beside each other; without a plot where they are few."""
    anchor, question = "matrix", "How do all ways to serve compare?"
    found = rows(measured)
    known = [row for row in found if row.each or row.new]
    if not known:
        return Section(anchor, question, "Not measured: it takes requests on open connections, or new connections.")
    few = len(found) <= FEW
    return Section(
        anchor,
        question,
        answer(found, names),
        legend=() if few else _legend(known),
        plots=() if few else (_plot(known, names),),
        tables=(as_table(found, conditions(measured), names),),
        notes=tuple(_notes(found, names)),
    )


def answer(found: Sequence[Row], names: Names) -> str:
    """Return how far apart they are, and who fails, in a few sentences of plain text."""
    said = []
    for what, figure in ((EACH, _each), (NEW, _new)):
        ranked = sorted(
            ((interval.estimate, row) for row in found if (interval := figure(row)) is not None),
            key=lambda pair: pair[0],
        )
        if ranked:
            ends = [f"{words.microseconds(us)} ({names.label(row.contender)})" for us, row in (ranked[0], ranked[-1])]
            said.append(f"{words.capitalised(what)} takes {' to '.join(dict.fromkeys(ends))} of the server's CPU.")
    failing = [names.label(row.contender) for row in found if row.is_failing]
    if failing:
        said.append(f"Failing, for requests went unanswered: {words.listed(failing)}.")
    else:
        said.append("No request of any of them failed.")
    return " ".join(said)


def as_table(found: Sequence[Row], under: Conditions, names: Names) -> Table:
    """Return the rows as text."""
    slow = "slow requests" if under.slow is None else f"{under.slow.clients} slow requests"
    return table(
        f"Every deployment ({len(found)}), the cheapest request first; CPU is the server's, ± 95 % interval",
        ["deployment"],
        [f"CPU, {EACH}", f"CPU, {NEW}", f"{slow}: answered", "their p99"],
        [(names.label(row.contender), *cells(row)) for row in found],
        remarks=["a client that stalls in the handshake", "failed requests"],
    )


def cells(row: Row) -> tuple[str, ...]:
    """Return a row's figures as text: both costs, slow requests and their p99, a stalled handshake, failures."""
    return (
        cost(row.each).noting("" if row.keeps_connections else " (connects anew)"),
        cost(row.new),
        words.per_second(row.slow) if row.slow else NOT_MEASURED,
        slow_p99(row),
        row.stalled,
        failed(row),
    )


def cost(interval: Interval | None) -> words.Said:
    """Return "294 ± 5 µs"."""
    return words.microseconds_between(interval) if interval else words.Said(NOT_MEASURED)


def slow_p99(row: Row) -> str:
    """Return "410 ms", and the mean with the wait for a connection where each request needs one."""
    if row.slow_p99 is None or not math.isfinite(row.slow_p99.whole):
        return NOT_MEASURED
    said = words.microseconds(row.slow_p99.whole)
    if math.isfinite(row.slow_with_connecting_us):
        said = said.noting(f"; {words.microseconds(row.slow_with_connecting_us)} with connecting")
    return said


def failed(row: Row) -> str:
    """Return "failing: 3 of 1,000 slow-io (connection closed)", or "none"."""
    if not row.is_failing:
        return NO_ERRORS
    each = [
        f"{one.failed:,} of {one.requests:,} {SCENARIO_WORDS.get(one.scenario, one.scenario)} "
        f"({words.shortened(one.reasons, 2)})"
        for one in row.failures
    ]
    return f"failing: {'; '.join(each)}"


def _row(contender: Contender, measured: Measured, under: Conditions, failures: tuple[Failure, ...]) -> Row:
    slow_trials = measured.trials(contender, under.slow) if under.slow else ()
    connects = sum(trial.handshakes.full + trial.handshakes.resumed for trial in slow_trials)
    requests = sum(trial.requests for trial in slow_trials)
    slow = _level(measured, contender, under.slow, throughput)
    # Little's law: so many clients that wait in turn, divided by how many are answered a second. A p99 of the wait for
    # a connection is cut short by the window where that wait is longer.
    around_us = under.slow.clients / slow.estimate * 1e6 if under.slow and slow else math.nan
    return Row(
        contender=contender,
        each=_level(measured, contender, under.each, cpu_us),
        new=_level(measured, contender, under.new, cpu_us),
        slow=slow,
        slow_p99=measured.latency(contender, under.slow, 99) if under.slow and slow_trials else None,
        slow_with_connecting_us=around_us if 2 * connects > requests else math.nan,
        keeps_connections=under.each is None or measured.keeps_connections(contender, under.each),
        stalled=_stalled(contender.deployment),
        failures=failures,
    )


def _level(
    measured: Measured, contender: Contender, condition: Condition | None, figure: Callable[..., float]
) -> Interval | None:
    if condition is None or not measured.figures(contender, condition, figure):
        return None
    return measured.level(contender, condition, figure)


def _stalled(deployment: str) -> str:
    try:
        return STALLED.get(find(deployment).abilities.handshake, NOT_KNOWN)
    except DeploymentError:
        return NOT_KNOWN


def _failures(measured: Measured) -> Mapping[Contender, tuple[Failure, ...]]:
    """Return who fails, and in what; a search for a limit fails on purpose, and does not count."""
    requests: Counter[tuple[Contender, str]] = Counter()
    reasons: dict[tuple[Contender, str], Counter[str]] = {}
    for trial in measured.run.trials:
        if trial.options.is_calibration:
            continue
        key = contender_of(trial), trial.scenario
        requests[key] += trial.requests + sum(trial.errors.values())
        reasons.setdefault(key, Counter()).update({why: number for why, number in trial.errors.items() if number})
    found: dict[Contender, tuple[Failure, ...]] = {}
    for (contender, scenario), counted in reasons.items():
        if counted:
            failure = Failure(
                scenario=scenario,
                failed=counted.total(),
                requests=requests[contender, scenario],
                reasons=tuple(why for why, _ in counted.most_common()),
            )
            found[contender] = (*found.get(contender, ()), failure)
    return found


def _over_tls(measured: Measured, scenario: Scenario) -> list[Condition]:
    return [condition for condition in measured.conditions(scenario) if condition.has_tls]


def _each(row: Row) -> Interval | None:
    return row.each


def _new(row: Row) -> Interval | None:
    return row.new


def _plot(known: Sequence[Row], names: Names) -> Plot:
    points = [
        charts.FamilyDot(
            line=names.label(row.contender) + (" (failing)" if row.is_failing else ""),
            family=family(row.contender.deployment),
            series=what,
            value=interval.estimate,
            low=interval.low,
            high=interval.high,
            said=f"{names.label(row.contender)}, {what}: {cost(interval)}",
        )
        for row in known
        for what, interval in ((EACH, row.each), (NEW, row.new))
        if interval is not None
    ]
    return Plot(
        "matrix-plot",
        f"Server CPU of {EACH} (circles) and of {NEW} (diamonds), with 95 % intervals, the cheapest request first",
        charts.family_dots(points, (charts.Series(EACH, "", "circle"), charts.Series(NEW, "", "diamond")), title="µs"),
    )


def _legend(known: Sequence[Row]) -> tuple[Mark, ...]:
    families = dict.fromkeys(family(row.contender.deployment) for row in known)
    return (
        Mark(EACH, charts.MUTED, "circle"),
        Mark(NEW, charts.MUTED, "diamond"),
        *(Mark(words.capitalised(one), charts.family_colour(one)) for one in families),
    )


def _notes(found: Sequence[Row], names: Names) -> Iterator[str]:
    if reconnecting := [names.label(row.contender) for row in found if not row.keeps_connections]:
        yield f"No connection is kept by {words.listed(reconnecting)}: every request there pays for a handshake."
    yield (
        "Neighbours in the table may be a tie: intervals are of each figure, not of differences. The decisions above "
        "compare block by block."
    )
    if any(math.isfinite(row.slow_with_connecting_us) for row in found):
        yield (
            "A p99 is of requests alone. Where each request needs a connection of its own, clients wait for that too: "
            "beside it stands the mean of both, clients divided by requests answered a second."
        )
    yield "What a stalled handshake does was not measured in this run: tests hold it against each server."
