"""What a client may send, how long it may take, and why these figures."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what one client can cost. Times are in seconds, sizes in octets.

    There is none on a body's size: a large one is never held here, and how large is too large (413) is for the
    application to say.
    """

    handshake_s: float = 10.0
    """For the whole TLS handshake. It takes a few round trips and some milliseconds; a distant phone needs seconds."""

    head_s: float = 10.0
    """For the whole of a request's head, from its first octet; on a new connection, from the end of the handshake."""

    idle_s: float = 60.0
    """Between two requests. Long enough for clients that ask twice a minute; meanwhile they cost memory alone."""

    body_idle_s: float = 10.0
    """Between two pieces of a body."""

    body_rate: float = 1000.0
    """Octets per second that a body must reach on average, once `body_idle_s` is over: a trickle is no upload."""

    send_idle_s: float = 10.0
    """How long a client may take nothing of its answer. Slow readers are welcome, stopped ones hold a thread."""

    send_rate: float = 1000.0
    """Octets per second that it must take on average of each piece that the application gives, once `send_idle_s` is
    over: whoever takes an octet now and then would hold a thread as well."""

    linger_s: float = 5.0
    """After the last answer on a connection of which the client is still sending. To close at once would be a reset,
    which can destroy the answer on its way; to read on for ever would be no limit at all."""

    target: int = 8192
    """A request target. RFC 9112 section 3 asks for 8,000 octets at least for the whole line."""

    head: int = 32768
    """Target and header fields together, of which nothing is let go before the head is whole."""

    fields: int = 100
    """Header fields, each of which costs more than its octets. Browsers send about 20."""

    buffered_body: int = 65536
    """A body up to this size is received before the request takes a thread; a larger one streams through the thread."""

    @property
    def shortest_s(self) -> float:
        """Return the shortest of the times that the I/O loop watches."""
        return min(self.handshake_s, self.head_s, self.idle_s, self.body_idle_s, self.linger_s)
