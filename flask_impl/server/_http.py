"""Requests from octets. Knows no socket, no clock and no WSGI; httptools (llhttp) does the parsing.

What llhttp refuses by itself, as seen with httptools 0.9, is not checked again here (the tests hold it to that):
Content-Length together with Transfer-Encoding, or twice, or not a plain number; line folding; a space before the colon;
bare CR or LF; control characters in values; anything but token characters in names; a Transfer-Encoding that does not
end in chunked; malformed chunks; non-ASCII targets; anything after a request that said `Connection: close`.

What it lets through, and is refused here: a Transfer-Encoding with more than chunked in it, or in HTTP/1.0; HTTP/0.9
and HTTP/2.0; CONNECT; a missing or second Host; an upgrade with a body, after which llhttp would read the body as a
request; expectations that nobody knows; and heads of any size.
"""

import functools
import re
from typing import Final, NoReturn

import httptools

from flask_impl.server._limits import Limits

_UNKNOWN_METHOD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?: |\Z)")  # token, RFC 9110 section 5.6.2
_VERSIONS: Final = ("1.1", "1.0")
_NO_VERSION_YET: Final = "0.0"  # what llhttp says of one that it has not come to
_TARGET: Final = re.compile(rb"/|https?://[^/?]")  # RFC 9112 section 3.2: origin form, or absolute form with a host
_FIELD_OVERHEAD: Final = 4  # colon, space, CR, LF


class RefusedError(Exception):
    """What the client sends is no request that can be served here, and what follows it cannot be told apart from it."""

    def __init__(self, status: int, reason: str) -> None:
        """reason: for the client; one line, without its own words."""
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Request:
    """One request. Its head is whole once it is in `RequestReader.requests`; its body grows until `complete`."""

    __slots__ = (
        "body",
        "complete",
        "expects_continue",
        "fields",
        "keep_alive",
        "length",
        "method",
        "target",
        "version",
    )

    def __init__(self) -> None:
        self.method = ""
        self.target = b""  # exactly as it was sent
        self.version = ""  # "1.1" or "1.0"
        self.fields: list[tuple[str, bytes]] = []  # names in lower case
        self.keep_alive = False  # whether the client would go on after this one
        self.expects_continue = False  # it may wait for "100 Continue" before it sends the body
        self.length: int | None = 0  # of the body; None: chunked, so known only at its end
        self.body = bytearray()  # what has arrived and nobody has taken
        self.complete = False  # whether all of the body has arrived


class RequestReader:
    """The requests of one connection, in their order.

    What is wrong goes to `refused`. After that nothing more is read; the whole requests before it still are to be
    answered.
    """

    __slots__ = ("_beginning", "_limits", "_parser", "_problem", "_receiving", "_unfinished", "refused", "requests")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        self._beginning: Request | None = None  # its head is arriving
        self._receiving: Request | None = None  # its body is arriving
        self._unfinished = 0  # octets since the last whole head or piece of a body: what llhttp and we hold on to
        self._problem: RefusedError | None = None  # found in a callback, where all that one can do is to stop llhttp
        self.requests: list[Request] = []  # mostly none or one; an empty deque would take 700 octets a connection
        self.refused: RefusedError | None = None

    def has_begun(self) -> bool:
        """Say whether a part of a request's head has arrived, but not all of it."""
        return self._beginning is not None

    def is_ready(self) -> bool:
        """Say whether a thread should take over: there is something to answer, or a body too large to wait for here."""
        if self.refused is not None:
            return True
        if not self.requests:
            return False
        request = self.requests[0]
        if request.complete:
            return True
        large = self._limits.buffered_body
        return request.expects_continue or (request.length or 0) > large or len(request.body) > large

    def feed(self, data: bytes) -> None:
        """Take what has arrived; what comes of it is in `requests` and `refused`."""
        if self.refused is not None:
            return
        self._unfinished += len(data)
        rest = data
        try:
            while rest:
                rest = self._parse(rest)
        except httptools.HttpParserError as error:
            self.refused = self._problem or _refusal(self._parser.get_http_version(), error, data)
            return
        if self._unfinished > self._limits.head:  # a field, trailer or chunk extension without an end
            self.refused = RefusedError(431, "the head of the request is too large")

    def _parse(self, data: bytes) -> bytes:
        """Parse, and return what is left for another go. Raises httptools.HttpParserError."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # Nobody here speaks another protocol, so the client goes on in this one (RFC 9110 section 7.8).
            return data[upgrade.args[0] :]
        return b""

    def _stop(self, status: int, reason: str) -> NoReturn:
        self._problem = RefusedError(status, reason)
        raise self._problem  # llhttp stops at an exception, and feed_data says so in one of its own

    # What httptools calls, in this order.

    def on_message_begin(self) -> None:
        self._beginning = Request()

    def on_url(self, part: bytes) -> None:
        request = self._current(self._beginning)
        request.target += part
        if len(request.target) > self._limits.target:
            self._stop(414, "the request target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._receiving is not None:
            return  # a trailer field. Nobody waits for one, and its size is bounded by `_unfinished`
        fields = self._current(self._beginning).fields
        fields.append((_lower(name), value.rstrip(b" \t")))
        if len(fields) > self._limits.fields:
            self._stop(431, "too many header fields")

    def on_headers_complete(self) -> None:
        request = self._current(self._beginning)
        parser = self._parser
        request.method = parser.get_method().decode("ascii")
        request.version = parser.get_http_version()
        request.keep_alive = parser.should_keep_alive()
        self._check_size(request)
        self._check_line(request)
        self._check_fields(request)
        if parser.should_upgrade() and request.length != 0:
            self._stop(400, "an upgrade with a body cannot be read safely; leave out Upgrade")
        self._beginning, self._receiving = None, request
        self._unfinished = 0
        self.requests.append(request)

    def on_body(self, piece: bytes) -> None:
        self._current(self._receiving).body += piece
        self._unfinished = 0

    def on_message_complete(self) -> None:
        self._current(self._receiving).complete = True
        self._receiving = None
        self._unfinished = 0

    # What is checked in a whole head.

    @staticmethod
    def _current(request: Request | None) -> Request:
        if request is None:
            raise RuntimeError("llhttp called back out of turn")
        return request

    def _check_size(self, request: Request) -> None:
        if self._unfinished <= self._limits.head:
            return
        # A body or another request may have come with the last octets: count the head alone.
        size = len(request.target) + sum(len(name) + len(value) + _FIELD_OVERHEAD for name, value in request.fields)
        if size > self._limits.head:
            self._stop(431, "the head of the request is too large")

    def _check_line(self, request: Request) -> None:
        if request.version not in _VERSIONS:
            self._stop(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
        if request.method == "CONNECT":
            self._stop(501, "this is not a proxy")
        if _TARGET.match(request.target) is None and (request.target, request.method) != (b"*", "OPTIONS"):
            self._stop(400, "the request target is neither a path nor a URL")

    def _check_fields(self, request: Request) -> None:
        hosts = 0
        for name, value in request.fields:
            if name == "host":
                hosts += 1
            elif name == "content-length":
                request.length = int(value)
            elif name == "transfer-encoding":
                request.length = None
                if request.version == "1.0":  # RFC 9112 section 6.1: the framing is faulty
                    self._stop(400, "HTTP/1.0 has no Transfer-Encoding")
                if value.lower() != b"chunked":
                    self._stop(501, "the only Transfer-Encoding known here is chunked")
            elif name == "expect" and request.version == "1.1":  # RFC 9110 section 10.1.1: ignored in HTTP/1.0
                if value.lower() != b"100-continue":
                    self._stop(417, "the only expectation known here is 100-continue")
                request.expects_continue = True
        if hosts > 1 or (hosts == 0 and request.version == "1.1"):  # RFC 9112 section 3.2
            self._stop(400, "a request needs one Host field")


@functools.lru_cache(maxsize=256)
def _lower(name: bytes) -> str:
    """Return a field name as it is compared. The same few come again and again."""
    return name.decode("latin-1").lower()


def _refusal(version: str, error: httptools.HttpParserError, data: bytes) -> RefusedError:
    """Say what llhttp did not like. Its words are not the client's, so they may be told."""
    if version not in (*_VERSIONS, _NO_VERSION_YET):
        return RefusedError(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    if isinstance(error, httptools.HttpParserInvalidMethodError) and _UNKNOWN_METHOD.match(data):
        return RefusedError(501, "the method is not known here")
    return RefusedError(400, f"this is not HTTP/1.1: {error}")
