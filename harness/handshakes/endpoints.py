"""Both ends of a TLS connection on memory buffers: the server in either stack, the client always in pyOpenSSL.

The client is pyOpenSSL's for both servers because it tells the group (`ssl` of Python 3.11 cannot) and
because its verify callback proves what happened: a server that resumes sends no certificate (RFC 8446 section 2.2, RFC
5246 section 7.3), and the callback is not called. Nothing of the client is timed.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from OpenSSL import SSL, crypto

from certs import CertificateFiles, TlsPolicy, TlsVersion, pyopenssl_server_tls, stdlib_server_tls
from harness.groups import group_name
from harness.handshakes.figures import Stack

_CHUNK: Final = 65536
_ALPN: Final = b"http/1.1"
_NAME: Final = b"localhost"


class ServerEnd(Protocol):
    """The server's end. What is timed: making it, `shake_hands`, `write` and `read`."""

    def shake_hands(self) -> bool:
        """Go as far as what was fed allows; say whether it is done. Raises ssl.SSLError or SSL.Error."""

    def write(self, data: bytes) -> object:
        """Encrypt one record of data, of at most 16,384 bytes."""

    def read(self, size: int) -> bytes:
        """Decrypt one record."""

    def feed(self, data: bytes) -> None:
        """Take what came from the client."""

    def drain(self) -> bytes:
        """Return what goes to the client."""


class _StdlibEnd:
    __slots__ = ("_incoming", "_outgoing", "_tls", "read", "write")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.read: Callable[[int], bytes] = self._tls.read
        self.write: Callable[[bytes], object] = self._tls.write

    def shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def feed(self, data: bytes) -> None:
        self._incoming.write(data)

    def drain(self) -> bytes:
        return self._outgoing.read()


class _PyOpenSslEnd:
    __slots__ = ("_tls", "read", "write")

    def __init__(self, context: SSL.Context) -> None:
        self._tls = SSL.Connection(context, None)
        self._tls.set_accept_state()
        self.read: Callable[[int], bytes] = self._tls.recv
        self.write: Callable[[bytes], object] = self._tls.send

    def shake_hands(self) -> bool:
        return _shake_hands(self._tls)

    def feed(self, data: bytes) -> None:
        _feed(self._tls, data)

    def drain(self) -> bytes:
        return _drain(self._tls)


def server_ends(stack: Stack, files: CertificateFiles) -> Callable[[], ServerEnd]:
    """Return what makes server ends of a stack, with the context that our own servers have. Raises CertificateError."""
    if stack is Stack.STDLIB:
        return stdlib_ends(stdlib_server_tls([files], TlsPolicy()).context)
    return pyopenssl_ends(pyopenssl_server_tls([files], TlsPolicy()).context)


def stdlib_ends(context: ssl.SSLContext) -> Callable[[], ServerEnd]:
    """Return what makes server ends with a context of the standard library."""
    return lambda: _StdlibEnd(context)


def pyopenssl_ends(context: SSL.Context) -> Callable[[], ServerEnd]:
    """Return what makes server ends with a context of pyOpenSSL."""
    return lambda: _PyOpenSslEnd(context)


def openssl_version(stack: Stack) -> str:
    """Return the version of the OpenSSL that a stack runs on: "3.0.22"."""
    if stack is Stack.STDLIB:
        return ssl.OPENSSL_VERSION.split()[1]
    return SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode("ascii").split()[1]


class Client:
    """Makes the client's ends: one version of TLS, one CA; counts the certificates that servers sent."""

    def __init__(self, ca_file: Path, version: TlsVersion) -> None:
        self.certificates_seen = 0
        self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._context.set_min_proto_version(version.wire)
        self._context.set_max_proto_version(version.wire)
        self._context.set_alpn_protos([_ALPN])
        self._context.set_verify(SSL.VERIFY_PEER, self._verify)
        self._context.load_verify_locations(str(ca_file))

    def connect(self, session: SSL.Session | None) -> ClientEnd:
        """Return a new end, which offers a session if there is one."""
        return ClientEnd(self._context, session)

    def _verify(
        self, _connection: SSL.Connection, _certificate: crypto.X509, _code: int, depth: int, good: int
    ) -> bool:
        self.certificates_seen += depth == 0
        return bool(good)


class ClientEnd:
    """The client's end."""

    __slots__ = ("_tls",)

    def __init__(self, context: SSL.Context, session: SSL.Session | None) -> None:
        self._tls = SSL.Connection(context, None)
        self._tls.set_tlsext_host_name(_NAME)
        if session is not None:
            self._tls.set_session(session)
        self._tls.set_connect_state()

    def shake_hands(self) -> bool:
        """Go as far as what was fed allows; say whether it is done. Raises SSL.Error."""
        return _shake_hands(self._tls)

    def write(self, data: bytes) -> None:
        """Encrypt one record."""
        self._tls.send(data)

    def read(self) -> bytes:
        """Decrypt what came; a TLS 1.3 server's tickets before it are taken as well."""
        return self._tls.recv(_CHUNK)

    def feed(self, data: bytes) -> None:
        """Take what came from the server."""
        _feed(self._tls, data)

    def drain(self) -> bytes:
        """Return what goes to the server."""
        return _drain(self._tls)

    def session(self) -> SSL.Session | None:
        """Return what the next connection may resume. Of TLS 1.3 only after something was read."""
        return self._tls.get_session()

    def close(self) -> None:
        """Close as TLS wants it: otherwise OpenSSL drops the session."""
        self._tls.shutdown()

    def agreed(self) -> tuple[str, str, str | None]:
        """Return version, cipher and group; a TLS 1.2 session that was resumed tells its first handshake's group."""
        group = self._tls.get_group_name()
        return (
            self._tls.get_protocol_version_name(),
            self._tls.get_cipher_name() or "",
            group and group_name(group),
        )


def _shake_hands(tls: SSL.Connection) -> bool:
    try:
        tls.do_handshake()
    except SSL.WantReadError:
        return False
    return True


def _feed(tls: SSL.Connection, data: bytes) -> None:
    if data:  # pyOpenSSL takes nothing for an error
        tls.bio_write(data)


def _drain(tls: SSL.Connection) -> bytes:
    parts = []
    while True:
        try:
            parts.append(tls.bio_read(_CHUNK))
        except SSL.WantReadError:
            return b"".join(parts)
