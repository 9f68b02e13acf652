"""The tiny server as a process, and clients that behave well, badly, or not at all."""

import contextlib
import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import certs
from certs import CertificateFiles

TINY_SERVER = Path(__file__).with_name("tiny_server.py")
TIMEOUT_S = 10.0

# The beginning of a TLS record that holds a ClientHello, of which the rest never comes.
HALF_HELLO = bytes.fromhex("16030100f8010000f40303")


@dataclass(kw_only=True)
class TinyServer:
    """A running one. Left alone it is killed at the end of its context."""

    process: subprocess.Popen[str]
    port: int
    trust: ssl.SSLContext | None  # None: without TLS
    errors: Path
    clients: contextlib.ExitStack  # closes them all in the end
    _asked_s: float = 0.0
    _forgotten: int = 0  # octets of what it has complained

    def connect(self) -> socket.socket:
        """A TCP connection and nothing more."""
        return self.clients.enter_context(socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S))

    def client(self) -> http.client.HTTPConnection:
        if self.trust is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        else:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=TIMEOUT_S, context=self.trust)
        self.clients.callback(connection.close)
        return connection

    def tls(self, protocol: str = "http/1.1", version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLSocket:
        """A connection with TLS on it and nothing more."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols([protocol])
        context.minimum_version = context.maximum_version = version
        return self.clients.enter_context(context.wrap_socket(self.connect(), server_hostname="localhost"))

    def exchange(self, *pieces: bytes) -> bytes:
        """Send these to HTTP/1.1, one after the other, and return all that comes until the server ends it."""
        connection = self.connect() if self.trust is None else self.tls()
        for piece in pieces:
            connection.sendall(piece)
        return read_to_end(connection)

    def lines(self) -> list[str]:
        """What it has written on stderr, in lines."""
        return self.complaints().splitlines()

    def forget(self) -> None:
        """Take note of no complaint up to now."""
        self._forgotten = self.errors.stat().st_size

    def running(self) -> int:
        """How many slow requests are being answered."""
        connection = self.client()
        connection.request("GET", "/running")
        with contextlib.closing(connection), connection.getresponse() as response:
            return int(response.read())

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to stop, and return when it has begun to."""
        assert self.process.stdout is not None
        self.process.send_signal(number)
        assert self.process.stdout.readline() == "stopping\n"
        self._asked_s = time.monotonic()

    def wait(self) -> tuple[int, float]:
        """Exit status, and how many seconds the stop took."""
        status = self.process.wait(TIMEOUT_S * 2)
        return status, time.monotonic() - self._asked_s

    def complaints(self) -> str:
        """What it has written on stderr."""
        return self.errors.read_text()[self._forgotten :]


@contextlib.contextmanager
def tiny_server(
    files: CertificateFiles | None,
    ca_file: Path,
    *,
    loop: str = "asyncio",
    client_ca: Path | None = None,
    log: bool = False,
    bounds: Mapping[str, int] = MappingProxyType({}),
    limits: Mapping[str, float] = MappingProxyType({}),
    **more_limits: float,
) -> Iterator[TinyServer]:
    """Start it. bounds: connections, pending_connections, backlog."""
    trust = None if files is None else certs.client_context(ca_file)
    options = {
        "chain": None if files is None else str(files.chain),
        "key": None if files is None else str(files.key),
        "client_ca": None if client_ca is None else str(client_ca),
        "log": log,
        "loop": loop,
        "limits": {**limits, **more_limits},
        **bounds,
    }
    command = [sys.executable, str(TINY_SERVER), json.dumps(options)]
    with tempfile.NamedTemporaryFile() as errors, contextlib.ExitStack() as clients:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            assert process.stdout is not None
            port = process.stdout.readline()
            assert port, Path(errors.name).read_text()
            yield TinyServer(process=process, port=int(port), trust=trust, errors=Path(errors.name), clients=clients)
        finally:
            process.kill()
            process.communicate()


@dataclass
class Answers:
    """What one client has seen."""

    statuses: list[int] = field(default_factory=list)
    told_to_close: bool = False
    failure: str = ""


def ask(connection: http.client.HTTPConnection, answers: Answers, *, seconds: float = 0) -> None:
    """One request on a kept connection; what goes wrong is noted, too."""
    try:
        connection.request("GET", f"/?{seconds}")
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        answers.failure = f"{type(error).__name__}: {error}"
    else:
        answers.statuses.append(response.status)
        answers.told_to_close = response.will_close


def ask_until_told(connection: http.client.HTTPConnection, answers: Answers) -> None:
    """One request after the other, as fast as they are answered, until the server says that this was the last."""
    while not answers.told_to_close and not answers.failure:
        ask(connection, answers)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s, "it does not come about"
        time.sleep(0.01)


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def seconds_until_end(connection: socket.socket) -> float:
    """How long the other side still keeps a connection."""
    began_s = time.monotonic()
    connection.settimeout(TIMEOUT_S)
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass
    return time.monotonic() - began_s
