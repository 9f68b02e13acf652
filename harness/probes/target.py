"""What a probe is pointed at: a URL, taken apart and checked once."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import UserError

DEFAULT_PATH = "/restconf/data/ietf-system:system-state"  # the device's smallest read
TIMEOUT_S = 10.0  # for connecting, and for each wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a server is and what is asked of it."""

    scheme: str  # "https", "http"
    host: str
    port: int
    path: str  # with the query, as sent

    @property
    def url(self) -> str:
        """The whole URL."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        """Host and port as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address, not a name."""
        return _address(self.host) is not None

    @property
    def is_this_machine(self) -> bool:
        """Whether it is a loopback address, or a name that always stands for one."""
        address = _address(self.host)
        return address.is_loopback if address else self.host == "localhost"

    def connect(self) -> socket.socket:
        """Open a TCP connection. Raises UserError."""
        try:
            connection = socket.create_connection((self.host, self.port), TIMEOUT_S)
        except OSError as error:
            raise unreachable(self, error.strerror or str(error)) from error
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def parse_target(url: str) -> Target:
    """Take a URL apart; one without a path asks the device's system state. Raises UserError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UserError(f"{url!r} is not a URL ({error})", hint="write https://HOST:PORT/PATH") from error
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise UserError(f"{url!r} is not an http or https URL", hint="write https://HOST:PORT/PATH")
    path = parts.path if parts.path not in {"", "/"} else DEFAULT_PATH
    return Target(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or (443 if parts.scheme == "https" else 80),
        path=f"{path}?{parts.query}" if parts.query else path,
    )


def unreachable(target: Target, reason: str) -> UserError:
    """Make the error for a server that is not there."""
    return UserError(
        f"cannot connect to {target.authority} ({reason})",
        hint="is the server up? `bench serve DEPLOYMENT` starts one",
    )


def no_answer(target: Target, reason: str) -> UserError:
    """Make the error for a server that is there and does not answer as it should."""
    return UserError(f"{target.authority} {reason}", hint="see what the server's log says")


def check_ca_file(ca_file: Path | None) -> None:
    """Raise UserError for a CA file that cannot be read; libraries would say less."""
    if ca_file is None:
        return
    try:
        text = ca_file.read_bytes()
    except OSError as error:
        raise UserError(
            f"the CA file {ca_file} cannot be read ({error.strerror})", hint="`python -m certs show` names it"
        ) from error
    if b"-----BEGIN CERTIFICATE-----" not in text:
        raise UserError(f"{ca_file} holds no certificate in PEM form", hint="give the CA's certificate")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
