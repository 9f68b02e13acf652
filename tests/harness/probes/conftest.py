"""A small TLS server of the standard library, in a thread: what the probes are tested against."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from certs import KeyKind, TlsPolicy, ensure_ca, ensure_certificate, stdlib_server_context
from harness.probes.target import Target, parse_target

CHALLENGES = {
    "/basic": 'Basic realm="r"',
    "/latin-1": 'Digest realm="caf\xe9", qop="auth", nonce="abc", algorithm=SHA-256',
}
CHALLENGE = 'Digest realm="r", qop="auth", nonce="abc", algorithm=SHA-256'


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers `/open` to everybody, everything else only with some Digest."""

    protocol_version = "HTTP/1.1"
    timeout = 5

    def do_GET(self) -> None:
        authorized = self.path == "/open" or (self.headers["Authorization"] or "").startswith("Digest ")
        body = b"hello" * 10 if authorized else b""
        self.send_response(200 if authorized else 401)
        if not authorized:
            self.send_header("WWW-Authenticate", CHALLENGES.get(self.path, CHALLENGE))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named so by the library
        del format, args


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext | None = None

    def finish_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        assert isinstance(request, socket.socket)
        if self.context is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(5)
        try:
            wrapped = self.context.wrap_socket(request, server_side=True)
        except (ssl.SSLError, OSError):
            return  # a client that wants something else; the tests look at what the client says
        try:
            super().finish_request(wrapped, client_address)
            wrapped.unwrap()
        except (ssl.SSLError, OSError):
            pass  # closed by the client
        finally:
            wrapped.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet: clients that leave in the middle are part of the tests."""


@contextmanager
def serving(context: ssl.SSLContext | None) -> Iterator[Target]:
    server = Server(("127.0.0.1", 0), Handler)
    server.context = context
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield parse_target(f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}/open")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


Serve = Callable[[ssl.SSLContext | None], Target]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda context: stack.enter_context(serving(context))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA and a certificate for this machine."""
    folder = tmp_path_factory.mktemp("authority")
    ensure_ca(folder)
    return folder


@pytest.fixture
def context_of(authority: Path) -> Callable[..., ssl.SSLContext]:
    def make(policy: TlsPolicy | None = None, kind: KeyKind = KeyKind.ECDSA_P256) -> ssl.SSLContext:
        return stdlib_server_context(ensure_certificate(authority, kind), policy or TlsPolicy())

    return make


@pytest.fixture
def ca_file(authority: Path) -> Path:
    return ensure_ca(authority)
