"""What comes back, parsed by httptools: cheaply on the way, thoroughly for the rare answer whose headers matter."""

from __future__ import annotations

from collections.abc import Iterable

import httptools


class Answers:
    """The answers on one connection. Looks at no header: who needs one parses the answer again, as `WholeAnswer`."""

    __slots__ = ("begun", "content_bytes", "keep_alive", "parser", "whole")

    def __init__(self) -> None:
        self.begun = False  # its headers are complete
        self.whole = 0  # answers since the request: more than one is one too many
        self.content_bytes = 0  # chunks joined
        self.keep_alive = True
        self.parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    @property
    def status(self) -> int:
        """Of the answer that was parsed last."""
        assert self.parser is not None  # noqa: S101 for the type checker: nobody asks after close
        return self.parser.get_status_code()

    def expect(self) -> None:
        """A request is about to be sent."""
        self.begun = False
        self.whole = self.content_bytes = 0

    def close(self) -> None:
        """The parser holds this object and this object the parser: cut, or it waits for the cyclic collector."""
        self.parser = None

    def on_headers_complete(self) -> None:
        """Called by httptools."""
        self.begun = True

    def on_body(self, body: bytes) -> None:
        """Called by httptools."""
        self.content_bytes += len(body)

    def on_message_complete(self) -> None:
        """Called by httptools. Only in here does llhttp know whether the connection may be kept."""
        assert self.parser is not None  # noqa: S101 for the type checker: the parser itself is calling
        if self.parser.get_status_code() < 200:  # RFC 9110 section 15.2: interim, the answer is still to come
            self.begun = False
            return
        self.whole += 1
        self.keep_alive = self.parser.should_keep_alive()


class WholeAnswer:
    """An answer with everything in it, from the pieces in which it came."""

    def __init__(self, pieces: Iterable[bytes | bytearray]) -> None:
        self.content = b""
        self._headers: list[tuple[str, str]] = []
        parser = httptools.HttpResponseParser(self)
        for piece in pieces:
            parser.feed_data(piece)

    def header(self, name: str) -> list[str]:
        """Return the values of the header lines of a name, one for each line."""
        return [value for key, value in self._headers if key == name.lower()]

    def on_message_begin(self) -> None:
        """Called by httptools. Whatever was there is of an interim answer."""
        self._headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools."""
        self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        """Called by httptools."""
        self.content += body
