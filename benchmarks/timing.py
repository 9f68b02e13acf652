"""Whether time tells who exists: wrong tries for a user who exists against the same for one who does not.

In process, CPU time of the check, and over the wire, time from request to answer on one keep-alive connection with TLS
to our servers. Each case by itself: SHA-256; MD5 offered as well, and taken; userhash; qop=auth-int; a name beyond
ASCII; and behind the throttle (429). Blocks of many tries, interleaved, in an order that turns from block to block;
each with names of the same length, so that both sides read the same number of octets.

Printed is the ratio of the two, the median over the blocks, with its interval by order statistics, which a few blocks
that the machine disturbed do not move, and the difference in ns. A tie: the interval holds 1. The intervals hold the
truth of all cases together in 95 % (Bonferroni): of twenty intervals of 95 % each, one misses it in every run.

Goals: in process a tie, or a difference of at most 100 ns, which is under what two lookups in a table differ by; over
the wire the interval lies within 2 % of 1, or holds it.

    python -m benchmarks.timing [--blocks N] [--tries N] [--wire-blocks N] [--devices NAME,...] [--json FILE]
"""

import argparse
import json
import math
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.blocks import interleaved_us, pin_to_one_processor
from benchmarks.floods import TARGET, Connection, connection
from benchmarks.pinning import pinned
from certs import client_context
from device_api.state import read_credentials
from digest_auth import (
    PLAIN_ALGORITHMS,
    Algorithm,
    Authenticator,
    AwaitingBody,
    Claim,
    DigestClient,
    DigestRequest,
    MemoryReplayStore,
    Nonces,
    Qop,
    Refused,
    Throttle,
    UserTable,
    htdigest_line,
)
from tests.devices import DEVICES, running_device

REALM = "network-device"
TOLERATED_NS = 100.0
TOLERATED_RATIO = 1.02
USERS = 20  # beside the one who exists


@dataclass(frozen=True, slots=True)
class Case:
    """A way to try a password."""

    name: str
    algorithm: Algorithm = Algorithm.SHA_256
    qop: Qop = Qop.AUTH
    userhash: bool = False
    known: str = "operator"
    unknown: str = "stranger"
    throttled: bool = False


CASES = (
    Case("SHA-256"),
    Case("SHA-512-256", algorithm=Algorithm.SHA_512_256),
    Case("MD5", algorithm=Algorithm.MD5),
    Case("MD5-sess", algorithm=Algorithm.MD5_SESS),
    Case("userhash", userhash=True),
    Case("auth-int", qop=Qop.AUTH_INT),
    Case("beyond ASCII", known="Jäsøn Do", unknown="Häsøn Do"),
    Case("behind the throttle", throttled=True),
)


TOGETHER = 20  # cases: those above, and over the wire three settings with two statuses of two devices


@dataclass(slots=True)
class Result:
    """Times of both, block by block, in the same unit."""

    name: str
    known_us: list[float] = field(default_factory=list)
    unknown_us: list[float] = field(default_factory=list)
    in_process: bool = True

    @property
    def difference_ns(self) -> float:
        """How much longer a known user takes: median over the blocks."""
        pairs = zip(self.known_us, self.unknown_us, strict=True)
        return statistics.median(known - unknown for known, unknown in pairs) * 1000

    @property
    def interval(self) -> tuple[float, float]:
        """Of the median ratio known / unknown; 95 % for all cases together."""
        ratios = [known / unknown for known, unknown in zip(self.known_us, self.unknown_us, strict=True)]
        return median_interval(ratios, level=1 - 0.05 / TOGETHER)

    @property
    def tie(self) -> bool:
        """Whether the two cannot be told apart."""
        low, high = self.interval
        return low <= 1 <= high

    @property
    def met(self) -> bool:
        """Whether the goal is."""
        low, high = self.interval
        small = abs(self.difference_ns) <= TOLERATED_NS
        if not self.in_process:
            small = low >= 1 / TOLERATED_RATIO and high <= TOLERATED_RATIO
        return self.tie or small

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"  {self.name:<28} {statistics.median(self.known_us):8.2f} {statistics.median(self.unknown_us):8.2f}"
            f"   {low:.4f} to {high:.4f} {self.difference_ns:+8.0f}   {'tie' if self.tie else 'differs':<8}"
            f"{'met' if self.met else 'MISSED'}"
        )


def median_interval(values: Sequence[float], *, level: float = 0.95) -> tuple[float, float]:
    """Interval of the median, whatever the distribution: the order statistics between which it lies.

    By the normal approximation of the binomial distribution; (-inf, inf), "cannot tell", where the values are too few.
    """
    deviations = statistics.NormalDist().inv_cdf((1 + level) / 2)
    outside = math.floor((len(values) - deviations * math.sqrt(len(values))) / 2)
    if len(values) < 8 or outside < 0:
        return -math.inf, math.inf
    ordered = sorted(values)
    return ordered[outside], ordered[-1 - outside]


def checks(case: Case, tries: int) -> dict[str, Callable[[], object]]:
    """The check of a wrong try, known and unknown. tries: different headers that each takes in turn."""
    store = MemoryReplayStore()
    now_s = 1_800_000_000.0
    names = [case.known, *(f"user {number:03d}" for number in range(USERS))]
    lines = [htdigest_line(name, REALM, "right", algorithm) for name in names for algorithm in PLAIN_ALGORITHMS]
    authenticator = Authenticator(
        realm=REALM,
        users=UserTable.parse("\n".join(lines)),
        nonces=Nonces(os.urandom(32), store, REALM),
        algorithms=(case.algorithm,),
        qops=(case.qop,),
        userhash=case.userhash,
        throttle=Throttle(burst=1 if case.throttled else 1_000_000, per_minute=0.001 if case.throttled else 1e9),
    )

    def check(user: str) -> Callable[[], object]:
        requests = [
            DigestRequest("GET", TARGET, (value,), "192.0.2.1")
            for value in wrong_tries(authenticator, user, tries, now_s)
        ]
        position = -1

        def one() -> object:
            nonlocal position
            position = (position + 1) % tries
            verdict = authenticator.check(requests[position], now_s=now_s)
            if isinstance(verdict, AwaitingBody):
                verdict = verdict.decide(now_s=now_s)
            if isinstance(verdict, Claim) or not verdict.nonce_genuine:
                raise RuntimeError("the benchmark is wrong: this is no wrong try with a genuine nonce")
            return verdict

        verdict = one()
        if case.throttled:
            verdict = one()
        expected = 429 if case.throttled else 401
        if not isinstance(verdict, Refused) or verdict.status != expected:
            raise RuntimeError(f"the benchmark is wrong: not a {expected}")
        return one

    return {"known": check(case.known), "unknown": check(case.unknown)}


def wrong_tries(authenticator: Authenticator, user: str, tries: int, now_s: float) -> Iterator[str]:
    """Authorization values of somebody who tries a wrong password, a new nonce for every hundred."""
    client = DigestClient(user, "wrong")
    for number in range(tries):
        if number % 100 == 0:
            refused = authenticator.check(DigestRequest("GET", TARGET, ()), now_s=now_s)
            if not isinstance(refused, Refused) or not client.accept(refused.www_authenticate):
                raise RuntimeError("the benchmark is wrong: no challenge")
        value = client.authorization("GET", TARGET)
        if value is None:
            raise RuntimeError("the benchmark is wrong: no header")
        yield value


def in_process(case: Case, blocks: int, tries: int) -> Result:
    """CPU time a check."""
    times = interleaved_us(checks(case, 1000), calls=tries, blocks=blocks)
    return Result(case.name, times["known"], times["unknown"])


WIRE_SETTINGS = {
    "SHA-256": {},
    "MD5": {"DEVICE_ALGORITHMS": "MD5"},
    "userhash": {"DEVICE_USERHASH": "on"},
}


@contextmanager
def environment(settings: dict[str, str]) -> Iterator[None]:
    """Set variables for what is started in here."""
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def over_the_wire(device: str, setting: str, blocks: int, tries: int) -> Iterator[Result]:
    """Time from request to answer, before the throttle's 429 and behind it. The server has a processor of its own."""
    processors = sorted(os.sched_getaffinity(0))
    # As often as it is tried here nobody may try: else every answer were a 429.
    for name, failed_tries in (("401", "0"), ("429", "1")):
        settings = WIRE_SETTINGS[setting] | {
            "DEVICE_FAILED_TRIES": failed_tries,
            "DEVICE_FAILED_TRIES_PER_MINUTE": "0.1",
            "DEVICE_NONCE_LIFETIME_S": "86400",
        }
        with (
            tempfile.TemporaryDirectory() as folder,
            environment(settings),
            pinned(processors[0]),
            running_device(device, Path(folder), shows_log=False) as server,
            pinned(processors[-1]),
        ):
            ready = server.ready
            if ready.ca_file is None or ready.credentials_file is None:
                raise ValueError(f"{device} was started without TLS or without Digest")
            known, _ = read_credentials(ready.credentials_file)
            with connection(server.address, client_context(ready.ca_file)) as peer:
                times = asked(peer, (known, "x" * len(known)), int(name), blocks, tries)
            yield Result(f"{device}, {setting}, {name}", times[0], times[1], in_process=False)


def asked(peer: Connection, users: Sequence[str], status: int, blocks: int, tries: int) -> tuple[list[float], ...]:
    """Medians in µs, a block each, for each of the users: tries for one and the other in turn within a block."""
    _, head, _ = peer.ask([])
    challenges = re.findall(r"(?im)^www-authenticate: *(.*?)\r?$", head.decode("latin-1"))
    clients = [DigestClient(user, "wrong") for user in users]
    for client in clients:
        client.accept(challenges)
        for _ in range(100):
            peer.ask([client.authorization("GET", TARGET) or ""])
    medians: tuple[list[float], ...] = tuple([] for _ in users)
    for block in range(blocks):
        times: list[list[float]] = [[] for _ in users]
        for number in range(tries):
            for turn in range(len(users)):
                who = (turn + number + block) % len(users)
                value = clients[who].authorization("GET", TARGET) or ""
                start_ns = time.perf_counter_ns()
                answered, _, _ = peer.ask([value])
                times[who].append((time.perf_counter_ns() - start_ns) / 1000)
                if answered != status:
                    raise RuntimeError(f"the benchmark is wrong: {answered} is not {status}")
        for median, of_one in zip(medians, times, strict=True):
            median.append(statistics.median(of_one))
    return medians


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=400, help="in process (default: %(default)s)")
    parser.add_argument("--tries", type=int, default=100, help="a block (default: %(default)s)")
    parser.add_argument("--wire-blocks", type=int, default=40, help="over the wire; 0: none (default: %(default)s)")
    parser.add_argument("--devices", default="flask-stdlib,quart", help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep all times there")
    options = parser.parse_args(arguments)
    devices = [name for name in options.devices.split(",") if name]
    unknown = set(devices) - DEVICES.keys()
    if unknown:
        parser.error(f"no device is called {min(unknown)!r}; choose from {', '.join(DEVICES)}")
    if min(options.blocks, options.wire_blocks or 8) < 8 or options.tries < 1:
        parser.error("fewer than 8 blocks give no interval, and a block has one try or more")
    results = []
    print("µs, medians of blocks             known  unknown   known / unknown  difference/ns")
    if options.wire_blocks:
        for device in devices:
            for setting in WIRE_SETTINGS:
                for result in over_the_wire(device, setting, options.wire_blocks, options.tries):
                    results.append(result)
                    print(result, flush=True)
    pin_to_one_processor()
    for case in CASES:
        results.append(in_process(case, options.blocks, options.tries))
        print(results[-1], flush=True)
    met = all(result.met for result in results)
    if options.json:
        kept = [{"name": r.name, "known_us": r.known_us, "unknown_us": r.unknown_us, "met": r.met} for r in results]
        options.json.write_text(json.dumps({"met": met, "results": kept}, indent=1), encoding="ascii")
    return int(not met)


if __name__ == "__main__":
    raise SystemExit(main())
