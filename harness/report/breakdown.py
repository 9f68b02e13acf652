"""Section: where does a request's time go? The parts are the costs (costs.py); what is left is the server's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.costs import Costs
from harness.measured import Contender, Measured, Scenario
from harness.report import charts, words
from harness.report.content import Mark, Plot, Section, Table, table
from harness.report.naming import Names, server_of
from harness.statistics import Interval

REST = "server, framework and route"
DIGEST = "Digest"
RECORDS = "TLS records"
TCP = "new TCP connection"
HANDSHAKE = "TLS handshake"
LOOKS = (
    charts.Series(REST, "var(--part-rest)"),
    charts.Series(DIGEST, "var(--part-digest)"),
    charts.Series(RECORDS, "var(--part-records)"),
    charts.Series(TCP, "var(--part-tcp)"),
    charts.Series(HANDSHAKE, "var(--part-handshake)"),
)
KEPT = 10  # requests on a connection, at least, of a server that is said to keep it
EXAMPLES = (1, 10, 100)  # requests per connection, in the table


@dataclass(frozen=True, slots=True)
class Parts:
    """A request's CPU in µs: what each request takes, and what each connection takes."""

    costs: Costs
    rest: float
    digest: Interval
    records: Interval
    tcp: Interval
    handshake: Interval

    def total(self, requests: int) -> float:
        """Return the CPU of a request when so many share a connection."""
        return self.costs.request.estimate + (self.tcp.estimate + self.handshake.estimate) / requests


def parts_of(costs: Costs) -> Parts | None:
    """Return the parts, if all of them were measured."""
    if not (costs.digest and costs.tls_request and costs.tcp_connection and costs.tls_connection):
        return None
    rest = costs.request.estimate - costs.digest.estimate - costs.tls_request.estimate
    return Parts(costs, rest, costs.digest, costs.tls_request, costs.tcp_connection, costs.tls_connection)


@dataclass(frozen=True, slots=True)
class Reconnected:
    """A server that keeps connections, and made its clients connect anew now and then all the same."""

    contender: Contender
    handshakes: int
    requests: int


def reconnected(measured: Measured) -> tuple[Reconnected, ...]:
    """Return who closed connections that clients wanted to keep, seen in the handshakes of those trials."""
    found = []
    for contender in measured.contenders:
        trials = [
            trial
            for condition in measured.conditions(Scenario.KEEP_ALIVE)
            if condition.has_tls
            for trial in measured.cost_trials(contender, condition)
        ]
        handshakes = sum(trial.handshakes.full + trial.handshakes.resumed for trial in trials)
        requests = sum(trial.requests for trial in trials)
        if handshakes and requests >= KEPT * handshakes:
            found.append(Reconnected(contender, handshakes, requests))
    return tuple(found)


def section(costs: Sequence[Costs], names: Names, reconnected: Sequence[Reconnected] = ()) -> Section:
    """Answer for every contender whose parts were measured. reconnected: what stood open and did not stay so."""
    anchor, question = "time", "Where does a request's time go?"
    whole = [parts for parts in map(parts_of, costs) if parts is not None]
    if not whole:
        missing = "Not measured: it takes the same requests with and without TLS, and with and without Digest."
        return Section(anchor, question, missing)
    notes = [
        (
            "Server CPU, user and system, of the server's whole process tree. Parts are differences between "
            "trials of the same block, with and without TLS or Digest; what is left is the server's own. A part "
            "that noise made negative is drawn as nothing."
        ),
    ]
    known = {parts.costs.contender for parts in whole}
    apart = [names.label(cost.contender) for cost in costs if cost.contender not in known]
    if apart:
        notes.append(f"Not taken apart, for want of trials without TLS or without Digest: {words.listed(apart)}.")
    notes += [_reconnected_note(one, names) for one in reconnected]
    return Section(
        anchor,
        question,
        _answer(whole, names),
        legend=tuple(Mark(look.label, look.colour) for look in LOOKS),
        plots=(_plot(whole, names),),
        tables=(_table(whole, names),),
        notes=tuple(notes),
    )


def _reconnected_note(one: Reconnected, names: Names) -> str:
    said = (
        f"{names.label(one.contender)} closed connections that its clients wanted to keep: {one.handshakes:,} "
        f"handshakes in {one.requests:,} requests on open connections, whose CPU they are part of."
    )
    if server_of(one.contender.deployment) == "hypercorn":
        said += " Hypercorn, unless told otherwise, ends a connection after 1,000 requests (keep_alive_max_requests)."
    return said


def _answer(whole: Sequence[Parts], names: Names) -> str:
    cheapest = min(whole, key=lambda parts: parts.total(1_000_000))
    request = cheapest.costs.request.estimate
    name = names.label(cheapest.costs.contender)
    shares = words.listed(
        [
            f"{words.percent(max(0.0, value) / request)} {what}"
            for value, what in (
                (cheapest.rest, "the server's own"),
                (cheapest.records.estimate, "TLS records"),
                (cheapest.digest.estimate, "Digest"),
            )
        ]
    )
    connection = cheapest.handshake.estimate + cheapest.tcp.estimate
    return (
        f"On an open connection a request takes {words.microseconds(request)} on {name}: {shares}. A new connection "
        f"adds {words.microseconds(connection)}, {words.significant(connection / request)} times the request itself, "
        "shared by all requests that follow on it."
    )


def _plot(whole: Sequence[Parts], names: Names) -> Plot:
    drawn: list[charts.Part] = []
    for parts in whole:
        bar = names.label(parts.costs.contender)
        for part, amount, shared in (
            (REST, parts.rest, False),
            (DIGEST, parts.digest.estimate, False),
            (RECORDS, parts.records.estimate, False),
            (TCP, parts.tcp.estimate, True),
            (HANDSHAKE, parts.handshake.estimate, True),
        ):
            each = "each connection" if shared else "each request"
            drawn.append(charts.Part(bar, part, amount, f"{part}: {words.microseconds(amount)} {each}", shared))
    return Plot(
        name="plot-time",
        caption="Server CPU per request, µs, with the connection's share",
        spec=charts.stacked_bars(drawn, LOOKS, title="server CPU per request, µs"),
        request_steps=charts.REQUEST_STEPS,
    )


def _table(whole: Sequence[Parts], names: Names) -> Table:
    rows = [
        (
            names.label(parts.costs.contender),
            words.microseconds(parts.rest),
            words.microseconds_between(parts.digest),
            words.microseconds_between(parts.records),
            words.microseconds_between(parts.tcp),
            words.microseconds_between(parts.handshake),
            *(words.microseconds(parts.total(requests), 3) for requests in EXAMPLES),
            f"{parts.costs.request.n}",
        )
        for parts in whole
    ]
    return table(
        "Server CPU by part, with 95 % intervals; then per request, connection included",
        ["deployment"],
        [
            "server and framework, a request",
            "Digest, a request",
            "TLS records, a request",
            "TCP, a connection",
            "TLS handshake, a connection",
            *(f"{words.count(requests, 'request')} a connection" for requests in EXAMPLES),
            "blocks",
        ],
        rows,
    )
