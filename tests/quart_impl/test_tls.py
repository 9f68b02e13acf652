"""TLS without a socket: Python's own client on the other side, octets carried by hand."""

import contextlib
import ssl
from pathlib import Path

import pytest

from certs import CertificateFiles, TlsPolicy, stdlib_server_context
from quart_impl.server._tls import ALPN, PlainHttpError, Tls, TlsError, TlsPort

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


@pytest.fixture
def port(files: CertificateFiles) -> TlsPort:
    return TlsPort(stdlib_server_context(files, TlsPolicy(alpn=ALPN)))


class Client:
    """The client's side."""

    def __init__(
        self,
        ca_file: Path,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        certificate: CertificateFiles | None = None,
    ) -> None:
        context = ssl.create_default_context(cafile=ca_file)
        context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["http/1.1"])
        if certificate is not None:
            context.load_cert_chain(certificate.chain, certificate.key)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def shake_hands(self, server: Tls) -> None:
        for _ in range(4):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            self.carry(server)

    def carry(self, server: Tls) -> bytes:
        """All that each has for the other; returns what the server reads."""
        received = server.receive(sent) if (sent := self.outgoing.read()) else b""
        self.incoming.write(server.take_outgoing())
        return received


@pytest.mark.parametrize("version", VERSIONS)
class TestTls:
    def test_there_and_back(self, port: TlsPort, ca_file: Path, version: ssl.TLSVersion) -> None:
        client, server = Client(ca_file, version), port.connection()
        client.shake_hands(server)
        assert server.established
        assert server.protocol == "http/1.1"
        client.tls.write(b"question" * 9000)
        assert client.carry(server) == b"question" * 9000
        server.send(b"answer")
        client.carry(server)
        assert client.tls.read() == b"answer"

    def test_octet_by_octet(self, port: TlsPort, ca_file: Path, version: ssl.TLSVersion) -> None:
        client, server = Client(ca_file, version), port.connection()
        for _ in range(4):
            with contextlib.suppress(ssl.SSLWantReadError):
                client.tls.do_handshake()
            for octet in client.outgoing.read():
                assert server.receive(bytes((octet,))) == b""
            client.incoming.write(server.take_outgoing())
        assert server.established
        assert not server.told_no_renegotiation()

    def test_both_ends(self, port: TlsPort, ca_file: Path, version: ssl.TLSVersion) -> None:
        client, server = Client(ca_file, version), port.connection()
        client.shake_hands(server)
        server.end()
        client.carry(server)
        client.tls.unwrap()  # has seen the server's
        client.carry(server)
        assert server.ended

    def test_what_the_application_is_told(self, port: TlsPort, ca_file: Path, version: ssl.TLSVersion) -> None:
        client, server = Client(ca_file, version), port.connection()
        client.shake_hands(server)
        told = server.extension()
        cipher = client.tls.cipher()
        assert cipher is not None
        known = {suite["name"]: suite["id"] & 0xFFFF for suite in client.tls.context.get_ciphers()}
        assert told == {
            "server_cert": None,
            "client_cert_chain": [],
            "client_cert_name": None,
            "client_cert_error": None,
            "tls_version": {"TLSv1_2": 0x0303, "TLSv1_3": 0x0304}[version.name],
            "cipher_suite": known[cipher[0]],
        }

    def test_nothing_is_made_before_the_client_hello_is_whole(
        self, port: TlsPort, ca_file: Path, version: ssl.TLSVersion
    ) -> None:
        client, server = Client(ca_file, version), port.connection()
        with pytest.raises(ssl.SSLWantReadError):
            client.tls.do_handshake()
        hello = client.outgoing.read()
        server.receive(hello[:-1])
        assert server.take_outgoing() == b""
        server.receive(hello[-1:])
        assert server.take_outgoing() != b""

    def test_a_broken_record_is_an_alert_and_the_end(
        self, port: TlsPort, ca_file: Path, version: ssl.TLSVersion
    ) -> None:
        client, server = Client(ca_file, version), port.connection()
        client.shake_hands(server)
        with pytest.raises(TlsError, match=r"^TLS failed: "):
            server.receive(b"\x17\x03\x03\x00\x20" + bytes(32))
        client.incoming.write(server.take_outgoing())
        with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
            client.tls.read()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_client_is_named_by_its_certificate(
    files: CertificateFiles, ca_file: Path, client: CertificateFiles, version: ssl.TLSVersion
) -> None:
    port = TlsPort(stdlib_server_context(files, TlsPolicy(alpn=ALPN, client_ca=ca_file)))
    peer, server = Client(ca_file, version, client), port.connection()
    peer.shake_hands(server)
    told = server.extension()
    assert told["client_cert_name"] == "CN=router-7,O=Example"
    leaf, end, _ = client.chain.read_text().partition("-----END CERTIFICATE-----\n")
    assert told["client_cert_chain"] == [leaf + end]


def test_plain_http_is_told_from_the_rest(port: TlsPort) -> None:
    with pytest.raises(PlainHttpError):
        port.connection().receive(b"G")
