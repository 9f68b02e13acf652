"""SIGTERM under load: every request that had arrived gets its whole answer, and the server ends in time.

Our servers are stopped again and again under the same load: clients that ask on and on, on kept connections and on new
ones; requests that take seconds; clients that are idle, say nothing, have sent half a ClientHello or a piece of a head.
A request has arrived if all of it was sent before the server accepted its last connection, which somebody tries to make
all the time. That one of these fails counts; what was sent later is printed, and does not.

Goal: none fails, new connections are refused, and the process ends with status 0 within its grace of 10 s.

    python -m benchmarks.stopping [--tries N] [--devices NAME,...] [--json FILE]
"""

import argparse
import contextlib
import http.client
import json
import random
import signal
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.bad_clients import Crowd, Kind
from tests.devices import DEVICES, RunningDevice, running_device

GRACE_S = 10.0
TIMEOUT_S = 15.0
KEPT, NEW, IDLE, BAD = 8, 4, 8, 4  # clients; bad ones of each kind
SLOW_S = (0.7, 1.2, 1.9, 2.6, 3.3)  # how long requests take that are running when the signal comes
LOAD_S = (0.3, 0.8)  # until the signal: anything between
PROBE_S = 0.002
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
ECHOES = 10  # of the ping that a slow request is


@dataclass(frozen=True, slots=True)
class Failure:
    """A request without its answer."""

    sent_s: float  # time.monotonic(), when all of it was sent
    error: str


@dataclass(slots=True)
class Record:
    """What all clients met; appended to by several threads."""

    answered: int = 0
    failures: list[Failure] = field(default_factory=list)
    accepted_s: float = 0.0  # time.monotonic(), before the last connection that was accepted
    refused: bool = False  # whether the next one was


@dataclass(frozen=True, slots=True)
class Stop:
    """One try."""

    answered: int
    lost: tuple[str, ...]  # requests that had arrived and got no whole answer
    late: int  # requests that had not arrived, and got none
    refused: bool
    status: int
    seconds: float

    @property
    def met(self) -> bool:
        """Whether it went as it should."""
        return not self.lost and self.refused and self.status == 0 and self.seconds <= GRACE_S


class Load:
    """All clients of a server, until it ends."""

    def __init__(self, server: RunningDevice) -> None:
        self._address = server.address
        self._trusting = server.trusting
        self._lock = threading.Lock()
        self._slow_sent = threading.Semaphore(0)
        self._ended = threading.Event()
        self.stopping = False  # said by whoever sends the signal
        self.record = Record()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Ask on and on; at the end of the block, until everybody has met the end of the server."""
        clients: list[Callable[[], None]] = [self._keep] * KEPT + [self._come_and_go] * NEW + [self._look]
        clients += [partial(self._ask_slowly, seconds) for seconds in SLOW_S]
        threads = [threading.Thread(target=client) for client in clients]
        with contextlib.ExitStack() as stack:
            for _ in range(IDLE):
                self._ask(stack.enter_context(self._connect()), HEALTH)
            for kind in Kind:
                crowd = Crowd(kind, BAD, self._address)
                stack.callback(crowd.leave)
                crowd.gather()
            for thread in threads:
                thread.start()
            try:
                for _ in SLOW_S:
                    self._slow_sent.acquire(timeout=TIMEOUT_S)
                yield
            finally:
                self._ended.set()
                for thread in threads:
                    thread.join()

    def _keep(self) -> None:
        """Ask on one connection as long as the server lets it live, then on another one."""
        while (connection := self._come()) is not None:
            with connection:
                while self._ask(connection, HEALTH):
                    pass

    def _come_and_go(self) -> None:
        """Ask once a connection."""
        while (connection := self._come()) is not None:
            with connection:
                self._ask(connection, HEALTH)

    def _ask_slowly(self, seconds: float) -> None:
        ping = {"destination": "192.0.2.1", "count": ECHOES, "interval-ms": round(seconds * 1000 / ECHOES)}
        body = json.dumps({"network-device:input": ping}).encode("ascii")
        head = (
            b"POST /restconf/operations/network-device:ping HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/yang-data+json\r\nContent-Length: %d\r\n\r\n"
        )
        try:
            with self._connect() as connection:
                self._ask(connection, head % len(body) + body, sent=self._slow_sent.release)
        except OSError as error:
            self._failed(time.monotonic(), error)

    def _look(self) -> None:
        """Find out until when the server accepts."""
        while not self._ended.is_set():
            before_s = time.monotonic()
            try:
                socket.create_connection(self._address, TIMEOUT_S).close()
            except ConnectionRefusedError:
                self.record.refused = True
                return
            except OSError:  # reset: accepted by the kernel in the last moment, and by nobody else
                continue
            self.record.accepted_s = before_s
            time.sleep(PROBE_S)

    def _come(self) -> ssl.SSLSocket | None:
        """Connect, unless the server has begun to stop and does not want it any more."""
        while not self._ended.is_set():
            try:
                return self._connect()
            except OSError as error:
                if self.stopping:
                    return None
                self._failed(time.monotonic(), error)
        return None

    def _connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection(self._address, TIMEOUT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._trusting.wrap_socket(plain, server_hostname="localhost")

    def _ask(self, connection: ssl.SSLSocket, request: bytes, *, sent: Callable[[], None] = lambda: None) -> bool:
        """Send a request and read its answer. Says whether the connection may be used again."""
        sent_s = float("inf")
        try:
            connection.sendall(request)
            sent_s = time.monotonic()
            sent()
            answer = http.client.HTTPResponse(connection, method=request.partition(b" ")[0].decode("ascii"))
            with contextlib.closing(answer):
                self._read(answer)
        except (OSError, http.client.HTTPException) as error:
            self._failed(sent_s, error)
            return False
        with self._lock:
            self.record.answered += 1
        return not answer.will_close

    def _read(self, answer: http.client.HTTPResponse) -> None:
        answer.begin()
        answer.read()
        # A device that stops says that it is not healthy any more; that is a whole answer too.
        if answer.status != http.HTTPStatus.OK and not (self.stopping and answer.status == 503):
            raise http.client.HTTPException(f"status {answer.status}")

    def _failed(self, sent_s: float, error: Exception) -> None:
        with self._lock:
            self.record.failures.append(Failure(sent_s, repr(error)))


def stop(device: str, folder: Path, load_s: float) -> Stop:
    """Start one of DEVICES, put it under load, and stop it."""
    with _started(device, folder) as server:
        load = Load(server)
        with load.running():
            time.sleep(load_s)
            load.stopping = True
            began_s = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            status = server.process.wait(2 * GRACE_S)
            seconds = time.monotonic() - began_s
    record = load.record
    lost = tuple(failure.error for failure in record.failures if failure.sent_s <= record.accepted_s)
    late = len(record.failures) - len(lost)
    return Stop(record.answered, lost, late, record.refused, status, seconds)


def _started(device: str, folder: Path) -> contextlib.AbstractContextManager[RunningDevice]:
    return running_device(device, folder, "--auth", "none", shows_log=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Stop them all, print how it went, and compare with the goal. 1 when it was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--devices", default=",".join(DEVICES), help="some of " + ", ".join(DEVICES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures there")
    options = parser.parse_args(arguments)
    order = random.Random(11)
    stops: dict[str, list[Stop]] = {}
    for device in options.devices.split(","):
        stops[device] = []
        for _ in range(options.tries):
            with tempfile.TemporaryDirectory() as name:
                stops[device].append(stop(device, Path(name), order.uniform(*LOAD_S)))
        print(line(device, stops[device]), flush=True)
    if options.json:
        options.json.write_text(json.dumps({name: [asdict(one) for one in of] for name, of in stops.items()}, indent=1))
    return int(not all(one.met for of in stops.values() for one in of))


def line(device: str, stops: Sequence[Stop]) -> str:
    """Say how it went."""
    lost = [error for one in stops for error in one.lost]
    seconds = [one.seconds for one in stops]
    statuses = {one.status for one in stops}
    refused = sum(one.refused for one in stops)
    return (
        f"{device:<15} {len(stops)} stops, {sum(one.answered for one in stops)} requests answered,"
        f" lost {len(lost)}{f', first {lost[0]}' if lost else ''} (goal: 0);"
        f" later ones without an answer: {sum(one.late for one in stops)};"
        f" new clients refused in {refused}; status {', '.join(map(str, sorted(statuses)))};"
        f" {min(seconds):.1f} to {max(seconds):.1f} s (goal: {GRACE_S:g}):"
        f" {'met' if all(one.met for one in stops) else 'MISSED'}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
