"""The little that the server knows of sockets, held by each of its kinds alike."""

import contextlib
import errno
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Never

import pytest

from certs import CertificateFiles
from flask_impl.server._connection import (
    RECORD,
    Blocked,
    Connection,
    HandshakeError,
    PlainHttpError,
    WantRead,
    WantWrite,
    receive_by,
    send_all,
    wait,
)
from flask_impl.server._contexts import transport
from tests.flask_impl.server.conftest import server_context, until
from tests.flask_impl.server.peers import client_hello

RATE = 1000.0  # octets/s
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class Ends:
    """Both ends of a connection over loopback."""

    server: Connection
    client: socket.socket

    def arrived(self) -> None:
        """Wait until something the client did can be seen at the server."""
        wait(self.server, WantRead.event, time.monotonic() + 5)


@pytest.fixture
def tcp(kind: str, certificate: CertificateFiles) -> Iterator[Ends]:
    """A connection whose handshake, where there is one, has not begun."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        client.settimeout(5)
        accepted, _ = listener.accept()
        ends = Ends(transport(server_context(kind, certificate)).connect(accepted), client)
        yield ends
        ends.client.close()
        ends.server.close()


@pytest.fixture
def ends(tcp: Ends, kind: str, trusting: ssl.SSLContext) -> Ends:
    """A connection that is ready to be used."""
    if kind != "plain":
        tcp.client = trusting.wrap_socket(tcp.client, server_hostname="127.0.0.1", do_handshake_on_connect=False)
        shake_hands(tcp)
        tcp.server.send(b"!")  # after the session tickets, which are not to lie about unread: that makes an end a reset
        assert tcp.client.recv(1) == b"!"
    tcp.server.handshake()
    return tcp


def shake_hands(ends: Ends) -> None:
    assert isinstance(ends.client, ssl.SSLSocket)
    ends.client.settimeout(0)
    done: set[str] = set()
    while done != {"server", "client"}:
        with contextlib.suppress(Blocked):
            ends.server.handshake()
            done.add("server")
        with contextlib.suppress(ssl.SSLWantReadError):
            ends.client.do_handshake()
            done.add("client")
    ends.client.settimeout(5)


tls_only = pytest.mark.parametrize("kind", ["stdlib", "pyopenssl"])


class TestReceive:
    def test_nothing_has_come(self, ends: Ends) -> None:
        with pytest.raises(WantRead):
            ends.server.receive()

    def test_what_has_come(self, ends: Ends) -> None:
        for data in (b"a", b"hello"):
            ends.client.sendall(data)
            ends.arrived()
            assert ends.server.receive() == data
            assert not ends.server.pending()

    def test_a_large_piece_comes_record_by_record(self, ends: Ends) -> None:
        ends.client.sendall(b"a" * 3 * RECORD)
        received = b""
        while len(received) < 3 * RECORD:
            received += (piece := receive_by(ends.server, time.monotonic() + 5))
            assert len(piece) <= RECORD
        assert received == b"a" * 3 * RECORD

    def test_the_end(self, ends: Ends, kind: str) -> None:
        ends.client.sendall(b"last")
        if kind == "plain":
            ends.client.shutdown(socket.SHUT_WR)
        else:
            assert isinstance(ends.client, ssl.SSLSocket)
            ends.client.settimeout(0)
            with contextlib.suppress(ssl.SSLWantReadError):
                ends.client.unwrap()
        assert receive_by(ends.server, time.monotonic() + 5) == b"last"
        assert receive_by(ends.server, time.monotonic() + 5) == b""

    def test_an_end_without_a_goodbye_is_an_end_too(self, ends: Ends) -> None:
        ends.client.close()
        ends.arrived()
        assert ends.server.receive() == b""

    def test_a_reset_is_an_end_or_an_error(self, ends: Ends) -> None:
        """The standard library's TLS makes no difference between the two."""
        ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        ends.client.close()
        ends.arrived()
        try:
            assert ends.server.receive() == b""
        except ConnectionResetError as error:
            assert error.errno == errno.ECONNRESET  # noqa: PT017 (only if there is one)

    @tls_only
    def test_garbage_is_an_error(self, ends: Ends) -> None:
        socket.socket.send(ends.client, b"\x17\x03\x03\x00\x05hello" * 10)
        ends.arrived()
        with pytest.raises(OSError, match=r".") as caught:
            ends.server.receive()
        assert not isinstance(caught.value, TimeoutError)

    def test_the_deadline_is_for_all_of_it(self, ends: Ends) -> None:
        started_s = time.monotonic()
        with pytest.raises(TimeoutError):
            receive_by(ends.server, started_s + 0.05)
        assert 0.05 <= time.monotonic() - started_s < 1


class TestSend:
    @pytest.mark.parametrize("size", [1, RECORD, RECORD + 1, 300_000])
    def test_all_of_it(self, ends: Ends, size: int) -> None:
        data = bytes(number % 251 for number in range(size))
        send_all(ends.server, data, 1, RATE)
        received = b""
        while len(received) < size:
            received += ends.client.recv(65536)
        assert received == data

    def test_to_a_client_that_takes_nothing(self, ends: Ends) -> None:
        with pytest.raises(WantWrite):
            again(lambda: ends.server.send(b"a" * RECORD))
        started_s = time.monotonic()
        with pytest.raises(TimeoutError):
            send_all(ends.server, b"a" * RECORD, 0.05, RATE)
        assert 0.05 <= time.monotonic() - started_s < 1

    def test_to_a_client_that_takes_a_little_now_and_then(self, ends: Ends) -> None:
        """Never nothing for so long that it would be idle, and never enough."""
        gave_up = threading.Event()

        def nibble() -> None:
            with contextlib.suppress(OSError):
                while not gave_up.wait(0.05):
                    ends.client.recv(65536)

        nibbling = threading.Thread(target=nibble)
        nibbling.start()
        try:
            with pytest.raises(TimeoutError):
                send_all(ends.server, b"a" * (1 << 26), 0.5, rate=1e9)
        finally:
            gave_up.set()
            nibbling.join()

    def test_goes_on_after_it_was_blocked(self, ends: Ends) -> None:
        """Nothing is lost or sent twice: TLS wants the same data again, wherever they are in memory."""
        data = bytes(number % 251 for number in range(251)) * 80_000  # 20 MB, which no socket holds
        sent = 0
        with contextlib.suppress(Blocked):
            while True:
                sent += ends.server.send(data[sent : sent + RECORD])
        received = bytearray()
        while len(received) < sent:
            received += ends.client.recv(1 << 20)
        send_all(ends.server, data[sent : sent + 100_000], 5, RATE)
        while len(received) < sent + 100_000:
            received += ends.client.recv(1 << 20)
        assert received == data[: sent + 100_000]

    def test_to_nobody(self, ends: Ends) -> None:
        ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        ends.client.close()
        ends.arrived()
        with pytest.raises(OSError, match=r"."):
            again(lambda: ends.server.send(b"hello"))


class TestEnds:
    def test_shutdown_is_seen_as_a_proper_end(self, ends: Ends) -> None:
        ends.server.shutdown()
        assert ends.client.recv(100) == b""

    def test_what_the_client_still_sends_can_be_thrown_away(self, ends: Ends) -> None:
        ends.server.shutdown()
        with pytest.raises(Blocked):
            again(ends.server.discard)
        socket.socket.sendall(ends.client, b"a" * 100_000)
        until(lambda: discarded(ends.server))
        ends.client.close()
        until(lambda: ended(ends.server))

    def test_cut_ends_what_another_thread_waits_for(self, ends: Ends) -> None:
        ends.server.cut()
        assert receive_by(ends.server, time.monotonic() + 5) == b""
        with pytest.raises(OSError, match=r".") as caught:
            ends.server.send(b"hello")
        assert not isinstance(caught.value, TimeoutError)

    @pytest.mark.parametrize("end", ["shutdown", "cut", "close"])
    def test_can_be_called_in_any_state(self, ends: Ends, end: str) -> None:
        ends.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        ends.client.close()
        ends.arrived()
        operation: Callable[[], None] = getattr(ends.server, end)
        operation()
        operation()


def again(operation: Callable[[], object]) -> Never:
    """Do it until it raises something."""
    while True:
        operation()


def discarded(server: Connection) -> bool:
    with contextlib.suppress(Blocked):
        return server.discard()
    return False


def ended(server: Connection) -> bool:
    try:
        return not server.discard()
    except Blocked:
        return False
    except OSError:
        return True


@tls_only
class TestHandshake:
    def test_waits_for_the_client_and_says_what_was_agreed_on(self, tcp: Ends, trusting: ssl.SSLContext) -> None:
        with pytest.raises(WantRead):
            tcp.server.handshake()
        tcp.client = trusting.wrap_socket(tcp.client, server_hostname="127.0.0.1", do_handshake_on_connect=False)
        shake_hands(tcp)
        tls = tcp.server.tls()
        assert tls is not None
        assert isinstance(tcp.client, ssl.SSLSocket)
        cipher = tcp.client.cipher()
        assert cipher is not None
        assert (tls.version, tls.cipher, tls.certificate) == ("TLSv1.3", cipher[0], None)

    def test_half_a_client_hello_is_waited_for(self, tcp: Ends, trusting: ssl.SSLContext) -> None:
        tcp.client.sendall(client_hello(trusting)[:100])
        tcp.arrived()
        with pytest.raises(WantRead):
            tcp.server.handshake()

    @pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"POST / HTTP/1.1\r\nHost: a\r\n\r\n"])
    def test_plain_http_is_told_apart(self, tcp: Ends, sent: bytes) -> None:
        tcp.client.sendall(sent)
        tcp.arrived()
        with pytest.raises(PlainHttpError):
            tcp.server.handshake()
        tcp.server.send_in_the_clear(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert tcp.client.recv(1000) == b"HTTP/1.1 400 Bad Request\r\n\r\n"

    def test_garbage(self, tcp: Ends) -> None:
        tcp.client.sendall(b"\x00" * 100)
        tcp.arrived()
        with pytest.raises(HandshakeError, match=r"^[ -~]+$"):  # one line for a log
            tcp.server.handshake()

    def test_a_version_that_is_too_old_gets_an_alert(self, tcp: Ends) -> None:
        """RFC 8446 section 6: the client learns that it was not the network."""
        tcp.client.sendall(tls_1_1_client_hello())
        tcp.arrived()
        with pytest.raises(HandshakeError, match="protocol"):
            tcp.server.handshake()
        alert = tcp.client.recv(100)
        assert (alert[0], alert[-1]) == (21, 70)  # alert, protocol_version

    def test_a_client_that_leaves(self, tcp: Ends) -> None:
        tcp.client.close()
        tcp.arrived()
        with pytest.raises(ConnectionError):
            tcp.server.handshake()

    def test_a_client_that_does_not_trust_us_says_so(self, tcp: Ends) -> None:
        tcp.client = ssl.create_default_context().wrap_socket(
            tcp.client, server_hostname="127.0.0.1", do_handshake_on_connect=False
        )
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(tcp)
        tcp.arrived()
        with pytest.raises(HandshakeError, match="alert"):
            tcp.server.handshake()


def tls_1_1_client_hello() -> bytes:
    """Return a ClientHello of RFC 4346 section 7.4.1.2: no extensions, one cipher suite."""
    body = b"\x03\x02" + b"\x00" * 32 + b"\x00" + b"\x00\x02\x00\x2f" + b"\x01\x00"
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(handshake).to_bytes(2, "big") + handshake


def test_a_connection_that_is_gone_before_it_was_accepted(kind: str, certificate: CertificateFiles) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
        accepted, _ = listener.accept()
        try:
            transport(server_context(kind, certificate)).connect(accepted).close()
        except OSError:
            accepted.close()
