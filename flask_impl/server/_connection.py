"""One connection with one client, over TCP or TLS: the little that the rest of the server knows of sockets.

`Connection` says what each kind can do; `PlainConnection` is TCP alone, `_stdlib` and `_pyopenssl` add TLS. No
operation here ever waits: one that cannot go on raises `Blocked`, which names the event to wait for. That need not be
the obvious one, since TLS may have to write in order to read. A connection is used by one thread at a time; only
`cut` may come from another.

`wait`, `receive_by` and `send_all` are what a thread uses that has nothing else to do. Each has one deadline for all of
its work, however many steps that takes; a socket's own timeout would start anew with each step.
"""

import contextlib
import re
import select
import socket
import time
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol

RECORD: Final = 16384
"""The most that one TLS record holds (RFC 8446 section 5.1), so the most that one read returns or one write sends."""


_REQUEST_LINE: Final = re.compile(rb"[!-~ ]* HTTP/[0-9.]+\r?\n")  # the rest of one: OpenSSL has taken a few octets
_LONGEST_LINE: Final = 1024


class Blocked(Exception):  # noqa: N818 (nothing is wrong: it says what to wait for, as BlockingIOError does)
    """The operation can go on when the socket is ready; until then nothing of it has happened."""

    event: ClassVar[int]
    """What to wait for, as `select.poll` and `select.epoll` both have it."""


class WantRead(Blocked):
    """To wait for something from the client."""

    event = select.POLLIN


class WantWrite(Blocked):
    """To wait until the client takes something."""

    event = select.POLLOUT


class HandshakeError(Exception):
    """No connection came about. The message is a line for the log: what OpenSSL has to say."""


class PlainHttpError(HandshakeError):
    """The client spoke HTTP where TLS was due."""


class TlsError(ConnectionError):
    """The client broke the rules of TLS, or said that we did. The message is a line for the log."""


@dataclass(frozen=True, slots=True)
class Tls:
    """What was agreed on."""

    version: str  # "TLSv1.3"
    cipher: str
    certificate: bytes | None  # the client's, DER, verified; None if it was not asked or showed none


class Connection(Protocol):
    """What the HTTP server asks of a connection. Whatever breaks one is an OSError, in every implementation."""

    shakes_hands: ClassVar[bool]
    """Whether there is a handshake to wait for before anything can be received."""

    def fileno(self) -> int:
        """Return the socket, to wait for."""

    def handshake(self) -> None:
        """Go on with the handshake; returns when it is complete. Raises Blocked, HandshakeError or OSError."""

    def tls(self) -> Tls | None:
        """Say what the handshake agreed on; None over plain TCP."""

    def receive(self) -> bytes:
        """Return what has arrived, a record at most; b"" after the last. Raises Blocked, TlsError, OSError."""

    def pending(self) -> bool:
        """Say whether something has been received and decrypted already: no event will announce it."""

    def send(self, data: bytes | memoryview) -> int:
        """Send some of the data, and return how much. After Blocked, the same data must be sent. Raises OSError."""

    def shutdown(self) -> None:
        """Tell the client, as far as that goes without waiting, that nothing more comes. Raises nothing."""

    def discard(self) -> bool:
        """Throw away what has arrived, undecrypted; False when nothing more will come. Raises Blocked or OSError."""

    def send_in_the_clear(self, data: bytes) -> None:
        """Send past TLS, to a client that does not speak it, as far as that goes without waiting. Raises OSError."""

    def cut(self) -> None:
        """Break the connection, whatever another thread is doing with it. Raises nothing."""

    def close(self) -> None:
        """Let go of the socket. Not to be used again. Raises nothing."""


class PlainConnection:
    """TCP by itself, and the part of the TLS connections that goes past TLS.

    The socket may be an `ssl.SSLSocket`, which is a socket too; its class is named below where TCP itself is meant.
    """

    __slots__ = ("_socket",)
    shakes_hands: ClassVar[bool] = False

    def __init__(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        self._socket = accepted

    def fileno(self) -> int:
        return self._socket.fileno()

    def handshake(self) -> None:
        """There is none."""

    def tls(self) -> Tls | None:
        return None

    def receive(self) -> bytes:
        try:
            return self._socket.recv(RECORD)
        except BlockingIOError:
            raise WantRead from None

    def pending(self) -> bool:
        return False

    def send(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            raise WantWrite from None

    def shutdown(self) -> None:
        with contextlib.suppress(OSError):  # the client was faster
            socket.socket.shutdown(self._socket, socket.SHUT_WR)

    def discard(self) -> bool:
        try:
            return bool(socket.socket.recv(self._socket, RECORD))
        except BlockingIOError:
            raise WantRead from None

    def send_in_the_clear(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):  # it takes nothing from us, so it does not get to know
            socket.socket.send(self._socket, data)

    def looks_like_http(self) -> bool:
        """Say whether what has arrived, and was too much for TLS, has a request line: OpenSSL knows few methods."""
        try:
            return _REQUEST_LINE.match(socket.socket.recv(self._socket, _LONGEST_LINE, socket.MSG_PEEK)) is not None
        except OSError:
            return False

    def cut(self) -> None:
        with contextlib.suppress(OSError):  # it is broken already
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()


def wait(connection: Connection, event: int, deadline_s: float) -> None:
    """Return when the event is there, or the connection is broken. Raises TimeoutError at the deadline.

    deadline_s: on the clock of time.monotonic.
    """
    poll = select.poll()
    poll.register(connection.fileno(), event)
    while (left_s := deadline_s - time.monotonic()) > 0:
        if poll.poll(left_s * 1000 + 1):  # whole milliseconds, never less than what is left
            return
    raise TimeoutError("the client did not keep up")


def receive_by(connection: Connection, deadline_s: float) -> bytes:
    """Return what the client sends next; b"" if that is nothing. Raises TimeoutError at the deadline, or OSError."""
    while True:
        try:
            return connection.receive()
        except Blocked as blocked:
            event = blocked.event
        wait(connection, event, deadline_s)


def send_all(connection: Connection, data: bytes | memoryview, idle_s: float, rate: float) -> None:
    """Send all of the data. Raises TimeoutError once the client has taken nothing for so long, or OSError.

    rate: octets per second that it has to take on average once idle_s is over; nothing or next to nothing is the same.
    """
    rest: bytes | memoryview = data if len(data) <= RECORD else memoryview(data)
    taken = 0
    waited_s = 0.0
    while rest:
        try:
            sent = connection.send(rest if len(rest) <= RECORD else rest[:RECORD])
        except Blocked as blocked:
            event = blocked.event
        else:
            rest = rest[sent:]
            taken += sent
            continue
        now_s = time.monotonic()
        wait(connection, event, now_s + idle_s + min(0.0, taken / rate - waited_s))
        waited_s += time.monotonic() - now_s
