"""What no client should send, on real sockets and with either library.

Each time: the alert that tells the client what was wrong, where the library sends one (its number on the wire, RFC 8446
section 6); one line at warning level; no traceback; and the next good client is served.
"""

import contextlib
import datetime as dt
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from OpenSSL import SSL

from certs import CertificateFiles, client_context, issue_client_certificate
from flask_impl.server import Limits
from tests.flask_impl.server.applications import echo, hello
from tests.flask_impl.server.conftest import Running, Serve, server_context, until, warnings
from tests.flask_impl.server.peers import Peer, client_hello, silent
from tests.requirements import require_program

pytestmark = [pytest.mark.end_to_end, pytest.mark.parametrize("kind", ["stdlib", "pyopenssl"])]

ALERT = 21
FATAL = 2
UNEXPECTED_MESSAGE, RECORD_OVERFLOW, HANDSHAKE_FAILURE = 10, 22, 40
CERTIFICATE_EXPIRED, UNKNOWN_CA, PROTOCOL_VERSION, NO_APPLICATION_PROTOCOL = 45, 48, 70, 120
SHORT_S = 0.2


@pytest.fixture
def is_well(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[Running, str], None]]:
    """What holds after each of them."""

    def check(running: Running, line: str) -> None:
        until(lambda: warnings(caplog))
        assert running.connect().request().status == 200
        assert len(warnings(caplog)) == 1
        assert re.search(rf"^127\.0\.0\.1 port \d+: {line}$", warnings(caplog)[0])
        assert "\n" not in warnings(caplog)[0]

    yield check
    assert "Traceback" not in caplog.text


def records(received: bytes) -> list[tuple[int, bytes]]:
    """Split what a server has sent into TLS records: type and content (RFC 8446 section 5.1)."""
    found = []
    while received:
        size = int.from_bytes(received[3:5], "big")
        assert len(received) >= 5 + size
        found.append((received[0], received[5 : 5 + size]))
        received = received[5 + size :]
    return found


def answer_to(running: Running, sent: bytes) -> bytes:
    """Send this and receive all that there is."""
    with silent(running.address, sent) as opened:
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while data := opened.recv(65536):
                received += data
    return received


def offering(
    *,
    newest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED,
    ciphers: str | None = None,
    protocols: tuple[str, ...] = (),
) -> bytes:
    """Return the ClientHello of a client with little to offer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = newest
    if ciphers is not None:
        context.set_ciphers(ciphers)
    if protocols:
        context.set_alpn_protocols(protocols)
    return client_hello(context)


def old_hello(minor: int) -> bytes:
    """Return a ClientHello as RFC 2246 and 4346 have it in section 7.4.1.2: no extensions, one cipher suite."""
    body = bytes((3, minor)) + bytes(32) + b"\x00" + b"\x00\x02\x00\x2f" + b"\x01\x00"
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16" + bytes((3, minor)) + len(handshake).to_bytes(2, "big") + handshake


@dataclass(frozen=True)
class Case:
    sent: bytes
    line: str  # in the log; a pattern
    alert: int | None  # its number; None: OpenSSL sends none to what does not look like TLS at all


HELLO = offering()
CASES = {
    "SSL 3": Case(old_hello(0), "version too low", None),
    "TLS 1.0": Case(old_hello(1), "unsupported protocol", PROTOCOL_VERSION),
    "TLS 1.1": Case(old_hello(2), "unsupported protocol", PROTOCOL_VERSION),
    "no shared cipher": Case(
        offering(newest=ssl.TLSVersion.TLSv1_2, ciphers="AES128-SHA"), "no shared cipher", HANDSHAKE_FAILURE
    ),
    "a CBC cipher of TLS 1.2": Case(
        offering(newest=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256"),
        "no shared cipher",
        HANDSHAKE_FAILURE,
    ),
    "zeros": Case(bytes(1000), "wrong version number", None),
    "ones": Case(b"\xff" * 1000, "wrong version number", None),
    "SSH": Case(b"SSH-2.0-OpenSSH_9.2\r\n", "wrong version number", None),
    "data before the handshake": Case(b"\x17\x03\x03\x00\x05hello", "unexpected message", UNEXPECTED_MESSAGE),
    "an alert before the handshake": Case(b"\x15\x03\x03\x00\x02\x02\x28", "unexpected message", UNEXPECTED_MESSAGE),
    "a ServerHello": Case(HELLO[:5] + b"\x02" + HELLO[6:], "unexpected message", UNEXPECTED_MESSAGE),
    "a record that is too long": Case(
        b"\x16\x03\x01\xff\xff" + bytes(70_000), "packet length too long|data length too long", RECORD_OVERFLOW
    ),
    "many empty records": Case(b"\x16\x03\x01\x00\x00" * 40, "record too small", UNEXPECTED_MESSAGE),
}


@pytest.mark.parametrize("name", CASES)
def test_in_place_of_a_handshake(serve: Serve, is_well: Callable[[Running, str], None], name: str) -> None:
    case = CASES[name]
    running = serve(hello)
    received = records(answer_to(running, case.sent))
    if name == "SSL 3":  # the two OpenSSLs differ in how they put it
        assert [(kind, content[0]) for kind, content in received] == [(ALERT, FATAL)]
    elif case.alert is None:
        assert received == []
    else:
        assert received == [(ALERT, bytes((FATAL, case.alert)))]
    is_well(running, f"TLS handshake failed: ({case.line})")


def test_a_second_hello_in_place_of_the_end_of_the_handshake(
    serve: Serve, is_well: Callable[[Running, str], None]
) -> None:
    """By then the server's alerts are encrypted, so it is their size that tells: a record of 2 + 1 + 16 octets."""
    running = serve(hello)
    kind, content = records(answer_to(running, HELLO + HELLO))[-1]
    assert (kind, len(content)) == (23, 19)
    is_well(running, "TLS handshake failed: bad record type")


class TestPlainHttp:
    """A readable answer, whatever the method: OpenSSL by itself tells some of them from garbage, some not."""

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
    def test_is_told_where_to_go(self, serve: Serve, is_well: Callable[[Running, str], None], method: str) -> None:
        running = serve(hello)
        with Peer(running.address, None) as peer:
            answer = peer.request(method=method, body=b"a" * 100_000 if method in ("POST", "PUT") else b"")
            assert (answer.status, answer.fields["connection"]) == (400, "close")
            assert b"https://" in answer.body or method == "HEAD"
            if method != "HEAD":
                assert peer.ended()
        is_well(running, "spoke plain HTTP to the TLS port")

    def test_also_a_client_that_takes_this_for_a_proxy(
        self, serve: Serve, is_well: Callable[[Running, str], None]
    ) -> None:
        running = serve(hello)
        answer = answer_to(running, b"CONNECT device:443 HTTP/1.1\r\nHost: device:443\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        is_well(running, "spoke plain HTTP to the TLS port")


class TestWrongProtocol:
    """ALPN, RFC 7301: a client that offers what is not spoken here, alone."""

    def test_is_an_alert_with_pyopenssl(self, serve: Serve, kind: str, is_well: Callable[[Running, str], None]) -> None:
        if kind == "stdlib":
            return  # the next test is about it
        running = serve(hello)
        received = records(answer_to(running, offering(protocols=("h2",))))
        assert received == [(ALERT, bytes((FATAL, NO_APPLICATION_PROTOCOL)))]
        is_well(running, "TLS handshake failed: no application protocol")

    def test_cannot_be_one_with_the_standard_library(
        self, serve: Serve, kind: str, certificate: CertificateFiles
    ) -> None:
        """It goes on without a protocol. Whoever then speaks HTTP/2 all the same is told in HTTP that it cannot be."""
        if kind == "pyopenssl":
            return
        context = client_context(certificate.chain)
        context.set_alpn_protocols(["h2"])
        running = serve(hello)
        with Peer(running.address, context) as peer:
            assert isinstance(peer.socket, ssl.SSLSocket)
            assert peer.socket.selected_alpn_protocol() is None
            peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert peer.rest().startswith(b"HTTP/1.1 505 ")
        assert running.connect().request().status == 200


class TestRenegotiation:
    """RFC 5246 section 7.2.2: refused by a warning, no_renegotiation (100); what then becomes of it is the client's."""

    def test_is_refused(
        self, serve: Serve, certificate: CertificateFiles, is_well: Callable[[Running, str], None]
    ) -> None:
        openssl = require_program("openssl", "openssl")
        running = serve(hello)
        host, port = running.address
        with subprocess.Popen(
            [openssl, "s_client", "-tls1_2", "-msg", "-CAfile", certificate.chain, "-connect", f"{host}:{port}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            shown = ""
            while "Verify return code" not in shown:  # then it reads commands
                line = client.stdout.readline()
                assert line
                shown += line
            client.stdin.write("R\n")
            client.stdin.flush()
            shown = client.stdout.read()
        assert re.search(r"<<< TLS 1\.2, Alert .*, warning no_renegotiation\s+01 64\s", shown)
        is_well(running, r"TLS failed: (sslv3|tls) alert handshake failure")

    def test_is_not_needed_for_anything(self, serve: Serve, certificate: CertificateFiles) -> None:
        trusting = client_context(certificate.chain)
        trusting.maximum_version = ssl.TLSVersion.TLSv1_2
        with Peer(serve(echo).address, trusting) as peer:
            assert peer.request(method="POST", body=b"a" * 100_000).body == b"a" * 100_000


def test_garbage_after_the_handshake(serve: Serve, is_well: Callable[[Running, str], None]) -> None:
    running = serve(hello)
    with running.connect() as peer:
        assert peer.request().status == 200
        socket.socket.sendall(peer.socket, b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(ssl.SSLError, match=r"(?i)alert.bad.record.mac"):
            peer.rest()
    is_well(running, "TLS failed: decryption failed or bad record mac")


class TestClientCertificates:
    """In TLS 1.2, whose alerts can be read on the wire, and 1.3, where the client's library has to tell."""

    @pytest.fixture
    def running(self, serve: Serve, kind: str, certificate: CertificateFiles, tmp_path: Path) -> Running:
        issue_client_certificate(tmp_path, "somebody")
        return serve(hello, ssl_context=server_context(kind, certificate, client_ca=tmp_path / "ca" / "ca.pem"))

    @staticmethod
    def shown(which: str, folder: Path) -> CertificateFiles | None:
        if which == "expired":
            then = dt.datetime.now(dt.UTC) - dt.timedelta(days=9)
            return issue_client_certificate(folder, which, validity=dt.timedelta(days=1), now=then)
        return issue_client_certificate(folder / which, which) if which == "of another CA" else None

    @pytest.mark.parametrize(
        ("which", "alert", "in_words", "line"),
        [
            ("none", HANDSHAKE_FAILURE, "certificate required", "peer did not return a certificate"),
            ("expired", CERTIFICATE_EXPIRED, "certificate expired", "client certificate refused: .+"),
            ("of another CA", UNKNOWN_CA, "unknown ca", "client certificate refused: .+"),
        ],
    )
    def test_that_will_not_do(
        self,
        running: Running,
        certificate: CertificateFiles,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        which: str,
        alert: int,
        in_words: str,
        line: str,
    ) -> None:
        shown = self.shown(which, tmp_path)
        assert records(self.talk(running, certificate, shown, SSL.TLS1_2_VERSION)[0])[-1] == (
            ALERT,
            bytes((FATAL, alert)),
        )
        until(lambda: len(warnings(caplog)) == 1)
        assert in_words in self.talk(running, certificate, shown, SSL.TLS1_3_VERSION)[1]
        until(lambda: len(warnings(caplog)) == 2)
        assert all(re.search(f": TLS handshake failed: {line}$", warning) for warning in warnings(caplog))
        assert "Traceback" not in caplog.text
        good = client_context(certificate.chain)
        somebody = tmp_path / "certificates" / "clients" / "somebody"
        good.load_cert_chain(somebody / "chain.pem", somebody / "key.pem")
        with Peer(running.address, good) as peer:
            assert peer.request().status == 200

    @staticmethod
    def talk(
        running: Running, certificate: CertificateFiles, shown: CertificateFiles | None, version: int
    ) -> tuple[bytes, str]:
        """Shake hands, ask, and return all that the server has sent, and what the client's library says of it."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
        context.load_verify_locations(str(certificate.chain))
        if shown is not None:
            context.use_certificate_chain_file(str(shown.chain))
            context.use_privatekey_file(str(shown.key))
        client = SSL.Connection(context)
        client.set_connect_state()
        received, reason = b"", ""
        with silent(running.address) as opened:
            while not reason:
                try:
                    client.do_handshake()
                    client.send(b"GET / HTTP/1.1\r\nHost: device\r\n\r\n")
                    client.recv(1000)
                except SSL.WantReadError:
                    pass
                except SSL.Error as error:
                    reason = str(error.args[0][-1][-1])
                with contextlib.suppress(SSL.WantReadError):
                    opened.sendall(client.bio_read(65536))
                if not reason and (data := opened.recv(65536)):
                    received += data
                    client.bio_write(data)
        return received, reason


class TestSilence:
    """Whatever a client has sent so far, it has to go on, and soon. (In pieces: test_patience.)"""

    @pytest.mark.parametrize("sent", [1, 4, 5, 6, len(HELLO) - 1, len(HELLO)])
    def test_in_the_handshake(self, serve: Serve, is_well: Callable[[Running, str], None], sent: int) -> None:
        running = serve(hello, limits=Limits(handshake_s=SHORT_S))
        started_s = time.monotonic()
        received = records(answer_to(running, HELLO[:sent]))
        assert SHORT_S * 0.9 < time.monotonic() - started_s < SHORT_S + 2
        assert bool(received) is (sent == len(HELLO))
        is_well(running, "TLS handshake timed out")

    @pytest.mark.parametrize("size", [1, 5, 20])
    def test_in_a_record(self, serve: Serve, caplog: pytest.LogCaptureFixture, size: int) -> None:
        """What would be a request if it were whole. Nothing of it can be read, so it counts as silence."""
        running = serve(hello, limits=Limits(head_s=SHORT_S))
        with running.connect() as peer:
            started_s = time.monotonic()
            socket.socket.sendall(peer.socket, (b"\x17\x03\x03\x01\x00" + bytes(256))[:size])
            assert peer.ended()
            assert SHORT_S * 0.9 < time.monotonic() - started_s < SHORT_S + 2
        assert running.connect().request().status == 200
        assert not warnings(caplog)


class TestInPieces:
    """What comes in many pieces, and does come, is as good as what comes at once."""

    @pytest.mark.parametrize("size", [1, 7, 100])
    def test_a_handshake_and_a_request(self, serve: Serve, trusting: ssl.SSLContext, size: int) -> None:
        running = serve(hello)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = trusting.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        with silent(running.address) as opened:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            asked, answer = False, b""
            while not answer.endswith(b"hello"):
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
                    asked = asked or tls.write(b"GET / HTTP/1.1\r\nHost: device\r\n\r\n") > 0
                    answer += tls.read()
                sent = outgoing.read()
                for at in range(0, len(sent), size):
                    opened.sendall(sent[at : at + size])
                if not answer.endswith(b"hello"):
                    incoming.write(opened.recv(65536))

    def test_a_hello_in_many_records(self, serve: Serve) -> None:
        """RFC 8446 section 5.1 allows a message to be cut up. It has its answer, a ServerHello, all the same."""
        running = serve(hello, limits=Limits(handshake_s=SHORT_S))
        body = HELLO[5:]
        cut = b"".join(
            b"\x16\x03\x01" + len(body[at : at + 50]).to_bytes(2, "big") + body[at : at + 50]
            for at in range(0, len(body), 50)
        )
        assert records(answer_to(running, cut))[0][0] == 22


class TestHttp:
    """What could be read in two ways, over TLS; the rest of this is in test_http and test_serving."""

    @pytest.mark.parametrize(
        "fields",
        [
            b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            b"Content-Length: 5\r\nContent-Length: 5\r\n",
            b"Content-Length: 5\r\nContent-Length: 6\r\n",
            b"Content-Length: 5, 5\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            b"Transfer-Encoding : chunked\r\n",
            b"Content-Length: +5\r\n",
        ],
    )
    def test_two_lengths(self, serve: Serve, fields: bytes) -> None:
        running = serve(echo)
        with running.connect() as peer:
            peer.send(
                b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            answer = peer.rest()
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert answer.count(b"HTTP/1.1 ") == 1
        assert running.connect().request().status == 200
