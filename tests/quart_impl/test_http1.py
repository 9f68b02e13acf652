"""HTTP/1.1 read strictly: the head as it came, then a server that is asked in bad faith."""

from collections.abc import Iterator
from pathlib import Path

import h11
import pytest

from certs import CertificateFiles
from quart_impl.server import Limits
from quart_impl.server._http1 import check_head
from tests.quart_impl.serving import TinyServer, tiny_server

LIMITS = Limits(target=100, fields=10)
HOST = b"Host: device\r\n"
HIDDEN = b"GET /running HTTP/1.1\r\nHost: device\r\n\r\n"  # what a smuggled request would be


def post(fields: bytes, body: bytes = b"", *, version: bytes = b"1.1") -> bytes:
    return b"POST / HTTP/" + version + b"\r\n" + HOST + fields + b"\r\n" + body


# What it is, the request's octets, the status that refuses it.
REFUSED = [
    ("two framings", post(b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    ("and in the other order", post(b"Transfer-Encoding: chunked\r\ncontent-length: 6\r\n", b"0\r\n\r\n"), 400),
    ("two equal Content-Lengths", post(b"Content-Length: 3\r\nContent-Length: 3\r\n", b"abc"), 400),
    ("two Content-Lengths", post(b"Content-Length: 3\r\nContent-Length: 4\r\n", b"abc"), 400),
    ("a list of Content-Lengths", post(b"Content-Length: 3, 3\r\n", b"abc"), 400),
    ("a signed Content-Length", post(b"Content-Length: +3\r\n", b"abc"), 400),
    ("two codings", post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    ("another Transfer-Encoding", post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), 501),
    ("Transfer-Encoding in HTTP/1.0", post(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", version=b"1.0"), 400),
    ("a space before the colon", post(b"Content-Length : 3\r\n", b"abc"), 400),
    ("a folded line", post(b"Content-Length:\r\n 3\r\n", b"abc"), 400),
    ("a bare LF", post(b"A: b\nContent-Length: 3\r\n", b"abc"), 400),
    ("a head that ends in bare LFs", b"GET / HTTP/1.1\nHost: device\n\n", 400),
    ("a bare CR", post(b"A: b\rContent-Length: 3\r\n", b"abc"), 400),
    ("a method in lower case", b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    ("a method in both", b"Get / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    ("CONNECT", b"CONNECT device:443 HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    ("HTTP/2 in the clear", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("HTTP/0.9", b"GET /\r\n\r\n", 400),
    ("two Hosts", b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("a target that is no path", b"GET device HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    ("an expectation nobody knows", post(b"Expect: wonders\r\n"), 417),
    ("a long target", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    ("many fields", b"GET / HTTP/1.1\r\n" + HOST + b"a: b\r\n" * 200 + b"\r\n", 431),
    ("a large head", b"GET / HTTP/1.1\r\n" + HOST + b"a: " + b"b" * 40000 + b"\r\n\r\n", 431),
    ("a large head without an end", b"GET / HTTP/1.1\r\n" + HOST + b"a: " + b"b" * 40000, 431),
]  # fmt: skip

WELL_FORMED = [
    b"GET / HTTP/1.1\r\nHost: device\r\n\r\n",
    b"GET http://device/ HTTP/1.1\r\nHost: device\r\n\r\n",
    b"OPTIONS * HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: device\r\ncontent-length: 3\r\nExpect: 100-Continue\r\n\r\n",
    b"PUT / HTTP/1.1\r\nhost: device\r\nX-Content-Length: 4\r\nTransfer-Encoding:chunked\r\n\r\n",
    b"M-SEARCH / HTTP/1.1\r\nHost: device\r\nX: Content-Length: 4, 5\r\n\r\n",
]


@pytest.mark.parametrize("head", WELL_FORMED)
def test_what_is_well_formed_passes(head: bytes) -> None:
    check_head(head, LIMITS)


@pytest.mark.parametrize(
    ("head", "status"),
    [(b"GET /" + b"a" * 100 + b" HTTP/1.1\r\n\r\n", 414), (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 11 + b"\r\n", 431)],
)
def test_limits(head: bytes, status: int) -> None:
    with pytest.raises(h11.RemoteProtocolError) as caught:
        check_head(head, LIMITS)
    assert caught.value.error_status_hint == status


@pytest.fixture(scope="module")
def server(files: CertificateFiles, ca_file: Path) -> Iterator[TinyServer]:
    with tiny_server(files, ca_file) as running:
        yield running
        assert running.complaints() == ""


@pytest.mark.end_to_end
class TestRefusals:
    """One answer, then the end: what stands behind a request that cannot be read safely is never answered."""

    @pytest.mark.parametrize(("request_", "status"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
    def test_nothing_is_answered_behind_it(self, server: TinyServer, request_: bytes, status: int) -> None:
        answers = server.exchange(request_ + HIDDEN)
        assert answers.startswith(b"HTTP/1.1 %d " % status)
        assert answers.count(b"HTTP/1.1 ") == 1
        assert b"connection: close\r\n" in answers

    @pytest.mark.parametrize("case", REFUSED[:5], ids=[case[0] for case in REFUSED[:5]])
    def test_what_stands_before_it_is_answered(self, server: TinyServer, case: tuple[str, bytes, int]) -> None:
        answers = server.exchange(HIDDEN + case[1] + HIDDEN)
        assert answers.startswith(b"HTTP/1.1 200 ")
        assert answers.count(b"HTTP/1.1 ") == 2
        assert b"HTTP/1.1 %d " % case[2] in answers

    def test_in_small_pieces(self, server: TinyServer) -> None:
        request = post(b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n") + HIDDEN
        pieces = [request[at : at + 7] for at in range(0, len(request), 7)]
        connection = server.tls()
        for piece in pieces[:13]:
            connection.sendall(piece)
        answers = connection.recv(65536)
        assert answers.startswith(b"HTTP/1.1 400 ")


@pytest.mark.end_to_end
class TestConnections:
    """A connection speaks HTTP/1.1 to its end, and clients are told when that comes."""

    @pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
    def test_an_upgrade_is_passed_over(self, server: TinyServer, protocol: bytes) -> None:
        fields = b"Upgrade: %b\r\nHTTP2-Settings: AAMAAABk\r\nSec-WebSocket-Version: 13\r\n" % protocol
        ask = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: upgrade, close\r\n" + fields + b"\r\n"
        assert server.exchange(ask).startswith(b"HTTP/1.1 200 ")

    def test_pipelined_requests_are_answered_in_order(self, server: TinyServer) -> None:
        last = b"GET /running HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
        answers = server.exchange(b"GET /?0.1 HTTP/1.1\r\n" + HOST + b"\r\n" + HIDDEN + last)
        assert answers.count(b"HTTP/1.1 200 ") == 3
        assert answers.index(b"answered") < answers.index(b"\r\n\r\n0")

    def test_an_answer_before_the_body_is_the_last(self, server: TinyServer) -> None:
        """The rest of the body would have to be read before the next request, and may never come."""
        ask = b"POST /refused HTTP/1.1\r\n" + HOST + b"Content-Length: 10000000\r\n\r\n" + bytes(100000)
        answer = server.exchange(ask)
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"connection: close\r\n" in answer

    def test_a_client_that_sends_on_gets_its_answer_nevertheless(self, server: TinyServer) -> None:
        """Neither a queue that nobody empties nor a reset stands between it and the answer (4 MiB are sent here)."""
        head = b"POST /refused HTTP/1.1\r\n" + HOST + b"Content-Length: 4194304\r\n\r\n"
        answer = server.exchange(head, *[bytes(65536)] * 64)
        assert answer.startswith(b"HTTP/1.1 403 ")

    def test_an_answer_that_is_broken_off_does_not_look_whole(self, server: TinyServer) -> None:
        answer = server.exchange(b"GET /broken HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.endswith(b"5\r\nbegun\r\n")  # no last chunk
        server.forget()  # it complains of its application, rightly

    def test_a_body_that_is_wrongly_chunked(self, server: TinyServer) -> None:
        assert server.exchange(post(b"Transfer-Encoding: chunked\r\n", b"x\r\n")).startswith(b"HTTP/1.1 400 ")
