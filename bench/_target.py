"""Where the requests go: a host given on the command line, taken apart, its name resolved, its CA read, all once."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from bench._errors import CertificateRefusedError, ClientError, StatusError
from certs import client_context

Address = tuple[int, tuple[object, ...]]  # family, and what connect() takes; only the kernel looks into it


class TargetError(ValueError):
    """A host that cannot be used; the message is one whole line."""


@dataclass(frozen=True, slots=True)
class Target:
    """One server, as clients need it. context: None without TLS."""

    url: str
    host_header: str
    prefix: str  # of every path; empty unless the host was given with one
    server_name: str
    addresses: tuple[Address, ...]  # in the resolver's order; each connection tries them in turn
    context: ssl.SSLContext | None


def find_target(url: str, ca_file: Path) -> Target:
    """Resolve a host such as https://127.0.0.1:8443 or http://[::1]:8000.

    ca_file: read for https alone. Raises TargetError, and certs.CertificateError for the CA.
    """
    parts = _split(url)
    name = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TargetError(
            f"host {url}: cannot resolve {name!r} ({error.strerror}); give another with --host"
        ) from error
    return Target(
        url=url.rstrip("/"),
        host_header=parts.netloc.rpartition("@")[2],
        prefix=parts.path.rstrip("/"),
        server_name=name,
        addresses=tuple((int(family), address) for family, _, _, _, address in found),
        context=client_context(ca_file) if parts.scheme == "https" else None,
    )


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half a bracket
        usable = False
    if not usable:
        raise TargetError(f"host {url!r}: expected https://NAME:PORT or http://NAME:PORT; give it with --host")
    return parts


def unusable(target: Target, reason: ClientError) -> TargetError:
    """Make the error for a server that could not be talked to at all, with what to do about it."""
    if isinstance(reason, CertificateRefusedError):
        advice = "name the CA that vouches for it with --ca-file, or its state folder with --device-state"
    elif isinstance(reason, StatusError) and reason.status == 401:
        advice = "name the right credentials with --credentials-file, or its state folder with --device-state"
    elif isinstance(reason, StatusError):
        advice = "is it a device? Another one can be given with --host"
    else:
        advice = "start a device there, or give another with --host"
    return TargetError(f"host {target.url}: {reason}; {advice}")
