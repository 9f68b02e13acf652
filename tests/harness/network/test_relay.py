"""A real relay between real sockets: bytes arrive whole, in order, and not before their time."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from harness.line_process import ProcessFailedError
from harness.network.relay import ADDRESS, Relay

LIMIT_S = 20.0  # beyond what anything here takes

pytestmark = pytest.mark.end_to_end


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accept connections one after another and hand each to `serve`; give the port."""
    with socket.create_server((ADDRESS, 0)) as listener:

        def accept() -> None:
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(LIMIT_S)
                    word = connection.recv(4, socket.MSG_PEEK)
                    if word == b"stop":
                        return
                    serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with socket.create_connection(listener.getsockname()) as last:
                last.sendall(b"stop")
            thread.join()


def echo(connection: socket.socket) -> None:
    """Send back what comes, until its end."""
    while data := connection.recv(1 << 16):
        connection.sendall(data)


def connect(port: int) -> socket.socket:
    connection = socket.create_connection((ADDRESS, port), LIMIT_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ask(connection: socket.socket) -> float:
    """Send a byte and wait for it; return how long that took, in µs."""
    started_ns = time.perf_counter_ns()
    connection.sendall(b"?")
    assert connection.recv(1) == b"?"
    return (time.perf_counter_ns() - started_ns) / 1000


class TestTime:
    """A round trip takes as long as it should: never less, and as a rule little more."""

    RTT_US = 20_000

    def test_round_trips(self) -> None:
        with server(echo) as port, Relay(ADDRESS, port, rtt_us=self.RTT_US) as relay:
            first_us, later_us = [], []
            for _ in range(3):
                started_ns = time.perf_counter_ns()
                with connect(relay.port) as connection:
                    ask(connection)
                    first_us.append((time.perf_counter_ns() - started_ns) / 1000)
                    later_us += [ask(connection) for _ in range(3)]
            lateness = relay.take_lateness()
        assert min(first_us) >= 2 * self.RTT_US  # TCP's handshake and the request
        assert min(later_us) >= self.RTT_US
        assert statistics.median(first_us) < 2.5 * self.RTT_US
        assert statistics.median(later_us) < 1.5 * self.RTT_US
        assert lateness.parcels >= 2 * len(later_us) + 2 * len(
            first_us
        )  # and ends, the last of which may be on its way
        assert 0 <= lateness.p50_us <= lateness.p99_us <= lateness.max_us

    def test_an_account_begins_anew(self) -> None:
        with server(echo) as port, Relay(ADDRESS, port, rtt_us=0) as relay, connect(relay.port) as connection:
            ask(connection)
            assert relay.take_lateness().parcels == 2
            assert relay.take_lateness().parcels == 0


class TestBytes:
    @pytest.mark.parametrize("rtt_us", [0, 3_000])
    def test_all_of_them_in_order(self, rtt_us: float) -> None:
        sent = bytes(range(256)) * 4096 * 3
        with server(echo) as port, Relay(ADDRESS, port, rtt_us=rtt_us) as relay, connect(relay.port) as connection:

            def send() -> None:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)

            sender = threading.Thread(target=send)
            sender.start()
            got = b""
            while data := connection.recv(1 << 16):
                got += data
            sender.join()
        assert got == sent

    def test_several_connections_at_once(self) -> None:
        def answer_length(connection: socket.socket) -> None:
            connection.sendall(f"{len(connection.recv(100))}".encode())

        with server(answer_length) as port, Relay(ADDRESS, port, rtt_us=5_000) as relay:
            connections = [connect(relay.port) for _ in range(9)]
            for number, connection in enumerate(connections):
                connection.sendall(b"x" * (number + 1))
            assert [connection.recv(10) for connection in connections] == [f"{n + 1}".encode() for n in range(9)]
            for connection in connections:
                connection.close()


class TestEnds:
    def test_a_half_closed_connection_still_answers(self) -> None:
        def sum_up(connection: socket.socket) -> None:
            total = 0
            while data := connection.recv(100):
                total += len(data)
            connection.sendall(f"{total}".encode())

        with server(sum_up) as port, Relay(ADDRESS, port, rtt_us=2_000) as relay, connect(relay.port) as connection:
            connection.sendall(b"four")
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(10) == b"4"
            assert connection.recv(10) == b""

    def test_nobody_behind_it_is_a_reset(self) -> None:
        with socket.socket() as unused:
            unused.bind((ADDRESS, 0))  # bound and not listening: refuses, and nobody else can take it
            with Relay(ADDRESS, unused.getsockname()[1], rtt_us=2_000) as relay, connect(relay.port) as connection:
                connection.sendall(b"?")
                with pytest.raises(ConnectionResetError):
                    connection.recv(1)

    def test_a_server_that_breaks_off(self) -> None:
        def break_off(connection: socket.socket) -> None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

        with server(break_off) as port, Relay(ADDRESS, port, rtt_us=2_000) as relay, connect(relay.port) as connection:
            connection.sendall(b"?")
            with pytest.raises(ConnectionResetError):
                connection.recv(1)


def test_a_relay_that_cannot_start_is_one_line() -> None:
    with pytest.raises(ProcessFailedError, match=r"^the relay to 127\.0\.0\.1:1 ended: .*") as caught:
        Relay(ADDRESS, 1, rtt_us=0, cpus=[4095])
    assert "\n" not in str(caught.value)


def test_no_negative_distance() -> None:
    with pytest.raises(ValueError, match="less than no time"):
        Relay(ADDRESS, 1, rtt_us=-1)
