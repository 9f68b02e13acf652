"""`python -m harness.network.relaying`: relays TCP connections with a known delay, until its input ends.

In: a line with the server's host and port, the delay of one direction in µs and the processors to stay on; then an
empty line for each account of itself. Out: a line each: the port that it listens on; then how late parcels were
forwarded.

A wait ends a little early, by the kernel's timer, and the rest is spent looking at the clock: timers alone are 50 to
150 µs late. That takes processor time while client and server wait anyway; it is for a few connections, not for a load.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import socket
import statistics
import struct
import sys
import time
from collections.abc import Iterable
from typing import Any, Final

from harness.network.delay import Parcel, Passage

MOST_CONNECTIONS: Final = 400  # select() takes 1,024 descriptors, a connection two
_CHUNK: Final = 1 << 18
_SPIN_NS: Final = 200_000  # before a parcel is due: timers are late by less than this
_FOREVER_S: Final = 3600.0
_CONNECT_LIMIT_S: Final = 5.0  # a server whose backlog is full lets wait
_KEPT_LATENESS: Final = 200_000
_ABORT: Final = struct.pack("ii", 1, 0)  # SO_LINGER: close() resets


class _Pair:
    """One relayed connection: two sockets, and what waits between them."""

    def __init__(self, client: socket.socket, server_address: tuple[str, int], delay_ns: int, now_ns: int) -> None:
        self._client = client
        self._client.setblocking(False)
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server_address = server_address
        self._server: socket.socket | None = None
        self._passage = Passage(delay_ns=delay_ns, opened_ns=now_ns)
        self._unsent: dict[socket.socket, memoryview] = {}
        self._ended: set[socket.socket] = set()  # sides that were told the other's end
        self.is_over = False

    def readable(self) -> Iterable[socket.socket]:
        if self._passage.to_server.has_room:
            yield self._client
        if self._server is not None and self._passage.to_client.has_room:
            yield self._server

    def writable(self) -> Iterable[socket.socket]:
        return self._unsent.keys()

    def next_due_ns(self) -> int | None:
        """When something is to be done that no socket tells of."""
        if self._server is None:
            return self._passage.server_due_ns
        lanes = ((self._server, self._passage.to_server), (self._client, self._passage.to_client))
        times = [lane.next_due_ns for side, lane in lanes if side not in self._unsent]
        return min((each for each in times if each is not None), default=None)

    def read(self, side: socket.socket) -> None:
        broken = False
        try:
            data = side.recv(_CHUNK)
        except BlockingIOError:
            return
        except ConnectionError:
            data, broken = b"", True
        now_ns = time.monotonic_ns()
        if side is self._client:
            self._passage.from_client(data, now_ns, broken=broken)
        else:
            self._passage.from_server(data, now_ns, broken=broken)

    def forward(self, lateness_ns: list[int]) -> None:
        """Do all that is due."""
        if self._server is None and time.monotonic_ns() >= self._passage.server_due_ns:
            self._connect()
        server = self._server
        if server is None:
            return
        for side, take in ((server, self._passage.take_for_server), (self._client, self._passage.take_for_client)):
            while not self.is_over and side not in self._unsent:
                now_ns = time.monotonic_ns()
                parcel = take(now_ns)
                if parcel is None:
                    break
                lateness_ns.append(now_ns - parcel.due_ns)
                self._deliver(parcel, side)

    def write(self, side: socket.socket) -> None:
        """Go on with what the side did not take at once."""
        rest = self._unsent.pop(side, None)
        if rest is not None:
            self._send(side, rest)

    def close(self, *, abort: bool = False) -> None:
        for side in (self._client, self._server):
            if side is not None:
                if abort:
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                side.close()
        self.is_over = True

    def _connect(self) -> None:
        """Connect to the server, on this machine: that takes no time worth a delay. The client is told of failure."""
        server = socket.socket()
        server.settimeout(_CONNECT_LIMIT_S)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            server.connect(self._server_address)
        except OSError:
            server.close()
            self.close(abort=True)
            return
        server.setblocking(False)
        self._server = server

    def _deliver(self, parcel: Parcel, side: socket.socket) -> None:
        if parcel.broken:
            self.close(abort=True)
        elif parcel.is_end:
            with contextlib.suppress(OSError):  # it is gone already; reading from it tells
                side.shutdown(socket.SHUT_WR)
            self._ended.add(side)
            if len(self._ended) == 2:  # both sides
                self.close()
        else:
            self._send(side, memoryview(parcel.data))

    def _send(self, side: socket.socket, data: memoryview) -> None:
        try:
            sent = side.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            if error.errno not in {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN}:
                raise
            self.close(abort=True)
            return
        if sent < len(data):
            self._unsent[side] = data[sent:]


class _Relay:
    def __init__(self, server_address: tuple[str, int], delay_ns: int) -> None:
        self._server_address = server_address
        self._delay_ns = delay_ns
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self._pairs: set[_Pair] = set()
        self._lateness_ns: list[int] = []

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def run(self, orders: int) -> None:
        """Relay until `orders`, a descriptor, ends."""
        while True:
            sides = {side.fileno(): (pair, side) for pair in self._pairs for side in pair.readable()}
            stuck = {side.fileno(): (pair, side) for pair in self._pairs for side in pair.writable()}
            listening = [self._listener.fileno()] if len(self._pairs) < MOST_CONNECTIONS else []
            ready, able, _ = select.select([orders, *listening, *sides], list(stuck), [], self._patience_s())
            if orders in ready and not self._account(orders):
                return
            for pair, side in (stuck[each] for each in able):
                pair.write(side)
            for pair, side in (sides[each] for each in ready if each in sides):
                if not pair.is_over:
                    pair.read(side)
            if any(each in ready for each in listening):
                self._accept()
            self._forward()

    def close(self) -> None:
        self._listener.close()
        for pair in self._pairs:
            pair.close(abort=True)

    def _forward(self) -> None:
        for pair in list(self._pairs):
            if not pair.is_over:
                pair.forward(self._lateness_ns)
            if pair.is_over:
                self._pairs.discard(pair)
        del self._lateness_ns[:-_KEPT_LATENESS]

    def _patience_s(self) -> float:
        """Return how long to sleep: not at all shortly before something is due."""
        times = [due for pair in self._pairs if (due := pair.next_due_ns()) is not None]
        if not times:
            return _FOREVER_S
        return max(0.0, (min(times) - time.monotonic_ns() - _SPIN_NS) / 1e9)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self._pairs.add(_Pair(client, self._server_address, self._delay_ns, time.monotonic_ns()))

    def _account(self, orders: int) -> bool:
        asked = os.read(orders, _CHUNK).count(b"\n")
        for _ in range(asked):
            _answer(_lateness(self._lateness_ns))
            self._lateness_ns.clear()
        return asked > 0


def _lateness(lateness_ns: list[int]) -> dict[str, Any]:
    if not lateness_ns:
        return {"parcels": 0, "late_us_mean": 0.0, "late_us_p50": 0.0, "late_us_p99": 0.0, "late_us_max": 0.0}
    ordered = sorted(lateness_ns)
    return {
        "parcels": len(ordered),
        "late_us_mean": statistics.fmean(ordered) / 1000,
        "late_us_p50": ordered[len(ordered) // 2] / 1000,
        "late_us_p99": ordered[len(ordered) * 99 // 100] / 1000,
        "late_us_max": ordered[-1] / 1000,
    }


def main() -> None:
    """Relay as the first line says."""
    orders = sys.stdin.fileno()
    order = json.loads(_first_line(orders))
    if order["cpus"]:
        os.sched_setaffinity(0, order["cpus"])
    relay = _Relay((order["host"], order["port"]), round(order["delay_us"] * 1000))
    try:
        _answer({"port": relay.port})
        relay.run(orders)
    finally:
        relay.close()


def _first_line(orders: int) -> bytes:
    """Read a line and no more: what follows is select()'s to see."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(orders, 1)
        if not byte:
            raise EOFError("no order came")
        line += byte
    return line


def _answer(content: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
