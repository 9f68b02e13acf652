import os
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest
from quart import Quart

from certs import CertificateFiles
from device_api.ready import ReadyFileError
from device_api.startup import StartupError, listen
from quart_impl.server import serve as serve_app
from tests.quart_impl.conftest import Serve
from tests.quart_impl.serving import (
    HALF_HELLO,
    Answers,
    TinyServer,
    ask,
    ask_until_told,
    read_to_end,
    tiny_server,
    wait_until,
)

pytestmark = pytest.mark.end_to_end

# A stop in tests: as in life, but shorter.
LINGER_S, REQUESTS_S, CLOSE_S = 0.4, 3.0, 0.4
STOP = {"linger_s": LINGER_S, "requests_s": REQUESTS_S, "close_s": CLOSE_S}
SLACK_S = 1.5  # for a machine that does other things as well


def asking(server: TinyServer, answers: Answers, *, seconds: float) -> threading.Thread:
    """A client of its own whose one request takes that long, in a thread that has begun."""
    thread = threading.Thread(target=ask, args=(server.client(), answers), kwargs={"seconds": seconds})
    thread.start()
    return thread


def asking_on_and_on(server: TinyServer, answers: Answers) -> threading.Thread:
    thread = threading.Thread(target=ask_until_told, args=(server.client(), answers))
    thread.start()
    return thread


def is_refused(server: TinyServer) -> bool:
    try:
        server.connect()
    except ConnectionRefusedError:
        return True
    return False


class TestServing:
    @pytest.mark.parametrize("http2", [False, True])
    def test_both_versions_of_http(self, serve_on_each_loop: Serve, *, http2: bool) -> None:
        with (
            serve_on_each_loop() as server,
            httpx.Client(verify=server.trust or False, http2=http2, trust_env=False) as client,
        ):
            answer = client.get(f"https://127.0.0.1:{server.port}/")
            assert (answer.status_code, answer.text) == (200, "answered")
            assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")

    def test_without_tls(self, ca_file: Path) -> None:
        with tiny_server(None, ca_file) as server:
            answers = Answers()
            ask(server.client(), answers)
            assert answers == Answers(statuses=[200])
            server.signal()
            assert server.wait()[0] == 0

    def test_a_kept_connection_is_not_ended_after_many_requests(self, files: CertificateFiles, ca_file: Path) -> None:
        with tiny_server(files, ca_file) as server:
            connection, answers = server.client(), Answers()
            for _ in range(1010):  # Hypercorn's default is 1,000
                ask(connection, answers)
            assert not answers.told_to_close
            assert answers.statuses == [200] * 1010


class TestStop:
    """SIGTERM: what runs is answered, fast clients are told before their connection ends, nobody holds it up."""

    def test_under_load(self, serve_on_each_loop: Serve) -> None:
        fast, slow = [Answers() for _ in range(4)], [Answers() for _ in range(3)]
        with serve_on_each_loop(**STOP, handshake_s=10) as server:
            idle = [server.client() for _ in range(4)]
            for connection in idle:
                ask(connection, Answers())
            stalled = [server.connect() for _ in range(3)]
            stalled[0].sendall(HALF_HELLO)
            work = [asking_on_and_on(server, answers) for answers in fast]
            work += [asking(server, answers, seconds=s) for answers, s in zip(slow, (0.9, 1.3, 1.7), strict=True)]
            wait_until(lambda: all(len(answers.statuses) >= 5 for answers in fast) and server.running() >= len(slow))
            server.signal()
            status, took_s = server.wait()
            for thread in work:
                thread.join()
            complaints = server.complaints()
        assert [answers.failure for answers in fast + slow] == [""] * 7
        assert all(answers.told_to_close for answers in fast + slow)
        assert {status for answers in fast + slow for status in answers.statuses} == {200}
        assert (status, complaints) == (0, "")
        assert took_s < 1.7 + CLOSE_S + SLACK_S

    def test_nobody_there(self, serve_on_each_loop: Serve) -> None:
        with serve_on_each_loop(linger_s=5, requests_s=8) as server:
            server.signal()
            status, took_s = server.wait()
            assert (status, server.complaints()) == (0, "")
            assert took_s < SLACK_S

    def test_clients_that_leave_are_not_lingered_for(self, serve: Serve) -> None:
        with serve(linger_s=5, requests_s=8) as server:
            connection = server.client()
            ask(connection, Answers())
            server.signal()
            connection.close()
            assert server.wait()[1] < SLACK_S

    def test_new_clients_are_refused(self, serve: Serve) -> None:
        with serve(**STOP) as server:
            connection, answers = server.client(), Answers()
            ask(connection, answers)
            server.signal()
            wait_until(lambda: is_refused(server))  # "stopping" comes a moment before
            ask(connection, answers)
            assert answers == Answers(statuses=[200, 200], told_to_close=True)

    def test_a_client_in_its_handshake_is_served(self, serve: Serve) -> None:
        with serve(linger_s=2, requests_s=8) as server, server.connect() as raw:
            keeper = server.client()  # or there would be nobody to linger for
            ask(keeper, Answers())
            server.signal()
            assert server.trust is not None
            with server.trust.wrap_socket(raw, server_hostname="localhost") as late:
                late.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                answer = late.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"connection: close" in answer

    def test_who_waits_to_be_accepted_has_arrived(self, ca_file: Path) -> None:
        """asyncio's servers leave those in the kernel's queue to be reset."""
        with tiny_server(None, ca_file, limits=STOP) as server:
            server.process.send_signal(signal.SIGSTOP)
            waiting = [server.connect() for _ in range(40)]
            for connection in waiting:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: device\r\n\r\n")
            server.process.send_signal(signal.SIGTERM)
            server.process.send_signal(signal.SIGCONT)
            answers = [read_to_end(connection) for connection in waiting]
            assert [answer.partition(b" \r\n")[0] for answer in answers] == [b"HTTP/1.1 200"] * 40
            assert all(b"connection: close" in answer for answer in answers)
            assert server.wait()[0] == 0

    def test_half_a_head_is_not_waited_for(self, serve: Serve) -> None:
        with serve(**STOP) as server:
            connection = server.tls()
            connection.sendall(b"GET / HTTP/1.1\r\nHost:")
            ask(server.client(), Answers())  # the server has seen the other one by now
            server.signal()
            assert read_to_end(connection).startswith(b"HTTP/1.1 408 ")
            status, took_s = server.wait()
            assert status == 0
            assert took_s < LINGER_S + CLOSE_S + SLACK_S

    def test_a_body_that_is_arriving_is_waited_for(self, serve: Serve) -> None:
        with serve(**STOP) as server:
            connection = server.tls()
            connection.sendall(b"POST / HTTP/1.1\r\nHost: device\r\nContent-Length: 8\r\n\r\nhalf")
            ask(server.client(), Answers())
            server.signal()
            time.sleep(LINGER_S + 0.2)
            connection.sendall(b"half")
            assert read_to_end(connection).endswith(b"\r\n\r\n8")
            assert server.wait()[0] == 0

    def test_pipelined_requests_are_all_answered(self, serve: Serve) -> None:
        with serve(**STOP) as server:
            connection = server.tls()
            connection.sendall(b"GET /?0.5 HTTP/1.1\r\nHost: device\r\n\r\n" * 3)
            wait_until(lambda: server.running() == 1)
            server.signal()
            answers = read_to_end(connection)
            assert answers.count(b"HTTP/1.1 200") == 3
            assert answers.count(b"connection: close") == 1

    def test_what_takes_too_long_is_cut_off_and_told_of(self, serve_on_each_loop: Serve) -> None:
        with serve_on_each_loop(linger_s=0.2, requests_s=0.6, close_s=0.2) as server:
            answers = Answers()
            work = asking(server, answers, seconds=30)
            wait_until(lambda: server.running() == 1)
            server.signal()
            status, took_s = server.wait()
            work.join()
            assert (status, answers.statuses) == (0, [])
            assert took_s < 0.6 + 0.2 + SLACK_S
            assert server.complaints() == "stopping; requests still running after 0.6 s: 1\n"

    def test_a_second_interrupt_waits_for_nothing(self, serve: Serve) -> None:
        with serve(linger_s=9, requests_s=9, close_s=0.2) as server:
            connection = server.client()
            ask(connection, Answers())
            server.signal(signal.SIGINT)
            server.process.send_signal(signal.SIGINT)
            status, took_s = server.wait()
            assert status == 0
            assert took_s < SLACK_S


class TestStartup:
    """What keeps the app from starting is one line for whoever started it, and no port is left open."""

    def test_lifespan_fails(self) -> None:
        app = Quart("failing")

        @app.before_serving
        async def fail() -> None:
            raise RuntimeError("no disk")

        called: list[str] = []
        with listen("127.0.0.1", 0) as listener, pytest.raises(StartupError, match="no disk"):
            serve_app(app, listener, tls=None, accepting=lambda: called.append("accepting"))
        assert called == []

    def test_it_ends_badly(self, caplog: pytest.LogCaptureFixture) -> None:
        app = Quart("failing")

        @app.after_serving
        async def fail() -> None:
            raise RuntimeError("disk full")

        def accepting() -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        with listen("127.0.0.1", 0) as listener:
            serve_app(app, listener, tls=None, accepting=accepting)
        errors = [record.getMessage() for record in caplog.records if record.name == "quart_impl.server"]
        assert len(errors) == 1
        assert "disk full" in errors[0]

    def test_accepting_fails(self) -> None:
        def accepting() -> None:
            raise ReadyFileError("cannot write it")

        with listen("127.0.0.1", 0) as listener, pytest.raises(ReadyFileError):
            serve_app(Quart("unannounced"), listener, tls=None, accepting=accepting)
