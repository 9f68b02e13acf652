"""TLS as its clients see it, with either library: what is agreed on, resumed, asked for and refused."""

import datetime as dt
import logging
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from certs import CertificateFiles, client_context
from tests.flask_impl.server.applications import hello, show
from tests.flask_impl.server.conftest import Running, Serve, server_context, until
from tests.flask_impl.server.peers import Peer, silent

pytestmark = [pytest.mark.end_to_end, pytest.mark.parametrize("kind", ["stdlib", "pyopenssl"])]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


class TestHandshake:
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_versions_and_alpn(self, serve: Serve, certificate: CertificateFiles, version: ssl.TLSVersion) -> None:
        trusting = client_context(certificate.chain)
        trusting.minimum_version = trusting.maximum_version = version
        with Peer(serve(show).address, trusting) as peer:
            assert isinstance(peer.socket, ssl.SSLSocket)
            assert peer.socket.selected_alpn_protocol() == "http/1.1"
            assert peer.request("/?SSL_PROTOCOL").body.decode().strip() == version.name.replace("_", ".")

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_a_session_is_resumed(self, serve: Serve, certificate: CertificateFiles, version: ssl.TLSVersion) -> None:
        trusting = client_context(certificate.chain)
        trusting.minimum_version = trusting.maximum_version = version
        running = serve(hello)
        session: ssl.SSLSession | None = None
        for _ in range(3):
            raw = socket.create_connection(running.address, timeout=5)
            with trusting.wrap_socket(raw, server_hostname="127.0.0.1", session=session) as opened:
                opened.sendall(b"GET / HTTP/1.1\r\nHost: device\r\n\r\n")
                assert opened.recv(1000).endswith(b"hello")
                assert opened.session_reused is (session is not None)
                session = opened.session

    def test_a_client_with_nothing_in_common(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """A proper alert, one line at warning level, no traceback, and the server goes on."""
        running = serve(hello)
        strange = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        strange.check_hostname, strange.verify_mode = False, ssl.CERT_NONE
        strange.maximum_version = ssl.TLSVersion.TLSv1_2
        strange.set_ciphers("AES128-SHA")
        with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
            Peer(running.address, strange)
        until(lambda: warnings(caplog))
        assert len(warnings(caplog)) == 1
        assert "TLS handshake failed: no shared cipher" in caplog.text
        assert "Traceback" not in caplog.text
        assert running.connect().request().status == 200

    def test_garbage(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        running = serve(hello)
        with silent(running.address, b"\0" * 1000) as opened:
            while opened.recv(1000):
                pass
        until(lambda: warnings(caplog))
        assert len(warnings(caplog)) == 1
        assert running.connect().request().status == 200

    def test_a_client_that_only_looks_whether_the_port_is_open(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        running = serve(hello)
        with silent(running.address):
            until(lambda: running.server._bound()._clients)
        until(lambda: not running.server._bound()._clients)
        assert not warnings(caplog)


class TestPlainHttp:
    @pytest.mark.parametrize("size", [0, 100_000])
    def test_gets_an_answer_that_it_can_read(self, serve: Serve, caplog: pytest.LogCaptureFixture, size: int) -> None:
        running = serve(hello)
        with Peer(running.address, None) as peer:
            answer = peer.request(method="POST" if size else "GET", body=b"a" * size)
            assert answer.status == 400
            assert b"https://" in answer.body
            assert peer.ended()
        assert len(warnings(caplog)) == 1
        assert running.connect().request().status == 200


class TestClientCertificates:
    @pytest.fixture
    def client_files(self, tmp_path: Path) -> CertificateFiles:
        """A certificate that is its own CA."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "operator")])
        now = dt.datetime.now(dt.UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), 1, now - dt.timedelta(1), now + dt.timedelta(1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        files = CertificateFiles(tmp_path / "client.pem", tmp_path / "client-key.pem")
        files.chain.write_bytes(certificate.public_bytes(Encoding.PEM))
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files

    @pytest.fixture
    def running(
        self, serve: Serve, kind: str, certificate: CertificateFiles, client_files: CertificateFiles
    ) -> Running:
        return serve(show, ssl_context=server_context(kind, certificate, client_ca=client_files.chain))

    def test_the_application_sees_it(
        self, running: Running, certificate: CertificateFiles, client_files: CertificateFiles
    ) -> None:
        trusting = client_context(certificate.chain)
        trusting.load_cert_chain(client_files.chain, client_files.key)
        with Peer(running.address, trusting) as peer:
            shown = peer.request("/?SSL_CLIENT_VERIFY&SSL_CLIENT_CERT").body.decode()
        verified, _, pem = shown.partition("\n")
        assert verified == "SUCCESS"
        assert pem.strip() == client_files.chain.read_text().strip()

    def test_without_one_nobody_comes_in(
        self, running: Running, trusting: ssl.SSLContext, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required"):
            ask(running.address, trusting)
        until(lambda: warnings(caplog))
        assert "did not return a certificate" in caplog.text
        assert "Traceback" not in caplog.text


def ask(address: tuple[str, int], context: ssl.SSLContext) -> None:
    """Over TLS 1.3 a client learns with the first answer, not in the handshake, that its certificate was missed."""
    with Peer(address, context) as peer:
        peer.request()


def test_the_guides_context(serve: Serve, kind: str, certificate: CertificateFiles) -> None:
    """A context made by hand, as HTTPS-in-Flask guides make one."""
    context: ssl.SSLContext | SSL.Context
    if kind == "stdlib":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.chain, certificate.key)
    else:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_privatekey_file(str(certificate.key))
        context.use_certificate_file(str(certificate.chain))
    assert serve(hello, ssl_context=context).connect().request().body == b"hello"
