"""What the tests ask a served deployment: whole requests by httpx, and one handshake at a time."""

import contextlib
import socket
import ssl
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
from cryptography import x509
from OpenSSL import SSL

import certs
import deployments
from certs import KeyKind, TlsVersion
from certs.__main__ import main as certs_command
from deployments import RunningServer
from device_api.state import read_credentials

PING = "/restconf/operations/network-device:ping"
SYSTEM_STATE = "/restconf/data/ietf-system:system-state"
TIMEOUT_S = 5.0
ACCEPTED_S = 0.2  # after that a stopped process has it
REPLACED_S = 15.0  # one worker after another, each with 3.5 s for its successor to come up


def client(server: RunningServer, *, authenticated: bool = True) -> httpx.Client:
    """A client that trusts the device's CA alone; authenticated: knows the first user's password."""
    auth = httpx.DigestAuth(*read_credentials(server.credentials_file)) if authenticated else None
    verify = certs.client_context(server.ca_file) if server.ca_file else True
    return httpx.Client(base_url=server.url, auth=auth, verify=verify, timeout=TIMEOUT_S, trust_env=False)


@dataclass(frozen=True)
class Handshake:
    version: str  # "TLSv1.3"
    group: str  # lower case: the two OpenSSLs write it differently
    alpn: str  # empty: none negotiated
    key_kind: str
    serial: int  # of the certificate


def address(server: RunningServer) -> tuple[str, int]:
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def connect(server: RunningServer, timeout_s: float = TIMEOUT_S) -> socket.socket:
    """A connection that a process of the server has accepted, if some that listen are stopped: one that runs.

    Where each worker has a listening socket of its own, the kernel gives new connections to those of stopped ones too.
    Apache's share one, and accept only when there is something to read.
    """
    everybody = family(server)
    running = [process for process in everybody if process.status() != psutil.STATUS_STOPPED]
    stopped = [process for process in everybody if process not in running and listens(process, address(server)[1])]
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        raw = socket.create_connection(address(server), timeout_s)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not stopped or is_apache(server):
            return raw
        until_s = time.monotonic() + ACCEPTED_S
        while time.monotonic() < until_s:
            if has_from(running, raw.getsockname()[1]):
                return raw
        raw.close()
    raise TimeoutError("no process that runs accepts a connection")


def is_apache(server: RunningServer) -> bool:
    return "apache2" in {program.name for program in deployments.find(server.name).programs}


def listens(process: psutil.Process, port: int) -> bool:
    """Whether a process has a listening socket at a port."""
    return any(
        connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
        for connection in process.net_connections(kind="tcp")
    )


def has_from(processes: list[psutil.Process], port: int) -> bool:
    """Whether one of the processes has a connection from a port."""
    return any(
        getattr(connection.raddr, "port", None) == port  # a listener has no peer
        for process in processes
        for connection in process.net_connections(kind="tcp")
    )


def shake_hands(server: RunningServer, *, only: TlsVersion | None = None) -> Handshake:
    """One handshake of a client that offers everything. Raises OpenSSL.SSL.Error when it is refused."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    assert server.ca_file is not None
    context.load_verify_locations(str(server.ca_file))
    context.set_verify(SSL.VERIFY_PEER)
    context.set_alpn_protos([b"h2", b"http/1.1"])
    if only is not None:
        context.set_min_proto_version(only.wire)
        context.set_max_proto_version(only.wire)
    with connect(server) as raw:
        # OpenSSL reads the descriptor itself, past Python's own time limit.
        raw.settimeout(None)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(TIMEOUT_S), 0))
        connection = SSL.Connection(context, raw)
        connection.set_tlsext_host_name(b"localhost")
        connection.set_connect_state()
        connection.do_handshake()
        certificate = connection.get_peer_certificate(as_cryptography=True)
        group = connection.get_group_name()
        assert certificate is not None
        assert group is not None
        seen = Handshake(
            version=connection.get_protocol_version_name(),
            group=group.lower(),
            alpn=connection.get_alpn_proto_negotiated().decode(),
            key_kind=certs.key_kind(certificate),
            serial=certificate.serial_number,
        )
        with contextlib.suppress(SSL.Error):
            connection.shutdown()
    return seen


@dataclass(frozen=True)
class Answer:
    status: int
    keeps_alive: bool
    resumed: bool
    session: ssl.SSLSession | None


def ask_health(
    server: RunningServer,
    *,
    context: ssl.SSLContext,
    session: ssl.SSLSession | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """One request on a connection of its own, which offers to resume a session of the same context."""
    with (
        connect(server, timeout_s) as raw,
        context.wrap_socket(raw, server_hostname="localhost", session=session) as connection,
    ):
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head, body = b"", b""
        while b"\r\n\r\n" not in head:
            part = connection.recv(65536)
            assert part, f"closed after {head!r}"
            head += part
        head, _, body = head.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
        while len(body) < length:
            part = connection.recv(65536)
            assert part, "closed within the body"
            body += part
        answer = Answer(
            status=int(head.split()[1]),
            keeps_alive=head.startswith(b"HTTP/1.1") and b"connection: close" not in lines,
            resumed=bool(connection.session_reused),
            session=connection.session,
        )
        port = connection.getsockname()[1]
        with contextlib.suppress(OSError):  # a server need not answer a close_notify, only receive it
            connection.unwrap()
    wait_until_done_with(server, port)
    return answer


def wait_until_done_with(server: RunningServer, port: int) -> None:
    """Wait until no process of the server holds the connection that came from a port."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while has_from(family(server), port):
        assert time.monotonic() < deadline_s, "the server keeps a connection that its client has closed"
        time.sleep(0.01)


def resumes(server: RunningServer, version: TlsVersion, *, tickets: bool = True) -> bool:
    """Whether a new connection takes up the session of one that was closed in good order, and is forgotten.

    While the server still holds the old connection, OpenSSL resumes its session by id in any server; whether it
    keeps the session after that depends on how the server closes: that is what is asked here.
    """
    context = client_context(server, version)
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
    first = ask_health(server, context=context)
    again = ask_health(server, context=context, session=first.session)
    return again.resumed and first.session is not None and first.session.has_ticket == tickets


def client_context(server: RunningServer, version: TlsVersion) -> ssl.SSLContext:
    assert isinstance(server.ca_file, Path)
    return certs.client_context(server.ca_file, versions=frozenset({version}))


def family(server: RunningServer) -> list[psutil.Process]:
    roots = [psutil.Process(each.pid) for each in server.processes]
    return [process for root in roots for process in (root, *root.children(recursive=True))]


def facing(server: RunningServer) -> list[psutil.Process]:
    """Those that clients meet, the first one ahead of what it started: the proxy's, where there is one."""
    root = psutil.Process(server.processes[-1].pid)
    return [root, *root.children(recursive=True)]


def renew(state: Path) -> None:
    """As a timer does, the key being kept: gunicorn's sync worker reads both files for each connection."""
    assert certs_command(["renew", "--days", "1000", "--state", str(state)]) == 0


def await_successors(server: RunningServer, before: list[psutil.Process]) -> None:
    """Wait until a reload in new processes is done: all but the first of those that clients met before have gone."""
    deadline_s = time.monotonic() + REPLACED_S
    while any(process in before[1:] for process in facing(server)):
        assert time.monotonic() < deadline_s, "workers from before the reload are still there"
        time.sleep(0.02)


def serial(state: Path) -> int:
    """Of the certificate that is there now."""
    chain = certs.ensure_certificate(state, KeyKind.ECDSA_P256).chain
    return x509.load_pem_x509_certificate(chain.read_bytes()).serial_number
