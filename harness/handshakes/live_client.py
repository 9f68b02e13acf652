"""`python -m harness.handshakes.live_client`: the client of a running server, one order a line, until its input ends.

A process of its own, because the groups that a client offers are set for a whole process (OPENSSL_CONF) and because it
stays on the generator's processor. Whatever goes wrong ends it; the last line of its standard error says why.

Orders: `handshakes` makes new connections over TLS, each with one request and the server's close; `connections` the
same without TLS; `open`, `requests`, `close` are about one connection that stays.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from OpenSSL import SSL

from certs import TlsVersion, client_context
from harness.probes.handshake import HandshakeProbe
from harness.probes.target import Target, parse_target

_CHUNK: Final = 65536
_LONGEST_HEAD: Final = 65536  # of an answer; ours are some hundred bytes


class Client:
    """What is kept between orders: probes, the newest session of each server and version, a connection that stays."""

    def __init__(self, ca_file: Path) -> None:
        self._ca_file = ca_file
        self._probes: dict[tuple[str, str], HandshakeProbe] = {}
        self._sessions: dict[tuple[str, str], SSL.Session | None] = {}
        self._kept: socket.socket | None = None
        self._target: Target | None = None

    def handshakes(self, url: str, version: str, count: int, *, resumed: bool) -> dict[str, Any]:
        """Make connections with a handshake each."""
        key = (url, version)
        probe = self._probes.get(key)
        if probe is None:
            probe = HandshakeProbe(parse_target(url), self._ca_file, frozenset({TlsVersion(version)}), to_the_end=True)
            self._probes[key] = probe
        made = []
        for _ in range(count):
            session = self._sessions.get(key) if resumed else None
            handshake, self._sessions[key] = probe.resume(session) if session is not None else probe.full()
            made.append(handshake)
        tls = made[-1].tls
        return {
            "count": count,
            "resumed": sum(each.resumed for each in made),
            "time_us": [each.time_us for each in made],
            "first_answer_us": [each.first_answer_us for each in made],
            "sent": round(statistics.median(each.sent for each in made)),
            "received": round(statistics.median(each.received for each in made)),
            "round_trips": round(statistics.median(each.round_trips for each in made)),
            "waits": round(statistics.median(each.waits for each in made)),
            "tls": {"version": tls.version, "cipher": tls.cipher, "group": tls.group, "key_kind": tls.key_kind},
        }

    def connections(self, url: str, count: int) -> dict[str, Any]:
        """Make connections without TLS, each with a request, and let the server close them."""
        target = parse_target(url)
        first_answer_us = []
        for _ in range(count):
            connecting_ns = time.perf_counter_ns()
            with target.connect() as connection:
                connection.sendall(_request(target, "close"))
                got = data = connection.recv(_CHUNK)
                first_answer_us.append((time.perf_counter_ns() - connecting_ns) / 1000)
                while data:
                    data = connection.recv(_CHUNK)
                    got += data
                _check_status(got)
        return {"count": count, "first_answer_us": first_answer_us}

    def open(self, url: str, version: str | None) -> dict[str, Any]:
        """Connect, and stay connected."""
        self.close()
        target = parse_target(url)
        connection = target.connect()
        if version is not None:
            context = client_context(self._ca_file, versions=frozenset({TlsVersion(version)}))
            connection = context.wrap_socket(connection, server_hostname=target.host)
        self._kept, self._target = connection, target
        return self.requests(1)

    def requests(self, count: int) -> dict[str, Any]:
        """Ask on the connection that stays."""
        if self._kept is None or self._target is None:
            raise RuntimeError("no connection is open")
        request = _request(self._target, "keep-alive")
        for _ in range(count):
            self._kept.sendall(request)
            _read_answer(self._kept)
        return {"count": count}

    def close(self) -> dict[str, Any]:
        """Close the connection that stays."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        return {}


def _request(target: Target, connection: str) -> bytes:
    return (
        f"GET {target.path} HTTP/1.1\r\nHost: {target.authority}\r\nConnection: {connection}\r\n"
        "User-Agent: https-digest-bench\r\nAccept: */*\r\n\r\n"
    ).encode()


def _read_answer(connection: socket.socket) -> None:
    """Read one answer whole. Raises EOFError, ValueError."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += _receive(connection)
        if len(got) > _LONGEST_HEAD:
            raise ValueError("the answer's head has no end")
    head, _, body = got.partition(b"\r\n\r\n")
    _check_status(head)
    lengths = [
        int(value)
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
        if name.strip().lower() == b"content-length"
    ]
    if len(lengths) != 1:
        raise ValueError("the answer does not tell its length")
    missing = lengths[0] - len(body)
    while missing > 0:
        missing -= len(_receive(connection))


def _receive(connection: socket.socket) -> bytes:
    data = connection.recv(_CHUNK)
    if not data:
        raise EOFError("the server closed a connection that was to stay")
    return data


def _check_status(answer: bytes) -> None:
    line = answer.split(b"\r\n", 1)[0]
    if not line.startswith(b"HTTP/1.") or line[8:13] != b" 200 ":
        raise ValueError(f"the server answered {line[:80]!r}")


def main() -> None:
    """Answer line by line."""
    order = json.loads(sys.stdin.readline())
    if order["cpus"]:
        os.sched_setaffinity(0, order["cpus"])
    client = Client(Path(order["ca_file"]))
    _answer({})
    for line in sys.stdin:
        _answer(_obey(client, json.loads(line)))


def _obey(client: Client, order: Mapping[str, Any]) -> dict[str, Any]:
    match order["do"]:
        case "handshakes":
            return client.handshakes(order["url"], order["version"], order["count"], resumed=order["resumed"])
        case "connections":
            return client.connections(order["url"], order["count"])
        case "open":
            return client.open(order["url"], order["version"])
        case "requests":
            return client.requests(order["count"])
        case "close":
            return client.close()
        case other:
            raise ValueError(f"{other!r} is no order")


def _answer(content: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
