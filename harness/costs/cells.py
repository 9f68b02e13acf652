"""The cells of one contender that its costs are made of, found by what they are: scenario, TLS or not, Digest or not.

All are those of one TLS version, one kind of key and, where there is a choice, one number of clients: those of the base
condition. A closed load alone has costs: how busy a server is changes what a request costs it.
"""

from __future__ import annotations

import dataclasses

from harness.measured import NO_AUTH, PLAIN_TLS, Condition, Contender, Measured, Scenario


def base_condition(measured: Measured, contender: Contender) -> Condition | None:
    """Return the keep-alive condition that a contender's costs start from: the one with the most counterparts.

    Counterparts are the same load without TLS, without Digest and without both; then the usual one and the fewest
    clients.
    """
    mine = [
        condition
        for condition in measured.conditions(Scenario.KEEP_ALIVE)
        if condition.has_tls and condition.auth != NO_AUTH and (contender, condition) in measured.cells
    ]
    if not mine:
        return None
    counterparts = {
        condition: sum(
            (contender, other) in measured.cells
            for other in (without_tls(condition), without_digest(condition), without_digest(without_tls(condition)))
        )
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


@dataclasses.dataclass(frozen=True, slots=True)
class Cells:
    """What was measured of a contender with the base's TLS, key and Digest, or without them."""

    measured: Measured
    contender: Contender
    base: Condition

    @classmethod
    def of(cls, measured: Measured, contender: Contender) -> Cells | None:
        """Return a contender's cells; None for one that answered no requests on open connections over TLS."""
        base = base_condition(measured, contender)
        return None if base is None else cls(measured, contender, base)

    def condition(self, scenario: Scenario, *, tls: bool = True, digest: bool = True) -> Condition | None:
        """Return the one that was measured; at the base's number of clients, or else with the fewest."""
        wanted = self.base
        wanted = wanted if tls else without_tls(wanted)
        wanted = wanted if digest else without_digest(wanted)
        fitting = [
            one
            for one in self.measured.conditions(scenario)
            if (one.tls, one.auth, one.certificate_kind) == (wanted.tls, wanted.auth, wanted.certificate_kind)
            and (self.contender, one) in self.measured.cells
            and (scenario is not Scenario.KEEP_ALIVE or one.clients == wanted.clients)
        ]
        return min(fitting, key=lambda one: (one.clients != wanted.clients, one.clients), default=None)
