"""The model held against what a real client and a real server take through a relay."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from certs import TlsVersion
from harness.line_process import LineProcess
from harness.network.model import RoundTrips, first_answer_us, round_trips


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of connection."""

    version: TlsVersion | None  # None: without TLS
    resumed: bool = False
    hello_retry: bool = False

    @property
    def name(self) -> str:
        """What it is called: "TLS 1.3 resumed"."""
        if self.version is None:
            return "no TLS"
        return f"TLS {self.version} {'retried' if self.hello_retry else 'resumed' if self.resumed else 'full'}"

    @property
    def round_trips(self) -> RoundTrips:
        """What the model says."""
        return round_trips(self.version, resumed=self.resumed, hello_retry=self.hello_retry)


KINDS: Final = (
    Kind(version=None),
    *(Kind(version=version, resumed=resumed) for version in TlsVersion for resumed in (False, True)),
    Kind(version=TlsVersion.TLS_1_3, hello_retry=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAnswers:
    """When the first answers of new connections came, one after another, at one distance."""

    kind: Kind
    rtt_us: float
    time_us: Sequence[float]

    @property
    def middle_us(self) -> float:
        """The median."""
        return statistics.median(self.time_us)


def error(far: FirstAnswers, adjacent: FirstAnswers) -> float:
    """Return how much longer it took than the model says, as a share: 0.01 is 1 % longer.

    adjacent: of the same kind, through a relay without any distance. Raises ValueError for another kind.
    """
    if far.kind != adjacent.kind or adjacent.rtt_us:
        raise ValueError("the model needs the same kind of connection without a distance")
    said_us = first_answer_us(far.kind.round_trips, rtt_us=far.rtt_us, adjacent_us=adjacent.middle_us)
    return far.middle_us / said_us - 1


def first_answers(client: LineProcess, kind: Kind, url: str, *, rtt_us: float, count: int) -> FirstAnswers:
    """Make connections through a relay, one after another. Raises ProcessFailedError.

    client: as `harness.handshakes.live.live_client` starts it, with GROUPS_TO_RETRY for the kinds that are retried.
    url: of the relay. Raises ValueError if the connections were not of this kind.
    """
    if kind.version is None:
        told = client.ask({"do": "connections", "url": url, "count": count})
    else:
        order = {"do": "handshakes", "url": url, "version": str(kind.version), "resumed": kind.resumed}
        if kind.resumed:
            client.ask({**order, "resumed": False, "count": 1})  # gives a session
        told = client.ask({**order, "count": count})
        _check(told, kind)
    return FirstAnswers(kind=kind, rtt_us=rtt_us, time_us=told["first_answer_us"])


def _check(told: Mapping[str, Any], kind: Kind) -> None:
    expected = (told["count"] if kind.resumed else 0, kind.round_trips.tls)
    if (told["resumed"], told["round_trips"]) != expected:
        raise ValueError(
            f"{kind.name}: {told['resumed']} of {told['count']} were resumed, in {told['round_trips']} round trips"
        )
