"""Requests without credentials by the million: no answer but 400, 401, 429, no exception, no memory that grows.

Random octets, malformed headers and forged ones, also with a nonce that is genuine, for users who exist and who do not:
1,000,000 in process, against a check with all that can be offered; 100,000 over the wire, by keep-alive connections
with TLS, against our servers as people start them, the number shared out among them. Seeded: a run can be repeated.

Goals: every answer is one of those three; the process grows by at most 32 MiB after the first tenth (a full throttle
takes about 20); nothing is granted, and no nonce is remembered as used; the server's log holds no error and no secret.

    python -m benchmarks.floods [--requests N] [--wire N] [--devices NAME,...] [--seed N] [--json FILE]
"""

import argparse
import contextlib
import json
import math
import os
import random
import re
import socket
import ssl
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import psutil

from certs import client_context
from device_api.state import read_credentials
from digest_auth import (
    PLAIN_ALGORITHMS,
    Algorithm,
    Authenticator,
    AwaitingBody,
    Claim,
    DigestRequest,
    MemoryReplayStore,
    Nonces,
    Qop,
    Throttle,
    UserTable,
    htdigest_line,
)
from digest_auth._header import quote
from tests.devices import DEVICES, RunningDevice, running_device

GROWTH_MIB = 32.0
STATUSES = frozenset({400, 401, 429})
TARGET = "/restconf/data/ietf-system:system-state"
REALM = "network-device"
CONNECTIONS = 4
TIMEOUT_S = 20.0

# What stands in a header's value, but for what ends its line: the server's own parser answers those.
_OCTETS = [chr(number) for number in range(256) if number not in {0, 10, 13}]
_SPICE = ['"', "\\", ",", "=", " ", "\t", "\x7f", "\xe9", "\xff", "'", "*", "%", ":"]


class Flood:
    """Authorization values of somebody who does not know the password.

    users: of whom some exist. nonce: the newest genuine one that is known, or none yet; the caller keeps it so.
    """

    def __init__(self, seed: int, users: Sequence[str]) -> None:
        self.nonce = ""
        self._random = random.Random(seed)
        self._users = users
        self._kinds: Sequence[Callable[[], list[str]]] = (
            self._nothing,
            self._noise,
            self._digest_noise,
            self._whole,
            self._whole,
            self._whole,
            self._damaged,
            self._damaged,
            self._twice,
            self._long,
        )

    def next(self) -> list[str]:
        """The values of the next request's Authorization lines."""
        return self._random.choice(self._kinds)()

    def _nothing(self) -> list[str]:
        return self._random.choice([[], [""], ["Basic YWRtaW46YWRtaW4="], ["Bearer x"], ["Digest"], ["Digest ,,,"]])

    def _text(self, longest: int) -> str:
        return "".join(self._random.choices(_OCTETS, k=self._random.randrange(longest)))

    def _noise(self) -> list[str]:
        return [self._text(200)]

    def _digest_noise(self) -> list[str]:
        words = ["username", "realm", "nonce", "uri", "response", "nc", "cnonce", "qop", "algorithm", *_SPICE * 3]
        return ["Digest " + "".join(self._random.choices(words, k=self._random.randrange(60)))]

    def _parameters(self) -> dict[str, str]:
        pick = self._random.choice
        forged = "".join(self._random.choices("ABCDEFGHIJabcdefghij0123456789-_", k=56))
        parameters = {
            "username": pick(self._users),
            "realm": REALM,
            "nonce": pick([self.nonce, self.nonce, self.nonce, forged, self.nonce[:-1], self.nonce.swapcase()]),
            "uri": TARGET,
            "algorithm": pick([algorithm.value for algorithm in Algorithm]),
            "cnonce": f"{self._random.getrandbits(64):016x}",
            "qop": pick(["auth", "auth", "auth-int"]),
            "nc": f"{self._random.randrange(1, 5000):08x}",
            "response": f"{self._random.getrandbits(256):064x}",
        }
        if not self._random.randrange(8):
            parameters["userhash"] = "true"
            parameters["username"] = f"{self._random.getrandbits(256):064x}"
        elif not self._random.randrange(8):
            parameters["username*"] = "UTF-8''" + parameters.pop("username")
        return parameters

    def _written(self, parameters: dict[str, str]) -> str:
        return "Digest " + ", ".join(f"{name}={quote(text)}" for name, text in parameters.items())

    def _whole(self) -> list[str]:
        return [self._written(self._parameters())]

    def _damaged(self) -> list[str]:
        parameters = self._parameters()
        name = self._random.choice(list(parameters))
        match self._random.randrange(4):
            case 0:
                del parameters[name]
            case 1:
                parameters[name] = self._text(60)
            case 2:
                parameters[name] = ""
        value = self._written(parameters)
        if self._random.randrange(2):
            place = self._random.randrange(len(value))
            value = value[:place] + self._random.choice(_SPICE) + value[place + self._random.randrange(3) :]
        return [value]

    def _twice(self) -> list[str]:
        value = self._written(self._parameters())
        return self._random.choice([[value, value], [value + ", nc=00000001"], [value, "Digest x"]])

    def _long(self) -> list[str]:
        # One in a hundred requests: they are long.
        if self._random.randrange(10):
            return self._whole()
        unit = self._random.choice(["a", '"', "\\", ",", " ", "=", "a=b,", 'a="', '\\"', "\xe9"])
        length = self._random.choice([1000, 8000, 9000])
        return ["Digest " + self._random.choice(["", 'a="', "username="]) + unit * (length // len(unit))]


@dataclass(slots=True)
class Outcome:
    """What a flood met."""

    name: str
    requests: int = 0
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    growth_mib: float = 0.0  # after the first tenth
    faults: list[str] = field(default_factory=list)

    @property
    def met(self) -> bool:
        """Whether the goals are."""
        return not self.faults and set(self.statuses) <= STATUSES and self.growth_mib <= GROWTH_MIB

    def kept(self) -> dict[str, object]:
        """All of it, for a file: dataclasses.asdict cannot copy a Counter."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def __str__(self) -> str:
        answers = ", ".join(f"{count:,} times {status}" for status, count in sorted(self.statuses.items()))
        summary = (
            f"{self.name}: {self.requests:,} requests in {self.seconds:.0f} s: {answers};"
            f" grew by {self.growth_mib:.1f} MiB: {'met' if self.met else 'MISSED'}"
        )
        return "\n  ".join([summary, *self.faults[:10]])


def resident_mib(pid: int) -> float:
    """Memory of a process."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20


def in_process(requests: int, seed: int, *, capacity: int = 65_536) -> Outcome:
    """Ask a check of our own, with all that can be offered. capacity: of its throttle."""
    users = "\n".join(
        htdigest_line(name, REALM, "correct horse", algorithm)
        for name in ("admin", "operator")
        for algorithm in PLAIN_ALGORITHMS
    )
    store, throttle = MemoryReplayStore(), Throttle(capacity=capacity)
    nonces = Nonces(os.urandom(32), store, REALM)
    authenticator = Authenticator(
        realm=REALM,
        users=UserTable.parse(users),
        nonces=nonces,
        algorithms=tuple(Algorithm),
        qops=tuple(Qop),
        userhash=True,
        throttle=throttle,
    )
    flood = Flood(seed, ("admin", "operator", "nobody", "J\xc3\xa4s\xc3\xb8n", "ADMIN"))
    outcome = Outcome("in process")
    addresses = random.Random(seed)
    start_s = time.monotonic()
    now_s = 1_800_000_000.0
    before_mib = 0.0
    for number in range(requests):
        if number % 100 == 0:
            now_s += 0.01
            flood.nonce = nonces.issue(now_s - addresses.choice([0.0, 0.0, 0.0, 1000.0]))
        if number == requests // 10:
            before_mib = resident_mib(os.getpid())
        address = f"2001:db8:{addresses.getrandbits(16):x}:{addresses.getrandbits(8):x}::1"
        request = DigestRequest("GET", TARGET, flood.next(), address)
        verdict = authenticator.check(request, now_s=now_s)
        if isinstance(verdict, AwaitingBody):
            verdict.update(b"")
            verdict = verdict.decide(now_s=now_s)
        if isinstance(verdict, Claim):
            outcome.faults.append(f"request {number} is all but granted")
            continue
        outcome.statuses[verdict.status] += 1
        if verdict.stale or (verdict.status == 401) != bool(verdict.www_authenticate):
            outcome.faults.append(f"request {number} was refused in a wrong way: {verdict.reason}")
    outcome.requests, outcome.seconds = requests, time.monotonic() - start_s
    outcome.growth_mib = resident_mib(os.getpid()) - before_mib
    if len(store):
        outcome.faults.append(f"{len(store)} nonces are remembered as used")
    if len(throttle) > capacity:
        outcome.faults.append(f"the throttle remembers {len(throttle)}")
    return outcome


class Connection:
    """One keep-alive connection with TLS, made anew whenever the server closes it."""

    def __init__(self, address: tuple[str, int], trusting: ssl.SSLContext) -> None:
        self._address = address
        self._trusting = trusting
        self._socket: ssl.SSLSocket | None = None

    def ask(self, values: Sequence[str]) -> tuple[int, bytes, bytes]:
        """Status, head and body of the answer to a request with these Authorization lines.

        Raises OSError, ValueError.
        """
        peer = self._socket = self._socket or self._connect()
        lines = "".join(f"Authorization: {value}\r\n" for value in values)
        peer.sendall(f"GET {TARGET} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode("latin-1"))
        received = b""
        while b"\r\n\r\n" not in received:
            received += _some(peer)
        head, _, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        if length is None:
            raise ValueError("an answer without Content-Length")
        while len(body) < int(length[1]):
            body += _some(peer)
        if re.search(rb"\r\nconnection: *close", head, re.IGNORECASE):
            self.close()
        return int(head[9:12]), head, body

    def close(self) -> None:
        """Close it, if it is open."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection(self._address, TIMEOUT_S)
        return self._trusting.wrap_socket(plain, server_hostname="localhost")


def _some(peer: ssl.SSLSocket) -> bytes:
    octets = peer.recv(65536)
    if not octets:
        raise ConnectionError("the server hung up before the end of its answer")
    return octets


@contextlib.contextmanager
def connection(address: tuple[str, int], trusting: ssl.SSLContext) -> Iterator[Connection]:
    """Hold a connection until the block ends."""
    made = Connection(address, trusting)
    try:
        yield made
    finally:
        made.close()


_NONCE = re.compile(rb'nonce="([^"]+)"')


def over_the_wire(name: str, server: RunningDevice, requests: int, seed: int) -> Outcome:
    """Ask a running device by several connections at a time."""
    ready = server.ready
    if ready.ca_file is None or ready.credentials_file is None:
        raise ValueError(f"{name} was started without TLS or without Digest")
    trusting = client_context(ready.ca_file)
    user, password = read_credentials(ready.credentials_file)
    outcome = Outcome(name)
    lock = threading.Lock()

    def ask(seed: int, requests: int) -> None:
        flood = Flood(seed, (user, "nobody", user.upper()))
        statuses: Counter[int] = Counter()
        with connection(server.address, trusting) as peer:
            for number in range(requests):
                try:
                    status, head, _ = peer.ask(flood.next())
                except (OSError, ValueError) as error:
                    peer.close()
                    with lock:
                        outcome.faults.append(f"request {number} of seed {seed}: {type(error).__name__}: {error}")
                    continue
                statuses[status] += 1
                if number % 50 == 0 and (nonce := _NONCE.search(head)):
                    flood.nonce = nonce[1].decode("ascii")
        with lock:
            outcome.statuses.update(statuses)
            outcome.requests += requests

    def crowd(share: int, first_seed: int) -> None:
        threads = [
            threading.Thread(target=ask, args=(first_seed + n, share // CONNECTIONS)) for n in range(CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    start_s = time.monotonic()
    crowd(requests // 10, seed)
    before_mib = resident_mib(server.process.pid)
    crowd(requests - requests // 10, seed + CONNECTIONS)
    outcome.growth_mib = resident_mib(server.process.pid) - before_mib
    outcome.seconds = time.monotonic() - start_s
    outcome.faults += log_faults(server.logged(), password)
    return outcome


def log_faults(lines: Sequence[str], password: str) -> list[str]:
    """What must not be in a log: errors, tracebacks, the password, anything of an Authorization header."""
    secret = re.compile(re.escape(password) + r"|[Aa]uthorization: |response=|cnonce|[0-9a-f]{32}")
    return [
        f"in the log: {line[:200]}"
        for line in lines
        if re.search(r"\b(ERROR|CRITICAL)\b", line) or line.startswith("Traceback") or secret.search(line)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what the floods met; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=1_000_000, help="in process (default: %(default)s)")
    parser.add_argument("--wire", type=int, default=100_032, help="over the wire, in all (default: %(default)s)")
    parser.add_argument("--devices", default=",".join(DEVICES), help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=7616, help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep what was met there")
    options = parser.parse_args(arguments)
    devices = [name for name in options.devices.split(",") if name]
    unknown = set(devices) - DEVICES.keys()
    if unknown:
        parser.error(f"no device is called {min(unknown)!r}; choose from {', '.join(DEVICES)}")
    outcomes = []
    if options.requests:
        outcomes.append(in_process(options.requests, options.seed))
        print(outcomes[-1], flush=True)
    for name in devices if options.wire else ():
        with (
            tempfile.TemporaryDirectory() as folder,
            running_device(name, Path(folder), shows_log=False) as server,
        ):
            outcomes.append(over_the_wire(name, server, math.ceil(options.wire / len(devices)), options.seed))
        print(outcomes[-1], flush=True)
    met = all(outcome.met for outcome in outcomes)
    if options.json:
        kept = {"met": met, "outcomes": [outcome.kept() for outcome in outcomes]}
        options.json.write_text(json.dumps(kept, indent=1), encoding="ascii")
    return int(not met)


if __name__ == "__main__":
    raise SystemExit(main())
