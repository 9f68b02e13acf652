"""Clients that are slow, silent or too many: each costs itself time, and nobody else."""

import socket
import ssl
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from flask_impl.server import Limits
from tests.flask_impl.server.applications import Gate, echo, hello
from tests.flask_impl.server.conftest import Running, Serve, until, warnings
from tests.flask_impl.server.peers import client_hello, silent

pytestmark = pytest.mark.end_to_end

GET = b"GET / HTTP/1.1\r\nHost: device\r\n\r\n"
SHORT_S = 0.15
SLACK_S = 2.0  # for a busy machine; what is not cut off in time is not cut off at all


def seconds_until_end(opened: socket.socket) -> float:
    started_s = time.monotonic()
    try:
        while opened.recv(65536):
            pass
    except ConnectionResetError:
        pass  # an end, if not a kind one
    return time.monotonic() - started_s


class TestCutOff:
    """Every wait has an end of its own."""

    @pytest.mark.parametrize("kind", ["stdlib", "pyopenssl"])
    @pytest.mark.parametrize("octets", [0, 1, 5, 100])
    def test_in_the_handshake(
        self, serve: Serve, trusting: ssl.SSLContext, caplog: pytest.LogCaptureFixture, octets: int
    ) -> None:
        running = serve(hello, limits=Limits(handshake_s=SHORT_S))
        with silent(running.address, client_hello(trusting)[:octets]) as opened:
            assert SHORT_S * 0.9 <= seconds_until_end(opened) < SHORT_S + SLACK_S
        assert len(warnings(caplog)) == 1
        assert "handshake timed out" in caplog.text

    def test_after_the_handshake(self, serve: Serve) -> None:
        peer = serve(hello, limits=Limits(head_s=SHORT_S)).connect()
        assert SHORT_S * 0.9 <= seconds_until_end(peer.socket) < SHORT_S + SLACK_S

    def test_in_a_head_that_is_dribbled(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """One octet at a time is no way to get more time."""
        peer = serve(hello, limits=Limits(head_s=SHORT_S, linger_s=SHORT_S)).connect()
        started_s = time.monotonic()
        with suppress(OSError):  # in the end nobody takes them
            while time.monotonic() < started_s + 5:
                peer.send(b"a")
                time.sleep(0.01)
        assert SHORT_S * 0.9 <= time.monotonic() - started_s < 2 * SHORT_S + SLACK_S
        assert not warnings(caplog)

    def test_in_a_head_with_an_answer(self, serve: Serve) -> None:
        peer = serve(hello, limits=Limits(head_s=SHORT_S)).connect()
        peer.send(GET[:-1])
        assert peer.expect().status == 408
        assert peer.ended()

    def test_in_a_further_head(self, serve: Serve) -> None:
        peer = serve(hello, limits=Limits(head_s=SHORT_S)).connect()
        assert peer.request().status == 200
        peer.send(GET[:-1])
        assert peer.expect().status == 408

    def test_between_requests(self, serve: Serve) -> None:
        """Without an answer: nothing was asked."""
        peer = serve(hello, limits=Limits(idle_s=SHORT_S)).connect()
        for _ in range(3):
            assert peer.request().status == 200
        started_s = time.monotonic()
        assert peer.ended()
        assert SHORT_S * 0.9 <= time.monotonic() - started_s < SHORT_S + SLACK_S

    @pytest.mark.parametrize("length", [100, 100_000])
    def test_in_a_body_that_does_not_come(self, serve: Serve, length: int) -> None:
        peer = serve(echo, limits=Limits(body_idle_s=SHORT_S)).connect()
        peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length, b"a" * 50)
        assert peer.expect(method="POST").status == 408
        assert peer.ended()

    @pytest.mark.parametrize("length", [1000, 100_000])
    def test_in_a_body_that_is_dribbled(self, serve: Serve, length: int) -> None:
        peer = serve(echo, limits=Limits(body_idle_s=SHORT_S, body_rate=1000)).connect()
        peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
        started_s = time.monotonic()
        peer.socket.settimeout(0.02)
        answer = b""
        while not answer and time.monotonic() < started_s + SHORT_S + SLACK_S:
            peer.send(b"a")
            with suppress(TimeoutError):
                answer = peer.socket.recv(1000)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - started_s >= SHORT_S * 0.9

    def test_not_in_a_body_that_is_slow_but_steady(self, serve: Serve) -> None:
        peer = serve(echo, limits=Limits(body_idle_s=SHORT_S, body_rate=1000)).connect()
        peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000\r\n\r\n")
        for _ in range(8):
            peer.send(b"a" * 1000)
            time.sleep(SHORT_S / 4)
        assert peer.expect(method="POST").body == b"a" * 8000

    def test_the_time_that_the_application_takes_is_not_the_clients(self, serve: Serve) -> None:
        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            begin = environ["wsgi.input"].read(100_000)
            time.sleep(2 * SHORT_S)
            rest = environ["wsgi.input"].read()
            start_response("200 OK", [])
            return [str(len(begin + rest)).encode()]

        peer = serve(application, limits=Limits(body_idle_s=SHORT_S)).connect()
        assert peer.request(method="POST", body=b"a" * 500_000).body == b"500000"

    def test_when_it_takes_nothing_of_its_answer(self, serve: Serve) -> None:
        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            start_response("200 OK", [])
            return [b"a" * (1 << 25)] if environ["PATH_INFO"] == "/large" else [b"small"]

        running = serve(application, threads=1, limits=Limits(send_idle_s=SHORT_S))
        greedy = running.connect()
        greedy.start("/large")
        assert running.connect().request().body == b"small"  # after the only thread has given up
        with pytest.raises((OSError, AssertionError)):
            assert len(greedy.rest()) > 1 << 25

    def test_when_it_goes_on_sending_after_the_last_answer(self, serve: Serve) -> None:
        peer = serve(hello, limits=Limits(linger_s=SHORT_S)).connect()
        peer.send(b"nonsense\r\n\r\n")
        started_s = time.monotonic()
        with suppress(OSError):  # in the end nobody takes it
            while time.monotonic() < started_s + 5:
                socket.socket.send(peer.socket, b"more nonsense")
        assert SHORT_S * 0.9 <= time.monotonic() - started_s < SHORT_S + SLACK_S


class TestOthers:
    """However many stall, a good client beside them notices nothing."""

    def median_s(self, running: Running) -> float:
        """New connection, handshake, request, answer."""
        taken_s = []
        for _ in range(9):
            started_s = time.monotonic()
            with running.connect() as peer:
                assert peer.request().status == 200
            taken_s.append(time.monotonic() - started_s)
        return sorted(taken_s)[4]

    @pytest.mark.parametrize("how", ["silent", "half a ClientHello", "one octet of a head", "half a body"])
    def test_stalled(self, serve: Serve, kind: str, trusting: ssl.SSLContext, how: str) -> None:
        running = serve(hello, threads=2)
        sent = {
            "silent": b"",
            "half a ClientHello": client_hello(trusting)[:100],
            "one octet of a head": b"G",
            "half a body": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf",
        }[how]
        alone_s = self.median_s(running)
        with ExitStack() as stack:
            for _ in range(50):
                if how in ("silent", "half a ClientHello") or kind == "plain":
                    stack.enter_context(silent(running.address, sent))
                else:
                    running.connect().send(sent)
            beside_s = self.median_s(running)
        assert beside_s < 5 * alone_s + 0.05  # a guard, not a measurement: a stalled server takes seconds

    def test_busy(self, serve: Serve) -> None:
        """All threads at work: new clients still shake hands, and are served when one is free."""
        gate = Gate()
        running = serve(gate, threads=2)
        busy = [running.connect() for _ in range(2)]
        for peer in busy:
            peer.start()
            assert gate.entered.acquire(timeout=5)
        new = running.connect()
        new.start("/free")
        until(lambda: running.server._workers.waited_for)
        gate.opened.set()
        assert new.response().status == 200
        assert [peer.response().status for peer in busy] == [200, 200]


class TestRoom:
    """A bound on connections: the longest stalled makes room, then the longest idle, else new ones wait."""

    @pytest.fixture(autouse=True)
    def _impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("flask_impl.server._room.PATIENCE_S", 0.05)
        monkeypatch.setattr("flask_impl.server._room._IDLE_PATIENCE_S", 0.05)

    def test_stalled_ones_make_room_first(self, serve: Serve) -> None:
        running = serve(hello, connections=3)
        idle = running.connect()
        assert idle.request().status == 200
        with silent(running.address) as older, silent(running.address) as newer:
            until(lambda: len(running.server._bound()._clients) == 3)
            time.sleep(0.1)  # to be out of patience with both
            assert running.connect().request().status == 200
            assert seconds_until_end(older) < 1
            newer.settimeout(0.1)
            with pytest.raises(TimeoutError):
                newer.recv(1)
        assert idle.request().status == 200

    def test_idle_ones_make_room_next(self, serve: Serve) -> None:
        running = serve(hello, connections=2)
        older, newer = running.connect(), running.connect()
        for peer in (older, newer):
            assert peer.request().status == 200
            time.sleep(0.1)
        assert running.connect().request().status == 200
        assert older.ended()
        assert newer.request().status == 200

    def test_nobody_is_dropped_for_nobody(self, serve: Serve) -> None:
        running = serve(hello, connections=3)
        peers = [running.connect() for _ in range(3)]
        time.sleep(0.3)  # however long that is
        for peer in peers:
            assert peer.request().status == 200

    def test_busy_ones_do_not(self, serve: Serve) -> None:
        gate = Gate()
        running = serve(gate, connections=2, threads=2)
        busy = [running.connect() for _ in range(2)]
        for peer in busy:
            peer.start()
            assert gate.entered.acquire(timeout=5)

        def new() -> int:
            with running.connect() as peer:
                return peer.request("/free").status

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(new)
            until(lambda: running.server._bound()._paused)
            assert not waiting.done()
            gate.opened.set()
            assert [peer.response().status for peer in busy] == [200, 200]
            for peer in busy:
                peer.socket.close()
            assert waiting.result(5) == 200

    def test_without_descriptors_new_ones_wait(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        running = serve(hello)
        assert running.connect().request().status == 200
        loop = running.server._bound()
        assert loop._listener is not None
        exhausted = Exhausted(loop._listener)
        monkeypatch.setattr(loop, "_listener", exhausted)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(lambda: running.connect().request().status)
            until(lambda: exhausted.asked)
            exhausted.full = False
            assert waiting.result(5) == 200
        assert exhausted.asked < 20  # it does not spin
        assert "no new connection" in caplog.text


class Exhausted:
    """A listener in a process that has no descriptor left."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener, self.full, self.asked = listener, True, 0

    def fileno(self) -> int:
        return self.listener.fileno()

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        return self.listener.getsockopt(level, option, size)

    def close(self) -> None:
        self.listener.close()

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if self.full:
            self.asked += 1
            raise OSError(24, "Too many open files")
        return self.listener.accept()
