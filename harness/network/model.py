"""How many round trips a new connection takes until its first answer, and how long that is at a given distance.

One table (`round_trips`), from the RFCs, and one rule: the time of the first answer is what it takes with no distance
at all, plus the round-trip time for each time that one side can go on only when it has heard from the other.

Counted: TCP's handshake (RFC 9293 section 3.5), TLS's (RFC 5246 section 7.3, RFC 8446 section 2) and one request.
Client and server do all that the RFCs let them do without waiting: a client sends its request together with the last
message of its handshake. Not counted: looking the name up, and what nobody here does: TCP Fast Open, TLS False Start
(RFC 7918, a browser's way to save a round trip of TLS 1.2), early data (RFC 8446 section 2.3). Nor does the model know
of loss, of bandwidth, or of a server that lets Nagle's algorithm hold back a short answer until an earlier write has
been acknowledged: such a server takes a round trip more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from certs import TlsVersion

TCP_HANDSHAKE: Final = 1  # the client may send once the server's SYN has come back: RFC 9293 section 3.5
REQUEST: Final = 1

SEGMENT_BYTES: Final = 1460  # of an Ethernet frame of 1,500 bytes, less the headers of IPv4 and TCP
INITIAL_SEGMENTS: Final = 10  # what a sender may send before the first acknowledgement: RFC 6928 section 2

# TLS's own round trips until the client may send its request: (version, resumed) as a server asks for no further hello.
_TLS_HANDSHAKE: Final = {
    # RFC 5246 section 7.3: hello and key exchange, then both sides' Finished; the client's comes first.
    (TlsVersion.TLS_1_2, False): 2,
    # The same, abbreviated: the server's Finished comes with its hello.
    (TlsVersion.TLS_1_2, True): 1,
    # RFC 8446 section 2: the server's Finished comes with its hello, with a session or without.
    (TlsVersion.TLS_1_3, False): 1,
    (TlsVersion.TLS_1_3, True): 1,
}


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """How often a client on a new connection waits for a whole round trip."""

    tcp: int
    tls: int  # 0 without TLS
    request: int

    @property
    def before_request(self) -> int:
        """Until the request can be sent."""
        return self.tcp + self.tls

    @property
    def first_answer(self) -> int:
        """Until the first byte of the answer is there."""
        return self.tcp + self.tls + self.request


def round_trips(
    version: TlsVersion | str | None, *, resumed: bool = False, hello_retry: bool = False, challenged: bool = False
) -> RoundTrips:
    """Return the round trips of a new connection.

    version: "1.2" or "1.3"; None is without TLS. hello_retry: the client's first hello has no key share of a group that
    the server takes (RFC 8446 section 4.1.4), TLS 1.3 alone. challenged: the request is answered by a Digest challenge
    and sent again. Raises ValueError for what there is not.
    """
    request = REQUEST + challenged
    if version is None:
        if resumed or hello_retry:
            raise ValueError("without TLS there is nothing to resume and no hello")
        return RoundTrips(TCP_HANDSHAKE, 0, request)
    version = TlsVersion(version)
    if hello_retry and version is not TlsVersion.TLS_1_3:
        raise ValueError(f"TLS {version} has no HelloRetryRequest")
    return RoundTrips(TCP_HANDSHAKE, _TLS_HANDSHAKE[version, resumed] + hello_retry, request)


def window_round_trips(
    flight_bytes: int, *, segment_bytes: int = SEGMENT_BYTES, initial_segments: int = INITIAL_SEGMENTS
) -> int:
    """Return the round trips that a new connection's sender waits in the middle of so long a flight.

    It may send ten segments at once; each acknowledged one lets it send two (RFC 5681 section 3.1, RFC 6928). The
    flights of servers with our certificates are one to four kilobytes, so that this is nothing; it begins to matter
    above 14,600 bytes: long chains, post-quantum signatures, or an answer with a large body. Raises ValueError for
    negative sizes.
    """
    if flight_bytes < 0 or segment_bytes < 1 or initial_segments < 1:
        raise ValueError("sizes of flights and segments are positive")
    window = initial_segments * segment_bytes
    sent, waits = window, 0
    while sent < flight_bytes:
        window *= 2
        sent += window
        waits += 1
    return waits


def first_answer_us(trips: RoundTrips, *, rtt_us: float, adjacent_us: float) -> float:
    """Return when the first byte of a new connection's first answer is there, counted from `connect`, in µs.

    rtt_us: of the network. adjacent_us: the same time as measured with no distance: connecting, handshake and request.
    """
    return trips.first_answer * rtt_us + adjacent_us


def next_answer_us(*, rtt_us: float, adjacent_us: float) -> float:
    """Return when a further request on an open connection has its answer, counted from the request, in µs."""
    return REQUEST * rtt_us + adjacent_us
