"""The parts of a request's CPU, and which cells measure each.

For most parts several pairs of cells would do. The first that was measured is taken, and those that stand first leave
out what the part has nothing to do with: Digest is measured without TLS, TLS without Digest. So no part is made of the
whole that it is to be a part of, and whether they add up to it is a question (`waterfall`) and no matter of course.

    server, framework and route   keep-alive, neither TLS nor Digest | what is left of keep-alive with both
                                  behind a proxy: that of the same deployment without it
    proxy                         keep-alive behind the proxy - without it, neither TLS nor Digest
    datastore                     one-interface - keep-alive, neither TLS nor Digest | both with TLS and Digest
    Digest                        keep-alive with Digest - without, no TLS | the same two with TLS
    TLS records                   keep-alive with TLS - without, no Digest | both with Digest
    new TCP connection            full-handshake - keep-alive, neither TLS nor Digest | both with Digest
    TLS handshake                 (full-handshake - keep-alive with TLS) - (the same two without), no Digest | with it
    … resumed                     the same with resumed-handshake
    challenge                     challenge - keep-alive, with TLS and Digest

Beside these, and no part: health, with neither. It is not the least that a server and a framework do, for its route
asks the datastore whether it is there (on Quart in another thread), and system-state's asks nobody.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from deployments import DeploymentError, DeploymentName
from harness.costs.cells import Cells
from harness.costs.sums import Sum
from harness.measured import Contender, Measured, Scenario
from harness.statistics import Interval


class Part(StrEnum):
    """A part of a request's CPU, as it is called; in the order in which parts are stacked."""

    SERVER = "server, framework and route"
    PROXY = "proxy"
    DATASTORE = "datastore"
    DIGEST = "Digest"
    RECORDS = "TLS records"
    TCP = "new TCP connection"
    HANDSHAKE = "TLS handshake"
    RESUMED = "resumed TLS handshake"
    CHALLENGE = "new challenge"

    @property
    def is_of_connection(self) -> bool:
        """Whether it is paid once a connection, not with each request."""
        return self in {Part.TCP, Part.HANDSHAKE, Part.RESUMED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """One contender's costs, µs of server CPU. None: the cells that it takes were not measured."""

    contender: Contender
    request: Interval  # on an open connection, with TLS and Digest, without the datastore
    clients: int  # of the requests on open connections
    server: Interval | None = None  # and framework and route
    health: Interval | None = None  # a whole check of health, without TLS
    proxy: Interval | None = None
    datastore: Interval | None = None
    tls_request: Interval | None = None
    tls_connection: Interval | None = None  # a full handshake, records and close, without what TCP takes
    tls_resumed: Interval | None = None  # the same, resumed
    tcp_connection: Interval | None = None  # accept and close without TLS
    digest: Interval | None = None  # a request, its nonce used before
    challenge: Interval | None = None  # what a request takes more that is challenged first


def costs(measured: Measured) -> tuple[Costs, ...]:
    """Return the costs of every contender that answered requests on open connections over TLS."""
    found = (_costs(measured, contender) for contender in measured.contenders)
    return tuple(cost for cost in found if cost is not None)


def part_sums(cells: Cells) -> dict[Part, Sum]:
    """Return each part as the sum of cells that measures it; those without are not there."""
    found = {part: chosen for part, ways in _ways(cells).items() if (chosen := _first(cells.measured, ways))}
    if Part.SERVER not in found and Part.DIGEST in found and Part.RECORDS in found:
        found[Part.SERVER] = Sum.cell(cells.contender, cells.base) - found[Part.DIGEST] - found[Part.RECORDS]
    return {part: found[part] for part in Part if part in found}


def _ways(cells: Cells) -> Mapping[Part, Sequence[Sum | None]]:
    """Return how each part can be measured, the best way first; None: a cell is missing."""

    def cell(scenario: Scenario, *, tls: bool, digest: bool) -> Sum | None:
        condition = cells.condition(scenario, tls=tls, digest=digest)
        return None if condition is None else Sum.cell(cells.contender, condition)

    def both(scenario: Scenario, *, like: Scenario, tls: bool, digest: bool) -> Sum | None:
        return _less(cell(scenario, tls=tls, digest=digest), cell(like, tls=tls, digest=digest))

    def records(*, digest: bool) -> Sum | None:
        return _less(
            cell(Scenario.KEEP_ALIVE, tls=True, digest=digest), cell(Scenario.KEEP_ALIVE, tls=False, digest=digest)
        )

    def digest(*, tls: bool) -> Sum | None:
        return _less(cell(Scenario.KEEP_ALIVE, tls=tls, digest=True), cell(Scenario.KEEP_ALIVE, tls=tls, digest=False))

    def tcp(*, digest: bool) -> Sum | None:
        return both(Scenario.FULL_HANDSHAKE, like=Scenario.KEEP_ALIVE, tls=False, digest=digest)

    def handshake(scenario: Scenario, *, digest: bool) -> Sum | None:
        return _less(both(scenario, like=Scenario.KEEP_ALIVE, tls=True, digest=digest), tcp(digest=digest))

    bare = cell(Scenario.KEEP_ALIVE, tls=False, digest=False)
    direct = _without_proxy(cells)
    return {
        Part.SERVER: [direct or bare],
        Part.PROXY: [_less(bare, direct)],
        Part.DATASTORE: [
            both(Scenario.ONE_INTERFACE, like=Scenario.KEEP_ALIVE, tls=tls, digest=tls) for tls in (False, True)
        ],
        Part.DIGEST: [digest(tls=False), digest(tls=True)],
        Part.RECORDS: [records(digest=False), records(digest=True)],
        Part.TCP: [tcp(digest=False), tcp(digest=True)],
        Part.HANDSHAKE: [handshake(Scenario.FULL_HANDSHAKE, digest=with_digest) for with_digest in (False, True)],
        Part.RESUMED: [handshake(Scenario.RESUMED_HANDSHAKE, digest=with_digest) for with_digest in (False, True)],
        Part.CHALLENGE: [both(Scenario.CHALLENGE, like=Scenario.KEEP_ALIVE, tls=True, digest=True)],
    }


def _without_proxy(cells: Cells) -> Sum | None:
    """Return the bare request of the deployment that a proxied one puts behind its proxy."""
    try:
        name = DeploymentName.parse(cells.contender.deployment)
    except DeploymentError:
        return None  # a run of another version, or someone's own
    bare = cells.condition(Scenario.KEEP_ALIVE, tls=False, digest=False)
    if name.proxy is None or bare is None:
        return None
    direct = dataclasses.replace(cells.contender, deployment=str(dataclasses.replace(name, proxy=None)))
    return Sum.cell(direct, bare) if (direct, bare) in cells.measured.cells else None


def _less(one: Sum | None, other: Sum | None) -> Sum | None:
    return None if one is None or other is None else one - other


def _first(measured: Measured, ways: Sequence[Sum | None]) -> Sum | None:
    """Return the first way whose cells a block has all."""
    return next((way for way in ways if way is not None and way.by_block(measured)), None)


def _costs(measured: Measured, contender: Contender) -> Costs | None:
    cells = Cells.of(measured, contender)
    if cells is None:
        return None
    request = Sum.cell(contender, cells.base).interval(measured)
    if request is None:
        return None
    found = {part: each.interval(measured) for part, each in part_sums(cells).items()}
    health = cells.condition(Scenario.HEALTH, tls=False, digest=False)
    return Costs(
        contender=contender,
        request=request,
        clients=cells.base.clients,
        server=found.get(Part.SERVER),
        health=Sum.cell(contender, health).interval(measured) if health is not None else None,
        proxy=found.get(Part.PROXY),
        datastore=found.get(Part.DATASTORE),
        tls_request=found.get(Part.RECORDS),
        tls_connection=found.get(Part.HANDSHAKE),
        tls_resumed=found.get(Part.RESUMED),
        tcp_connection=found.get(Part.TCP),
        digest=found.get(Part.DIGEST),
        challenge=found.get(Part.CHALLENGE),
    )
