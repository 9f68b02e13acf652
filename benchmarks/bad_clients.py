"""Clients that keep a server waiting, as many as wanted, for as long as wanted: each is replaced when it is cut off.

    python -m benchmarks.bad_clients KIND COUNT HOST PORT

says "ready" once all of them keep it waiting; when its standard input ends it says how many still do, and ends.
"""

import argparse
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

HALF_HELLO = bytes.fromhex("16030100f8010000f40303")  # of a TLS record of 248 octets; the rest never comes
HEADER = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slowly: " + b"a" * 1000
DRIBBLE_S = 1.0
PATIENCE_S = 10.0


class Kind(StrEnum):
    """What a bad client does."""

    SILENT = "silent"  # connects and says nothing
    HALF_HELLO = "half-hello"  # begins a ClientHello
    DRIBBLE = "dribble"  # shakes hands, and sends a header at an octet a second


@dataclass(slots=True, eq=False)
class Client:
    """One of them."""

    socket: socket.socket
    sent: int = 0  # octets of the header
    next_s: float = float("inf")  # when it sends the next, on time.monotonic()


class Crowd:
    """All of them, in one thread."""

    def __init__(self, kind: Kind, count: int, address: tuple[str, int]) -> None:
        self._kind = kind
        self._count = count
        self._address = address
        self._selector = selectors.DefaultSelector()
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._clients: set[Client] = set()

    def gather(self) -> None:
        """Let those come who are missing. Raises OSError."""
        while len(self._clients) < self._count:
            self._come()

    def stay(self) -> int:
        """Keep the server waiting until standard input ends. Returns how many do so then. Raises OSError."""
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select(self._pause_s()):
                if key.fileobj is sys.stdin:
                    return len(self._clients)
                self._hear(key.data)
            now_s = time.monotonic()
            for client in list(self._clients):
                if client.next_s <= now_s:
                    self._say(client, now_s)
            self.gather()

    def leave(self) -> None:
        """Let all of them go."""
        for client in list(self._clients):
            self._go(client)
        self._selector.close()

    def _come(self) -> None:
        client = Client(socket.create_connection(self._address, PATIENCE_S))
        if self._kind is Kind.HALF_HELLO:
            client.socket.sendall(HALF_HELLO)
        elif self._kind is Kind.DRIBBLE:
            client.socket = self._context.wrap_socket(client.socket)
        client.socket.setblocking(False)
        self._clients.add(client)
        self._selector.register(client.socket, selectors.EVENT_READ, client)
        if self._kind is Kind.DRIBBLE:
            self._say(client, time.monotonic())

    def _say(self, client: Client, now_s: float) -> None:
        try:
            client.socket.send(HEADER[client.sent : client.sent + 1])
        except OSError:
            self._go(client)
        client.sent += 1
        client.next_s = now_s + DRIBBLE_S

    def _hear(self, client: Client) -> None:
        """See why something comes: the server has lost its patience, or sends tickets for sessions."""
        try:
            while client.socket.recv(65536):
                pass
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        except OSError:
            pass
        self._go(client)

    def _go(self, client: Client) -> None:
        if client in self._clients:
            self._clients.discard(client)
            self._selector.unregister(client.socket)
            client.socket.close()

    def _pause_s(self) -> float | None:
        soonest_s = min((client.next_s for client in self._clients), default=float("inf"))
        return None if soonest_s == float("inf") else max(0.0, soonest_s - time.monotonic())


def main(arguments: Sequence[str] | None = None) -> int:
    """Come, stay, and say how many stayed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", type=Kind)
    parser.add_argument("count", type=int)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    options = parser.parse_args(arguments)
    crowd = Crowd(options.kind, options.count, (options.host, options.port))
    crowd.gather()
    print("ready", flush=True)
    print(crowd.stay(), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
