"""Times the server's steps of handshakes and records: CPU time of this thread, and of those steps alone.

Several connections go in step with each other (`at_once`): all clients move, then all servers, and only the latter are
timed, as one. That shares the clock's own cost and, above all, lets the server's code stay in the processor's caches as
it does in a server: one at a time, between steps of a client from another library, the standard library's side took 8
to 60 % more. Garbage collection waits, and tearing a connection down is not timed.

The figure is the median of the batches: what interrupted a batch does not count. What disturbs for longer does:
`measuring` visits each subject several times.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from OpenSSL import SSL

from certs import KeyKind
from harness.handshakes.endpoints import Client, ClientEnd, ServerEnd
from harness.handshakes.figures import HANDSHAKES, Figure, Part, Subject
from harness.trials import NegotiatedTls

DEFAULT_LEAST_S: Final = 0.04  # of each handshake's subject, by the wall clock
_RECORDS_SHARE: Final = 0.5  # records, of which thousands pass, take this share of it
LEAST_BATCHES: Final = 2
_CLOCK_READINGS: Final = 2000
_MOST_STEPS: Final = 10  # of a handshake; TLS 1.2 takes 2, and so does 1.3
_READ_AT_ONCE: Final = 16384  # as our servers do

# A batch should be short beside the time of a subject. What signs longer than its caches take to fill needs no company.
_USUALLY_AT_ONCE: Final = 8
_AT_ONCE: Final = {KeyKind.RSA_2048: 6, KeyKind.RSA_4096: 2}  # of full handshakes

ThreadClock = Callable[[], int]


class StuckError(Exception):
    """Client and server wait for each other: a mistake of ours."""


@dataclass(frozen=True, slots=True)
class _Connected:
    client: ClientEnd
    server: ServerEnd


class Stopwatch:
    """Adds up the CPU time between `start` and `stop`, less what reading the clock takes.

    Making one raises RuntimeError where the clock is too coarse.
    """

    def __init__(self, clock_ns: ThreadClock = time.thread_time_ns) -> None:
        self._clock_ns = clock_ns
        self.overhead_ns = overhead_ns(clock_ns)
        self._started_ns = 0
        self.spent_ns = 0.0

    def start(self) -> None:
        """Begin a step."""
        self._started_ns = self._clock_ns()

    def stop(self) -> None:
        """End it."""
        self.spent_ns += self._clock_ns() - self._started_ns - self.overhead_ns

    def take_ns(self) -> float:
        """Return what was added up, and begin again at nothing."""
        spent_ns, self.spent_ns = self.spent_ns, 0.0
        return spent_ns


def overhead_ns(clock_ns: ThreadClock) -> float:
    """Return the median time between two readings of a clock. Raises RuntimeError for one that stands still."""
    readings = [clock_ns() for _ in range(_CLOCK_READINGS)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(readings)]
    if len(set(readings)) < _CLOCK_READINGS / 2:
        raise RuntimeError("the thread's CPU clock is too coarse to time a handshake")
    return float(statistics.median(gaps))


def measure(
    subject: Subject,
    make_server: Callable[[], ServerEnd],
    client: Client,
    stopwatch: Stopwatch,
    *,
    least_s: float = DEFAULT_LEAST_S,
) -> Figure:
    """Measure a subject for so long, and at least two batches. Raises ssl.SSLError, SSL.Error, StuckError."""
    with _without_garbage_collection():
        if subject.part in HANDSHAKES:
            return _measure_handshakes(subject, make_server, client, stopwatch, least_s)
        return _measure_records(subject, make_server, client, stopwatch, least_s * _RECORDS_SHARE)


def _measure_handshakes(
    subject: Subject, make_server: Callable[[], ServerEnd], client: Client, stopwatch: Stopwatch, least_s: float
) -> Figure:
    at_once = (
        _AT_ONCE.get(KeyKind(subject.key_kind), _USUALLY_AT_ONCE) if subject.part is Part.FULL else _USUALLY_AT_ONCE
    )
    nothing: list[SSL.Session | None] = [None] * at_once
    sessions = _finish(_shake_hands(make_server, client, nothing, stopwatch))  # warms up, and gives sessions
    if subject.part is Part.RESUMED:
        sessions = _finish(_shake_hands(make_server, client, sessions, stopwatch))
    stopwatch.take_ns()
    client.certificates_seen = 0
    spent_us: list[float] = []
    end_s = time.perf_counter() + least_s
    while len(spent_us) < LEAST_BATCHES or time.perf_counter() < end_s:
        connected = _shake_hands(make_server, client, sessions if subject.part is Part.RESUMED else nothing, stopwatch)
        spent_us.append(stopwatch.take_ns() / 1000 / at_once)
        agreed = connected[-1].client.agreed()
        sessions = _finish(connected)
    count = len(spent_us) * at_once
    return _figure(subject, spent_us, count, count - client.certificates_seen, agreed)


def _measure_records(
    subject: Subject, make_server: Callable[[], ServerEnd], client: Client, stopwatch: Stopwatch, least_s: float
) -> Figure:
    """Time records on connections that stay; the other direction is quiet meanwhile."""
    connected = _shake_hands(make_server, client, [None] * _USUALLY_AT_ONCE, stopwatch)
    agreed = connected[-1].client.agreed()
    data = bytes(range(256)) * (subject.record_bytes // 256 + 1)
    data = data[: subject.record_bytes]
    step = _write if subject.part is Part.WRITE else _read
    step(connected, data, stopwatch)
    stopwatch.take_ns()
    spent_us: list[float] = []
    end_s = time.perf_counter() + least_s
    while len(spent_us) < LEAST_BATCHES or time.perf_counter() < end_s:
        step(connected, data, stopwatch)
        spent_us.append(stopwatch.take_ns() / 1000 / len(connected))
    return _figure(subject, spent_us, len(spent_us) * len(connected), 0, agreed)


def _figure(
    subject: Subject, spent_us: Sequence[float], count: int, resumed: int, agreed: tuple[str, str, str | None]
) -> Figure:
    version, cipher, group = agreed
    return Figure(
        subject=subject,
        server_cpu_us=statistics.median(spent_us),
        batches=len(spent_us),
        count=count,
        resumed=resumed,
        tls=NegotiatedTls(version=version, cipher=cipher, group=group, key_kind=subject.key_kind),
    )


def _shake_hands(
    make_server: Callable[[], ServerEnd],
    client: Client,
    sessions: Sequence[SSL.Session | None],
    stopwatch: Stopwatch,
) -> list[_Connected]:
    clients = [client.connect(session) for session in sessions]
    stopwatch.start()
    servers = [make_server() for _ in sessions]
    stopwatch.stop()
    connected = [_Connected(*ends) for ends in zip(clients, servers, strict=True)]
    servers_done = False
    for _ in range(_MOST_STEPS):
        steps = [end.client.shake_hands() for end in connected]
        clients_done = all(steps)
        if clients_done and servers_done:
            return connected
        for end in connected:
            end.server.feed(end.client.drain())
        if not servers_done:
            stopwatch.start()
            steps = [server.shake_hands() for server in servers]
            stopwatch.stop()
            servers_done = all(steps)
        for end in connected:
            end.client.feed(end.server.drain())
    raise StuckError(f"a handshake was not done after {_MOST_STEPS} steps")


def _finish(connected: Sequence[_Connected]) -> list[SSL.Session | None]:
    """Let each client read something, as a session of TLS 1.3 needs, close it well, and return the sessions."""
    for end in connected:
        end.server.write(b".")
        end.client.feed(end.server.drain())
        end.client.read()
    sessions = [end.client.session() for end in connected]
    for end in connected:
        end.client.close()
    return sessions


def _write(connected: Sequence[_Connected], data: bytes, stopwatch: Stopwatch) -> None:
    stopwatch.start()
    for end in connected:
        end.server.write(data)
    stopwatch.stop()
    for end in connected:
        end.client.feed(end.server.drain())
        _check(end.client.read(), data)


def _read(connected: Sequence[_Connected], data: bytes, stopwatch: Stopwatch) -> None:
    for end in connected:
        end.client.write(data)
        end.server.feed(end.client.drain())
    stopwatch.start()
    got = [end.server.read(_READ_AT_ONCE) for end in connected]
    stopwatch.stop()
    for each in got:
        _check(each, data)


def _check(got: bytes, sent: bytes) -> None:
    if got != sent:
        raise StuckError(f"{len(got)} bytes arrived of a record of {len(sent)}")


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
