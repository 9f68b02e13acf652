"""How many clients there may be, and who makes room for a new one. Knows no socket and no loop.

Two bounds, since the two kinds of clients cost different things to different people: open connections (memory,
descriptors), and apart from that those of which no request has come yet, which is all that an idle attacker needs to
hold. Hypercorn has neither.

- Over `pending`, whoever has been there longest without a request goes, at once: a flood of silent clients then pushes
  out itself, while a client that means it needs some milliseconds.
- Over `connections`, in this order: who has stalled for a second without a request; whom we have said our last word to;
  who has been idle longest, if for a second. Where there is nobody, new ones wait in the kernel's queue.
"""

import asyncio
import logging
from typing import Final

from quart_impl.server._connection import Connection, Phase

_log = logging.getLogger("quart_impl.server")

_PATIENCE_S: Final = 1.0
_PENDING: Final = (Phase.HANDSHAKE, Phase.FIRST, Phase.HEAD)


class Bounds:
    """All connections of a server, and each kind of those that could go, whoever came first before the others."""

    def __init__(self, *, connections: int, pending: int) -> None:
        self._limit = connections
        self._pending_limit = pending
        self.connections: set[Connection] = set()
        # In each, dictionaries keep the order of entering.
        self._pending: dict[Connection, None] = {}
        self._parting: dict[Connection, None] = {}
        self._idle: dict[Connection, None] = {}
        self.changed = asyncio.Event()  # somebody went, or a request was answered

    def came(self, connection: Connection) -> None:
        """Count a connection that was just accepted."""
        self.connections.add(connection)
        self._pending[connection] = None

    def entered(self, connection: Connection) -> None:
        """Note that another phase has begun for a connection."""
        phase = connection.phase
        if phase is Phase.FIRST:
            return  # it is as pending as before
        self._forget_kind(connection, pending=phase is not Phase.HEAD)
        if phase is Phase.IDLE:
            self._idle[connection] = None
            self.changed.set()
        elif phase is Phase.PARTING:
            self._parting[connection] = None
            self.changed.set()

    def gone(self, connection: Connection) -> None:
        """Count a connection no more; it may be told again."""
        self.connections.discard(connection)
        self._forget_kind(connection, pending=True)
        self.changed.set()

    def make_room(self, now_s: float) -> bool:
        """Let somebody go if another connection would be too many. False: there is no room and nobody to make some."""
        if len(self._pending) >= self._pending_limit:
            self._let_go(next(iter(self._pending)))
        if len(self.connections) < self._limit:
            return True
        for kind, patience_s in ((self._pending, _PATIENCE_S), (self._parting, 0.0), (self._idle, _PATIENCE_S)):
            longest = next(iter(kind), None)
            if longest is not None and longest.since_s + patience_s <= now_s:
                self._let_go(longest)
                return True
        return False

    def is_full(self) -> bool:
        """Say whether somebody would have to go for another connection."""
        return len(self.connections) >= self._limit or len(self._pending) >= self._pending_limit

    def _let_go(self, connection: Connection) -> None:
        _log.info("%s: dropped to make room (%s)", connection, connection.phase.name.lower())
        connection.make_room()
        self.gone(connection)

    def _forget_kind(self, connection: Connection, *, pending: bool) -> None:
        if pending:
            self._pending.pop(connection, None)
        self._parting.pop(connection, None)
        self._idle.pop(connection, None)
