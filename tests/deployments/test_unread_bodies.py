"""What is refused unread is answered all the same, while its small body is still on its way.

Behind a proxy that forwards it while it comes: a server that hangs up then makes the proxy answer 502.
"""

import socket
from collections import Counter
from pathlib import Path

import pytest

import certs
import deployments
from deployments import RunningServer, ServeOptions
from tests.deployments.clients import PING, TIMEOUT_S, address

pytestmark = pytest.mark.end_to_end

LENGTH = 60_000  # of 64 KiB gunicorn lets in all but the last octet
TRIES = 200  # Hypercorn lost three of a hundred such answers, before the application let bodies come


@pytest.mark.parametrize("name", ["quart-hypercorn-asyncio@nginx", "flask-gunicorn-gthread@nginx"])
def test_no_answer_is_lost(name: str, state: Path) -> None:
    with deployments.start(name, ServeOptions(state=state)) as server:
        statuses = Counter(status_of_unread(server, LENGTH) for _ in range(TRIES))
    assert statuses == {401: TRIES}


def status_of_unread(server: RunningServer, length: int) -> int:
    """What a stranger is answered whose body follows on its head."""
    assert server.ca_file is not None
    head = f"POST {PING} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    with (
        socket.create_connection(address(server), TIMEOUT_S) as plain,
        certs.client_context(server.ca_file).wrap_socket(plain, server_hostname="localhost") as encrypted,
    ):
        encrypted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        encrypted.sendall(head.encode())
        encrypted.sendall(bytes(length))
        return int(encrypted.recv(65536).split(b" ", 2)[1])
