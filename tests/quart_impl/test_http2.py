"""HTTP/2 where Hypercorn alone would lose the connection, leave a client waiting, or take a method for another."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from h2.errors import ErrorCodes
from hyperframe.frame import PingFrame, SettingsFrame

from certs import CertificateFiles
from quart_impl.server._http2 import status_of
from tests.quart_impl.http2 import Http2Client
from tests.quart_impl.serving import TinyServer, tiny_server, wait_until

ENABLE_CONNECT_PROTOCOL = 8  # RFC 8441 section 3


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        (b"GET", b"/", None),
        (b"OPTIONS", b"*", None),
        (b"M-SEARCH", b"/?a=%20", None),
        (b"get", b"/", 501),
        (b"Get", b"/", 501),
        (b"G\xc3\x89T", b"/", 501),
        (b"CONNECT", b"", 501),
        (b"CONNECT", b"/", 501),
        (b"GET", b"/\xff", 400),
        (b"GET", b"device", 400),
        (b"GET", b"*", 400),
    ],
)
def test_what_is_refused(method: bytes, path: bytes, status: int | None) -> None:
    assert status_of({b":method": method, b":path": path}) == status


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest, files: CertificateFiles, ca_file: Path) -> Iterator[TinyServer]:
    with tiny_server(files, ca_file, loop=request.param) as running:
        yield running
        assert running.complaints() == ""


@pytest.fixture
def client(server: TinyServer) -> Http2Client:
    return Http2Client(server)


@pytest.mark.end_to_end
class TestRequests:
    def test_a_method_is_never_another_one(self, client: Http2Client) -> None:
        small, large = client.ask("/method", method="get"), client.ask("/method")
        assert client.read_answer(small) == b""
        assert client.read_answer(large) == b"GET"
        assert client.statuses() == {small: b"501", large: b"200"}

    def test_a_refused_request_with_a_body(self, client: Http2Client) -> None:
        stream = client.ask(method="post", whole=False)
        assert client.read_reset(stream) == ErrorCodes.NO_ERROR
        client.send(stream, b"on its way")
        assert client.read_answer(client.ask()) == b"answered"

    def test_tunnels_are_not_offered(self, client: Http2Client) -> None:
        client.read_answer(client.ask())
        (settings,) = [
            frame for frame in client.frames if isinstance(frame, SettingsFrame) and "ACK" not in frame.flags
        ]
        assert not settings.settings.get(ENABLE_CONNECT_PROTOCOL, 0)

    def test_a_body_larger_than_the_window(self, client: Http2Client) -> None:
        stream = client.ask(method="POST", whole=False)
        for _ in range(3):  # the window is 65,535 octets
            client.send(stream, bytes(16000))
        client.send(stream, b"", whole=True)
        assert client.read_answer(stream) == b"48000"


@pytest.mark.end_to_end
class TestHalves:
    """Each half of a stream is ended, and neither ends the connection."""

    def test_an_answer_before_the_body_is_whole(self, client: Http2Client) -> None:
        """Hypercorn alone: KeyError at the next DATA, and the connection with all its requests is gone."""
        slow = client.ask(seconds=0.3)
        upload = client.ask("/refused", method="POST", whole=False)
        assert client.read_answer(upload) == b"refused"
        client.send(upload, b"on its way")
        assert client.read_answer(slow) == b"answered"
        assert client.read_answer(client.ask()) == b"answered"
        assert client.statuses()[upload] == b"403"

    def test_the_client_is_told_to_stop_sending(self, client: Http2Client) -> None:
        upload = client.ask("/refused", method="POST", whole=False)
        assert client.read_reset(upload) == ErrorCodes.NO_ERROR

    def test_an_answer_that_is_broken_off(self, server: TinyServer, client: Http2Client) -> None:
        """Hypercorn alone: the client waits for the rest as long as it has patience."""
        stream = client.ask("/broken")
        assert client.read_reset(stream) == ErrorCodes.INTERNAL_ERROR
        assert client.read_answer(client.ask()) == b"answered"
        wait_until(lambda: "as a test wants it" in server.complaints())
        server.forget()

    def test_a_request_that_the_client_resets(self, server: TinyServer, client: Http2Client) -> None:
        stream = client.ask(seconds=30)
        wait_until(lambda: server.running() == 1)
        client.reset(stream)
        wait_until(lambda: server.running() == 0)
        assert client.read_answer(client.ask()) == b"answered"


@pytest.mark.end_to_end
class TestPatience:
    @pytest.fixture
    def impatient(self, files: CertificateFiles, ca_file: Path) -> Iterator[TinyServer]:
        with tiny_server(files, ca_file, head_s=0.5, idle_s=0.5, body_idle_s=0.5, send_idle_s=0.5, discard_s=0.3) as it:
            yield it
            assert it.complaints() == ""

    def test_one_that_never_asks(self, impatient: TinyServer) -> None:
        Http2Client(impatient).read_to_the_end()

    def test_one_that_only_pings(self, impatient: TinyServer) -> None:
        client = Http2Client(impatient)
        client.read_answer(client.ask())
        client.socket.sendall(PingFrame(0, b"12345678").serialize())
        assert client.read_goaway().error_code == ErrorCodes.NO_ERROR
        client.read_to_the_end()

    def test_one_that_has_reset_its_only_request(self, impatient: TinyServer) -> None:
        """Hypercorn alone: such a connection is never idle again."""
        client = Http2Client(impatient)
        client.reset(client.ask(seconds=30))
        client.read_to_the_end()

    def test_a_body_that_does_not_come(self, impatient: TinyServer) -> None:
        client = Http2Client(impatient)
        slow, stalled = client.ask(seconds=1), client.ask(method="POST", whole=False)
        client.send(stalled, b"a part")
        client.read_answer(stalled)
        client.read_answer(slow)  # the others go on
        assert client.statuses() == {stalled: b"408", slow: b"200"}

    def test_one_that_allows_nothing_of_its_answer(self, impatient: TinyServer) -> None:
        client = Http2Client(impatient)
        client.ask("/large?1")  # the window is 64 KiB
        client.read_to_the_end()
        wait_until(lambda: impatient.running() == 0)

    def test_one_that_allows_little_at_a_time(self, impatient: TinyServer) -> None:
        client = Http2Client(impatient)
        stream = client.ask("/large?1")
        left = 2**20 - client.read_data(65535)
        for _ in range(4):
            time.sleep(0.25)  # under the limit of 0.5 s each, and well over it together
            client.allow(0, 20000)
            client.allow(stream, 20000)
            left -= client.read_data(20000)
        client.allow(0, left)
        client.allow(stream, left)
        assert len(client.read_answer(stream)) == left
