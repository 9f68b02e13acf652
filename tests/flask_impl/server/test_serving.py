"""Requests and answers over real sockets, plain and with either TLS: the HTTP server cannot tell them apart."""

import http.client
import logging
import socket
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.validate import validator

import pytest

from tests.flask_impl.server.applications import Gate, echo, echo_while_it_comes, hello, refuse, show
from tests.flask_impl.server.conftest import Running, Serve, until

pytestmark = pytest.mark.end_to_end

MIB = 1 << 20


def read_with_the_standard_library(running: Running) -> http.client.HTTPConnection:
    if running.client_context is None:
        return http.client.HTTPConnection(*running.address, timeout=5)
    return http.client.HTTPSConnection(*running.address, timeout=5, context=running.client_context)


class TestRequests:
    def test_many_on_one_connection(self, serve: Serve) -> None:
        peer = serve(hello).connect()
        for _ in range(20):
            answer = peer.request()
            assert (answer.status, answer.body) == (200, b"hello")

    def test_each_on_a_connection_of_its_own(self, serve: Serve) -> None:
        running = serve(hello)
        for _ in range(5):
            peer = running.connect()
            assert peer.request(fields={"Connection": "close"}).fields["connection"] == "close"
            assert peer.ended()

    def test_octet_by_octet(self, serve: Serve) -> None:
        peer = serve(echo).connect()
        request = (
            b"POST / HTTP/1.1\r\nHost: device\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
        )
        for _ in range(2):
            peer.send(*(request[at : at + 1] for at in range(len(request))))
            assert peer.expect(method="POST").body == b"hello"

    def test_pipelined_requests_are_answered_in_their_order(self, serve: Serve) -> None:
        peer = serve(show, threads=2).connect()
        names = ["REQUEST_METHOD", "PATH_INFO", "SERVER_PROTOCOL"] * 20
        peer.send(b"".join(f"GET /?{name} HTTP/1.1\r\nHost: device\r\n\r\n".encode() for name in names))
        assert [peer.expect().body for _ in names] == [b"GET\n", b"/\n", b"HTTP/1.1\n"] * 20

    def test_a_pipelined_request_may_come_in_two_halves(self, serve: Serve) -> None:
        peer = serve(hello).connect()
        request = b"GET / HTTP/1.1\r\nHost: device\r\n\r\n"
        peer.send(request + request[:20])
        assert peer.expect().body == b"hello"
        peer.send(request[20:])
        assert peer.expect().body == b"hello"

    @pytest.mark.parametrize("kind", ["plain"])  # Python's TLS sockets cannot end in one direction alone
    def test_a_client_that_will_send_nothing_more_gets_its_answer(self, serve: Serve) -> None:
        peer = serve(hello).connect()
        peer.send(b"GET / HTTP/1.1\r\nHost: device\r\n\r\n")
        peer.socket.shutdown(socket.SHUT_WR)
        assert peer.expect().body == b"hello"
        assert peer.ended()

    def test_head_and_what_has_no_body_leave_the_connection_in_order(self, serve: Serve) -> None:
        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            start_response(
                {"/204": "204 No Content", "/304": "304 Not Modified"}.get(environ["PATH_INFO"], "200 OK"), []
            )
            return [b"hello"]

        peer = serve(application).connect()
        for method, target in (("HEAD", "/"), ("GET", "/204"), ("GET", "/304"), ("HEAD", "/204")):
            assert peer.request(target, method=method).body == b""
        assert peer.request().body == b"hello"

    def test_http_1_0(self, serve: Serve) -> None:
        peer = serve(hello).connect()
        peer.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert peer.expect().fields["connection"] == "keep-alive"
        peer.send(b"GET / HTTP/1.0\r\n\r\n")
        assert peer.rest().endswith(b"\r\n\r\nhello")

    def test_the_standard_librarys_client_understands_it(self, serve: Serve) -> None:
        client = read_with_the_standard_library(serve(echo_while_it_comes))
        for size in (0, 1, 100_000):
            client.request("POST", "/", body=b"a" * size)
            answer = client.getresponse()
            assert (answer.status, answer.read()) == (200, b"a" * size)
        client.close()

    def test_environment(self, serve: Serve, kind: str) -> None:
        running = serve(show)
        peer = running.connect()
        host, port = peer.socket.getsockname()[:2]
        names = ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_PORT", "wsgi.url_scheme", "HTTPS", "SSL_PROTOCOL", "RAW_URI")
        target = "/?" + "&".join(names)
        tls = ["http", "", ""] if kind == "plain" else ["https", "on", "TLSv1.3"]
        shown = peer.request(target).body.decode().splitlines()
        assert shown == [host, str(port), str(running.address[1]), *tls, target]

    def test_keeps_the_rules_of_wsgi(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """As wsgiref.validate sees them; it raises, and that would be a 500."""

        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            body = environ["wsgi.input"].read(5)
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [body, b" world"]

        peer = serve(validator(application)).connect()
        for size in (5, 100_000):
            assert peer.request(method="POST", body=b"hello".ljust(size)).body == b"hello world"
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


class TestConcurrency:
    def test_as_many_requests_at_a_time_as_there_are_threads(self, serve: Serve) -> None:
        gate = Gate()
        running = serve(gate, threads=4)
        peers = [running.connect() for _ in range(5)]
        for number, peer in enumerate(peers):
            peer.start(f"/{number}")
        for _ in range(4):
            assert gate.entered.acquire(timeout=5)
        assert not gate.entered.acquire(timeout=0.1)
        gate.opened.set()
        assert [peer.response().body for peer in peers] == [b"/%d" % number for number in range(5)]

    def test_many_clients(self, serve: Serve) -> None:
        running = serve(echo, threads=4)

        def converse(number: int) -> bool:
            with running.connect() as peer:
                bodies = [f"{number} {turn}".encode() * (turn * 200 + 1) for turn in range(10)]
                return [peer.request(method="POST", body=body).body for body in bodies] == bodies

        with ThreadPoolExecutor(20) as pool:
            assert all(pool.map(converse, range(40)))

    def test_one_client_that_pipelines_does_not_keep_the_only_thread(self, serve: Serve) -> None:
        gate = Gate()
        order: list[str] = []

        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            order.append(environ["QUERY_STRING"])
            return gate(environ, start_response)

        running = serve(application, threads=1)
        greedy, modest = running.connect(), running.connect()
        slow, fast = (f"GET {path}?greedy HTTP/1.1\r\nHost: device\r\n\r\n".encode() for path in ("/slow", "/free"))
        greedy.send(slow + fast * 100)
        assert gate.entered.acquire(timeout=5)
        modest.start("/free?modest")
        until(lambda: running.server._workers.waited_for)
        gate.opened.set()
        assert modest.response().status == 200
        assert [greedy.expect().status for _ in range(101)] == [200] * 101
        assert order[1] == "modest"


class TestFailingApplications:
    """An error is a 500 and a traceback in the log; one in the middle of an answer must not look like its end."""

    @pytest.mark.parametrize("error", [ZeroDivisionError, OSError, SystemExit, KeyboardInterrupt])
    def test_before_the_answer(
        self, serve: Serve, caplog: pytest.LogCaptureFixture, error: type[BaseException]
    ) -> None:
        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if environ["PATH_INFO"] == "/bad":
                raise error
            return hello(environ, start_response)

        running = serve(application, threads=1)
        for _ in range(3):  # the only thread survives it
            assert running.connect().request("/bad").status == 500
        assert running.connect().request().body == b"hello"
        failures = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(failures) == 3
        assert "GET /bad" in failures[0].getMessage()
        assert failures[0].exc_info is not None

    def test_in_the_middle_of_the_answer(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield b"hello"
            raise ZeroDivisionError

        peer = serve(application).connect()
        peer.send(b"GET / HTTP/1.1\r\nHost: device\r\n\r\n")
        received = b""
        try:
            received = peer.rest()
        except OSError:
            received += b""  # TLS noticed that it was cut off
        assert not received.endswith(b"0\r\n\r\n")
        assert "ZeroDivisionError" in caplog.text

    def test_500_with_a_body_that_nobody_reads(self, serve: Serve) -> None:
        def application(_environ: WSGIEnvironment, _start_response: StartResponse) -> Iterable[bytes]:
            raise ZeroDivisionError

        answer = serve(application).connect().request(method="POST", body=b"a" * MIB)
        assert answer.status == 500

    def test_a_client_that_resets_its_connection_is_no_error(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate = Gate()
        running = serve(gate, threads=1)
        peer = running.connect()
        peer.start()
        assert gate.entered.acquire(timeout=5)
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.socket.close()
        gate.opened.set()
        assert running.connect().request("/free").status == 200
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


class TestRefusals:
    """What is no request is answered by the server itself, in words, and ends the connection."""

    @pytest.mark.parametrize(
        ("sent", "status"),
        [
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
            (b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: b\r\n\r\n", 400),
            (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n", 400),
            (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
            (b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 100_000, 431),
            (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
            (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ],
    )
    def test_one_answer_and_no_more(self, serve: Serve, sent: bytes, status: int) -> None:
        peer = serve(hello).connect()
        peer.send(sent)
        answer = peer.expect(method=sent.split()[0].decode())
        assert (answer.status, answer.fields["connection"]) == (status, "close")
        assert answer.body.endswith(b"\n")
        assert peer.ended()

    def test_the_requests_before_it_are_answered(self, serve: Serve) -> None:
        peer = serve(hello).connect()
        peer.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2 + b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")
        assert [peer.expect().status for _ in range(3)] == [200, 200, 400]
        assert peer.ended()


class TestBodies:
    @pytest.mark.parametrize("size", [0, 1, 16_384, 65_536, 65_537, 8 * MIB])
    def test_come_back_as_they_were(self, serve: Serve, size: int) -> None:
        peer = serve(echo).connect()
        body = bytes(range(256)) * (size // 256) + b"a" * (size % 256)
        assert peer.request(method="POST", body=body).body == body
        assert peer.request(method="POST", body=b"next").body == b"next"

    def test_may_be_answered_while_they_come(self, serve: Serve) -> None:
        peer = serve(echo_while_it_comes).connect()
        peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n")
        received = b""
        for number in range(16):
            peer.send(bytes([number]) * 65_536)
            while received.count(bytes([number])) < 65_536:
                received += peer.socket.recv(65_536)
        peer.http.receive_data(received)
        assert peer.expect(method="POST").body == b"".join(bytes([number]) * 65_536 for number in range(16))

    def test_a_large_one_in_chunks(self, serve: Serve) -> None:
        peer = serve(echo).connect()
        peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for size in (1, 10, 100_000, 3):
            peer.send(b"%x\r\n%b\r\n" % (size, b"a" * size))
        peer.send(b"0\r\n\r\n")
        assert peer.expect(method="POST").body == b"a" * 100_014
        assert peer.request(method="POST", body=b"next").body == b"next"

    def test_many_tiny_chunks_are_many_octets_and_no_more(self, serve: Serve) -> None:
        peer = serve(echo).connect()
        peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        peer.send(b"1\r\na\r\n" * 70_000 + b"0\r\n\r\n")
        assert peer.expect(method="POST").body == b"a" * 70_000

    def test_may_be_read_line_by_line(self, serve: Serve) -> None:
        def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            lines = list(environ["wsgi.input"])
            start_response("200 OK", [])
            return [str(len(lines)).encode()]

        assert serve(application).connect().request(method="POST", body=b"line\n" * 50_000).body == b"50000"

    def test_unread_ones_end_the_connection_after_the_answer(self, serve: Serve) -> None:
        """All of it can be sent, and the answer is not lost to a reset on the way."""
        peer = serve(refuse).connect()
        answer = peer.request(method="POST", body=b"a" * 4 * MIB)
        assert (answer.status, answer.fields["connection"]) == (413, "close")
        assert peer.ended()

    def test_small_ones_that_are_not_read_do_no_harm(self, serve: Serve) -> None:
        peer = serve(refuse).connect()
        for _ in range(3):
            assert peer.request(method="POST", body=b"a" * 50_000).status == 413

    def test_100_continue_is_sent_when_the_application_reads(self, serve: Serve) -> None:
        peer = serve(echo).connect()
        peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert peer.socket.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.send(b"hello")
        assert peer.expect(method="POST").body == b"hello"
        assert peer.request(method="POST", body=b"next").body == b"next"

    def test_100_continue_is_not_sent_when_it_does_not(self, serve: Serve) -> None:
        peer = serve(refuse).connect()
        peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert peer.expect(method="POST").status == 413
        assert peer.ended()

    def test_malformed_in_the_middle(self, serve: Serve) -> None:
        peer = serve(echo).connect()
        peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        peer.send(b"%x\r\n%b\r\n" % (100_000, b"a" * 100_000), b"no chunk\r\n")
        assert peer.expect(method="POST").status == 400
        assert peer.ended()

    def test_cut_off_in_the_middle(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """By a client that is gone: nobody to answer, no reason for a traceback."""
        running = serve(echo, threads=1)
        for _ in range(3):
            with running.connect() as peer:
                peer.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"a" * 70_000)
        assert running.connect().request(method="POST", body=b"next").body == b"next"
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


class TestLargeAnswers:
    @pytest.mark.parametrize("stream", [False, True])
    def test_wait_for_a_reader_that_takes_its_time(self, serve: Serve, *, stream: bool) -> None:
        def application(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            start_response("200 OK", [])
            pieces = [bytes([number]) * MIB for number in range(8)]
            return iter(pieces) if stream else pieces

        peer = serve(application).connect()
        peer.start()
        time.sleep(0.3)  # its slowness is what is tested
        assert peer.response().body == b"".join(bytes([number]) * MIB for number in range(8))
        assert peer.request().status == 200
