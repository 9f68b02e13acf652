"""What one generator has done since it was last asked: counted here by the clients, emptied four times a second.

No event is fired for a request: with Locust's own statistics that takes 2 µs, a fifth of the whole request; counting
here takes 0.15. `bench._reporting` carries the counts to Locust's tables and to the recording.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from bench._connection import Handshake
from bench._wire import Traffic
from harness.recording import Handshakes, HandshakeTimes, Histogram, Negotiated


class Row:
    """One kind of request: a row in Locust's tables and a name in the recording."""

    __slots__ = ("content_bytes", "failures", "latency", "method", "name")

    def __init__(self, name: str, method: str) -> None:
        self.name = name
        self.method = method
        self.latency = Histogram()  # of what was answered as it should be, µs
        self.failures: Counter[str] = Counter()  # by reason
        self.content_bytes = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCounts:
    """A row, since it was last emptied."""

    name: str
    method: str
    latency_us: Mapping[int, int]
    out_of_range: int
    failures: Mapping[str, int]
    content_bytes: int

    @property
    def answered(self) -> int:
        """Requests that were answered as they should be."""
        return sum(self.latency_us.values()) + self.out_of_range

    @property
    def failed(self) -> int:
        """Requests that were not."""
        return sum(self.failures.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Everything since it was last emptied."""

    rows: tuple[RowCounts, ...]  # only those in which something happened
    lateness_us: Mapping[int, int]  # of an open load's dispatcher
    handshakes: Handshakes
    handshake_us: HandshakeTimes
    challenges: int
    sent: int
    received: int
    tls: Negotiated | None  # what the newest connection negotiated; kept when there was no new one


class Tally:
    """Shared by all clients of a process."""

    def __init__(self) -> None:
        self.traffic = Traffic()
        self.challenges = 0  # 401s that brought a challenge, which was then answered: part of a request, no failure
        self.lateness = Histogram()  # of an open load's dispatcher, behind the schedule, µs
        self._rows: dict[tuple[str, str], Row] = {}
        self._full = Histogram()
        self._resumed = Histogram()
        self._tls: Negotiated | None = None

    def row(self, name: str, method: str) -> Row:
        """Return the row of that name and method; all clients get the same."""
        return self._rows.setdefault((name, method), Row(name, method))

    def shook_hands(self, handshake: Handshake) -> None:
        """Count a handshake as what it really was."""
        (self._resumed if handshake.resumed else self._full).record(handshake.us)
        self._tls = Negotiated(version=handshake.version, cipher=handshake.cipher)

    def take(self) -> Counts:
        """Return what was counted, and start again from nothing."""
        traffic = self.traffic
        full_beyond, resumed_beyond = self._full.drain_out_of_range(), self._resumed.drain_out_of_range()
        times = HandshakeTimes(full=self._full.drain(), resumed=self._resumed.drain())
        counts = Counts(
            rows=tuple(counted for row in self._rows.values() if (counted := _take_row(row)) is not None),
            lateness_us=self.lateness.drain(),
            handshakes=Handshakes(
                full=sum(times.full.values()) + full_beyond, resumed=sum(times.resumed.values()) + resumed_beyond
            ),
            handshake_us=times,
            challenges=self.challenges,
            sent=traffic.sent,
            received=traffic.received,
            tls=self._tls,
        )
        self.challenges = traffic.sent = traffic.received = 0
        return counts


def _take_row(row: Row) -> RowCounts | None:
    counts = RowCounts(
        name=row.name,
        method=row.method,
        out_of_range=row.latency.drain_out_of_range(),
        latency_us=row.latency.drain(),
        failures=row.failures,
        content_bytes=row.content_bytes,
    )
    row.failures, row.content_bytes = Counter(), 0
    return counts if counts.latency_us or counts.out_of_range or counts.failures else None
