"""Servers in this process, on any free port, over each kind of connection."""

import contextlib
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from wsgiref.types import WSGIApplication

import pytest

from certs import (
    CertificateFiles,
    TlsPolicy,
    adhoc_certificate,
    client_context,
    pyopenssl_server_context,
    stdlib_server_context,
)
from flask_impl.server import Server, TlsContext
from tests.flask_impl.server.peers import Peer

KINDS = ("plain", "stdlib", "pyopenssl")


@dataclass
class Running:
    """A server that runs in a thread of this process."""

    server: Server
    address: tuple[str, int]
    thread: threading.Thread
    client_context: ssl.SSLContext | None
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def connect(self) -> Peer:
        """Connect a client, which is closed at the end of the test at the latest."""
        return self._open.enter_context(Peer(self.address, self.client_context))

    def wait(self, timeout_s: float) -> None:
        self.thread.join(timeout_s)
        assert not self.thread.is_alive()

    def end(self) -> None:
        self._open.close()
        self.server.stop(0)
        self.wait(5)


Serve = Callable[..., Running]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log holds that somebody should look at."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Wait for something inside the server that nothing outside tells of."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return adhoc_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def trusting(certificate: CertificateFiles) -> ssl.SSLContext:
    """What a client trusts that knows the server's certificate."""
    return client_context(certificate.chain)


def server_context(kind: str, certificate: CertificateFiles, **policy: Any) -> TlsContext | None:  # noqa: ANN401 (TlsPolicy's)
    if kind == "plain":
        return None
    return (stdlib_server_context if kind == "stdlib" else pyopenssl_server_context)(certificate, TlsPolicy(**policy))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of connection: each test that uses it, or `serve`, runs over all of them."""
    return str(request.param)


@pytest.fixture
def serve(kind: str, certificate: CertificateFiles, trusting: ssl.SSLContext) -> Iterator[Serve]:
    """Start servers; each ends with the test."""
    running: list[Running] = []

    def start(application: WSGIApplication, **options: Any) -> Running:  # noqa: ANN401 (those of Server)
        options.setdefault("ssl_context", server_context(kind, certificate))
        server = Server(application, **options)
        address = server.bind()
        thread = threading.Thread(target=server.run, name="server")
        thread.start()
        running.append(Running(server, address, thread, None if kind == "plain" else trusting))
        return running[-1]

    yield start
    for one in running:
        one.end()
