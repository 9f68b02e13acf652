"""What our own two servers do alike: before they serve, folder, certificate, socket; then, the talk and the ready file.

Whatever can be wrong with what the user gave is found here, before a connection is accepted. The talk goes to stdout.
"""

import contextlib
import errno
import ipaddress
import os
import shlex
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from certs import CertificateFiles, TlsPolicy, adhoc_certificate, check_pair
from device_api.ready import ReadyFile, ReadyFileError
from device_api.routes import SYSTEM_STATE_PATH
from device_api.settings import Settings, SettingsError, problem
from device_api.state import DeviceState, open_state

_BACKLOG: Final = 1024  # as many as the connections that are let in: a burst of clients waits, none is refused


class StartupError(ValueError):
    """A server that could not start; the message is one whole line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Startup:
    """What a server starts with."""

    settings: Settings
    state: DeviceState
    certificates: tuple[CertificateFiles, ...]  # none: without TLS

    def tls_policy(self, *, alpn: tuple[str, ...]) -> TlsPolicy:
        """Return the rules of the TLS context; ALPN names are the server's, in its order of preference."""
        settings = self.settings
        return TlsPolicy(
            versions=settings.tls_versions,
            alpn=alpn,
            client_ca=settings.client_ca,
            client_certificate_required=settings.client_certificates == "required",
        )

    def ready(self, port: int) -> ReadyFile:
        """Describe this process as a server that accepts connections on a port."""
        scheme = "https" if self.certificates else "http"
        return ReadyFile(
            url=f"{scheme}://{_reachable(self.settings.host)}:{port}",
            pid=os.getpid(),
            ca_file=self._ca_file(),
            credentials_file=self._credentials_file(),
        )

    def _ca_file(self) -> Path | None:
        if not self.certificates:
            return None
        if self.settings.adhoc or self.settings.certificate:
            return self.certificates[0].chain.absolute()  # OpenSSL's clients may trust a leaf by itself
        return self.state.ca_file

    def _credentials_file(self) -> Path | None:
        ours = self.settings.auth == "digest" and self.settings.users is None
        return self.state.credentials_file if ours and self.state.credentials_file.exists() else None


@contextlib.contextmanager
def starting(settings: Settings) -> Iterator[Startup]:
    """Open the state folder and find the certificates, checked; an ad-hoc one lasts as long as the context.

    Raises StateError or CertificateError.
    """
    with contextlib.ExitStack() as stack:
        state = open_state(settings.state, realm=settings.realm)
        certificates = tuple(_certificates(settings, state, stack))
        for certificate in certificates:
            check_pair(certificate)
        yield Startup(settings=settings, state=state, certificates=certificates)


def _certificates(settings: Settings, state: DeviceState, stack: contextlib.ExitStack) -> Iterator[CertificateFiles]:
    if not settings.tls:
        return
    if settings.adhoc:
        yield adhoc_certificate(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="device-"))))
    elif settings.certificate:
        yield from map(CertificateFiles, settings.certificate, settings.key)
    else:
        yield from map(state.certificate, settings.certificate_kind)


def listen(host: str, port: int) -> socket.socket:
    """Return a TCP socket that listens; clients that come before they are accepted wait. Port 0 is any free one.

    Raises SettingsError, which says whether host or port is wrong.
    """
    try:
        # Of several addresses of a name the first, which is what a client on this machine tries first too.
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise listen_error(host, port, error) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # restart beside connections in TIME_WAIT
        # Accepted sockets inherit it. Without it the first answer on a TLS connection waits 40 ms for an ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise listen_error(host, port, error) from error
    return listener


def listen_error(host: str, port: int, error: Exception) -> SettingsError:
    """Say why a server cannot listen there: what, where, what to do."""
    code = error.errno if isinstance(error, OSError) and not isinstance(error, socket.gaierror) else None
    if code == errno.EADDRINUSE:
        return problem("port", f"{port} is in use on {host}; stop what listens there, or give 0 (any free one)")
    if code == errno.EACCES:
        return problem("port", f"{port} is for root alone; give 1024 or more")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return problem("host", f"cannot listen on {host!r} ({reason}); give an address of this machine")


@contextlib.contextmanager
def announced(startup: Startup, port: int) -> Iterator[None]:
    """Say where the server listens, and keep its ready file there, from entering (connections are accepted) to leaving.

    Raises ReadyFileError.
    """
    ready = startup.ready(port)
    path = None if startup.settings.ready_file is None else startup.settings.ready_file.absolute()
    if path is not None:
        ready.write(path)
    print("\n".join(_talk(startup, ready)), flush=True)
    try:
        yield
    finally:
        if path is not None and _is_ours(path):
            path.unlink(missing_ok=True)


def _is_ours(path: Path) -> bool:
    """Say whether a ready file still speaks of this process: a second server may have been given the same path."""
    try:
        return ReadyFile.read(path).pid == os.getpid()
    except ReadyFileError:
        return False


def _talk(startup: Startup, ready: ReadyFile) -> Iterator[str]:
    settings = startup.settings
    everywhere = " (and on this machine's other addresses)" if _is_wildcard(settings.host) else ""
    yield f"listening on {ready.url}{everywhere}"
    curl = ["curl"]
    if ready.ca_file is not None:
        kind = "its CA" if ready.ca_file == startup.state.ca_file else "its certificate"
        yield f"{kind}: {ready.ca_file}"
        curl += ["--cacert", shlex.quote(str(ready.ca_file))]
    if settings.client_ca is not None:
        asked = "need" if settings.client_certificates == "required" else "may show"
        yield f"clients {asked} a certificate of: {settings.client_ca.absolute()}"
        if settings.client_certificates == "required":
            curl += ["--cert", "CLIENT.pem", "--key", "CLIENT-KEY.pem"]
    if settings.auth == "none":
        yield "user and password: none needed (--auth none)"
    elif ready.credentials_file is not None:
        yield f"first user and password: {ready.credentials_file}"
        curl += ["--digest", "--user", f'"$(cat {shlex.quote(str(ready.credentials_file))})"']
    else:
        yield f"users: {(settings.users or startup.state.users_file).absolute()}"
        curl += ["--digest", "--user", "NAME"]
    yield f"try: {' '.join(curl)} {ready.url}{SYSTEM_STATE_PATH}"


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def _reachable(host: str) -> str:
    """Return a host as a URL on this machine has it: every address includes loopback's, IPv6 is in brackets."""
    bare = host.strip("[]")
    if _is_wildcard(bare):
        bare = "::1" if ":" in bare else "127.0.0.1"
    return f"[{bare}]" if ":" in bare else bare
