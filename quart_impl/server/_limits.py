"""What a client may send, how long it may take, how long a stop may take, and why these figures."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what one client can cost, and on a stop. Times are in seconds, sizes in octets.

    There is none on a body's size: a body is never held here, and how large is too large (413) is for the application.
    """

    handshake_s: float = 10.0
    """For the whole TLS handshake, from the moment that the connection was accepted."""

    head_s: float = 10.0
    """For the whole of a request's head: of the first one from the end of the handshake, of others from their first
    octet. HTTP/2 knows no heads by themselves: there it holds for the first request, and `idle_s` for others."""

    idle_s: float = 15.0
    """Between two requests."""

    body_idle_s: float = 10.0
    """Between two pieces of a body that the application waits for."""

    body_rate: float = 1000.0
    """Octets per second that a body must reach on average, once `body_idle_s` is over: a trickle is no upload."""

    send_idle_s: float = 10.0
    """How long a client may take nothing of what is there for it. Slow readers are welcome, stopped ones are not."""

    discard_s: float = 5.0
    """How long what a client still sends is thrown away after our last word to it. To close at once would be a reset,
    which can destroy the answer on its way."""

    target: int = 8192
    """A request target (HTTP/1). RFC 9112 section 3 asks for 8,000 octets at least for the whole line."""

    head: int = 32768
    """Request line and header fields together (HTTP/1), of which nothing is let go before the head is whole."""

    fields: int = 100
    """Header fields (HTTP/1), each of which costs more than its octets. Browsers send about 20."""

    linger_s: float = 1.0
    """When stopping: for a request that is already on its way on a kept connection."""

    requests_s: float = 8.0
    """When stopping: for requests that run or have begun to arrive, the linger included."""

    close_s: float = 1.0
    """When stopping: for a client to close its connection after our last word to it."""
