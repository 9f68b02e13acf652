"""A client that nobody of this project wrote: h11 over a socket, TLS by the standard library; and raw octets."""

import contextlib
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import h11

TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Response:
    status: int
    fields: Mapping[str, str]
    body: bytes


class Peer:
    """One connection. Leaving its context closes it without a word, as a client that crashed would."""

    def __init__(
        self, address: tuple[str, int], context: ssl.SSLContext | None, session: ssl.SSLSession | None = None
    ) -> None:
        connected = socket.create_connection(address, timeout=TIMEOUT_S)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.socket = connected
            if context is not None:
                self.socket = context.wrap_socket(connected, server_hostname="127.0.0.1", session=session)
        except BaseException:
            connected.close()
            raise
        self.http = h11.Connection(h11.CLIENT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.socket.sendall(piece)

    def request(
        self, target: str = "/", *, method: str = "GET", body: bytes = b"", fields: Mapping[str, str] | None = None
    ) -> Response:
        self.start(target, method=method, body=body, fields=fields)
        return self.response()

    def start(
        self, target: str = "/", *, method: str = "GET", body: bytes = b"", fields: Mapping[str, str] | None = None
    ) -> None:
        """Send a request whole."""
        head = {"Host": "device", **({"Content-Length": str(len(body))} if body else {}), **(fields or {})}
        event = h11.Request(method=method, target=target, headers=list(head.items()))
        self.send(
            (self.http.send(event) or b"")
            + ((self.http.send(h11.Data(data=body)) or b"") if body else b"")
            + (self.http.send(h11.EndOfMessage()) or b"")
        )

    def expect(self, *, method: str = "GET") -> Response:
        """Receive the answer to a request that was sent octet by octet, past h11."""
        self.http.send(h11.Request(method=method, target="/", headers=[("Host", "device")]))
        self.http.send(h11.EndOfMessage())
        return self.response()

    def response(self) -> Response:
        """Receive an answer whole, be ready for the next request if the connection allows one."""
        head, body = None, b""
        while not isinstance(event := self._event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                raise AssertionError(event)  # noqa: TRY004 (the server is at fault)
        assert head is not None
        with contextlib.suppress(h11.LocalProtocolError):  # it has to close
            self.http.start_next_cycle()
        fields = {name.decode(): value.decode("latin-1") for name, value in head.headers}
        return Response(head.status_code, fields, body)

    def interim(self) -> int:
        """Receive an answer of the kind that is not the last."""
        event = self._event()
        assert isinstance(event, h11.InformationalResponse)
        return event.status_code

    def _event(self) -> object:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(self.socket.recv(65536))
        return event

    def rest(self) -> bytes:
        """Receive everything up to the server's end."""
        received = b""
        while data := self.socket.recv(65536):
            received += data
        return received

    def ended(self) -> bool:
        """Whether the server ends the connection, in good order, without a further octet."""
        return self.rest() == b""


@contextlib.contextmanager
def silent(address: tuple[str, int], *sent: bytes) -> Iterator[socket.socket]:
    """Open a TCP connection that sends this much and no more."""
    with socket.create_connection(address, timeout=TIMEOUT_S) as opened:
        for data in sent:
            opened.sendall(data)
        yield opened


def client_hello(context: ssl.SSLContext) -> bytes:
    """Return what a TLS client says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1").do_handshake()
    return outgoing.read()
