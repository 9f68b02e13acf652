"""HTTP/1.1 with Hypercorn and h11, made strict: what two parsers could read in two ways is refused.

h11 0.16 takes more than is good for a server behind or beside others: Content-Length together with Transfer-Encoding
(RFC 9112 section 6.1 allows to refuse it), the same Content-Length twice or as a list, folded lines, lines that end in
a bare LF. Hypercorn 0.18 makes the method GET of `get`, and changes over to WebSocket or to HTTP/2 in the clear
whenever it is asked to. Where that matters:

- A head is looked at as it came, before h11 sees it: `_Strict`, by h11's documented means alone.
- Nobody here speaks anything but HTTP/1.1 on such a connection, so that an Upgrade is passed over (RFC 9110 section
  7.8): `_check_protocol` and `_create_stream` are Hypercorn's, and tests notice when they change.
- A client is told with the answer that its connection will end: when the server stops, and when its body has not come
  whole, as then nobody knows where its next request begins.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import h11
from hypercorn.protocol.events import Event, Response
from hypercorn.protocol.h11 import H11Protocol

from quart_impl.server._limits import Limits

_END: Final = re.compile(rb"\n\r?\n")  # what h11 takes for the end of a head
_FRAMING: Final = re.compile(
    rb"\n(content-length|transfer-encoding|expect)[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r", re.IGNORECASE
)
_FOLD: Final = re.compile(rb"\n[ \t]")
_VERSIONS: Final = (b"HTTP/1.1", b"HTTP/1.0")
_TARGETS: Final = (b"/", b"http://", b"https://")  # RFC 9112 section 3.2: origin form, absolute form


class Http1(H11Protocol):
    """One connection's HTTP/1.1."""

    def __init__(self, *arguments: Any, limits: Limits, closing: Callable[[], bool]) -> None:  # noqa: ANN401 (passed on)
        """arguments: Hypercorn's. closing: whether the connection should end with this answer."""
        super().__init__(*arguments)
        self.connection: h11.Connection = _Strict(limits)
        self._closing = closing

    async def stream_send(self, event: Event) -> None:
        """Send a part of an answer."""
        if isinstance(event, Response) and event.status_code >= 200 and self._is_last():
            event = replace(event, headers=[*event.headers, (b"connection", b"close")])
        await super().stream_send(event)

    def _is_last(self) -> bool:
        if self.connection.their_state is h11.SEND_BODY:
            return True
        return self._closing() and not self.connection.trailing_data[0]  # a pipelined request has arrived as well

    async def _check_protocol(self, event: h11.Request) -> None:
        """Go on in HTTP/1.1."""

    async def _create_stream(self, request: h11.Request) -> None:
        if any(name == b"upgrade" for name, _ in request.headers):
            request = h11.Request(
                method=request.method,
                target=request.target,
                headers=[field for field in request.headers if field[0] != b"upgrade"],
                http_version=request.http_version,
            )
        await super()._create_stream(request)


class _Strict(h11.Connection):
    """h11's connection, which raises h11.RemoteProtocolError for more; Hypercorn answers with the status it carries."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=limits.head)
        self._limits = limits

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return h11's next event, having looked at the head that it will be made of."""
        if self.their_state is h11.IDLE:
            self._look()
        return super().next_event()

    def _look(self) -> None:
        data = self.trailing_data[0]
        end = _END.search(data)
        if end is None:
            return
        head = data[: end.end()]
        if len(head) > self._limits.head:
            raise _refused(431, "the head of the request is too large")
        check_head(head, self._limits)


def check_head(head: bytes, limits: Limits) -> None:
    """Refuse a request by its head, empty line included. Raises h11.RemoteProtocolError; what h11 refuses may pass."""
    lines = head.count(b"\r\n")
    if head.count(b"\n") != lines or head.count(b"\r") != lines or _FOLD.search(head):
        raise _refused(400, "a line ends in CR LF, and is not continued")
    if lines - 2 > limits.fields:
        raise _refused(431, "too many header fields")
    _check_line(head[: head.index(b"\r")], limits)
    _check_framing(_FRAMING.findall(head), is_1_0=b" HTTP/1.0\r" in head)


def _check_line(line: bytes, limits: Limits) -> None:
    method, _, rest = line.partition(b" ")
    target, _, version = rest.rpartition(b" ")
    if version not in _VERSIONS:
        raise _refused(505 if version.startswith(b"HTTP/") else 400, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    if method != method.upper() or method == b"CONNECT":  # methods are told apart by case, RFC 9110 section 9.1
        raise _refused(501, "the method is not known here")
    if len(target) > limits.target:
        raise _refused(414, "the request target is too long")
    if not target.startswith(_TARGETS) and (target, method) != (b"*", b"OPTIONS"):
        raise _refused(400, "the request target is neither a path nor a URL")


def _check_framing(fields: list[tuple[bytes, bytes]], *, is_1_0: bool) -> None:
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    codings = [value for name, value in fields if name.lower() == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1 or (lengths and b"," in lengths[0]):
        raise _refused(400, "a request has one Content-Length or one Transfer-Encoding")
    if codings and is_1_0:  # RFC 9112 section 6.1: the framing is faulty
        raise _refused(400, "HTTP/1.0 has no Transfer-Encoding")
    for name, value in fields:
        if name.lower() == b"expect" and value.lower() != b"100-continue" and not is_1_0:
            raise _refused(417, "the only expectation known here is 100-continue")


def _refused(status: int, reason: str) -> h11.RemoteProtocolError:
    return h11.RemoteProtocolError(reason, error_status_hint=status)
