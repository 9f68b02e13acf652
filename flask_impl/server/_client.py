"""One client: its connection, its requests, and how much longer it is waited for."""

import enum
import logging
import time
from typing import Final

from flask_impl.server._connection import RECORD, Blocked, Connection, HandshakeError, WantRead
from flask_impl.server._environ import connection_environ
from flask_impl.server._http import RequestReader
from flask_impl.server._limits import Limits

_log = logging.getLogger("flask_impl.server")

READY: Final = 0
"""What `Client.receive` returns instead of an event to wait for."""


class Phase(enum.Enum):
    """What a client is waited for. Each has a limit of its own."""

    HANDSHAKE = enum.auto()
    FIRST = enum.auto()  # the first octet of its first request
    HEAD = enum.auto()
    BODY = enum.auto()
    IDLE = enum.auto()  # the first octet of a further request
    LINGER = enum.auto()  # its end, after our last answer


class Client:
    """What the I/O loop and the workers pass to each other. One of them at a time holds it and may use it."""

    __slots__ = ("_limits", "connection", "deadline_s", "environ", "peer", "phase", "reader", "since_s")

    def __init__(self, connection: Connection, peer: tuple[str, int], limits: Limits) -> None:
        self.connection = connection
        self.peer = peer
        self.reader = RequestReader(limits)
        self.environ: dict[str, str] = {}
        self._limits = limits
        if connection.shakes_hands:
            self._enter(Phase.HANDSHAKE, limits.handshake_s)
        else:
            self.handshake()

    def __str__(self) -> str:
        return f"{self.peer[0]} port {self.peer[1]}"

    @property
    def stalled_since_s(self) -> float:
        """Since when it has not got any further; a body that is too slow counts as one that stalls."""
        return self.deadline_s - self._limits.body_idle_s if self.phase is Phase.BODY else self.since_s

    def handshake(self) -> None:
        """Go on with the handshake; returns when it is complete. Raises Blocked, HandshakeError or OSError."""
        self.connection.handshake()
        try:
            self.environ = connection_environ(self.peer, self.connection.tls())
        except ValueError as error:
            raise HandshakeError(f"the client's certificate cannot be read: {error}") from None
        shown = self.environ.get("SSL_CLIENT_S_DN")
        if shown is not None:
            _log.info("%s: client certificate %s", self, shown.encode("latin-1").decode())
        self._enter(Phase.FIRST, self._limits.head_s)

    def receive(self) -> int:
        """Take what has arrived. Returns READY when a thread should take over, or else the event to wait for.

        Raises EOFError when the client has left, or OSError.
        """
        reader = self.reader
        try:
            while not reader.is_ready():
                data = self.connection.receive()
                if not data:
                    raise EOFError
                reader.feed(data)
                if reader.is_ready():
                    break
                self._wait_on()
                if len(data) < RECORD and not self.connection.pending():  # another read would be in vain
                    return WantRead.event
        except Blocked as blocked:
            return blocked.event
        return READY

    def rest(self) -> None:
        """Start to wait for the next request, of which some may have come already."""
        self._enter(Phase.IDLE, self._limits.idle_s)
        self._wait_on()

    def linger(self) -> None:
        """Start to wait for the client's end."""
        self._enter(Phase.LINGER, self._limits.linger_s)

    def _enter(self, phase: Phase, limit_s: float) -> None:
        self.phase = phase
        self.since_s = time.monotonic()
        self.deadline_s = self.since_s + limit_s

    def _wait_on(self) -> None:
        """Set the deadline for what is still missing, now that something more is there."""
        reader, limits = self.reader, self._limits
        if reader.requests:
            if self.phase is not Phase.BODY:
                self._enter(Phase.BODY, limits.body_idle_s)
            received_s = len(reader.requests[0].body) / limits.body_rate
            self.deadline_s = limits.body_idle_s + min(time.monotonic(), self.since_s + received_s)
        elif reader.has_begun() and self.phase is Phase.IDLE:
            self._enter(Phase.HEAD, limits.head_s)
        elif reader.has_begun():
            self.phase = Phase.HEAD  # of the first request, due since the handshake
