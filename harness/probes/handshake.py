"""TLS handshakes one at a time, by pyOpenSSL on memory BIOs: time, bytes, flights, what was negotiated.

pyOpenSSL has no `session_reused`. The proof that a session was resumed: such a handshake sends no certificate, so the
verify callback is not called. Two things make a resumption fail silently, and are avoided: a TLS 1.3 session taken
before the first response was read is no session yet; and a connection dropped without `shutdown()` makes OpenSSL
discard its session.
"""

from __future__ import annotations

import ipaddress
import math
import socket
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from cryptography import x509
from OpenSSL import SSL, crypto

from certs import TlsVersion, key_kind
from harness.errors import UserError
from harness.groups import group_name
from harness.probes.target import Target, no_answer
from harness.trials import NegotiatedTls

_CHUNK = 65536
# What OpenSSL says when the server wants none of the versions that we offer (or is too old to say so politely).
_VERSION_REFUSED = (
    "alert protocol version",
    "unsupported protocol",
    "wrong version number",
    "alert insufficient security",
)
# openssl-verification-options(1), the ones that a misconfigured server causes.
_VERIFY_TEXTS = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is self-signed",
    19: "its CA is not trusted",
    20: "its CA is unknown",
    21: "its CA is unknown",
}


class VersionNotOfferedError(Exception):
    """The server does not speak any of the TLS versions asked for; `str()` is what the library said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """One TLS handshake, seen from the client. The TCP connection was there before it."""

    time_us: float
    sent: int  # bytes above TCP
    received: int
    flights: int  # changes of direction until the request could be sent
    resumed: bool  # proved: no certificate was sent
    tls: NegotiatedTls
    first_answer_us: float = math.nan  # from before TCP's connect to the first byte of the answer, the request included
    waits: int = 0  # flights of the server until that byte: each is a round trip, beside TCP's own

    @property
    def round_trips(self) -> int:
        """How often the client waited for the server until it could send its request; TCP's own is not among them."""
        return self.flights // 2


@dataclass(slots=True)
class _Wire:
    """One connection: a socket, and OpenSSL on memory BIOs, with everything that passes counted."""

    socket: socket.socket
    ssl: SSL.Connection
    sent: int = 0
    received: int = 0
    flights: list[str] = field(default_factory=list)

    def flush(self) -> None:
        while True:
            try:
                data = self.ssl.bio_read(_CHUNK)
            except SSL.WantReadError:
                return
            self.socket.sendall(data)
            self.sent += len(data)
            self._flight("client")

    def fill(self) -> None:
        data = self.socket.recv(_CHUNK)
        if not data:
            raise EOFError
        self.ssl.bio_write(data)
        self.received += len(data)
        self._flight("server")

    def _flight(self, who: str) -> None:
        if not self.flights or self.flights[-1] != who:
            self.flights.append(who)

    def handshake(self) -> None:
        """Drive the handshake to its end. Raises SSL.Error, OSError, EOFError."""
        while True:
            try:
                self.ssl.do_handshake()
            except SSL.WantReadError:
                self.flush()
                self.fill()
            else:
                self.flush()
                return

    def ask(self, request: bytes) -> bytes:
        """Send a request and return the first bytes of its answer; a TLS 1.3 server's tickets have come by then."""
        self.ssl.sendall(request)
        self.flush()
        while True:
            try:
                return self.ssl.recv(_CHUNK)
            except SSL.WantReadError:
                self.fill()

    @property
    def waits(self) -> int:
        """Return how many flights of the server there were."""
        return self.flights.count("server")

    def read_to_the_end(self) -> None:
        """Take the rest of what the server says, until it closes. Raises SSL.Error, OSError."""
        while True:
            try:
                self.ssl.recv(_CHUNK)
            except SSL.WantReadError:
                try:
                    self.fill()
                except EOFError:
                    return
            except SSL.ZeroReturnError:
                return

    def close(self) -> None:
        """Close as TLS wants it: without this OpenSSL would not resume the session."""
        try:
            self.ssl.shutdown()
            self.flush()
        except (SSL.Error, OSError):
            pass  # the server closed first; what was measured is there already
        finally:
            self.socket.close()


class HandshakeProbe:
    """Makes handshakes with one server, offering some TLS versions; each is verified against ca_file.

    ca_file: None trusts what the system trusts.
    """

    def __init__(
        self,
        target: Target,
        ca_file: Path | None,
        versions: frozenset[TlsVersion],
        *,
        to_the_end: bool = False,
    ) -> None:
        """Make one. to_the_end: read the whole answer and let the server close: it has done all its work then."""
        self._target = target
        self._to_the_end = to_the_end
        self._certificates_seen = 0
        self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._context.set_min_proto_version(min(version.wire for version in versions))
        self._context.set_max_proto_version(max(version.wire for version in versions))
        self._context.set_verify(SSL.VERIFY_PEER, self._verify)
        self._context.set_alpn_protos([b"http/1.1"])
        if ca_file is None:
            self._context.set_default_verify_paths()
        else:
            self._context.load_verify_locations(str(ca_file))
        self._verify_error = ""
        self._leaf: x509.Certificate | None = None

    def full(self) -> tuple[Handshake, SSL.Session | None]:
        """Make a full handshake and one request; return it with the session to resume, if there is one.

        Raises UserError, and VersionNotOfferedError.
        """
        return self._connect(None)

    def resume(self, session: SSL.Session) -> tuple[Handshake, SSL.Session | None]:
        """Offer a session. Whether the server took it stands in the result. Raises like `full`."""
        return self._connect(session)

    def _connect(self, session: SSL.Session | None) -> tuple[Handshake, SSL.Session | None]:
        target = self._target
        connection = SSL.Connection(self._context, None)
        if not target.is_address:
            connection.set_tlsext_host_name(target.host.encode("idna"))
        if session is not None:
            connection.set_session(session)
        connection.set_connect_state()
        self._certificates_seen = 0
        self._verify_error = ""
        connecting_ns = time.perf_counter_ns()
        wire = _Wire(target.connect(), connection)
        try:
            started_ns = time.perf_counter_ns()
            try:
                wire.handshake()
            except (SSL.Error, OSError, EOFError) as error:
                raise self._failed(error) from error
            time_us = (time.perf_counter_ns() - started_ns) / 1000
            handshake = Handshake(
                time_us=time_us,
                sent=wire.sent,
                received=wire.received,
                flights=len(wire.flights),
                resumed=self._certificates_seen == 0,
                tls=self._negotiated(connection),
            )
            try:
                wire.ask(self._request())
                answered_ns = time.perf_counter_ns()
                waits = wire.waits
                if self._to_the_end:
                    wire.read_to_the_end()
            except (SSL.Error, OSError, EOFError) as error:
                reason = _reason(error)
                raise no_answer(target, f"shook hands, but did not answer a request ({reason})") from error
            answered_us = (answered_ns - connecting_ns) / 1000
            return replace(handshake, first_answer_us=answered_us, waits=waits), connection.get_session()
        finally:
            wire.close()

    def _verify(self, connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, good: int) -> bool:
        """Note that a certificate was sent, and decide. Called by OpenSSL for each of the chain, the leaf last."""
        del connection
        self._certificates_seen += 1
        if not good:
            self._verify_error = _VERIFY_TEXTS.get(code, f"OpenSSL's verification error {code}")
            return False
        if depth == 0:
            self._leaf = certificate.to_cryptography()
            if not certifies(self._leaf, self._target.host):
                self._verify_error = f"it is not made out to {self._target.host}"
                return False
        return True

    def _failed(self, error: Exception) -> Exception:
        if self._verify_error:
            return UserError(
                f"the certificate of {self._target.authority} is not trusted: {self._verify_error}",
                hint="give its CA with --ca-file",
            )
        reason = _reason(error)
        if any(said in reason for said in _VERSION_REFUSED):
            return VersionNotOfferedError(reason)
        return no_answer(self._target, f"did not finish the TLS handshake ({reason})")

    def _negotiated(self, connection: SSL.Connection) -> NegotiatedTls:
        if self._leaf is None:
            raise no_answer(self._target, "resumed a session that was never verified here")
        group = connection.get_group_name()
        return NegotiatedTls(
            version=connection.get_protocol_version_name(),
            cipher=connection.get_cipher_name() or "",
            group=group and group_name(group),
            key_kind=key_kind(self._leaf),
        )

    def _request(self) -> bytes:
        target = self._target
        return (
            f"GET {target.path} HTTP/1.1\r\nHost: {target.authority}\r\nConnection: close\r\n"
            "User-Agent: https-digest-bench\r\nAccept: */*\r\n\r\n"
        ).encode()


def negotiate(target: Target, ca_file: Path | None) -> NegotiatedTls:
    """Ask a server what it negotiates with a client that offers TLS 1.2 and 1.3. Raises UserError."""
    try:
        handshake, _ = HandshakeProbe(target, ca_file, frozenset(TlsVersion)).full()
    except VersionNotOfferedError as error:
        raise no_answer(target, f"offers neither TLS 1.2 nor TLS 1.3 ({error})") from error
    return handshake.tls


def certifies(certificate: x509.Certificate, host: str) -> bool:
    """Say whether a certificate is made out to a host: RFC 9525, section 6. The common name counts for nothing."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        wanted = host.lower().rstrip(".")
        return any(_matches(name.lower(), wanted) for name in names.get_values_for_type(x509.DNSName))
    return address in names.get_values_for_type(x509.IPAddress)


def _matches(pattern: str, host: str) -> bool:
    """Compare names; `*` stands for exactly the whole leftmost label."""
    if not pattern.startswith("*."):
        return pattern == host
    label, dot, rest = host.partition(".")
    return bool(label and dot) and rest == pattern[2:]


def _reason(error: Exception) -> str:
    if isinstance(error, EOFError):
        return "the connection was closed"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, SSL.SysCallError):
        return "the connection was closed"
    if isinstance(error, SSL.Error) and error.args and isinstance(error.args[0], list) and error.args[0]:
        return "; ".join(str(entry[-1]) for entry in error.args[0])
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
