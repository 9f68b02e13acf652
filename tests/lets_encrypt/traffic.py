"""Clients that go on asking while a certificate is renewed: some keep their connection, some make one each time."""

import contextlib
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

PAUSE_S = 0.02
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Seen:
    """The certificate that one new connection was shown."""

    began_s: float  # wall clock, as files have it
    certificate: bytes  # DER


@dataclass(slots=True)
class Traffic:
    """What the clients of one server met."""

    requests: int = 0
    failures: list[str] = field(default_factory=list)
    closed: int = 0  # kept connections that the server closed without a word; the client made a new one
    seen: list[Seen] = field(default_factory=list)

    def shown_since(self, moment_s: float) -> set[bytes]:
        return {seen.certificate for seen in self.seen if seen.began_s >= moment_s}

    def first_shown_s(self, certificate: bytes) -> float:
        return min(seen.began_s for seen in self.seen if seen.certificate == certificate)

    def last_shown_s(self, certificate: bytes) -> float:
        return max(seen.began_s for seen in self.seen if seen.certificate == certificate)


@dataclass(frozen=True, slots=True)
class Client:
    port: int
    trusting: ssl.SSLContext
    name: str = "device.example"
    path: str = "/health"

    def connect(self) -> "NamedConnection":
        connection = NamedConnection(self.port, self.name, self.trusting)
        connection.connect()
        return connection

    def ask(self, connection: "NamedConnection") -> None:
        """Raises what http.client raises if there is no answer, and AssertionError for half of one, or a bad one."""
        connection.request("GET", self.path, headers={"Host": self.name})
        answer = connection.getresponse()
        try:
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(f"cut within the answer: {error!r}") from error
        assert answer.status == 200, answer.status


class NamedConnection(http.client.HTTPSConnection):
    """To 127.0.0.1, under the name that the certificate must have."""

    def __init__(self, port: int, name: str, trusting: ssl.SSLContext) -> None:
        super().__init__("127.0.0.1", port, timeout=TIMEOUT_S)
        self._name = name
        self._trusting = trusting

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), TIMEOUT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._trusting.wrap_socket(plain, server_hostname=self._name)

    def certificate(self) -> bytes:
        assert isinstance(self.sock, ssl.SSLSocket)
        found = self.sock.getpeercert(binary_form=True)
        assert found is not None
        return found


@contextlib.contextmanager
def traffic(client: Client, *, kept: int = 2, new: int = 1) -> Iterator[Traffic]:
    """Clients ask until the block ends."""
    met = Traffic()
    lock = threading.Lock()
    stopping = threading.Event()
    threads = [threading.Thread(target=_keep, args=(client, met, lock, stopping)) for _ in range(kept)]
    threads += [threading.Thread(target=_renew, args=(client, met, lock, stopping)) for _ in range(new)]
    for thread in threads:
        thread.start()
    try:
        yield met
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def _keep(client: Client, met: Traffic, lock: threading.Lock, stopping: threading.Event) -> None:
    connection: NamedConnection | None = None
    while not stopping.wait(PAUSE_S):
        again = connection is not None
        try:
            if connection is None or connection.sock is None:  # new, or the last answer said that it was the last
                again = False
                connection = client.connect()
            client.ask(connection)
        except (OSError, http.client.HTTPException, AssertionError) as error:
            if connection is not None:
                connection.close()
                connection = None
            # An idle connection may be closed at any time: clients try once more on a new one (RFC 9112, 9.3.1).
            with lock:
                if again and isinstance(error, http.client.RemoteDisconnected | ConnectionError | ssl.SSLEOFError):
                    met.closed += 1
                else:
                    met.failures.append(f"kept: {error!r}")
        else:
            with lock:
                met.requests += 1
    if connection is not None:
        connection.close()


def _renew(client: Client, met: Traffic, lock: threading.Lock, stopping: threading.Event) -> None:
    while not stopping.wait(PAUSE_S):
        began_s = time.time()
        try:
            connection = client.connect()
            with contextlib.closing(connection):
                shown = connection.certificate()
                client.ask(connection)
        except (OSError, http.client.HTTPException, AssertionError) as error:
            with lock:
                met.failures.append(f"new: {error!r}")
        else:
            with lock:
                met.requests += 1
                met.seen.append(Seen(began_s, shown))


def leaf(chain: Path) -> bytes:
    """The first certificate of a PEM file, DER."""
    return ssl.PEM_cert_to_DER_cert(chain.read_text().partition("-----END")[0] + "-----END CERTIFICATE-----\n")


def serial(certificate: bytes) -> int:
    return x509.load_der_x509_certificate(certificate).serial_number


def replaced_s(path: Path) -> float:
    """When a file, or the link that stands for it, was put in its place: wall clock."""
    return os.lstat(path).st_ctime


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not after {timeout_s} s: {what}"
        time.sleep(0.02)
