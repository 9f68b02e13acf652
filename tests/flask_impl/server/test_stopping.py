"""The stop: what has arrived is answered, nobody is kept, and it takes no longer than it may."""

import socket
import ssl
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from wsgiref.types import StartResponse, WSGIEnvironment

import h11
import pytest

from flask_impl.server import Server
from tests.flask_impl.server.applications import Gate, echo, hello
from tests.flask_impl.server.conftest import Running, Serve, until
from tests.flask_impl.server.peers import Peer, client_hello, silent

pytestmark = pytest.mark.end_to_end


LINGER_S = 0.3
BODY_S = 0.4
HALF_A_HEAD = b"GET / HTTP/1.1\r\nHost: dev"


@pytest.fixture(autouse=True)
def _sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flask_impl.server._loop._STOP_LINGER_S", LINGER_S)
    monkeypatch.setattr("flask_impl.server._server._LAST_WORDS_S", 0.2)


def slow(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    time.sleep(0.05)
    start_response("200 OK", [])
    return [b"done"]


class TestGraceful:
    def test_a_request_at_work_is_answered(self, serve: Serve) -> None:
        gate = Gate()
        running = serve(gate)
        peer = running.connect()
        peer.start()
        assert gate.entered.acquire(timeout=5)
        running.server.stop()
        gate.opened.set()
        answer = peer.response()
        assert (answer.status, answer.fields["connection"]) == (200, "close")
        assert peer.ended()
        running.wait(5)

    def test_requests_that_wait_for_a_thread_are_answered(self, serve: Serve) -> None:
        gate = Gate()
        running = serve(gate, threads=1)
        peers = [running.connect() for _ in range(5)]
        for peer in peers:
            peer.start()
        assert gate.entered.acquire(timeout=5)
        running.server.stop()
        gate.opened.set()
        assert [peer.response().status for peer in peers] == [200] * 5
        running.wait(5)

    def test_pipelined_requests_are_answered_and_the_last_answer_says_that_it_is(self, serve: Serve) -> None:
        gate = Gate()
        running = serve(gate)
        peer = running.connect()
        peer.send(b"GET / HTTP/1.1\r\nHost: device\r\n\r\n" * 3)
        assert gate.entered.acquire(timeout=5)
        running.server.stop()
        gate.opened.set()
        assert [peer.expect().fields.get("connection") for _ in range(3)] == [None, None, "close"]
        assert peer.ended()

    def test_an_idle_connection_may_ask_once_more_at_once(self, serve: Serve) -> None:
        running = serve(hello)
        peer = running.connect()
        assert peer.request().status == 200
        running.server.stop()
        assert peer.request().fields["connection"] == "close"
        running.wait(5)

    def test_idle_and_silent_ones_are_let_go_after_that(self, serve: Serve) -> None:
        running = serve(hello)
        idle, unused = running.connect(), running.connect()
        assert idle.request().status == 200
        with silent(running.address) as mute:
            until(lambda: len(running.server._bound()._clients) == 3)
            started_s = time.monotonic()
            running.server.stop()
            assert idle.ended()
            assert unused.ended()
            with suppress(ConnectionResetError):  # in the middle of a handshake, if there is one
                assert mute.recv(100) == b""
            running.wait(5)
        assert LINGER_S * 0.9 < time.monotonic() - started_s < LINGER_S + 2

    def test_a_body_on_its_way_is_received(self, serve: Serve) -> None:
        running = serve(echo)
        peers = [running.connect() for _ in range(2)]
        for peer, size in zip(peers, (1000, 1_000_000), strict=True):
            peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size, b"a" * 500)
        until(lambda: len(running.server._bound()._waiting) == 1)  # the large body has taken a thread
        running.server.stop()
        time.sleep(LINGER_S + 0.2)  # longer than idle connections are kept
        for peer, size in zip(peers, (1000, 1_000_000), strict=True):
            peer.send(b"a" * (size - 500))
            assert peer.expect(method="POST").body == b"a" * size
        running.wait(5)

    @pytest.mark.parametrize("further", [False, True])
    def test_a_head_that_does_not_go_on_is_waited_for_as_long_as_one_that_has_not_begun(
        self, serve: Serve, *, further: bool
    ) -> None:
        """It held up the stop for the whole of its usual time, up to 10 s."""
        running = serve(hello)
        peer = running.connect()
        if further:
            assert peer.request().status == 200
        peer.send(HALF_A_HEAD)
        until(lambda: all(client.reader.has_begun() for client in running.server._bound()._clients))
        started_s = time.monotonic()
        running.server.stop()
        assert peer.expect().status == 408
        assert peer.ended()
        peer.socket.close()
        running.wait(5)
        assert time.monotonic() - started_s < LINGER_S + 2

    @pytest.mark.parametrize("size", [1000, 1_000_000])
    def test_a_body_that_does_not_go_on_is_waited_for_somewhat_longer(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch, size: int
    ) -> None:
        """Whether it has taken a thread (the large one) or not."""
        monkeypatch.setattr("flask_impl.server._loop.STOPPING_IDLE_S", BODY_S)
        monkeypatch.setattr("flask_impl.server._body.STOPPING_IDLE_S", BODY_S)
        monkeypatch.setattr("flask_impl.server._body._LOOK_S", 0.05)
        running = serve(echo)
        peer = running.connect()
        peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size, b"a" * 500)
        until(lambda: (len(running.server._bound()._waiting) == 0) is (size == 1_000_000))
        started_s = time.monotonic()
        running.server.stop()
        assert peer.expect(method="POST").status == 408
        assert LINGER_S < time.monotonic() - started_s < BODY_S + 2

    def test_new_connections_are_refused(self, serve: Serve) -> None:
        gate = Gate()
        running = serve(gate)
        peer = running.connect()
        peer.start()
        assert gate.entered.acquire(timeout=5)
        running.server.stop()
        until(lambda: running.server._bound()._listener is None)
        with pytest.raises(ConnectionRefusedError):
            running.connect()
        gate.opened.set()
        assert peer.response().status == 200

    def test_with_nobody_there_it_is_immediate(self, serve: Serve) -> None:
        running = serve(hello)
        with running.connect() as peer:
            assert peer.request().status == 200
        until(lambda: not running.server._bound()._clients)
        started_s = time.monotonic()
        running.server.stop()
        running.wait(5)
        assert time.monotonic() - started_s < LINGER_S

    def test_the_application_is_told(self, serve: Serve) -> None:
        told = threading.Event()
        running = serve(hello, stopping=told.set)
        assert not told.is_set()
        running.server.stop()
        running.wait(5)
        assert told.is_set()


def dribble(peer: Peer, ended: threading.Event) -> None:
    """Send a head without end."""
    peer.send(HALF_A_HEAD)
    with suppress(OSError):  # nobody takes it any more
        while not ended.wait(0.02):
            peer.send(b"a")


class TestUnderLoad:
    """The promise as a client sees it: each request is answered, or could safely be asked again elsewhere."""

    def ask_until_the_end(self, running: Running, asked: threading.Semaphore) -> list[str]:
        """Return what was wrong."""
        while True:
            try:
                peer = running.connect()
            except (ConnectionRefusedError, ConnectionResetError):  # reset: it was never accepted
                return []
            with peer:
                wrong = self._converse(peer.request, asked)
            if wrong is not None:
                return wrong

    @staticmethod
    def _converse(request: object, asked: threading.Semaphore) -> list[str] | None:
        assert callable(request)
        while True:
            try:
                answer = request()
            except (OSError, h11.RemoteProtocolError) as error:
                return [repr(error)]
            asked.release()
            if answer.body != b"done":
                return [repr(answer)]
            if answer.fields.get("connection") == "close":
                return None

    def test_no_request_fails(self, serve: Serve) -> None:
        running = serve(slow, threads=4)
        asked = threading.Semaphore(0)
        with ThreadPoolExecutor(12) as pool:
            asking = [pool.submit(self.ask_until_the_end, running, asked) for _ in range(12)]
            for _ in range(24):
                assert asked.acquire(timeout=5)
            running.server.stop()
            wrong = [one.result(10) for one in asking]
        running.wait(5)
        assert wrong == [[]] * 12

    def test_no_request_fails_either_with_all_sorts_of_others_about(
        self, serve: Serve, kind: str, trusting: ssl.SSLContext
    ) -> None:
        """Idle, silent, in the middle of a ClientHello or of a head, and dribbling: none of them holds up the stop."""
        running = serve(slow, threads=4)
        asked, ended = threading.Semaphore(0), threading.Event()
        with ExitStack() as stack, ThreadPoolExecutor(9) as pool:
            stack.callback(ended.set)
            for _ in range(3):
                assert running.connect().request().status == 200
                running.connect()
                running.connect().send(HALF_A_HEAD)
                stack.enter_context(silent(running.address))
                stack.enter_context(silent(running.address, b"" if kind == "plain" else client_hello(trusting)[:100]))
            dribbling = pool.submit(dribble, running.connect(), ended)
            asking = [pool.submit(self.ask_until_the_end, running, asked) for _ in range(8)]
            for _ in range(16):
                assert asked.acquire(timeout=5)
            started_s = time.monotonic()
            running.server.stop()
            assert [one.result(10) for one in asking] == [[]] * 8
            running.wait(5)
            assert time.monotonic() - started_s < 2 * LINGER_S + 2
            ended.set()
            dribbling.result(5)


class TestGrace:
    """It has an end."""

    def test_what_is_still_at_work_is_cut_off(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        gate = Gate()
        running = serve(gate)
        peer = running.connect()
        peer.start()
        assert gate.entered.acquire(timeout=5)
        started_s = time.monotonic()
        running.server.stop(0.2)
        with suppress(OSError):
            assert peer.socket.recv(100) == b""
        running.wait(5)
        assert 0.2 <= time.monotonic() - started_s < 3
        assert "1 connections cut off" in caplog.text
        assert "still in the application" in caplog.text
        gate.opened.set()
        until(lambda: not any(thread.is_alive() for thread in running.server._workers._threads))

    def test_a_slow_client_does_not_prolong_it(self, serve: Serve) -> None:
        running = serve(hello)
        peer = running.connect()
        peer.send(b"GET / HTTP/1.1\r\n")
        running.server.stop(0.3)
        running.wait(2)

    def test_a_second_stop_can_shorten_it(self, serve: Serve) -> None:
        gate = Gate()
        running = serve(gate)
        running.connect().start()
        assert gate.entered.acquire(timeout=5)
        running.server.stop(60)
        running.server.stop(60)
        assert running.thread.is_alive()
        running.server.stop(0)
        running.wait(3)
        gate.opened.set()


def test_a_stop_before_the_start_is_a_stop() -> None:
    server = Server(hello)
    address = server.bind()
    server.stop()
    server.run()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


def test_without_an_address_there_is_nothing_to_stop() -> None:
    with pytest.raises(RuntimeError, match="bind"):
        Server(hello).stop()


def test_a_port_in_use_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        Server(hello, port=taken.getsockname()[1]).bind()
