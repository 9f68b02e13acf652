"""What is measured of handshakes with a running server, and what a handshake alone costs it.

A figure is the server's CPU for one connection, or for one request on a connection that stays. A handshake's cost is a
sum of four figures of one block, each with its sign:

    (new connection over TLS - request on an open one) - (new connection without TLS - request on an open one)

which leaves out accepting, closing, and the request itself. A server that ends each connection after its answer has no
open ones: there it is (new connection over TLS - new connection without TLS), and the records of one small request are
in it. The server's clock counts, so that it does not matter how slow the client is.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from certs import KeyKind, TlsVersion
from harness.network.model import round_trips
from harness.statistics import Interval, mean_interval, pair_blocks, ratio_interval
from harness.trials import NegotiatedTls


class Done(StrEnum):
    """What is done once in a figure."""

    FULL = "full"  # a new connection with a full handshake, one request, close
    RESUMED = "resumed"
    RETRIED = "retried"  # full, and the server asks for another hello first: HelloRetryRequest
    REQUEST = "request"  # on an open connection


HANDSHAKES: Final = frozenset({Done.FULL, Done.RESUMED, Done.RETRIED})


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class LiveSubject:
    """One thing that is measured, once in each block."""

    done: Done
    version: str = ""  # "1.2", "1.3"; "" is without TLS
    key_kind: str = ""

    @property
    def has_handshake(self) -> bool:
        """Whether TLS connections are made in it."""
        return bool(self.version) and self.done in HANDSHAKES


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSide:
    """What the client saw of its handshakes; times are medians."""

    resumed: int  # of them: no certificate was sent
    time_us: float  # of the handshake alone
    first_answer_us: float  # from before TCP's connect
    sent: int  # bytes of the handshake above TCP
    received: int
    round_trips: int  # until the request could be sent, TCP's not among them
    tls: NegotiatedTls


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFigure:
    """What a subject cost in one block."""

    subject: LiveSubject
    server_cpu_us: float  # of one connection, or request: of the least disturbed batches
    count: int
    client: ClientSide | None = None  # None: no handshake in it

    @property
    def refusal(self) -> str:
        """Say why it must not be used; empty is good."""
        if not self.server_cpu_us > 0:
            return "it took no measurable time"
        if self.client is None:
            return "it has no handshake" if self.subject.has_handshake else ""
        return _resumption_refusal(self.subject, self.count, self.client) or _other_refusal(self.subject, self.client)


def _resumption_refusal(subject: LiveSubject, count: int, client: ClientSide) -> str:
    if subject.done is Done.RESUMED and client.resumed != count:
        return f"{count - client.resumed} of {count} resumed handshakes were full ones"
    if subject.done is not Done.RESUMED and client.resumed:
        return f"{client.resumed} of {count} full handshakes were resumed"
    return ""


def _other_refusal(subject: LiveSubject, client: ClientSide) -> str:
    asked = (f"TLSv{subject.version}", subject.key_kind)
    agreed = (client.tls.version, client.tls.key_kind)
    if asked != agreed:
        return f"{' with '.join(agreed)} was agreed on instead of {' with '.join(asked)}"
    expected = expected_round_trips(subject)
    if client.round_trips != expected:
        return f"it took {client.round_trips} round trips, not {expected}"
    return ""


def expected_round_trips(subject: LiveSubject) -> int:
    """Return TLS's round trips of a subject, from the model's table."""
    retried = subject.done is Done.RETRIED
    return round_trips(subject.version, resumed=subject.done is Done.RESUMED, hello_retry=retried).tls


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveBlock:
    """Everything measured once, on fresh servers."""

    number: int
    deployment: str
    started: str  # ISO 8601
    processor: str
    figures: tuple[LiveFigure, ...]


def live_subjects(*, keeps_connections: bool, key_kinds: Sequence[KeyKind] = tuple(KeyKind)) -> tuple[LiveSubject, ...]:
    """Return everything that is measured of a deployment."""
    handshakes = [
        LiveSubject(done=done, version=version, key_kind=kind)
        for version in TlsVersion
        for kind in key_kinds
        for done in (Done.FULL, Done.RESUMED)
    ]
    retried = [LiveSubject(done=Done.RETRIED, version=TlsVersion.TLS_1_3, key_kind=kind) for kind in key_kinds[:1]]
    plain = LiveSubject(done=Done.FULL)
    if not keeps_connections:
        return (*handshakes, *retried, plain)
    kept = [
        LiveSubject(done=Done.REQUEST, version=version, key_kind=kind) for version in TlsVersion for kind in key_kinds
    ]
    return (*handshakes, *retried, *kept, plain, LiveSubject(done=Done.REQUEST))


class LiveComparison:
    """The usable figures of some blocks of one deployment: levels and ratios of the handshakes alone."""

    def __init__(self, blocks: Sequence[LiveBlock]) -> None:
        self.blocks = tuple(blocks)
        self.figures: defaultdict[LiveSubject, dict[int, LiveFigure]] = defaultdict(dict)
        refused: defaultdict[tuple[LiveSubject, str], int] = defaultdict(int)
        for block in blocks:
            for figure in block.figures:
                if figure.refusal:
                    refused[figure.subject, figure.refusal] += 1
                else:
                    self.figures[figure.subject][block.number] = figure
        self.refused: Mapping[tuple[LiveSubject, str], int] = dict(refused)

    @property
    def handshakes(self) -> tuple[LiveSubject, ...]:
        """The kinds of handshake that have a cost, the newest version first."""
        found = [subject for subject in self.figures if subject.has_handshake and self.costs(subject)]
        return tuple(sorted(found, key=lambda one: (one.version, one.done, one.key_kind), reverse=True))

    @property
    def records_included(self) -> bool:
        """Whether a cost holds the records of one request, because the server keeps no connection open."""
        return not any(subject.done is Done.REQUEST for subject in self.figures)

    def costs(self, subject: LiveSubject) -> dict[int, float]:
        """Return what one handshake takes of the server's CPU, by block, µs."""
        signed = [(1, subject), (-1, LiveSubject(done=Done.FULL))]
        if not self.records_included:
            kept = LiveSubject(done=Done.REQUEST, version=subject.version, key_kind=subject.key_kind)
            signed += [(-1, kept), (1, LiveSubject(done=Done.REQUEST))]
        known = [self.figures.get(each, {}) for _, each in signed]
        shared = set(known[0]).intersection(*known[1:])
        return {
            block: sum(sign * self.figures[each][block].server_cpu_us for sign, each in signed)
            for block in sorted(shared)
        }

    def level(self, subject: LiveSubject) -> Interval:
        """Return the mean cost of a handshake, µs."""
        return mean_interval(list(self.costs(subject).values()))

    def ratio(self, subject: LiveSubject, base: LiveSubject) -> Interval | None:
        """Return how many times base's cost the subject's is; None where they share no block, or a cost is below 0."""
        left, right = pair_blocks(self.costs(subject), self.costs(base))
        if not left.size or min(*left, *right) <= 0:
            return None
        return ratio_interval(left, right)

    def client(self, subject: LiveSubject) -> ClientSide:
        """Return what the client saw: medians over the blocks."""
        seen = [figure.client for figure in self.figures[subject].values() if figure.client is not None]
        return ClientSide(
            resumed=sum(each.resumed for each in seen),
            time_us=statistics.median(each.time_us for each in seen),
            first_answer_us=statistics.median(each.first_answer_us for each in seen),
            sent=round(statistics.median(each.sent for each in seen)),
            received=round(statistics.median(each.received for each in seen)),
            round_trips=seen[0].round_trips,
            tls=seen[0].tls,
        )


def live_reference() -> LiveSubject:
    """Return what handshakes are compared with: TLS 1.3, full, RSA-2048."""
    return LiveSubject(done=Done.FULL, version=TlsVersion.TLS_1_3, key_kind=KeyKind.RSA_2048)


def live_block_to_json(block: LiveBlock) -> dict[str, Any]:
    """Return a block as an object."""
    return {
        "block": block.number,
        "deployment": block.deployment,
        "started": block.started,
        "processor": block.processor,
        "figures": [_figure_to_json(figure) for figure in block.figures],
    }


def live_block_from_json(content: Mapping[str, Any]) -> LiveBlock:
    """Read a block's object. Raises KeyError, TypeError or ValueError."""
    return LiveBlock(
        number=int(content["block"]),
        deployment=str(content["deployment"]),
        started=str(content["started"]),
        processor=str(content["processor"]),
        figures=tuple(_figure_from_json(each) for each in content["figures"]),
    )


def _figure_to_json(figure: LiveFigure) -> dict[str, Any]:
    subject, client = figure.subject, figure.client
    return {
        "done": str(subject.done),
        "version": str(subject.version),
        "key_kind": str(subject.key_kind),
        "server_cpu_us": round(figure.server_cpu_us, 3),
        "count": figure.count,
        "client": client
        and {
            "resumed": client.resumed,
            "time_us": round(client.time_us, 1),
            "first_answer_us": round(client.first_answer_us, 1),
            "sent": client.sent,
            "received": client.received,
            "round_trips": client.round_trips,
            "tls": {
                "version": client.tls.version,
                "cipher": client.tls.cipher,
                "group": client.tls.group,
                "key_kind": client.tls.key_kind,
            },
        },
    }


def _figure_from_json(content: Mapping[str, Any]) -> LiveFigure:
    client = content["client"]
    return LiveFigure(
        subject=LiveSubject(
            done=Done(content["done"]), version=str(content["version"]), key_kind=str(content["key_kind"])
        ),
        server_cpu_us=float(content["server_cpu_us"]),
        count=int(content["count"]),
        client=client
        and ClientSide(
            resumed=int(client["resumed"]),
            time_us=float(client["time_us"]),
            first_answer_us=float(client["first_answer_us"]),
            sent=int(client["sent"]),
            received=int(client["received"]),
            round_trips=int(client["round_trips"]),
            tls=tls_from_json(client["tls"]),
        ),
    )


def tls_from_json(tls: Mapping[str, Any]) -> NegotiatedTls:
    """Read what was agreed on. Raises KeyError."""
    return NegotiatedTls(
        version=str(tls["version"]),
        cipher=str(tls["cipher"]),
        group=tls["group"] and str(tls["group"]),
        key_kind=str(tls["key_kind"]),
    )
