"""The costs: what TLS, Digest and a new connection take, as differences between trials of the same block.

Every cost is a sum of cells, each with its sign, taken block by block; the mean of those sums and its t interval are
the cost. Server CPU, user and system, of the whole process tree.

    a request           keep-alive
    TLS, a request      keep-alive with TLS - keep-alive without
    TLS, a connection   (new connection with TLS - keep-alive with TLS) - (the same two without TLS)
    Digest, a request   keep-alive with Digest - keep-alive without authentication
    a challenge         new challenge for every request - keep-alive
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.measured import (
    NO_AUTH,
    PLAIN_TLS,
    Condition,
    Contender,
    Measured,
    Scenario,
    cpu_us,
)
from harness.statistics import Interval, mean_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """One contender's costs, µs of server CPU. None: the cells that it takes were not measured."""

    contender: Contender
    request: Interval
    clients: int  # of the requests on open connections
    tls_request: Interval | None = None
    tls_connection: Interval | None = None  # a full handshake, records and close, without what TCP takes
    tls_resumed: Interval | None = None  # the same, resumed
    tcp_connection: Interval | None = None  # accept and close without TLS
    digest: Interval | None = None
    challenge: Interval | None = None


@dataclass(frozen=True, slots=True)
class Term:
    """A cell, and its sign in a cost."""

    sign: int
    condition: Condition


def costs(measured: Measured) -> tuple[Costs, ...]:
    """Return the costs of every contender that answered requests on open connections over TLS."""
    found = (_costs(measured, contender) for contender in measured.contenders)
    return tuple(cost for cost in found if cost is not None)


def base_condition(measured: Measured, contender: Contender) -> Condition | None:
    """Return the keep-alive condition that a contender's costs start from: the one with the most counterparts.

    Counterparts are the same load without TLS and without Digest; then the usual one and the fewest clients.
    """
    mine = [
        condition
        for condition in measured.conditions(Scenario.KEEP_ALIVE)
        if condition.has_tls and condition.auth != NO_AUTH and (contender, condition) in measured.cells
    ]
    if not mine:
        return None
    counterparts = {
        condition: ((contender, without_tls(condition)) in measured.cells)
        + ((contender, without_digest(condition)) in measured.cells)
        for condition in mine
    }
    most = max(counterparts.values())
    best = [condition for condition in mine if counterparts[condition] == most]
    fewest = min(condition.clients for condition in best)
    return measured.usual([condition for condition in best if condition.clients == fewest])


def without_tls(condition: Condition) -> Condition:
    """Return the same condition without TLS."""
    return dataclasses.replace(condition, tls=PLAIN_TLS, certificate_kind=None)


def without_digest(condition: Condition) -> Condition:
    """Return the same condition without authentication."""
    return dataclasses.replace(condition, auth=NO_AUTH)


def combine(measured: Measured, contender: Contender, terms: Sequence[Term]) -> Interval | None:
    """Return the sum of signed cells, block by block; None unless a block has them all."""
    figures = [measured.figures(contender, term.condition, cpu_us) for term in terms]
    blocks = sorted(set.intersection(*(set(by_block) for by_block in figures)))
    if not blocks:
        return None
    signed = list(zip(terms, figures, strict=True))
    sums = [math.fsum(term.sign * by_block[block] for term, by_block in signed) for block in blocks]
    return mean_interval(sums, fixed_blocks=measured.fixed_blocks)


def connection_terms(new: Condition, base: Condition, plain_new: Condition | None) -> list[Term]:
    """Return the cells of a connection's cost over that of a request.

    new: a connection for every request. plain_new: the same without TLS, to leave out what TCP takes; None: left in.
    """
    terms = [Term(1, new), Term(-1, base)]
    if plain_new is not None:
        terms += [Term(-1, plain_new), Term(1, without_tls(base))]
    return terms


def _costs(measured: Measured, contender: Contender) -> Costs | None:
    base = base_condition(measured, contender)
    if base is None:
        return None
    request = combine(measured, contender, [Term(1, base)])
    if request is None:
        return None
    plain = without_tls(base)
    new = _like(measured, contender, base, Scenario.FULL_HANDSHAKE)
    resumed = _like(measured, contender, base, Scenario.RESUMED_HANDSHAKE)
    challenge = _like(measured, contender, base, Scenario.CHALLENGE)
    plain_new = new and without_tls(new)

    def connection(condition: Condition | None) -> Interval | None:
        if condition is None or plain_new is None:
            return None
        return combine(measured, contender, connection_terms(condition, base, plain_new))

    def over(condition: Condition | None, other: Condition) -> Interval | None:
        return combine(measured, contender, [Term(1, condition), Term(-1, other)]) if condition else None

    return Costs(
        contender=contender,
        request=request,
        clients=base.clients,
        tls_request=combine(measured, contender, [Term(1, base), Term(-1, plain)]),
        tls_connection=connection(new),
        tls_resumed=connection(resumed),
        tcp_connection=over(plain_new, plain),
        digest=combine(measured, contender, [Term(1, base), Term(-1, without_digest(base))]),
        challenge=over(challenge, base),
    )


def _like(measured: Measured, contender: Contender, base: Condition, scenario: Scenario) -> Condition | None:
    """Return the scenario's condition with the base's TLS, Digest and key; at the load without TLS if there is one."""
    fitting = [
        condition
        for condition in measured.conditions(scenario)
        if (condition.tls, condition.auth, condition.certificate_kind) == (base.tls, base.auth, base.certificate_kind)
        and (contender, condition) in measured.cells
    ]
    return min(
        fitting,
        key=lambda condition: ((contender, without_tls(condition)) not in measured.cells, condition.clients),
        default=None,
    )
