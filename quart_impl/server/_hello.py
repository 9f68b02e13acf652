"""What a client's first octets say, before OpenSSL sees them: TLS or not, whole or not, and the protocols it offers.

Reads the ClientHello of RFC 8446 section 4.1.2 (TLS 1.2's has the same shape) as far as is needed here. What cannot be
understood is no reason to refuse anybody: OpenSSL judges that, and has the right alert for it.
"""

from collections.abc import Iterator
from typing import Final

HEADER: Final = 5  # octets of a record's type, version and length (RFC 8446 section 5.1)
HANDSHAKE: Final = 22  # a record's type
_CLIENT_HELLO: Final = 1
_ALPN: Final = 16  # RFC 7301 section 3.1


def is_http(begun: bytes | bytearray) -> bool:
    """Say whether a connection begins as HTTP in the clear: with the letter of a method, which is no type of record."""
    return begun[:1].isalpha()


def is_whole(begun: bytes | bytearray) -> bool:
    """Say whether the first record is there. What is no ClientHello is as whole as it will get."""
    if begun[0] != HANDSHAKE:
        return len(begun) >= HEADER
    return len(begun) >= HEADER and len(begun) >= HEADER + int.from_bytes(begun[3:HEADER], "big")


def offered_protocols(hello: bytes | bytearray) -> tuple[bytes, ...]:
    """Return the protocols that a ClientHello offers; none if it offers none, or is not whole in its first record."""
    if hello[0] != HANDSHAKE:
        return ()
    message = _Octets(bytes(hello[HEADER : HEADER + int.from_bytes(hello[3:HEADER], "big")]))
    try:
        if message.number(1) != _CLIENT_HELLO:
            return ()
        body = _Octets(message.part(3))
        body.take(2 + 32)  # version, random
        for size in (1, 2, 1):  # session, cipher suites, compression methods
            body.part(size)
        extensions = _Octets(body.part(2))
        while extensions:
            kind, content = extensions.number(2), extensions.part(2)
            if kind == _ALPN:
                return tuple(_names(_Octets(_Octets(content).part(2))))
    except EOFError:
        pass
    return ()


def _names(octets: "_Octets") -> Iterator[bytes]:
    while octets:
        yield octets.part(1)


class _Octets:
    """Octets read from front to back. Raises EOFError where they end too early."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._octets)

    def take(self, size: int) -> bytes:
        taken = self._octets[self._at : self._at + size]
        if len(taken) < size:
            raise EOFError
        self._at += size
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def part(self, size: int) -> bytes:
        """Take what is preceded by its length, a number of that many octets."""
        return self.take(self.number(size))
