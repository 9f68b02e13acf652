"""What a handshake costs a server, by version, kind of key, full or resumed; the group is said with it.

A handshake is what a new connection takes more than an open one, less what it takes more without TLS:
(new - open with TLS) - (new - open without). Beside it stands everything that only comes with TLS and with a new
connection: its records, its close, the key's and the session's objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.costs.cells import Cells, without_tls
from harness.costs.sums import combine, connection_terms
from harness.measured import Condition, Contender, Measured, Scenario
from harness.statistics import Interval

_KINDS = {Scenario.FULL_HANDSHAKE: False, Scenario.RESUMED_HANDSHAKE: True}


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeCost:
    """One kind of handshake on one contender, µs of server CPU."""

    contender: Contender
    version: str  # negotiated: "1.3"
    key_kind: str
    resumed: bool
    group: str | None  # of the key exchange; None where it could not be told
    cost: Interval


def handshake_costs(measured: Measured, contender: Contender) -> tuple[HandshakeCost, ...]:
    """Return every kind of handshake of a contender that was measured with and without TLS; none is there twice."""
    cells = Cells.of(measured, contender)
    if cells is None:
        return ()
    found: dict[tuple[str, str, bool], HandshakeCost] = {}
    for one in _found(cells):
        found.setdefault((one.version, one.key_kind, one.resumed), one)
    return tuple(found[key] for key in sorted(found, reverse=True))


def _found(cells: Cells) -> Iterator[HandshakeCost]:
    """Find them, those without Digest first, as they are taken for the parts."""
    measured, contender = cells.measured, cells.contender
    for scenario, resumed in _KINDS.items():
        conditions = [
            one for one in measured.conditions(scenario) if one.has_tls and (contender, one) in measured.cells
        ]
        for condition in sorted(conditions, key=lambda one: one.auth == cells.base.auth):
            base = cells.condition(Scenario.KEEP_ALIVE, digest=condition.auth == cells.base.auth)
            plain = _plain(measured, contender, condition)
            if base is None or plain is None:
                continue
            cost = combine(measured, contender, connection_terms(condition, base, plain))
            agreed = next((trial.tls for trial in measured.cost_trials(contender, condition) if trial.tls), None)
            if cost is not None and agreed is not None:
                yield HandshakeCost(
                    contender=contender,
                    version=agreed.version.removeprefix("TLSv"),
                    key_kind=agreed.key_kind,
                    resumed=resumed,
                    group=agreed.group,
                    cost=cost,
                )


def _plain(measured: Measured, contender: Contender, condition: Condition) -> Condition | None:
    """Return the new connections without TLS at the same load."""
    same = without_tls(condition)
    plain = Condition(Scenario.FULL_HANDSHAKE, same.clients, same.tls, same.auth, None)
    return plain if (contender, plain) in measured.cells else None
