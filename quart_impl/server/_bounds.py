"""How many clients there may be, and who makes room for a new one. Knows no socket and no loop.

Two bounds, since the two kinds of clients cost different things to different people: open connections (memory,
descriptors), and apart from that those of which no request has come yet, which is all that an idle attacker needs to
hold. Hypercorn has neither.

- Over `pending`, whoever has stalled longest goes, if for half a second: a flood of silent clients then pushes out
  itself. Clients that mean it need some milliseconds from step to step of their handshake (on a machine that is
  overloaded, tenths of a second), or have sent something that this server has not come to read: a burst of those waits
  in the kernel's queue, and none is lost.
- Over `connections`, in this order: who has stalled for a second without a request; whom we have said our last word to;
  who has been idle longest, if for a second.
- Where there is nobody, new ones wait in the kernel's queue. When that is nearly full, which takes a flood, the longest
  stalled go however short that is: good clients would be turned away by the kernel otherwise.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from quart_impl.server._connection import Connection, Phase

_log = logging.getLogger("quart_impl.server")

_PENDING_PATIENCE_S: Final = 0.5
_PATIENCE_S: Final = 1.0


class Bounds:
    """All connections of a server, and each kind of those that could go, whoever came first before the others."""

    def __init__(self, *, connections: int, pending: int) -> None:
        self._limit = connections
        self._pending_limit = pending
        self.connections: set[Connection] = set()
        # In each, whoever entered first is the first, and so has the longest since_s.
        self._pending: dict[Connection, None] = {}
        self._parting: dict[Connection, None] = {}
        self._idle: dict[Connection, None] = {}
        self.changed = asyncio.Event()  # somebody went, or a request was answered
        self.on_room: Callable[[], None] = lambda: None  # called when there may be room again

    def came(self, connection: Connection) -> None:
        """Count a connection that was just accepted."""
        self.connections.add(connection)
        self._pending[connection] = None

    def entered(self, connection: Connection) -> None:
        """Note that another phase has begun for a connection, or that there is progress in its handshake."""
        phase = connection.phase
        self._forget_kind(connection)
        if phase in (Phase.HANDSHAKE, Phase.FIRST):
            self._pending[connection] = None
            return
        if phase is Phase.IDLE:
            self._idle[connection] = None
            self.changed.set()
        elif phase is Phase.PARTING:
            self._parting[connection] = None
            self.changed.set()
        self.on_room()

    def gone(self, connection: Connection) -> None:
        """Count a connection no more; it may be told again."""
        self.connections.discard(connection)
        self._forget_kind(connection)
        self.changed.set()
        self.on_room()

    def make_room(self, now_s: float, *, pressed: bool = False) -> bool:
        """Let somebody go if another connection would be too many. False: there is no room and nobody to make some.

        pressed: whether the kernel's queue is too full.
        """
        stalled_s = now_s if pressed else now_s - _PENDING_PATIENCE_S
        if len(self._pending) >= self._pending_limit and not self._let_go(self._pending, stalled_s):
            return False
        if len(self.connections) < self._limit:
            return True
        return (
            self._let_go(self._pending, now_s if pressed else now_s - _PATIENCE_S)
            or self._let_go(self._parting, now_s)
            or self._let_go(self._idle, now_s - _PATIENCE_S)
        )

    def is_full(self) -> bool:
        """Say whether somebody would have to go for another connection."""
        return len(self.connections) >= self._limit or len(self._pending) >= self._pending_limit

    def _let_go(self, kind: Iterable[Connection], since_s: float) -> bool:
        for connection in kind:
            if connection.since_s > since_s:
                return False  # the others entered later
            if not connection.waits_for_us():
                _log.info("%s: dropped to make room (%s)", connection, connection.phase.name.lower())
                connection.make_room()
                self.gone(connection)
                return True
        return False

    def _forget_kind(self, connection: Connection) -> None:
        self._pending.pop(connection, None)
        self._parting.pop(connection, None)
        self._idle.pop(connection, None)
