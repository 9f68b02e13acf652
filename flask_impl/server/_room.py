"""How many clients there may be, and who has to go when one more comes.

Two bounds: on all clients, and apart from it on those that have not sent a request yet ("pending"). A flood of clients
that say nothing so takes no place from those that are being served; and the one of them that has stalled longest goes
first, so that a good client, whose handshake and request take some round trips, is on its way out of there by the time
that its turn would come.

    too many pending    the pending one that has kept us waiting longest
    too many at all     the same; where nobody is pending, one that lingers after its last answer; one that has been
                        idle, or in the middle of a further head, for longest; one whose body has stalled for longest

Nobody goes who has been waited for for less than PATIENCE_S: in a burst of good clients (a load generator's start) that
many may well be pending at once, each of which makes progress, and those that come meanwhile are better off in the
kernel's queue than in the place of another. That queue is not endless, though. When it is more than half full, which no
burst of good clients does for long, the longest pending one goes however short that is.
"""

import socket
import struct
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Final

from flask_impl.server._client import Client, Phase

PATIENCE_S: Final = 0.5
_LOOK_S: Final = 0.1  # between two looks at all clients for those that could go, at least

# struct tcp_info of linux/tcp.h: for a listener tcpi_unacked is the length of its queue, tcpi_sacked the most it holds.
_QUEUE: Final = struct.Struct("24xII")

# The order in which those go who are not pending, and what is left of them.
_RANKS: Final = {Phase.LINGER: 0, Phase.HEAD: 1, Phase.IDLE: 1, Phase.BODY: 2}


class Room:
    """The clients that are there. Used by the I/O loop's thread alone, but for `leave` and `linger`."""

    def __init__(self, connections: int, pending_connections: int) -> None:
        self.clients: set[Client] = set()
        self._pending: OrderedDict[Client, None] = OrderedDict()  # the longest stalled first
        self._connections = connections
        self._pending_connections = pending_connections
        self._found: deque[tuple[int, float]] = deque()  # descriptors of those that could go, and since when
        self._look_again_s = 0.0

    def enter(self, client: Client) -> None:
        """A new one, that has sent nothing yet."""
        self.clients.add(client)
        self._pending[client] = None

    def progress(self, client: Client) -> None:
        """One that is pending has got further: as there are few steps, nobody gains much time by them."""
        self._pending.move_to_end(client)

    def asked(self, client: Client) -> None:
        """One whose request is there, be it the first or not."""
        self._pending.pop(client, None)

    linger = asked  # no request of it is waited for any more

    def leave(self, client: Client) -> None:
        """One that is gone."""
        self._pending.pop(client, None)
        self.clients.discard(client)

    def is_full(self) -> bool:
        """Say whether somebody has to go before another one may come."""
        return len(self.clients) >= self._connections or len(self._pending) >= self._pending_connections

    def to_go(self, waiting: dict[int, Client], *, pressed: bool) -> Iterator[Client]:
        """Yield those that may be dropped, in this order; whoever is not waited for just then is to be passed over.

        waiting: by descriptor, those that are waited for. pressed: whether the kernel's queue is filling up.
        """
        now_s = time.monotonic()
        for client in self._pending:
            if not pressed and client.stalled_since_s > now_s - PATIENCE_S:
                break
            yield client  # the caller stops here when it has dropped one, as the order then is another
        if len(self._pending) >= self._pending_connections:
            return
        yield from self._others(waiting, now_s)

    def _others(self, waiting: dict[int, Client], now_s: float) -> Iterator[Client]:
        """Look at all clients, but not once for every new one: what one look has found is used up first."""
        for _ in range(2):
            while self._found:
                fd, since_s = self._found.popleft()
                client = waiting.get(fd)
                if client is not None and client.stalled_since_s == since_s:
                    yield client
            if now_s < self._look_again_s:
                return
            self._look_again_s = now_s + _LOOK_S
            found = [
                (rank, client.stalled_since_s, fd)
                for fd, client in waiting.copy().items()  # a worker may add one meanwhile
                if (rank := _RANKS.get(client.phase)) is not None and client.stalled_since_s < now_s - PATIENCE_S
            ]
            self._found.extend((fd, since_s) for _rank, since_s, fd in sorted(found))


def is_filling_up(listener: socket.socket) -> bool:
    """Say whether the queue of clients that wait to be accepted is more than half full."""
    waiting, most = _QUEUE.unpack(listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _QUEUE.size))
    return bool(waiting * 2 > most)
