"""How many clients there may be, and who has to go when one more comes.

Two bounds: on all clients, and apart from it on those that have not sent a request yet ("pending"). A flood of clients
that say nothing so takes no place from those that are being served; and the one of them that has stalled longest goes
first, so that a good client, whose handshake and request take some round trips, is on its way out of there by the time
that its turn would come.

    too many pending    the pending one that has kept us waiting longest
    too many at all     the same; where nobody is pending, one that lingers after its last answer; one that has been
                        idle, or in the middle of a further head, for longest; one whose body has stalled for longest

"Stalled" counts from the last step forward, of which a handshake has few; octets are no steps, or a dribble would be
progress. Nobody goes who has been waited for for less than PATIENCE_S, a round trip to the far side of the earth: when
a thousand good clients start at once, most of them are pending, each in the middle of a step, and those that come
meanwhile are better off in the kernel's queue than in the place of another. That queue is not endless, though. When it
is nearly full, and clients are about to be turned away by the kernel, the longest stalled goes however short that is.

What that comes to (P-256, server and clients on a processor each, pending_connections 256). A thousand good clients at
once: none is dropped; without patience nearly all of them were, over and over. Beside silent clients or half
ClientHellos by the hundred per second a good client is answered in 2 ms; beside more than 256 / PATIENCE_S a second it
waits in the kernel's queue for some tenths of a second.
"""

import socket
import struct
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Final

from flask_impl.server._client import Client, Phase

PATIENCE_S: Final = 0.2  # with those that are pending
_IDLE_PATIENCE_S: Final = 1.0  # with the others, who have asked before
_STEPS: Final = 3  # in a handshake that are progress: the ClientHello, perhaps in two pieces, and the client's Finished
_LOOK_S: Final = 0.1  # between two looks at all clients for those that could go, at least

# struct tcp_info of linux/tcp.h: for a listener tcpi_unacked is the length of its queue, tcpi_sacked the most it holds.
_QUEUE: Final = struct.Struct("24xII")

# The order in which those go who are not pending, and what is left of them.
_RANKS: Final = {Phase.LINGER: 0, Phase.HEAD: 1, Phase.IDLE: 1, Phase.BODY: 2}


class Room:
    """The clients that are there. Used by the I/O loop's thread alone, but for `leave` and `linger`."""

    def __init__(self, connections: int, pending_connections: int) -> None:
        self.clients: set[Client] = set()
        self._pending: OrderedDict[Client, int] = OrderedDict()  # the longest stalled first; steps that it has done
        self._connections = connections
        self._pending_connections = pending_connections
        self._found: deque[tuple[int, float]] = deque()  # descriptors of those that could go, and since when
        self._look_again_s = 0.0

    def enter(self, client: Client) -> None:
        """A new one, that has sent nothing yet."""
        self.clients.add(client)
        self._pending[client] = 0

    def progress(self, client: Client) -> None:
        """One that has done something for its handshake."""
        steps = self._pending.get(client, _STEPS)
        if steps < _STEPS:
            self._pending[client] = steps + 1
            self._pending.move_to_end(client)
            client.since_s = time.monotonic()

    def shaken(self, client: Client) -> None:
        """One whose handshake is complete: a new phase, so that it is the last one again."""
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
                if (rank := _RANKS.get(client.phase)) is not None and client.stalled_since_s < now_s - _IDLE_PATIENCE_S
            ]
            self._found.extend((fd, since_s) for _rank, since_s, fd in sorted(found))


def is_filling_up(listener: socket.socket) -> bool:
    """Say whether the queue of clients that wait to be accepted is nearly full."""
    waiting, most = _QUEUE.unpack(listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _QUEUE.size))
    return bool(waiting >= most * 7 // 8)
