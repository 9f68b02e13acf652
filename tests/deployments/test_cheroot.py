"""What Cheroot does otherwise than as it comes: each test fails without the lines in its script that are for it."""

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import certs
import deployments
from deployments import RunningServer, ServeOptions
from tests.deployments.clients import PING, TIMEOUT_S, address, family

pytestmark = pytest.mark.end_to_end

KEPT_AS_IT_COMES = 10
LARGE = "/openapi.json"
UNREAD = 6 << 20  # octets of answers: more than Linux keeps for a connection


@pytest.fixture(scope="module", params=["flask-cheroot", "flask-cheroot-pyopenssl"])
def served(request: pytest.FixtureRequest, state: Path) -> Iterator[RunningServer]:
    with deployments.start(request.param, ServeOptions(state=state, auth="none")) as server:
        yield server


@contextlib.contextmanager
def connected(server: RunningServer, *, timeout_s: float = TIMEOUT_S) -> Iterator[http.client.HTTPSConnection]:
    assert server.ca_file is not None
    context = certs.client_context(server.ca_file)
    connection = http.client.HTTPSConnection(*address(server), context=context, timeout=timeout_s)
    with contextlib.closing(connection):
        connection.connect()
        yield connection


def test_more_connections_are_kept_than_its_own_ten(served: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(2 * KEPT_AS_IT_COMES):
            connection = stack.enter_context(connected(served))
            connection.request("GET", "/health")
            answer = connection.getresponse()
            answer.read()
            assert (answer.status, answer.will_close) == (200, False)


def test_an_answer_that_comes_after_its_own_patience_is_still_encrypted(state: Path) -> None:
    """5 s after the stop began Cheroot takes TLS off what still runs: the answer went over the wire in clear text."""
    question = {"destination": "192.0.2.1", "count": 7, "interval-ms": 1000}
    statuses: list[int] = []

    def ask() -> None:
        with connected(server, timeout_s=10.0) as connection:
            body = json.dumps({"network-device:input": question})
            connection.request("POST", PING, body, {"Content-Type": "application/yang-data+json"})
            statuses.append(connection.getresponse().status)

    with deployments.start("flask-cheroot", ServeOptions(state=state, auth="none")) as server:
        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.3)  # as below: that the device is in the middle of a ping
        assert server.stop() == 0
        asking.join()
    assert statuses == [200]


def test_a_body_that_comes_late_is_waited_for(served: RunningServer) -> None:
    body = json.dumps({"network-device:input": {"destination": "192.0.2.1", "count": 1, "interval-ms": 1}}).encode()
    with connected(served) as connection:
        connection.putrequest("POST", PING)
        connection.putheader("Content-Type", "application/yang-data+json")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:10])
        time.sleep(0.1)  # nothing outside can see that the server waits for the rest
        connection.send(body[10:])
        assert connection.getresponse().status == 200


def wait_until_idle(server: RunningServer) -> None:
    """Until its processes have used no CPU for a while."""
    began_s, used_s = time.monotonic(), -1.0
    while (now_s := sum(sum(process.cpu_times()[:2]) for process in family(server))) != used_s:
        assert time.monotonic() < began_s + TIMEOUT_S
        used_s = now_s
        time.sleep(0.2)


def test_a_client_that_reads_late_gets_all_answers(served: RunningServer) -> None:
    with connected(served) as connection:
        connection.request("GET", LARGE)
        whole = len(connection.getresponse().read())
        wanted = UNREAD // whole + 1
        encrypted = connection.sock
        assert isinstance(encrypted, ssl.SSLSocket)
        encrypted.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        for _ in range(wanted):
            encrypted.sendall(f"GET {LARGE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_until_idle(served)  # the buffers are full
        with encrypted.makefile("rb") as answers:
            for _ in range(wanted):
                assert answers.readline() == b"HTTP/1.1 200 OK\r\n"
                while answers.readline() != b"\r\n":
                    pass
                assert len(answers.read(whole)) == whole
