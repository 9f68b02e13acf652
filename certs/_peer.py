"""What a server presents in a real handshake, whether it can be trusted or not.

The bytes go through memory, so that what answers in place of TLS can be told, and so that one deadline holds for
everything together, however slowly a server sends.
"""

import errno
import socket
import time
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from OpenSSL import SSL

from certs._errors import CertificateError
from certs._findings import Finding
from certs._names import alternative_names

_ALERT: Final = 0x15  # RFC 8446, 5.1: a record's type
_HANDSHAKE: Final = 0x16
_PIECE: Final = 65536


@dataclass(frozen=True, slots=True)
class Presented:
    """What a server showed."""

    chain: tuple[x509.Certificate, ...]
    version: str


class NoHandshakeError(Exception):
    """Nothing to judge: `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        """Hold what is wrong."""
        super().__init__(finding.problem)
        self.finding = finding


def presented(host: str, port: int, *, name: str, timeout_s: float) -> Presented:
    """Shake hands with a server, asking for it by a name, and return what it showed. Raises NoHandshakeError."""
    deadline = time.monotonic() + timeout_s
    with _connected(host, port, timeout_s) as sock:
        connection = _connection(name)
        try:
            _shake_hands(connection, sock, deadline)
        except TimeoutError:
            finding = Finding(
                "stalled",
                f"connected, but shook no hands within {timeout_s:g} s",
                "look whether it is a TLS port and whether the server hangs; a slow one needs a longer --timeout",
            )
        except OSError as error:
            reason = error.strerror or str(error)
            finding = Finding("closed", f"closed the connection instead of a handshake ({reason})", _LOOK)
        except SSL.Error as error:
            finding = _refused(error)
        else:
            finding = Finding("no-certificate", "showed no certificate", _LOOK)
    # A server that wants a client's certificate may end the handshake, but has shown its own by then.
    chain = connection.get_peer_cert_chain(as_cryptography=True)
    if not chain:
        raise NoHandshakeError(finding)
    return Presented(tuple(chain), connection.get_protocol_version_name())


_LOOK: Final = "look into the server's log"


def _connected(host: str, port: int, timeout_s: float) -> socket.socket:
    try:
        return socket.create_connection((host, port), timeout=timeout_s)
    except socket.gaierror as error:
        finding = Finding("unknown-host", f"no address is known for {host} ({error.strerror})", "check its spelling")
    except TimeoutError:
        finding = Finding(
            "unreachable", f"did not answer within {timeout_s:g} s", "look whether a firewall is in between"
        )
    except OSError as error:
        advice = "start the server, or check the port" if error.errno == errno.ECONNREFUSED else "check host and port"
        finding = Finding("unreachable", f"cannot be reached ({error.strerror or error})", advice)
    raise NoHandshakeError(finding)


def _connection(name: str) -> SSL.Connection:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_verify(SSL.VERIFY_NONE)  # whatever is wrong is to be named, all of it
    context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")  # weak keys, too
    connection = SSL.Connection(context, None)
    if isinstance(dns := alternative_names([name])[0], x509.DNSName):
        connection.set_tlsext_host_name(dns.value.encode())
    connection.set_connect_state()
    return connection


def _shake_hands(connection: SSL.Connection, sock: socket.socket, deadline: float) -> None:
    """Go on until both are content. Raises OSError, SSL.Error, NoHandshakeError."""
    first = True
    while True:
        done = False
        try:
            connection.do_handshake()
            done = True
        except SSL.WantReadError:
            pass
        _send(connection, sock, deadline)
        if done:
            return
        received = _received(sock, deadline)
        if first and received[0] not in {_ALERT, _HANDSHAKE}:
            raise NoHandshakeError(_not_tls(received))
        first = False
        connection.bio_write(received)


def _send(connection: SSL.Connection, sock: socket.socket, deadline: float) -> None:
    try:
        waiting = connection.bio_read(_PIECE)
    except SSL.WantReadError:
        return
    sock.settimeout(_left(deadline))
    sock.sendall(waiting)


def _received(sock: socket.socket, deadline: float) -> bytes:
    sock.settimeout(_left(deadline))
    received = sock.recv(_PIECE)
    if not received:
        raise ConnectionResetError(errno.ECONNRESET, "no answer")
    return received


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _not_tls(received: bytes) -> Finding:
    if received.startswith(b"HTTP/"):
        return Finding("not-tls", "speaks plain HTTP, not TLS", "check the port, or turn HTTPS on (--certificate)")
    return Finding("not-tls", f"does not speak TLS; it began with {received[:16]!r}", "check the port")


def _refused(error: SSL.Error) -> Finding:
    reasons = [reason for _, _, reason in error.args[0]] if error.args and error.args[0] else []
    shown = "; ".join(reasons) or "without a reason"
    if any("protocol version" in reason or "unsupported protocol" in reason for reason in reasons):
        return Finding("old-version", f"speaks neither TLS 1.2 nor 1.3 ({shown})", "have it speak one of them")
    return Finding("refused", f"the handshake failed ({shown})", _LOOK)


def parse_server(text: str) -> tuple[str, int] | None:
    """Read host:port, [address]:port or https://host[:port]/…; None for anything else. Raises CertificateError."""
    address, is_url = text, text.startswith("https://")
    if is_url:
        address = text.removeprefix("https://").partition("/")[0]
    host, colon, port = address.rpartition(":")
    if is_url and (not colon or address.endswith("]")):
        host, port = address, "443"
    host = host.removeprefix("[").removesuffix("]")
    if not host or "/" in host or not (port.isascii() and port.isdigit()):
        return None
    if not 1 <= int(port) <= 65535:
        raise CertificateError(f"{text}: {port} is no port; ports go from 1 to 65535")
    alternative_names([host])  # raises what is neither name nor address
    return host, int(port)
