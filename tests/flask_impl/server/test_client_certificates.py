"""Client certificates: asked for or not, shown or not; what the application and the log are told."""

import datetime as dt
import logging
import ssl
from pathlib import Path

import pytest

from certs import CertificateFiles, client_context, issue_client_certificate
from tests.flask_impl.server.applications import show
from tests.flask_impl.server.conftest import Serve, server_context, until, warnings
from tests.flask_impl.server.peers import Peer

pytestmark = [pytest.mark.end_to_end, pytest.mark.parametrize("kind", ["stdlib", "pyopenssl"])]

ASK = "/?SSL_CLIENT_VERIFY&SSL_CLIENT_S_DN&SSL_CLIENT_CERT"
NOBODY = ["NONE", "", ""]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA's folder; its own certificate is made with the first that it issues."""
    return tmp_path_factory.mktemp("authority")


@pytest.fixture(scope="module")
def router(authority: Path) -> CertificateFiles:
    return issue_client_certificate(authority, "router-7", organisation="Example")


@pytest.fixture(scope="module")
def client_ca(authority: Path, router: CertificateFiles) -> Path:
    assert router.chain.exists()
    return authority / "ca" / "ca.pem"


def showing(certificate: CertificateFiles, shown: CertificateFiles | None) -> ssl.SSLContext:
    """A client that knows the server and, perhaps, shows who it is."""
    context = client_context(certificate.chain)
    if shown is not None:
        context.load_cert_chain(shown.chain, shown.key)
    return context


def who(address: tuple[str, int], context: ssl.SSLContext) -> list[str]:
    """Over TLS 1.3 a client learns with the first answer, not in the handshake, that its certificate was missed."""
    with Peer(address, context) as peer:
        verified, subject, *pem = peer.request(ASK).body.decode().split("\n")
    return [verified, subject, "\n".join(pem).strip()]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("required", [True, False])
def test_the_application_is_told_who_it_is(
    serve: Serve,
    kind: str,
    certificate: CertificateFiles,
    router: CertificateFiles,
    client_ca: Path,
    version: ssl.TLSVersion,
    *,
    required: bool,
) -> None:
    context = server_context(kind, certificate, client_ca=client_ca, client_certificate_required=required)
    trusting = showing(certificate, router)
    trusting.minimum_version = trusting.maximum_version = version
    verified, subject, pem = who(serve(show, ssl_context=context).address, trusting)
    assert (verified, subject) == ("SUCCESS", "CN=router-7,O=Example")
    assert router.chain.read_text().startswith(pem)


def test_it_is_logged_once_a_connection(
    serve: Serve,
    kind: str,
    certificate: CertificateFiles,
    router: CertificateFiles,
    client_ca: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "flask_impl.server")
    running = serve(show, ssl_context=server_context(kind, certificate, client_ca=client_ca))
    with Peer(running.address, showing(certificate, router)) as peer:
        for _ in range(3):
            assert peer.request(ASK).status == 200
        host, port = peer.socket.getsockname()
    lines = [record.getMessage() for record in caplog.records if record.name == "flask_impl.server"]
    assert [line for line in lines if "client certificate" in line] == [
        f"{host} port {port}: client certificate CN=router-7,O=Example"
    ]


def test_optional_means_that_it_may_be_missing(
    serve: Serve, kind: str, certificate: CertificateFiles, client_ca: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = server_context(kind, certificate, client_ca=client_ca, client_certificate_required=False)
    assert who(serve(show, ssl_context=context).address, showing(certificate, None)) == NOBODY
    assert not warnings(caplog)


def test_where_none_is_asked_for_there_is_none(
    serve: Serve, certificate: CertificateFiles, router: CertificateFiles
) -> None:
    assert who(serve(show).address, showing(certificate, router)) == NOBODY


def test_who_comes_back_has_to_show_it_again(
    serve: Serve, kind: str, certificate: CertificateFiles, router: CertificateFiles, client_ca: Path
) -> None:
    running = serve(show, ssl_context=server_context(kind, certificate, client_ca=client_ca))
    trusting = showing(certificate, router)
    with Peer(running.address, trusting) as first:
        assert isinstance(first.socket, ssl.SSLSocket)
        assert first.request(ASK).status == 200
        session = first.socket.session
    with Peer(running.address, trusting, session) as second:
        assert isinstance(second.socket, ssl.SSLSocket)
        assert not second.socket.session_reused  # which would verify nothing
        assert second.request(ASK).body.startswith(b"SUCCESS\nCN=router-7,O=Example\n")


class TestRefused:
    """With a line in the log; the alerts are in test_bad_input."""

    @pytest.fixture
    def expired(self, authority: Path, tmp_path: Path) -> CertificateFiles:
        then = dt.datetime.now(dt.UTC) - dt.timedelta(days=9)
        day = dt.timedelta(days=1)
        return issue_client_certificate(authority, "router-6", out=tmp_path, validity=day, now=then)

    @pytest.mark.parametrize("required", [True, False])
    @pytest.mark.parametrize("which", ["expired", "of another CA"])
    def test_a_wrong_one_also_where_none_is_required(
        self,
        serve: Serve,
        kind: str,
        certificate: CertificateFiles,
        expired: CertificateFiles,
        client_ca: Path,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
        which: str,
        *,
        required: bool,
    ) -> None:
        shown = expired if which == "expired" else issue_client_certificate(tmp_path / "other", "router-7")
        context = server_context(kind, certificate, client_ca=client_ca, client_certificate_required=required)
        running = serve(show, ssl_context=context)
        with pytest.raises(OSError, match=r"(?i)alert"):
            who(running.address, showing(certificate, shown))
        until(lambda: warnings(caplog))
        assert len(warnings(caplog)) == 1
        assert "TLS handshake failed" in caplog.text
