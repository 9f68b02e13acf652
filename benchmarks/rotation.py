"""What clients notice when a server's certificate is replaced: no failure, and the new one within a second.

Each of our servers in turn: half of the clients keep their connections, half make a new one for each request. Meanwhile
key and certificate are replaced again and again, in turn as `python -m certs` does it (two renames) and as certbot does
(two links, away and there again), and in turn with a SIGHUP and without: then the server has to notice by itself.

A connection counts from before it begins. Shown a certificate that was replaced by then, it is late by the time since;
printed is the worst. Goals: no request fails, no kept connection is closed, nobody is later than a second.

    python -m benchmarks.rotation [--requests N] [--connections N] [--rotations N] [--json FILE]
"""

import argparse
import bisect
import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from cryptography import x509

from benchmarks.pinning import NotMeasuredError
from certs import CertificateFiles, KeyKind, client_context, ensure_ca, issue_certificate
from tests.devices import DEVICES, RunningDevice, running_device

NEW_WITHIN_S = 1.0
INTERVAL_S = 0.5  # at least, so that the server's own watch, four times a second, always has its turn
PAUSE_S = 0.02  # of clients that keep their connection; else they would leave the others no requests
TIMEOUT_S = 10.0
NAME = "localhost"


class Way(StrEnum):
    """How a server learns of a new certificate."""

    WATCH = "watch"
    SIGHUP = "SIGHUP"


@dataclass(frozen=True, slots=True)
class Rotation:
    """A certificate that took the place of another one."""

    serial: int
    way: Way | None  # None: the first, there from the beginning
    since_s: float  # time.monotonic(), when it was all there


@dataclass(frozen=True, slots=True)
class Visit:
    """A connection that was made, and what it was shown."""

    began_s: float  # time.monotonic()
    serial: int


@dataclass(slots=True)
class Record:
    """What all clients met; appended to by several threads."""

    kept_requests: int = 0
    failures: list[str] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """Of all clients; one for each visit, and what kept connections were used for beyond."""
        return self.kept_requests + len(self.visits)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One server's run."""

    requests: int
    new_connections: int
    rotations: int
    failures: tuple[str, ...]
    worst_s: dict[Way, float]  # from a rotation to the last connection that began and was shown an older certificate

    @property
    def met(self) -> bool:
        """Whether the goals are met."""
        return not self.failures and max(self.worst_s.values()) <= NEW_WITHIN_S


class Pair:
    """A certificate and its key, replaced at will."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = folder / "ca"
        self.files = issue_certificate(self._ca, KeyKind.ECDSA_P256, [NAME], out=folder / "live")
        self.ca_file = ensure_ca(self._ca)
        self.count = 0

    @property
    def serial(self) -> int:
        """Of the certificate that is there now."""
        return x509.load_pem_x509_certificate(self.files.chain.read_bytes()).serial_number

    def issued_aside(self) -> CertificateFiles:
        """Make another pair, which nobody serves yet."""
        self.count += 1
        return issue_certificate(self._ca, KeyKind.ECDSA_P256, [NAME], out=self._folder / "archive" / str(self.count))

    def replace_as_certs(self) -> None:
        """Put a new pair in place by two renames, the key's first."""
        issue_certificate(self._ca, KeyKind.ECDSA_P256, [NAME], out=self.files.chain.parent)

    def replace_as_certbot(self) -> None:
        """Lead two links elsewhere, the key's first; each is gone for a moment."""
        self.replace_by(self.issued_aside())

    def replace_by(self, new: CertificateFiles) -> None:
        """Lead the links to a pair, whatever is in their places."""
        for link, target in ((self.files.key, new.key), (self.files.chain, new.chain)):
            link.unlink(missing_ok=True)
            link.symlink_to(target)


def measure(device: str, folder: Path, *, requests: int, connections: int, rotations: int) -> Outcome:
    """Run one of DEVICES, with at least so many requests and exactly so many rotations. Raises NotMeasuredError."""
    pair = Pair(folder / "tls")
    options = ["--certificate", str(pair.files.chain), "--key", str(pair.files.key)]
    with (
        contextlib.redirect_stdout(sys.stderr),  # its log
        running_device(device, folder, *options, shows_log=False) as server,
    ):
        history = [Rotation(pair.serial, None, time.monotonic())]
        with clients(server, pair.ca_file, connections) as record:
            for number in range(1, rotations + 1):
                _await(server, record, number * requests // (rotations + 1), history[-1].since_s + INTERVAL_S)
                history.append(rotate(server, pair, number))
            _await(server, record, requests, history[-1].since_s + NEW_WITHIN_S + 0.1)
    worst_s = dict.fromkeys(Way, 0.0)
    for way, late_s in lateness(history, record.visits):
        worst_s[way] = max(worst_s[way], late_s)
    return Outcome(record.requests, len(record.visits), rotations, tuple(record.failures), worst_s)


def rotate(server: RunningDevice, pair: Pair, number: int) -> Rotation:
    """Replace the certificate in one of four manners, by turns."""
    if number % 4 in {1, 2}:
        pair.replace_as_certs()
    else:
        pair.replace_as_certbot()
    since_s = time.monotonic()
    way = Way.WATCH if number % 2 else Way.SIGHUP
    if way is Way.SIGHUP:
        os.kill(server.process.pid, signal.SIGHUP)
    return Rotation(pair.serial, way, since_s)


def lateness(history: Sequence[Rotation], visits: Sequence[Visit]) -> Iterator[tuple[Way, float]]:
    """Yield for each visit that was shown a replaced certificate how and how long ago its successor had come, in s.

    history: in the order of time.
    """
    times = [rotation.since_s for rotation in history]
    numbers = {rotation.serial: number for number, rotation in enumerate(history)}
    for visit in visits:
        newest = bisect.bisect_right(times, visit.began_s) - 1
        missed = numbers[visit.serial] + 1
        # Only the first has no way: it takes nobody's place, so that nobody can have missed it.
        if missed <= newest and (way := history[missed].way) is not None:
            yield way, visit.began_s - history[missed].since_s


@contextlib.contextmanager
def clients(server: RunningDevice, ca_file: Path, connections: int) -> Iterator[Record]:
    """Clients ask until the block ends; half of them, rounded up, keep their connection."""
    record, lock, stopping = Record(), threading.Lock(), threading.Event()
    client = Client(server.address, client_context(ca_file), record, lock, stopping)
    kept = (connections + 1) // 2
    threads = [threading.Thread(target=client.keep) for _ in range(kept)]
    threads += [threading.Thread(target=client.come_and_go) for _ in range(connections - kept)]
    for thread in threads:
        thread.start()
    try:
        yield record
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


@dataclass(frozen=True, slots=True)
class Client:
    """What the threads share. A client of the plainest kind: one request, at once, as any would send it."""

    address: tuple[str, int]
    trusting: ssl.SSLContext
    record: Record
    lock: threading.Lock
    stopping: threading.Event

    def keep(self) -> None:
        """Ask on one connection as long as the server lets it live; after that on another one."""
        while not self.stopping.is_set():
            try:
                with contextlib.closing(self.visit()) as connection:
                    while ask(connection) and not self.stopping.wait(PAUSE_S):
                        with self.lock:
                            self.record.kept_requests += 1
            except (OSError, http.client.HTTPException) as error:
                self.failed("kept", error)

    def come_and_go(self) -> None:
        """Ask once a connection."""
        while not self.stopping.is_set():
            try:
                with contextlib.closing(self.visit()) as connection:
                    ask(connection)
            except (OSError, http.client.HTTPException) as error:
                self.failed("new", error)

    def visit(self) -> ssl.SSLSocket:
        """Connect, and note what was shown."""
        connection, visit = connect(self.address, self.trusting)
        with self.lock:
            self.record.visits.append(visit)
        return connection

    def failed(self, kind: str, error: Exception) -> None:
        """Note what should not happen."""
        with self.lock:
            self.record.failures.append(f"{kind}: {error!r}")


def connect(address: tuple[str, int], trusting: ssl.SSLContext) -> tuple[ssl.SSLSocket, Visit]:
    """Make a connection, and see which certificate it is shown. Raises OSError."""
    began_s = time.monotonic()
    plain = socket.create_connection(address, TIMEOUT_S)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection = trusting.wrap_socket(plain, server_hostname=NAME)
    shown = connection.getpeercert(binary_form=True)
    if shown is None:
        raise ConnectionError("the server showed no certificate")
    return connection, Visit(began_s, x509.load_der_x509_certificate(shown).serial_number)


def ask(connection: ssl.SSLSocket) -> bool:
    """Send one request and read its answer. Says whether the connection may be used again.

    Raises OSError or HTTPException for all but a whole answer of status 200.
    """
    connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = http.client.HTTPResponse(connection, method="GET")
    with contextlib.closing(answer):
        answer.begin()
        if answer.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"status {answer.status}")
        answer.read()
        return not answer.will_close


def _await(server: RunningDevice, record: Record, requests: int, moment_s: float) -> None:
    """Wait for the clients to have done so much, and for a moment of time.monotonic(). Raises NotMeasuredError."""
    while record.requests < requests or time.monotonic() < moment_s:
        status = server.process.poll()
        if status is not None:
            raise NotMeasuredError(f"the server ended with status {status}")
        time.sleep(0.005)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and compare with the goals. 1 when one was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000, help="at least, of each server")
    parser.add_argument("--connections", type=int, default=50, help="at a time")
    parser.add_argument("--rotations", type=int, default=20)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures there")
    options = parser.parse_args(arguments)
    outcomes = {}
    for device in DEVICES:
        try:
            with tempfile.TemporaryDirectory() as name:
                outcomes[device] = measure(
                    device,
                    Path(name),
                    requests=options.requests,
                    connections=options.connections,
                    rotations=options.rotations,
                )
        except NotMeasuredError as reason:
            print(f"{device}: not measured: {reason}")
            return 1
        print(line(device, outcomes[device]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({name: as_json(outcome) for name, outcome in outcomes.items()}, indent=1))
    return int(not all(outcome.met for outcome in outcomes.values()))


def line(device: str, outcome: Outcome) -> str:
    """Say how it went."""
    worst = ", ".join(f"{seconds * 1000:.0f} ms by {way}" for way, seconds in outcome.worst_s.items())
    failed = f"{len(outcome.failures)} FAILED, first {outcome.failures[0]}" if outcome.failures else "none failed"
    return (
        f"{device:<15} {outcome.requests} requests over {outcome.new_connections} connections,"
        f" {outcome.rotations} rotations: {failed}; worst time to new: {worst}"
        f" (goal: {NEW_WITHIN_S * 1000:.0f}): {'met' if outcome.met else 'MISSED'}"
    )


def as_json(outcome: Outcome) -> dict[str, object]:
    """Return the figures."""
    return {
        "requests": outcome.requests,
        "new_connections": outcome.new_connections,
        "rotations": outcome.rotations,
        "failures": list(outcome.failures),
        "worst_s": dict(outcome.worst_s),
    }


if __name__ == "__main__":
    raise SystemExit(main())
