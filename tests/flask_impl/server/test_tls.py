"""TLS as its clients see it, with either library: what is agreed on, resumed and refused."""

import socket
import ssl

import pytest

from certs import CertificateFiles, client_context
from tests.flask_impl.server.applications import hello, show
from tests.flask_impl.server.conftest import Serve, until, warnings
from tests.flask_impl.server.peers import Peer, silent

pytestmark = [pytest.mark.end_to_end, pytest.mark.parametrize("kind", ["stdlib", "pyopenssl"])]


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

    def test_a_client_that_only_looks_whether_the_port_is_open(
        self, serve: Serve, caplog: pytest.LogCaptureFixture
    ) -> None:
        running = serve(hello)
        with silent(running.address):
            until(lambda: running.server._bound()._clients)
        until(lambda: not running.server._bound()._clients)
        assert not warnings(caplog)
