"""What a good client notices of bad ones: 1, 50, 200 that say nothing, half a ClientHello, or a header octet a second.

On each of our servers. The good client asks one request after the other, each on a new connection (TCP and TLS
handshake included) and then each on the same. Every block measures it without the bad clients and beside them, in
random order, one kind and number after the other in random order as well, so that what the machine does meanwhile falls
on all alike. The server is pinned to one processor, all clients to another; the bad ones are a process of their own,
and those that the server cuts off are replaced.

Goal: the 99th percentile beside them at most twice that without them, over all blocks, and no failure.

    python -m benchmarks.stalled [--blocks N] [--requests N] [--devices NAME,...] [--json FILE]
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bad_clients import Kind
from benchmarks.pinning import NotMeasuredError, pinned
from tests.devices import DEVICES, running_device

COUNTS = (1, 50, 200)
GOAL = 2.0
TIMEOUT_S = 10.0
REQUEST = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(slots=True)
class Times:
    """What the good client has met, in one state of affairs."""

    new_us: list[float] = field(default_factory=list)  # connection, handshake, request, answer
    kept_us: list[float] = field(default_factory=list)  # request, answer
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Case:
    """So many bad clients of a kind."""

    kind: Kind
    count: int


@dataclass(slots=True)
class Pair:
    """A case, and the same blocks without it."""

    without: Times = field(default_factory=Times)
    beside: Times = field(default_factory=Times)

    def ratios(self) -> tuple[float, float]:
        """Return how many times its 99th percentile is, for new connections and kept ones."""
        return (
            p99(self.beside.new_us) / p99(self.without.new_us),
            p99(self.beside.kept_us) / p99(self.without.kept_us),
        )

    @property
    def met(self) -> bool:
        """Whether the goal is."""
        return not self.beside.failures and not self.without.failures and max(self.ratios()) <= GOAL


CASES = tuple(Case(kind, count) for kind in Kind for count in COUNTS)


def p99(values_us: Sequence[float]) -> float:
    """Return the 99th percentile."""
    return statistics.quantiles(values_us, n=100, method="inclusive")[98]


def ask(connection: ssl.SSLSocket) -> None:
    """Send one request and read its answer. Raises OSError or HTTPException for all but a whole 200."""
    connection.sendall(REQUEST)
    answer = http.client.HTTPResponse(connection, method="GET")
    with contextlib.closing(answer):
        answer.begin()
        answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"status {answer.status}")


def connect(address: tuple[str, int], trusting: ssl.SSLContext) -> ssl.SSLSocket:
    """Connect and shake hands. Raises OSError."""
    plain = socket.create_connection(address, TIMEOUT_S)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return trusting.wrap_socket(plain, server_hostname="localhost")


def be_good(address: tuple[str, int], trusting: ssl.SSLContext, requests: int, times: Times) -> None:
    """Ask so often, each time on a new connection, and as often on one; note how long each took."""
    try:
        for _ in range(requests):
            began_ns = time.perf_counter_ns()
            with connect(address, trusting) as connection:
                ask(connection)
                times.new_us.append((time.perf_counter_ns() - began_ns) / 1000)
        with connect(address, trusting) as connection:
            for _ in range(requests):
                began_ns = time.perf_counter_ns()
                ask(connection)
                times.kept_us.append((time.perf_counter_ns() - began_ns) / 1000)
    except (OSError, http.client.HTTPException) as error:
        times.failures.append(repr(error))


@contextlib.contextmanager
def beside(case: Case, address: tuple[str, int]) -> Iterator[None]:
    """Have bad clients keep a server waiting until the block ends. Raises NotMeasuredError if they did not."""
    command = [sys.executable, "-m", "benchmarks.bad_clients", case.kind, str(case.count), address[0], str(address[1])]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdout is None:
        raise TypeError("started with a pipe")
    try:
        if process.stdout.readline() != "ready\n":
            raise NotMeasuredError("the bad clients cannot connect")
        yield
        stayed, _ = process.communicate(timeout=TIMEOUT_S)
        if int(stayed) < 0.9 * case.count:
            raise NotMeasuredError(f"only {stayed.strip()} of {case.count} bad clients stayed")
    finally:
        process.kill()
        process.communicate()


def measure(device: str, folder: Path, cases: Sequence[Case], *, blocks: int, requests: int) -> dict[Case, Pair]:
    """Measure one of DEVICES. Raises NotMeasuredError."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        raise NotMeasuredError("it takes two processors: one for the server, one for the clients")
    pairs = {case: Pair() for case in cases}
    order = random.Random(7)
    with contextlib.redirect_stdout(sys.stderr), contextlib.ExitStack() as stack:  # the server's log
        with pinned(processors[0]):
            server = stack.enter_context(running_device(device, folder, shows_log=False))
        stack.enter_context(pinned(processors[-1]))
        trusting = server.trusting
        be_good(server.address, trusting, requests, Times())  # warm
        for _ in range(blocks):
            for case in order.sample(list(cases), len(cases)):
                for bad in order.sample((False, True), 2):
                    if bad:
                        with beside(case, server.address):
                            be_good(server.address, trusting, requests, pairs[case].beside)
                    else:
                        be_good(server.address, trusting, requests, pairs[case].without)
    return pairs


def line(device: str, case: Case, pair: Pair) -> str:
    """Say how it went."""
    failures = pair.beside.failures + pair.without.failures
    if failures:
        return f"{device:<15} {case.count:>3} {case.kind:<10} {len(failures)} FAILED, first {failures[0]}"
    new, kept = pair.ratios()
    return (
        f"{device:<15} {case.count:>3} {case.kind:<10}"
        f"  new {p99(pair.without.new_us) / 1000:6.2f} {p99(pair.beside.new_us) / 1000:6.2f} ms {new:5.2f}"
        f"  kept {p99(pair.without.kept_us) / 1000:6.2f} {p99(pair.beside.kept_us) / 1000:6.2f} ms {kept:5.2f}"
        f"  {'met' if pair.met else 'MISSED'}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and compare with the goal. 1 when it was missed or could not be measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--requests", type=int, default=150, help="of each kind in each half of a block")
    parser.add_argument("--devices", default=",".join(DEVICES), help="some of " + ", ".join(DEVICES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all times there")
    options = parser.parse_args(arguments)
    print(f"p99 without and beside bad clients, {options.blocks} x {options.requests} requests each; goal: x {GOAL:g}")
    outcomes: dict[str, dict[Case, Pair]] = {}
    for device in options.devices.split(","):
        try:
            with tempfile.TemporaryDirectory() as name:
                outcomes[device] = measure(device, Path(name), CASES, blocks=options.blocks, requests=options.requests)
        except NotMeasuredError as reason:
            print(f"{device}: not measured: {reason}")
            return 1
        for case, pair in outcomes[device].items():
            print(line(device, case, pair), flush=True)
    if options.json:
        options.json.write_text(json.dumps(as_json(outcomes), indent=1))
    return int(not all(pair.met for pairs in outcomes.values() for pair in pairs.values()))


def as_json(outcomes: dict[str, dict[Case, Pair]]) -> list[dict[str, object]]:
    """Return the figures."""
    return [
        {
            "device": device,
            "kind": case.kind,
            "count": case.count,
            "without": {"new_us": pair.without.new_us, "kept_us": pair.without.kept_us},
            "beside": {"new_us": pair.beside.new_us, "kept_us": pair.beside.kept_us},
            "failures": pair.without.failures + pair.beside.failures,
        }
        for device, pairs in outcomes.items()
        for case, pair in pairs.items()
    ]


if __name__ == "__main__":
    raise SystemExit(main())
