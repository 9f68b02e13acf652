"""What one client may cost: in its handshake, its head, its body, its answer, between requests, and after the end."""

import socket
import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from certs import CertificateFiles
from tests.quart_impl.http2 import Http2Client
from tests.quart_impl.serving import (
    HALF_HELLO,
    Answers,
    TinyServer,
    ask,
    read_to_end,
    seconds_until_end,
    tiny_server,
    wait_until,
)

pytestmark = pytest.mark.end_to_end

SLACK_S = 1.5  # for a machine that does other things as well
LIMIT_S = 0.5
LIMITS = ("handshake_s", "head_s", "idle_s", "body_idle_s", "send_idle_s", "discard_s")
HEAD = b"POST / HTTP/1.1\r\nHost: device\r\n"


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def impatient(request: pytest.FixtureRequest, files: CertificateFiles, ca_file: Path) -> Iterator[TinyServer]:
    with tiny_server(files, ca_file, loop=request.param, limits=dict.fromkeys(LIMITS, LIMIT_S)) as server:
        yield server


def dribble(connection: socket.socket, octets: bytes) -> None:
    """Send an octet every 50 ms, until nobody wants to hear it."""
    for octet in octets:
        try:
            connection.sendall(bytes((octet,)))
        except (ConnectionError, ssl.SSLError):
            return
        time.sleep(0.05)


class TestHandshake:
    @pytest.mark.parametrize("said", [b"", HALF_HELLO], ids=["silent", "half a ClientHello"])
    def test_nobody_waits_for_it(self, impatient: TinyServer, said: bytes) -> None:
        stalled = impatient.connect()
        stalled.sendall(said)
        answers = Answers()
        ask(impatient.client(), answers)
        assert answers.statuses == [200]
        assert 0 < seconds_until_end(stalled) < LIMIT_S + SLACK_S

    def test_a_dribble_is_no_progress(self, impatient: TinyServer) -> None:
        stalled = impatient.connect()
        began_s = time.monotonic()
        dribble(stalled, HALF_HELLO * 4)
        assert time.monotonic() - began_s < LIMIT_S + SLACK_S
        with pytest.raises(ConnectionError):
            stalled.sendall(HALF_HELLO)
            read_to_end(stalled)
            stalled.sendall(HALF_HELLO)


class TestHead:
    def test_one_that_does_not_come(self, impatient: TinyServer) -> None:
        assert read_to_end(impatient.tls()) == b""

    @pytest.mark.parametrize("kept", [False, True], ids=["first", "second"])
    def test_half_of_one(self, impatient: TinyServer, *, kept: bool) -> None:
        client = impatient.client()
        if kept:
            ask(client, Answers())
        else:
            client.connect()
        client.sock.sendall(b"GET / HTTP/1.1\r\nHost:")
        assert read_to_end(client.sock).startswith(b"HTTP/1.1 408 ")

    def test_a_dribbled_one(self, impatient: TinyServer) -> None:
        connection = impatient.tls()
        dribble(connection, HEAD + b"\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


class TestIdle:
    def test_it_ends(self, impatient: TinyServer) -> None:
        connection, answers = impatient.client(), Answers()
        ask(connection, answers)
        assert LIMIT_S - 0.1 < seconds_until_end(connection.sock) < LIMIT_S + SLACK_S

    def test_it_is_no_limit_for_an_answer(self, impatient: TinyServer) -> None:
        answers = Answers()
        ask(impatient.client(), answers, seconds=0.9)
        assert answers.statuses == [200]


class TestBody:
    @pytest.mark.parametrize("framing", [b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n"])
    def test_one_that_does_not_come(self, impatient: TinyServer, framing: bytes) -> None:
        answer = impatient.exchange(HEAD + framing + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"connection: close\r\n" in answer

    def test_one_that_trickles(self, impatient: TinyServer) -> None:
        connection = impatient.tls()
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        dribble(connection, bytes(30))
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")

    def test_one_that_comes_in_its_own_time(self, impatient: TinyServer) -> None:
        connection = impatient.tls()
        connection.sendall(HEAD + b"Content-Length: 8000\r\n\r\n")
        for _ in range(8):
            time.sleep(0.1)
            connection.sendall(bytes(1000))
        assert connection.recv(1000).endswith(b"8000")


class TestAnswer:
    """Slow readers are welcome, stopped ones are not."""

    def reader(self, server: TinyServer) -> socket.socket:
        connection = server.tls()
        connection.sendall(b"GET /large?16 HTTP/1.1\r\nHost: device\r\n\r\n")
        wait_until(lambda: server.running() == 1)
        return connection

    def test_nobody_reads_it(self, impatient: TinyServer) -> None:
        reader = self.reader(impatient)
        wait_until(lambda: impatient.running() == 0)
        with pytest.raises((ConnectionError, ssl.SSLError, AssertionError)):
            assert len(read_to_end(reader)) > 2**24

    def test_somebody_reads_it_slowly(self, impatient: TinyServer) -> None:
        reader = self.reader(impatient)
        received = 0
        until_s = time.monotonic() + 4 * LIMIT_S
        while time.monotonic() < until_s:
            time.sleep(0.05)
            received += len(reader.recv(65536))
        assert len(read_to_end_of(reader, 2**24 - received)) >= 2**24 - received

    def test_somebody_has_asked_for_more_and_left(self, impatient: TinyServer) -> None:
        """A second request behind the first keeps Hypercorn from reading on; its end is noticed all the same."""
        connection = impatient.tls()
        connection.sendall(b"GET /?30 HTTP/1.1\r\nHost: device\r\n\r\n" * 2)
        wait_until(lambda: impatient.running() == 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leave with a reset
        connection.close()
        wait_until(lambda: impatient.running() == 0)


def read_to_end_of(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size and (piece := connection.recv(2**20)):
        received += piece
    return received


class TestEndless:
    """An application that answers without end stops when there is nobody to answer, and holds up nobody."""

    @pytest.mark.parametrize("reads", [True, False])
    def test_http1(self, impatient: TinyServer, *, reads: bool) -> None:
        connection = impatient.tls()
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: device\r\n\r\n")
        wait_until(lambda: impatient.running() == 1)
        if reads:
            connection.recv(65536)
            connection.close()
        wait_until(lambda: impatient.running() == 0)

    @pytest.mark.parametrize("leaves", [True, False])
    def test_http2(self, impatient: TinyServer, *, leaves: bool) -> None:
        client = Http2Client(impatient)
        client.ask("/endless")
        wait_until(lambda: impatient.running() == 1)
        if leaves:
            client.socket.close()
        wait_until(lambda: impatient.running() == 0)


class TestParting:
    def test_who_sends_on_after_the_end_is_dropped(self, impatient: TinyServer) -> None:
        connection = impatient.tls()
        connection.sendall(b"POST /refused HTTP/1.1\r\nHost: device\r\nContent-Length: 1000000000\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 403 ")
        began_s = time.monotonic()
        with pytest.raises((ConnectionError, ssl.SSLError)):
            while time.monotonic() < began_s + 10:
                connection.sendall(bytes(1000))
                time.sleep(0.02)
        assert time.monotonic() - began_s < LIMIT_S + SLACK_S


def test_without_tls(ca_file: Path) -> None:
    with tiny_server(None, ca_file, limits=dict.fromkeys(LIMITS, LIMIT_S)) as server:
        assert server.exchange() == b""
        assert server.exchange(b"GET / HTTP/1.1\r\n").startswith(b"HTTP/1.1 408 ")
        assert server.exchange(HEAD + b"Content-Length: 9\r\n\r\n").startswith(b"HTTP/1.1 408 ")
        assert server.complaints() == ""


def test_nothing_of_this_is_complained_of(impatient: TinyServer) -> None:
    reasons = {line.partition(": ")[2] for line in impatient.lines()}
    assert reasons == {"TLS handshake timed out"}
