"""Real servers of both implementations, as their users start them, and how they are asked."""

import contextlib
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import h11
import httpx

from certs import client_context
from device_api.ready import ReadyFile
from device_api.state import StateLayout, read_credentials
from digest_auth import DigestClient

IMPLEMENTATIONS = ("flask_impl", "quart_impl")

_START_S = 20.0
_ANSWER_S = 10.0

# Headers that a client may rely on; Date and Server are the server's own, as is Connection.
_MATTER = ("allow", "cache-control", "content-length", "content-type", "location", "retry-after", "www-authenticate")

_NONCE = re.compile(r'nonce="[^"]*"')


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: tuple[tuple[str, str], ...]  # names in lower case
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def comparable(self) -> tuple[int, dict[str, list[str]], bytes]:
        """All that must be alike: what a nonce is, differs in every answer."""
        headers = {name: [_NONCE.sub('nonce="…"', value) for value in self.all(name)] for name in _MATTER}
        return self.status, headers, self.body


@dataclass(slots=True)
class Served:
    """A running server."""

    implementation: str
    ready: ReadyFile
    state: StateLayout
    log: Path
    digest: DigestClient
    client: httpx.Client
    context: ssl.SSLContext
    address: tuple[str, int] = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.ready.url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.address = parts.hostname, parts.port

    def ask(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        credentials: bool = True,
    ) -> Answer:
        """One request through httpx; with credentials as a client sends them, the challenge learnt beforehand."""
        sent = dict(headers or {})
        if credentials:
            sent["Authorization"] = self.authorization(method, target)
        url = httpx.URL(self.ready.url).copy_with(raw_path=target.encode("ascii"))
        answer = self.client.request(method, url, headers=sent, content=body)
        return Answer(answer.status_code, _lowered(answer.headers.raw), answer.content)

    def authorization(self, method: str, target: str) -> str:
        """A right Authorization value with the next count."""
        value = self.digest.authorization(method, target)
        if value is None:
            assert self.digest.accept(self.challenges())
            value = self.digest.authorization(method, target)
        assert value is not None
        return value

    def challenges(self) -> list[str]:
        """What a stranger is challenged with."""
        answer = self.ask("GET", "/restconf/data/ietf-system:system-state", credentials=False)
        assert answer.status == 401
        return answer.all("www-authenticate")

    def ask_raw(
        self, method: str, target: str, headers: Sequence[tuple[str, str]] = (), *, connection: str = "close"
    ) -> Answer:
        """One request through a socket, with a target that no HTTP client would send as it is."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", f"Connection: {connection}"]
        lines += [f"{name}: {value}" for name, value in headers]
        octets = "\r\n".join([*lines, "", ""]).encode("latin-1")
        with (
            socket.create_connection(self.address, _ANSWER_S) as plain,
            self.context.wrap_socket(plain, server_hostname="localhost") as encrypted,
        ):
            encrypted.sendall(octets)
            return _read_answer(encrypted, method)


@contextlib.contextmanager
def serving(implementation: str, folder: Path, **variables: str) -> Iterator[Served]:
    """Start `python -m IMPLEMENTATION` and stop it by SIGTERM, as its users do. variables: of its environment."""
    state, ready, log = folder / "state", folder / "ready.json", folder / "log"
    command = [sys.executable, "-m", implementation, "--port", "0", "--state", str(state), "--ready-file", str(ready)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | variables)
    try:
        _await_file(ready, process, log)
        described = ReadyFile.read(ready)
        assert described.ca_file is not None
        assert described.credentials_file is not None
        context = client_context(described.ca_file)
        with httpx.Client(verify=context, timeout=_ANSWER_S) as client:
            yield Served(
                implementation=implementation,
                ready=described,
                state=StateLayout(state),
                log=log,
                digest=DigestClient(*read_credentials(described.credentials_file)),
                client=client,
                context=context,
            )
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        sys.stdout.write(log.read_text())  # pytest shows it when a test fails


def _await_file(path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not path.exists():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"not ready after {_START_S} s: {log.read_text()}"
        time.sleep(0.02)


def _read_answer(connection: ssl.SSLSocket, method: str) -> Answer:
    """Read with h11, which is the judge of what is HTTP here."""
    parser = h11.Connection(h11.CLIENT)
    # h11 wants to know the request; its target is no matter to it.
    parser.send(h11.Request(method=method, target="/", headers=[("Host", "localhost"), ("Connection", "close")]))
    parser.send(h11.EndOfMessage())
    status, headers, body = 0, tuple[tuple[str, str], ...](), b""
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            parser.receive_data(connection.recv(65536))
        elif isinstance(event, h11.Response):
            status, headers = event.status_code, _lowered(event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, (h11.EndOfMessage, h11.ConnectionClosed)):
            return Answer(status, headers, body)


def _lowered(raw: object) -> tuple[tuple[str, str], ...]:
    assert isinstance(raw, Sequence)
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw)
