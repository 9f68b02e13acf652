"""What is wrong with a client's TLS: an alert for the client, one line for the log, and the server goes on."""

import contextlib
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from certs import CertificateFiles
from tests.certs.conftest import client_certificate
from tests.quart_impl.serving import Answers, TinyServer, ask, read_to_end, tiny_server, wait_until
from tests.requirements import require_program

pytestmark = pytest.mark.end_to_end

ALERT = 21  # a record's type
# RFC 8446 section 6
UNEXPECTED_MESSAGE, HANDSHAKE_FAILURE, PROTOCOL_VERSION, NO_APPLICATION_PROTOCOL = 10, 40, 70, 120


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest, files: CertificateFiles, ca_file: Path) -> Iterator[TinyServer]:
    with tiny_server(files, ca_file, loop=request.param, discard_s=0.5) as running:
        yield running


@pytest.fixture
def one_line(server: TinyServer) -> Iterator[list[str]]:
    """Wait for a line in the log, and see to it that there is no other; then the server still answers."""
    server.forget()
    expected: list[str] = []
    yield expected
    wait_until(lambda: bool(server.lines()))
    answers = Answers()
    ask(server.client(), answers)
    assert answers.statuses == [200]
    (line,) = server.lines()
    assert line.startswith("127.0.0.1 port ")
    assert line.partition(": ")[2] in expected


def hello(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """OpenSSL's own ClientHello."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = version
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


def older_hello(minor: int) -> bytes:
    """One of TLS 1.0 (minor 1) or 1.1 (2): up to 1.2 the version stands at the same place, and nowhere else."""
    said = bytearray(hello(ssl.TLSVersion.TLSv1_2))
    said[9:11] = bytes((3, minor))
    return bytes(said)


def poor_hello() -> bytes:
    """One of TLS 1.2 that offers one cipher suite, again and again, which no policy admits: TLS_RSA_WITH_NULL_MD5."""
    said = bytearray(hello(ssl.TLSVersion.TLSv1_2))
    at = 5 + 4 + 2 + 32
    at += 1 + said[at]
    size = int.from_bytes(said[at : at + 2], "big")
    said[at + 2 : at + 2 + size] = b"\x00\x01" * (size // 2)
    return bytes(said)


class TestHellos:
    @pytest.mark.parametrize(
        ("said", "alert", "reasons"),
        [
            (older_hello(1), PROTOCOL_VERSION, ["unsupported protocol"]),
            (older_hello(2), PROTOCOL_VERSION, ["unsupported protocol"]),
            (poor_hello(), HANDSHAKE_FAILURE, ["no shared cipher"]),
            (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", None, ["length mismatch", "length too short"]),
            (b"\x17\x03\x03\x00\x01\x00", UNEXPECTED_MESSAGE, ["unexpected message", "wrong version number"]),
            (bytes(range(128, 228)), None, ["wrong version number", "unsupported protocol", "http request"]),
            (b"\x00" * 100, None, ["wrong version number", "http request", "unexpected message"]),
        ],
        ids=["TLS 1.0", "TLS 1.1", "no shared cipher", "a hello of nothing", "another record", "garbage", "zeros"],
    )
    def test_it_is_refused(
        self, server: TinyServer, one_line: list[str], said: bytes, alert: int | None, reasons: list[str]
    ) -> None:
        one_line.extend(f"TLS handshake failed: {reason}" for reason in reasons)
        client = server.connect()
        client.sendall(said)
        answer = read_to_end(client)
        if alert is not None:
            assert (answer[0], answer[-1]) == (ALERT, alert)

    def test_none_of_our_protocols(self, server: TinyServer, one_line: list[str]) -> None:
        one_line.append("TLS handshake failed: offers none of the protocols spoken here (h2, http/1.1)")
        with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
            server.tls("spdy/1")

    def test_http_in_the_clear_gets_an_answer(self, server: TinyServer, one_line: list[str]) -> None:
        one_line.append("spoke plain HTTP to the TLS port")
        client = server.connect()
        client.sendall(b"GET / HTTP/1.1\r\nHost: device\r\n\r\n")
        answer = read_to_end(client)
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert answer.endswith(b"this port speaks HTTPS; use https:// in the URL\n")


def test_clients_that_leave_are_no_trouble(server: TinyServer) -> None:
    """A port scan, a load balancer's look, a browser's connection kept in store."""
    server.forget()
    for said in (b"", hello()[:20], hello()):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(said)
    answers = Answers()
    ask(server.client(), answers)
    assert answers.statuses == [200]
    assert server.lines() == []


def test_clients_that_leave_after_the_handshake_are_none_either(server: TinyServer) -> None:
    server.forget()
    for _ in range(20):
        client = server.tls()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leave with a reset
        client.close()
    answers = Answers()
    ask(server.client(), answers)
    assert answers.statuses == [200]
    assert server.lines() == []


def test_a_client_that_does_not_trust_us(server: TinyServer, one_line: list[str]) -> None:
    one_line.append("TLS handshake failed: tlsv1 alert unknown ca")
    with pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(server.connect(), server_hostname="localhost")


def test_a_handshake_that_takes_too_long(files: CertificateFiles, ca_file: Path) -> None:
    with tiny_server(files, ca_file, handshake_s=0.3) as server:
        assert read_to_end(server.connect()) == b""
        assert [line.partition(": ")[2] for line in server.lines()] == ["TLS handshake timed out"]


def test_renegotiation_is_refused(server: TinyServer, one_line: list[str], ca_file: Path) -> None:
    openssl = require_program("openssl", "openssl")
    one_line.append("asked for renegotiation, which was refused")
    address = f"127.0.0.1:{server.port}"
    command = [str(openssl), "s_client", "-connect", address, "-tls1_2", "-CAfile", str(ca_file)]
    client = subprocess.run(command, input=b"R\n", capture_output=True, check=False, timeout=10)
    assert b"no renegotiation" in client.stderr


@pytest.fixture(scope="module")
def asking(files: CertificateFiles, ca_file: Path) -> Iterator[TinyServer]:
    """One that wants certificates of its clients."""
    with tiny_server(files, ca_file, client_ca=ca_file, log=True, discard_s=0.5) as running:
        yield running


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
class TestClientCertificates:
    def ask(self, asking: TinyServer, version: ssl.TLSVersion, certificate: CertificateFiles | None) -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        if certificate is not None:
            context.load_cert_chain(certificate.chain, certificate.key)
        with context.wrap_socket(asking.connect()) as client:
            ask = b"GET /tls HTTP/1.1\r\nHost: device\r\n"
            client.sendall(ask + b"\r\n" + ask + b"Connection: close\r\n\r\n")
            return read_to_end(client)

    def test_its_subject_is_logged_once(
        self, asking: TinyServer, client: CertificateFiles, version: ssl.TLSVersion
    ) -> None:
        asking.forget()
        self.ask(asking, version, client)
        (line,) = asking.lines()
        assert line.startswith("INFO 127.0.0.1 port ")
        assert line.endswith(": client certificate CN=router-7,O=Example")

    @pytest.mark.parametrize("stranger", [False, True])
    def test_without_a_good_one(
        self, asking: TinyServer, tmp_path: Path, version: ssl.TLSVersion, *, stranger: bool
    ) -> None:
        asking.forget()
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            self.ask(asking, version, client_certificate(tmp_path) if stranger else None)
        (line,) = asking.lines()
        assert line.startswith("WARNING 127.0.0.1 port ")
        reason = "client certificate refused: self-signed certificate"
        assert line.endswith(reason if stranger else "peer did not return a certificate")


@pytest.mark.parametrize("http2", [False, True])
def test_the_application_is_told(
    files: CertificateFiles, ca_file: Path, client: CertificateFiles, *, http2: bool
) -> None:
    with tiny_server(files, ca_file, client_ca=ca_file) as server:
        assert server.trust is not None
        server.trust.load_cert_chain(client.chain, client.key)
        with httpx.Client(verify=server.trust, http2=http2, trust_env=False) as http:
            told = http.get(f"https://127.0.0.1:{server.port}/tls").json()
    assert told["client_cert_name"] == "CN=router-7,O=Example"
    assert len(told["client_cert_chain"]) == 1
    assert (told["tls_version"], told["server_cert"], told["client_cert_error"]) == (0x0304, None, None)
    assert told["cipher_suite"] in {0x1301, 0x1302, 0x1303}


def test_without_tls_there_is_no_extension(ca_file: Path) -> None:
    with tiny_server(None, ca_file) as server:
        answer = server.exchange(b"GET /tls HTTP/1.1\r\nHost: device\r\nConnection: close\r\n\r\n")
        assert answer.endswith(b"\r\n\r\n{}\n")
