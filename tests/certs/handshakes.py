"""Real TLS connections without sockets or threads: two ends over memory BIOs, each of either library."""

import ssl
from dataclasses import dataclass
from typing import Protocol

from OpenSSL import SSL

ServerContext = ssl.SSLContext | SSL.Context

TLS_ERRORS = (ssl.SSLError, SSL.Error)


class End(Protocol):
    """One side of a connection. What it wants to send is drained, what has arrived is fed."""

    def handshake(self) -> bool: ...  # True once it is done
    def feed(self, data: bytes) -> None: ...
    def drain(self) -> bytes: ...
    def write(self, data: bytes) -> None: ...
    def read(self) -> bytes: ...  # nothing if nothing has arrived


class StdlibEnd:
    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool = False,
        hostname: str | None = None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=hostname, session=session
        )

    def handshake(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def feed(self, data: bytes) -> None:
        self._incoming.write(data)

    def drain(self) -> bytes:
        return self._outgoing.read()

    def write(self, data: bytes) -> None:
        self.tls.write(data)

    def read(self) -> bytes:
        try:
            return self.tls.read(65536)
        except ssl.SSLWantReadError:
            return b""


class PyOpenSSLEnd:
    def __init__(self, context: SSL.Context, *, server_side: bool = False) -> None:
        self.tls = SSL.Connection(context, None)
        if server_side:
            self.tls.set_accept_state()
        else:
            self.tls.set_connect_state()

    def handshake(self) -> bool:
        try:
            self.tls.do_handshake()
        except SSL.WantReadError:
            return False
        return True

    def feed(self, data: bytes) -> None:
        self.tls.bio_write(data)

    def drain(self) -> bytes:
        try:
            return self.tls.bio_read(65536)
        except SSL.WantReadError:
            return b""

    def write(self, data: bytes) -> None:
        self.tls.send(data)

    def read(self) -> bytes:
        try:
            return self.tls.recv(65536)
        except SSL.WantReadError:
            return b""


def accept(context: ServerContext) -> StdlibEnd | PyOpenSSLEnd:
    if isinstance(context, ssl.SSLContext):
        return StdlibEnd(context, server_side=True)
    return PyOpenSSLEnd(context, server_side=True)


def establish(client: End, server: End) -> None:
    """Shake hands. Raises what the side raises that finds fault first."""
    done = [False, False]
    for _ in range(10):
        for index, (end, peer) in enumerate([(client, server), (server, client)]):
            done[index] = end.handshake()
            transfer(end, peer)
        if all(done):
            return
    raise AssertionError("the handshake stands still")


def transfer(sender: End, receiver: End) -> None:
    if data := sender.drain():
        receiver.feed(data)


def converse(client: End, server: End) -> None:
    """A request and its answer: with it a client of TLS 1.3 also receives its session tickets."""
    for sender, receiver, message in ((client, server, b"request"), (server, client, b"answer")):
        sender.write(message)
        transfer(sender, receiver)
        assert receiver.read() == message


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client of the standard library has seen of a server."""

    version: str | None
    cipher: str
    alpn: str | None
    certificate: bytes  # DER


def visit(client: ssl.SSLContext, server: ServerContext, *, hostname: str = "localhost") -> Seen:
    """Connect, verify, exchange a message each way. Raises one of TLS_ERRORS."""
    here, there = StdlibEnd(client, hostname=hostname), accept(server)
    establish(here, there)
    converse(here, there)
    cipher, certificate = here.tls.cipher(), here.tls.getpeercert(binary_form=True)
    assert cipher is not None
    assert certificate is not None
    return Seen(here.tls.version(), cipher[0], here.tls.selected_alpn_protocol(), certificate)
