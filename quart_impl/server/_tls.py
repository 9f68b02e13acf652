"""TLS from octets to octets: no socket, no clock, no event loop. The standard library's `ssl` does the work.

asyncio's own TLS will not do for a server that faces anybody. It throws away the alert that says why a handshake
failed, gives every connection a buffer of 256 KiB before the client has said a word, and tells nobody of a connection
until its handshake is done. Here:

1. OpenSSL is not troubled before the ClientHello is whole; a silent client costs its socket and little else.
2. What OpenSSL has to say to a client is sent, also when it is the last there is to say.
3. Python cannot tell OpenSSL to refuse a client that offers none of our protocols, as RFC 7301 section 3.2 asks for;
   so the ClientHello is looked at first.
4. OpenSSL refuses renegotiation (TLS 1.2) without telling us. It shows in the types of records, which are in the clear.
"""

import contextlib
import ssl
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from certs import subject
from quart_impl.server._hello import HANDSHAKE, HEADER, is_http, is_whole, offered_protocols

ALPN: Final = ("h2", "http/1.1")
"""What Hypercorn can speak over TLS, for the context's ALPN."""

Octets: TypeAlias = bytes | bytearray | memoryview

_SPOKEN: Final = frozenset(name.encode("ascii") for name in ALPN)
_NO_APPLICATION_PROTOCOL: Final = bytes((21, 3, 3, 0, 2, 2, 120))  # a fatal alert, in the clear
_READ: Final = 65536


class TlsError(Exception):
    """There is no TLS with this client, or no more. The message is for the log; there may be an alert to send."""


class PlainHttpError(TlsError):
    """The client speaks HTTP where TLS was due, so it understands an answer in the clear."""


class TlsPort:
    """TLS on one port."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._suites = {cipher["name"]: cipher["id"] & 0xFFFF for cipher in context.get_ciphers()}

    def connection(self) -> "Tls":
        """Begin TLS with a client."""
        return Tls(self._context, self._suites)


class Tls:
    """TLS on one connection, the server's side."""

    __slots__ = (
        "_context",
        "_hello",
        "_incoming",
        "_object",
        "_outgoing",
        "_records",
        "_refused_renegotiation",
        "_suites",
        "ended",
        "established",
    )

    def __init__(self, context: ssl.SSLContext, suites: Mapping[str, int]) -> None:
        """suites: IANA's numbers of cipher suites, by OpenSSL's names."""
        self._context = context
        self._suites = suites
        self._hello = bytearray()  # what has come of it, until it is whole
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object: ssl.SSLObject | None = None
        self._records: _Records | None = _Records()  # None: TLS 1.3, where nobody needs to know
        self.established = False
        self._refused_renegotiation = False
        self.ended = False  # by the client, with close_notify

    def receive(self, data: Octets) -> bytes:
        """Take what has arrived, and return what there is to read. Raises TlsError.

        Afterwards, whatever the outcome, there may be something to send: see `take_outgoing`.
        """
        if self._object is None:
            self._hello += data
            if not self._is_hello_whole():
                return b""
            data, self._hello = self._hello, bytearray()
            self._object = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._incoming.write(data)
        if self._records is not None and self._records.begins(data, HANDSHAKE) and self.established:
            self._refused_renegotiation = True
        try:
            if not self.established and not self._shake_hands(self._object):
                return b""
            return self._read(self._object)
        except ssl.SSLError as error:
            raise TlsError(f"TLS {'' if self.established else 'handshake '}failed: {_reason(error)}") from None

    def send(self, data: Octets) -> None:
        """Encrypt; then there is something to send. Raises TlsError."""
        if self._object is not None:
            try:
                self._object.write(data)
            except ssl.SSLError as error:
                raise TlsError(f"TLS failed: {_reason(error)}") from None

    def end(self) -> None:
        """Say that nothing more comes; then there is something to send."""
        if self._object is not None and self.established:
            with contextlib.suppress(ssl.SSLError):  # it would like to wait for the client's own end
                self._object.unwrap()

    def take_outgoing(self) -> bytes:
        """Return what is to be sent to the client, and forget it."""
        return self._outgoing.read()

    def told_no_renegotiation(self) -> bool:
        """Say whether the client has asked for renegotiation since the last call; it was refused."""
        told, self._refused_renegotiation = self._refused_renegotiation, False
        return told

    @property
    def protocol(self) -> str | None:
        """What was agreed on by ALPN."""
        return None if self._object is None else self._object.selected_alpn_protocol()

    @property
    def certificate(self) -> bytes | None:
        """The client's certificate (DER), verified; None if it was not asked, or showed none."""
        asked = self._object is not None and self._object.context.verify_mode != ssl.CERT_NONE
        return self._object.getpeercert(binary_form=True) if asked and self._object is not None else None

    def extension(self) -> dict[str, Any]:
        """Describe the connection to applications: https://asgi.readthedocs.io/en/latest/specs/tls.html, version 0.2.

        The chain holds the client's certificate alone, without those it sent to prove it: Python tells these from 3.13
        on. Nor does Python tell which of several certificates the server has shown.
        """
        certificate = self.certificate
        version = None if self._object is None else self._object.version()
        cipher = None if self._object is None else self._object.cipher()
        return {
            "server_cert": None,
            "client_cert_chain": [] if certificate is None else [ssl.DER_cert_to_PEM_cert(certificate)],
            "client_cert_name": None if certificate is None else subject(certificate),
            "client_cert_error": None,  # a client with a wrong one does not come this far
            "tls_version": None if version is None else ssl.TLSVersion[version.replace(".", "_")].value,
            "cipher_suite": None if cipher is None else self._suites.get(cipher[0]),
        }

    def _is_hello_whole(self) -> bool:
        hello = self._hello
        if is_http(hello):
            raise PlainHttpError("spoke plain HTTP to the TLS port")
        if not is_whole(hello):
            return False
        offered = offered_protocols(hello)
        if offered and _SPOKEN.isdisjoint(offered):
            self._outgoing.write(_NO_APPLICATION_PROTOCOL)
            raise TlsError(f"TLS handshake failed: offers none of the protocols spoken here ({', '.join(ALPN)})")
        return True

    def _shake_hands(self, tls: ssl.SSLObject) -> bool:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.established = True
        if tls.version() == "TLSv1.3":
            self._records = None
        return True

    def _read(self, tls: ssl.SSLObject) -> bytes:
        pieces = []
        try:
            while piece := tls.read(_READ):
                pieces.append(piece)
            self.ended = True
        except ssl.SSLZeroReturnError:  # the same, when we have ended too
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class _Records:
    """Where TLS records begin in a stream of octets, and of what type they are (RFC 8446 section 5.1)."""

    __slots__ = ("_header", "_left")

    def __init__(self) -> None:
        self._header = b""  # what has come of it
        self._left = 0  # octets of the record

    def begins(self, data: Octets, kind: int) -> bool:
        """Go on through the stream, and say whether a record of that type begins in these octets."""
        found = False
        at = self._left
        while at < len(data):
            if not self._header:
                found = found or data[at] == kind
            taken = bytes(data[at : at + HEADER - len(self._header)])
            self._header += taken
            at += len(taken)
            if len(self._header) == HEADER:
                at += int.from_bytes(self._header[3:], "big")
                self._header = b""
        self._left = at - len(data)
        return found


def _reason(error: ssl.SSLError) -> str:
    """Return what OpenSSL has to say, as a part of a line."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"client certificate refused: {error.verify_message}"
    return (error.reason or str(error)).replace("_", " ").lower()
