"""Which bytes wait for how long on a connection with a known distance: no sockets, no clock.

What a side sends is due at the other side one delay later, in order. Bandwidth is not limited. One thing a relay in
between cannot delay by waiting: the kernel answers the client's SYN at once. On a network the client could send only
when the server's SYN has come back, a round trip later. So what the client sends before it can have heard anything is
kept for that round trip as well, and the server sees the connection when the client's last step of TCP's handshake
would have come. Client and server then see each message at the time at which the network would have brought it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

MOST_WAITING_BYTES: Final = 16 << 20  # in one direction; a side that sends more has to wait, as behind a full window

TCP_HANDSHAKE_DELAYS: Final = 2  # SYN there, SYN back


@dataclass(frozen=True, slots=True)
class Parcel:
    """What arrived at once, and when it is due. No data: the sender's end of its stream, or, if broken, a reset."""

    due_ns: int
    data: bytes
    broken: bool = False

    @property
    def is_end(self) -> bool:
        """Whether nothing follows."""
        return not self.data


@dataclass(slots=True)
class Lane:
    """One direction: what waits, in order."""

    waiting: deque[Parcel] = field(default_factory=deque)
    waiting_bytes: int = 0
    ended: bool = False  # the end was sent, and waits perhaps
    _last_due_ns: int = 0

    @property
    def has_room(self) -> bool:
        """Whether its sender may send more."""
        return not self.ended and self.waiting_bytes < MOST_WAITING_BYTES

    def put(self, data: bytes, due_ns: int, *, broken: bool = False) -> None:
        """Take what arrived; it does not overtake what came before."""
        self._last_due_ns = max(due_ns, self._last_due_ns)
        self.waiting.append(Parcel(self._last_due_ns, data, broken))
        self.waiting_bytes += len(data)
        self.ended = not data

    def take(self, now_ns: int) -> Parcel | None:
        """Return the next parcel that is due, if there is one."""
        if not self.waiting or self.waiting[0].due_ns > now_ns:
            return None
        parcel = self.waiting.popleft()
        self.waiting_bytes -= len(parcel.data)
        return parcel

    @property
    def next_due_ns(self) -> int | None:
        """When the next parcel is due."""
        return self.waiting[0].due_ns if self.waiting else None


class Passage:
    """Both directions of one connection."""

    def __init__(self, *, delay_ns: int, opened_ns: int) -> None:
        """Begin when the client's connection came. delay_ns: of one direction, half a round trip."""
        if delay_ns < 0:
            raise ValueError("a delay cannot be negative")
        self._delay_ns = delay_ns
        self._client_has_heard = False
        self.to_server, self.to_client = Lane(), Lane()
        self.server_due_ns = opened_ns + (1 + TCP_HANDSHAKE_DELAYS) * delay_ns  # when the server sees the connection

    def from_client(self, data: bytes, now_ns: int, *, broken: bool = False) -> None:
        """Take what the client sent; nothing is its end, or its breaking off."""
        delays = 1 if self._client_has_heard else 1 + TCP_HANDSHAKE_DELAYS
        self.to_server.put(data, now_ns + delays * self._delay_ns, broken=broken)

    def from_server(self, data: bytes, now_ns: int, *, broken: bool = False) -> None:
        """Take what the server sent."""
        self.to_client.put(data, now_ns + self._delay_ns, broken=broken)

    def take_for_server(self, now_ns: int) -> Parcel | None:
        """Return what the server is to get now."""
        return self.to_server.take(now_ns)

    def take_for_client(self, now_ns: int) -> Parcel | None:
        """Return what the client is to get now; from here on it has heard from the server."""
        parcel = self.to_client.take(now_ns)
        self._client_has_heard = self._client_has_heard or parcel is not None
        return parcel
