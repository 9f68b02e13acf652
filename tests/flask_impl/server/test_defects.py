"""What must not bring the server down, hold it up, or lose an answer: one test for each thing that once did."""

import contextlib
import logging
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from OpenSSL import SSL

from flask_impl.server import Server
from flask_impl.server._client import Client, Phase
from flask_impl.server._limits import Limits
from flask_impl.server._loop import Loop
from flask_impl.server._pyopenssl import PyOpenSslConnection
from flask_impl.server._stdlib import StdlibConnection
from tests.flask_impl.server.applications import Gate, echo, hello
from tests.flask_impl.server.conftest import Serve, until, warnings
from tests.flask_impl.server.peers import silent

tls_only = pytest.mark.parametrize("kind", ["stdlib", "pyopenssl"])


class Endless:
    """A connection whose client sends for ever, faster than anybody can read."""

    def __init__(self) -> None:
        self.read = 0

    def discard(self) -> bool:
        self.read += 1
        return True


def test_a_client_that_never_stops_sending_has_its_turn_and_no_more() -> None:
    """Its goodbye was read off until it was through: as long as it liked, by the thread that serves everybody."""
    client: Any = type("AnyClient", (), {})()
    client.connection = Endless()
    assert Loop._read_off(client)
    assert client.connection.read < 100


@pytest.mark.end_to_end
@tls_only
def test_a_goodbye_right_behind_a_request_does_not_destroy_the_answer(serve: Serve) -> None:
    """A socket that is closed with something unread is reset, and what the kernel still had to send is lost."""
    size = 200_000  # which the kernel takes at once, and the client not for now
    asked, goodbye = threading.Event(), threading.Event()

    def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked.set()
        assert goodbye.wait(5)
        start_response("200 OK", [])
        return [b"a" * size]

    running = serve(application)
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(running.address)
        assert running.client_context is not None
        with running.client_context.wrap_socket(raw, server_hostname="127.0.0.1") as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert asked.wait(5)
            client.settimeout(0)
            with contextlib.suppress(ssl.SSLWantReadError):
                client.unwrap()  # in TLS 1.3 the other direction stays open
            goodbye.set()
            until(lambda: not running.server._bound()._clients)
            client.settimeout(5)
            received = 0
            while data := socket.socket.recv(client, 65536):  # ConnectionResetError at a reset
                received += len(data)
    assert received > size


@pytest.mark.end_to_end
def test_a_connection_that_epoll_refuses_is_dropped(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """There is a bound on what a user may watch (epoll(7), max_user_watches). The server ended at it."""
    running = serve(hello)
    loop = running.server._bound()
    epoll = Refusing(loop._epoll)
    monkeypatch.setattr(loop, "_epoll", epoll)
    with silent(running.address) as unlucky:
        assert unlucky.recv(1) == b""
    assert len(warnings(caplog)) == 1
    epoll.full = False
    assert running.connect().request().status == 200


@pytest.mark.end_to_end
@pytest.mark.parametrize("kind", ["plain"])
def test_without_descriptors_stalled_clients_make_room(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that say nothing kept everybody out until they were timed out."""
    running = serve(hello)
    with silent(running.address) as stalled:
        until(lambda: running.server._bound()._clients)
        loop = running.server._bound()
        assert loop._listener is not None
        listener = Exhausted(loop._listener)
        monkeypatch.setattr(loop, "_listener", listener)
        peer = running.connect()
        peer.start()
        until(lambda: listener.asked)
        assert stalled.recv(1) == b""
        listener.free = True
        assert peer.response().status == 200


class Exhausted:
    """A listener in a process that has no descriptor left."""

    def __init__(self, listener: socket.socket) -> None:
        self.asked, self.free = 0, False
        self._listener = listener

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        self.asked += 1
        if not self.free:
            raise OSError(24, "Too many open files")
        return self._listener.accept()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever a socket has)
        return getattr(self._listener, name)


class Refusing:
    """An epoll that takes no new descriptor."""

    def __init__(self, epoll: select.epoll) -> None:
        self.full = True
        self._epoll = epoll

    def register(self, fd: int, event: int) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self._epoll.register(fd, event)

    def __getattr__(self, name: str) -> object:
        return getattr(self._epoll, name)


@pytest.mark.end_to_end
@pytest.mark.parametrize("kind", ["pyopenssl"])
def test_a_connection_that_openssl_refuses_is_dropped(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyOpenSSL's errors are no OSErrors. The server ended at one."""
    running = serve(hello)

    def refuse(*_arguments: object) -> SSL.Connection:
        raise SSL.Error([("SSL routines", "", "malloc failure")])

    with monkeypatch.context() as patch:
        patch.setattr(SSL, "Connection", refuse)
        with silent(running.address) as unlucky:
            assert unlucky.recv(1) == b""
    assert running.connect().request().status == 200


@pytest.mark.end_to_end
@tls_only
def test_a_defect_in_a_step_costs_one_client(
    serve: Serve, kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = serve(hello)
    with monkeypatch.context() as patch:
        patch.setattr(StdlibConnection if kind == "stdlib" else PyOpenSslConnection, "handshake", fail)
        with pytest.raises(OSError, match=r"."):
            running.connect()
    assert running.connect().request().status == 200
    assert "the server failed" in caplog.text


def fail(*_arguments: object) -> None:
    raise RuntimeError("on purpose")


@pytest.mark.end_to_end
def test_a_failure_at_the_beginning_of_the_stop_loses_no_request(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    running = serve(gate, stopping=fail)
    peer = running.connect()
    peer.start()
    assert gate.entered.acquire(timeout=5)
    running.server.stop()
    until(lambda: "on purpose" in caplog.text)
    gate.opened.set()
    assert peer.response().status == 200
    running.wait(5)


@pytest.mark.end_to_end
@pytest.mark.parametrize("kind", ["stdlib"])
def test_requests_do_not_wait_for_the_handshakes_of_others(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn of the loop shook hands with up to 64 clients; with RSA-4096 that is half a second."""
    running = serve(hello, threads=1)
    peer = running.connect()
    assert peer.request().status == 200
    shaken = []

    def slowly(_connection: object) -> None:
        time.sleep(0.05)
        shaken.append(time.monotonic())
        raise ConnectionResetError

    monkeypatch.setattr(StdlibConnection, "handshake", slowly)
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(silent(running.address, b"\x16"))
        until(lambda: shaken)
        assert peer.request().status == 200
        assert len(shaken) < 15


@pytest.mark.end_to_end
@pytest.mark.parametrize("kind", ["plain"])
def test_waking_a_loop_that_ends_touches_no_other_descriptor(serve: Serve) -> None:
    """It wrote into what it had for its own: an error at best."""
    for _ in range(30):
        running = serve(hello)
        loop = running.server._bound()
        failed: list[BaseException] = []

        def wake(loop: Loop = loop, failed: list[BaseException] = failed) -> None:
            try:
                for _ in range(300):
                    loop._wake()
            except BaseException as error:  # noqa: BLE001 (asserted below)
                failed.append(error)

        waking = [threading.Thread(target=wake) for _ in range(2)]
        for thread in waking:
            thread.start()
        running.server.stop(0)
        running.wait(5)
        for thread in waking:
            thread.join()
        assert failed == []


@pytest.mark.parametrize("kind", ["plain"])
def test_threads_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The error comes out, the threads that were started end, the listener is closed."""
    assert kind == "plain"
    server = Server(hello, threads=4)
    address = server.bind()
    threads = server._workers._threads
    monkeypatch.setattr(threads[2], "start", fail)
    with pytest.raises(RuntimeError, match="on purpose"), contextlib.closing(server):
        server.run()
    assert not any(thread.is_alive() for thread in threads)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


@pytest.mark.end_to_end
def test_a_path_cannot_write_lines_into_the_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def application(_environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
        raise ZeroDivisionError

    assert serve(application).connect().request("/%0aERROR%20forged").status == 500
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(messages) == 1
    assert messages[0].endswith("the application failed at GET /%0aERROR%20forged")


@pytest.mark.end_to_end
def test_100_continue_is_not_sent_into_an_answer(serve: Serve) -> None:
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"begin, "
        yield environ["wsgi.input"].read()

    peer = serve(application).connect()
    peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    peer.send(b"end")  # without having been asked, as clients do that have waited for some time
    assert peer.expect(method="POST").body == b"begin, end"
    assert serve(echo).connect().request(method="POST", body=b"next").body == b"next"


def test_the_phases_of_a_client_are_all_told_apart() -> None:
    """A body that is too slow counts as stalled since it should have been there, everything else since it began."""
    connection: Any = type("AnyConnection", (), {"shakes_hands": True})()
    client = Client(connection, ("127.0.0.1", 1), Limits(body_idle_s=3))
    assert client.phase is Phase.HANDSHAKE
    assert client.stalled_since_s == client.since_s
    client.phase, client.deadline_s = Phase.BODY, 10.0
    assert client.stalled_since_s == 7.0
