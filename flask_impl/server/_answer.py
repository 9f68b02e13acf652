"""Answers: start_response and write of PEP 3333, and the framing of HTTP/1.1 (RFC 9112 section 6)."""

import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, TypeAlias
from wsgiref.types import WSGIApplication

from flask_impl.server._connection import RECORD
from flask_impl.server._environ import SOFTWARE
from flask_impl.server._http import RefusedError, Request

ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

_NOT_THE_APPLICATIONS: Final = frozenset(
    ("keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)
"""Hop-by-hop fields (PEP 3333, "Other HTTP Features"). `Connection` is one too, but `close` may be asked for."""


class ApplicationError(Exception):
    """The application broke a rule of PEP 3333."""


class Answer:
    """The answer to one request, sent as the application makes it."""

    def __init__(
        self, request: Request, send: Callable[[bytes | memoryview], None], closing: Callable[[], bool]
    ) -> None:
        """send: of all that it is given; raises OSError. closing: whether the server wants no further request."""
        self._request = request
        self._send = send
        self._closing = closing
        self._status = ""
        self._fields: list[tuple[str, str]] = []
        self._chunked = False
        self._bodiless = False
        self._left: int | None = None  # octets of the announced Content-Length
        self.head_sent = False
        self.keep_alive = False  # known once the head is sent

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        """Take the head of the answer. It is sent with the first piece of the body, and can be replaced until then."""
        if exc_info is not None:
            if self.head_sent and exc_info[1] is not None:
                raise exc_info[1].with_traceback(exc_info[2])
        elif self._status:
            raise ApplicationError("start_response was called twice without exc_info")
        self._status, self._fields = status, headers
        return self.write

    def run(self, application: WSGIApplication, environ: dict[str, Any]) -> None:
        """Call the application and send what it returns. Raises what it raises, ApplicationError, or OSError."""
        pieces = application(environ, self.start_response)
        try:
            self._send_body(pieces)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    def write(self, piece: bytes) -> None:
        """Send a piece of the body at once: PEP 3333 forbids to hold it back."""
        if not self.head_sent:
            self._send_with_head(piece, self._head(length=None))
        elif piece and not self._bodiless:
            self._send(self._framed(piece))

    def _send_body(self, pieces: Iterable[bytes]) -> None:
        if isinstance(pieces, list | tuple) and not self.head_sent:
            # All of it is there: its length is known, and one TLS record may hold it.
            body = b"".join(pieces)
            self._send_with_head(body, self._head(length=len(body)))
        else:
            for piece in pieces:
                if piece:
                    self.write(piece)
                    if self._bodiless:
                        break
        self._finish()

    def _finish(self) -> None:
        if not self.head_sent:
            self._send_with_head(b"", self._head(length=0))
        if self._left:
            raise ApplicationError(f"{self._left} octets of the announced Content-Length are missing")
        if self._chunked:
            self._send(b"0\r\n\r\n")

    def _send_with_head(self, piece: bytes, head: bytes) -> None:
        piece = b"" if self._bodiless or not piece else self._framed(piece)
        self.head_sent = True
        room = max(0, RECORD - len(head))
        self._send(head + piece[:room])  # one record, one packet: what is small arrives at once
        if len(piece) > room:
            self._send(memoryview(piece)[room:])

    def _framed(self, piece: bytes) -> bytes:
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(piece), piece)
        if self._left is not None:
            if len(piece) > self._left:
                raise ApplicationError("the body is longer than the announced Content-Length")
            self._left -= len(piece)
        return piece

    def _head(self, length: int | None) -> bytes:
        """Return the head, having settled how the body is framed. length: of the body, where it is known.

        Raises ApplicationError, or ValueError for text that cannot stand in a head.
        """
        code = _code(self._status)
        announced: int | None = None
        dated = named = wants_close = False
        lines = [f"HTTP/1.1 {self._status}"]
        for name, value in self._fields:
            lower = name.lower()
            if lower == "content-length":
                announced = int(value)
                continue
            if lower == "connection":
                wants_close = wants_close or value.strip().lower() == "close"
                continue
            if lower in _NOT_THE_APPLICATIONS:
                raise ApplicationError(f"{name} is for the server to say")
            dated = dated or lower == "date"
            named = named or lower == "server"
            lines.append(f"{name}: {value}")
        if not dated:
            lines.append(_date_line())
        if not named:
            lines.append(_SERVER_LINE)
        lines += self._framing(code, announced, length)
        lines += self._persistence(wants_close=wants_close)
        return _encoded(lines)

    def _framing(self, code: int, announced: int | None, length: int | None) -> list[str]:
        """Choose how the client learns where the body ends."""
        self._bodiless = code in (204, 304) or self._request.method == "HEAD"
        if code == 204:  # RFC 9110 section 8.6: no Content-Length
            return []
        if self._bodiless:  # what it would be, if that is known
            size = announced if announced is not None else length or None
            return [] if size is None else [f"Content-Length: {size}"]
        self._left = announced if announced is not None else length
        if self._left is not None:
            return [f"Content-Length: {self._left}"]
        self._chunked = self._request.version == "1.1"
        return ["Transfer-Encoding: chunked"] if self._chunked else []

    def _persistence(self, *, wants_close: bool) -> list[str]:
        request = self._request
        endless = not self._bodiless and not self._chunked and self._left is None  # HTTP/1.0: the end is the end
        # A body that has not arrived by now may never be read, and the next request stands behind it.
        self.keep_alive = (
            request.keep_alive and request.complete and not wants_close and not endless and not self._closing()
        )
        if not self.keep_alive:
            return ["Connection: close"]
        return ["Connection: keep-alive"] if request.version == "1.0" else []


def refusal(refused: RefusedError) -> bytes:
    """Return the whole answer to what is no request. The connection ends with it."""
    body = f"{refused.reason}\n".encode("ascii", "backslashreplace")
    lines = [
        f"HTTP/1.1 {refused.status} {HTTPStatus(refused.status).phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        _date_line(),
        _SERVER_LINE,
        "Connection: close",
    ]
    return _encoded(lines) + body


def _code(status: str) -> int:
    """Return the number of a status line's text, "200 OK". Raises ApplicationError."""
    if not status:
        raise ApplicationError("the application returned before it called start_response")
    if not (status[:3].isdecimal() and status[3:4] in ("", " ") and 200 <= int(status[:3]) <= 999):
        raise ApplicationError(f"{status!r} is no final status")
    return int(status[:3])


def _encoded(lines: list[str]) -> bytes:
    """Return a head. Raises ValueError (UnicodeError is one): a line break inside a line would be a line of its own."""
    text = "\r\n".join((*lines, "\r\n"))
    if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1 or "\0" in text:
        raise ValueError("line breaks and NUL cannot stand in a status or a header field")
    return text.encode("latin-1")


_SERVER_LINE: Final = f"Server: {SOFTWARE}"
_date: tuple[int, str] = (0, "")


def _date_line() -> str:
    """Return the Date field, which is made once a second. A race of two threads makes it twice, no more."""
    global _date  # noqa: PLW0603 (a cache of one)
    now_s = int(time.time())
    made_s, line = _date
    if made_s != now_s:
        line = f"Date: {formatdate(now_s, usegmt=True)}"
        _date = (now_s, line)
    return line
