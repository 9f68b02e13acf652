"""What comes back, parsed by httptools: cheaply on the way, thoroughly for the rare answer whose headers matter."""

from __future__ import annotations

from collections.abc import Iterable

import httptools


class Answers:
    """The answers on one connection. Looks at no header: who needs one parses the answer again, as `WholeAnswer`.

    Whoever is about to send a request sets `whole` to 0 and clears `bodies`.
    """

    __slots__ = ("_parser", "bodies", "feed", "keep_alive", "on_body", "status", "whole")

    def __init__(self) -> None:
        self.whole = 0  # answers since then: more than one is one too many
        self.bodies: list[bytes] = []  # their content, as it came or chunk by chunk
        self.status = 0  # of the last
        self.keep_alive = True  # whether it lets the connection live
        self.on_body = self.bodies.append  # called by httptools, which so needs no Python
        self._parser = httptools.HttpResponseParser(self)
        self.feed = self._parser.feed_data

    def close(self) -> None:
        """The parser holds this object and this object the parser: cut, or they wait for the cyclic collector."""
        del self._parser, self.feed

    def on_message_complete(self) -> None:
        """Called by httptools. Only in here does llhttp know whether the connection may be kept."""
        self.status = status = self._parser.get_status_code()
        if status >= 200:  # RFC 9110 section 15.2: below, it is interim and the answer still to come
            self.whole += 1
            self.keep_alive = self._parser.should_keep_alive()


class WholeAnswer:
    """An answer with everything in it, from the pieces in which it came."""

    def __init__(self, pieces: Iterable[bytes | bytearray]) -> None:
        self.content = b""
        self.status = 0
        self.begun = False  # its headers are complete
        self._headers: list[tuple[str, str]] = []
        parser = httptools.HttpResponseParser(self)
        for piece in pieces:
            parser.feed_data(piece)
        self.status = parser.get_status_code()

    @property
    def delimited_by_closing(self) -> bool:
        """Whether the end of the connection ends the content, RFC 9112 section 6.3: neither a length nor chunks."""
        return self.begun and not self.header("content-length") and not self.header("transfer-encoding")

    def header(self, name: str) -> list[str]:
        """Return the values of the header lines of a name, one for each line."""
        return [value for key, value in self._headers if key == name.lower()]

    def on_message_begin(self) -> None:
        """Called by httptools. Whatever was there is of an interim answer."""
        self._headers.clear()
        self.begun = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools."""
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Called by httptools."""
        self.begun = True

    def on_body(self, body: bytes) -> None:
        """Called by httptools."""
        self.content += body
