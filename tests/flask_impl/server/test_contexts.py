"""What `ssl_context` may be, what it may not, and certificates that are read again."""

import gc
import logging
import os
import re
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from certs import (
    CertificateError,
    CertificateFiles,
    TlsPolicy,
    adhoc_certificate,
    client_context,
    pyopenssl_server_tls,
    stdlib_server_tls,
)
from flask_impl.server import Server, serve
from tests.flask_impl.server.applications import hello
from tests.flask_impl.server.conftest import Serve as Start
from tests.flask_impl.server.conftest import until, warnings
from tests.flask_impl.server.peers import Peer


@pytest.fixture
def kind() -> str:
    """Which is the subject here: each test gives its own context."""
    return "stdlib"


def of_the_standard_library(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.chain, files.key)
    return context


def of_pyopenssl(files: CertificateFiles) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_privatekey_file(str(files.key))
    context.use_certificate_file(str(files.chain))
    return context


KINDS: dict[str, Callable[[CertificateFiles], Any]] = {
    "ssl.SSLContext": of_the_standard_library,
    "OpenSSL.SSL.Context": of_pyopenssl,
    "ServerTls, standard library": lambda files: stdlib_server_tls([files], TlsPolicy()),
    "ServerTls, pyOpenSSL": lambda files: pyopenssl_server_tls([files], TlsPolicy()),
    "pair of texts": lambda files: (str(files.chain), str(files.key)),
    "pair of paths": lambda files: (files.chain, files.key),
}


@pytest.mark.end_to_end
class TestAccepted:
    @pytest.mark.parametrize("kind_of_value", KINDS)
    def test_each_kind(self, serve: Start, certificate: CertificateFiles, kind_of_value: str) -> None:
        running = serve(hello, ssl_context=KINDS[kind_of_value](certificate))
        assert running.connect().request().body == b"hello"

    def test_adhoc(self, serve: Start) -> None:
        """Good for this machine's own names; no client trusts it who has not been given it."""
        running = serve(hello, ssl_context="adhoc")
        with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
            running.connect()
        pem = ssl.get_server_certificate(running.address)
        trusting = ssl.create_default_context(cadata=pem)
        with Peer(running.address, trusting) as peer:
            assert peer.request().body == b"hello"

    def test_adhoc_leaves_no_file_behind(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        server = Server(hello, ssl_context="adhoc")
        assert len(list(tmp_path.iterdir())) == 1
        del server
        gc.collect()
        assert not list(tmp_path.iterdir())

    def test_none_is_http(self, serve: Start) -> None:
        with Peer(serve(hello, ssl_context=None).address, None) as peer:
            assert peer.request().body == b"hello"


class TestRefused:
    """One line says what it is and what it should be."""

    @pytest.mark.parametrize(
        ("value", "error", "says"),
        [
            (b"adhoc", TypeError, "is bytes; it should be an ssl.SSLContext, an OpenSSL.SSL.Context,"),
            (True, TypeError, "is bool; it should be"),
            (SSL.Context, TypeError, "is type; it should be"),
            ("ad-hoc", ValueError, "the only word for it is 'adhoc'"),
            ("chain.pem", ValueError, "files are (certificate, key)"),
            (("chain.pem",), TypeError, "(certificate, key)"),
            (("chain.pem", None), TypeError, "(certificate, key)"),
            (("chain.pem", "key.pem", "ca.pem"), TypeError, "(certificate, key)"),
            (("no/such/chain.pem", "no/such/key.pem"), ValueError, "no/such/chain.pem: no such file"),
            (ssl.create_default_context(), ValueError, "a client's"),
        ],
    )
    def test_what_cannot_be(self, value: object, error: type[Exception], says: str) -> None:
        with pytest.raises(error, match=re.escape(says)) as caught:
            serve(hello, ssl_context=value)  # type: ignore[arg-type]  # that is the test
        assert "\n" not in str(caught.value)

    def test_files_that_do_not_belong_together(self, certificate: CertificateFiles, tmp_path: Path) -> None:
        other = adhoc_certificate(tmp_path)
        with pytest.raises(CertificateError) as caught:
            serve(hello, ssl_context=(certificate.chain, other.key))
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("name", ["threads", "connections", "pending_connections"])
    def test_other_parameters(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"^{name} is 0; "):
            Server(hello, **dict.fromkeys([name], 0))  # type: ignore[arg-type]  # of ours, each of which is an int

    def test_nothing_is_left_open(self) -> None:
        """What listened does not any more; an open socket would be a ResourceWarning."""
        unfit = socket.socket()
        unfit.bind(("127.0.0.1", 0))
        with pytest.raises(ValueError, match="listen"):
            Server(hello, listener=unfit).bind()
        assert unfit.fileno() == -1

    def test_a_listener_of_another_kind(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as local:
            local.bind(str(tmp_path / "socket"))
            local.listen()
            with pytest.raises(ValueError, match="TCP"):
                Server(hello, listener=local).bind()


class TestTheGuides:
    """What "HTTPS in Flask" guides print, and what of it works."""

    def test_the_call_that_they_print_does_not_exist(self) -> None:
        """The name is the standard library's, whose numbers mean nothing to pyOpenSSL, or something else."""
        assert not hasattr(SSL, "PROTOCOL_TLSv1_2")
        assert ssl.PROTOCOL_TLSv1_2.value != SSL.TLSv1_2_METHOD

    @pytest.mark.end_to_end
    def test_the_right_call(self, serve: Start, certificate: CertificateFiles) -> None:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_max_proto_version(SSL.TLS1_3_VERSION)
        context.use_privatekey_file(str(certificate.key))
        context.use_certificate_file(str(certificate.chain))
        running = serve(hello, ssl_context=context)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            trusting = client_context(certificate.chain)
            trusting.minimum_version = trusting.maximum_version = version
            with Peer(running.address, trusting) as peer:
                assert isinstance(peer.socket, ssl.SSLSocket)
                assert peer.socket.version() == version.name.replace("_", ".")
                assert peer.request().body == b"hello"

    def test_an_idle_connection_keeps_no_buffers(self, certificate: CertificateFiles) -> None:
        """What Python's ssl asks OpenSSL for by itself."""
        context = of_pyopenssl(certificate)
        Server(hello, ssl_context=context)
        assert context.set_mode(0) & SSL.MODE_RELEASE_BUFFERS

    def test_a_key_of_another_certificate_is_told_of(
        self, certificate: CertificateFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """OpenSSL says nothing when the certificate comes after a key that is not its own, and lets go of the key."""
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_privatekey_file(str(adhoc_certificate(tmp_path).key))
        context.use_certificate_file(str(certificate.chain))
        Server(hello, ssl_context=context)
        assert len(warnings(caplog)) == 1
        assert "no certificate with its private key" in caplog.text


@pytest.mark.end_to_end
class TestReload:
    @pytest.fixture
    def files(self, tmp_path: Path) -> CertificateFiles:
        return adhoc_certificate(tmp_path)

    @pytest.mark.parametrize("make", [stdlib_server_tls, pyopenssl_server_tls])
    def test_new_connections_see_what_is_new_and_old_ones_notice_nothing(
        self, serve: Start, files: CertificateFiles, make: Callable[..., Any]
    ) -> None:
        running = serve(hello, ssl_context=make([files], TlsPolicy(), watch_s=3600))
        with Peer(running.address, client_context(files.chain)) as peer:
            assert peer.request().status == 200
            before = ssl.get_server_certificate(running.address)
            adhoc_certificate(files.chain.parent)
            assert ssl.get_server_certificate(running.address) == before
            running.server.reload()
            until(lambda: ssl.get_server_certificate(running.address) != before)
            assert peer.request().status == 200

    def test_a_pair_is_watched(self, serve: Start, files: CertificateFiles) -> None:
        running = serve(hello, ssl_context=(files.chain, files.key))
        before = ssl.get_server_certificate(running.address)
        adhoc_certificate(files.chain.parent)
        until(lambda: ssl.get_server_certificate(running.address) != before)

    def test_what_cannot_be_used_is_a_line_in_the_log(
        self, serve: Start, files: CertificateFiles, caplog: pytest.LogCaptureFixture
    ) -> None:
        running = serve(hello, ssl_context=stdlib_server_tls([files], TlsPolicy(), watch_s=3600))
        with Peer(running.address, client_context(files.chain)) as peer:
            files.chain.write_text("nonsense")
            running.server.reload()
            until(lambda: warnings(caplog))
            assert peer.request().status == 200
        assert [record.levelno for record in caplog.records if record.levelno >= logging.WARNING] == [logging.ERROR]
        assert str(files.chain) in caplog.text
        assert "Traceback" not in caplog.text

    def test_a_plain_context_cannot_be(self, certificate: CertificateFiles) -> None:
        with pytest.raises(ValueError, match="cannot be read again"):
            Server(hello, ssl_context=of_the_standard_library(certificate)).reload()


class Hangup:
    """A server in this thread, the main one, and somebody who sends signals to it."""

    def __init__(self, ssl_context: Any) -> None:  # noqa: ANN401 (anything that serve takes)
        self.ssl_context = ssl_context

    def serve_while(self, converse: Callable[[tuple[str, int]], None]) -> None:
        """Serve until somebody has had a conversation, then stop by SIGTERM; raises what the conversation raised."""
        failed: list[BaseException] = []

        def talk(host: str, port: int) -> None:
            try:
                converse((host, port))
            except BaseException as error:  # noqa: BLE001 (raised below, in the test's own thread)
                failed.append(error)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        def accepting(host: str, port: int) -> None:
            threading.Thread(target=talk, args=(host, port)).start()

        serve(hello, port=0, ssl_context=self.ssl_context, accepting=accepting, grace_s=1)
        if failed:
            raise failed[0]


@pytest.mark.end_to_end
class TestHangup:
    """SIGHUP."""

    @pytest.fixture(autouse=True)
    def _handlers_are_put_back(self) -> Iterator[None]:
        before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)}
        yield
        assert {number: signal.getsignal(number) for number in before} == before

    def test_reads_files_again(self, tmp_path: Path) -> None:
        files = adhoc_certificate(tmp_path)

        def converse(address: tuple[str, int]) -> None:
            before = ssl.get_server_certificate(address)
            adhoc_certificate(tmp_path)
            os.kill(os.getpid(), signal.SIGHUP)
            until(lambda: ssl.get_server_certificate(address) != before)

        Hangup(stdlib_server_tls([files], TlsPolicy(), watch_s=3600)).serve_while(converse)

    def test_many_of_them_between_handshakes(self, certificate: CertificateFiles) -> None:
        """One may come while a handshake of this very thread reads the files: it must not wait for itself."""

        def converse(address: tuple[str, int]) -> None:
            for _ in range(40):
                os.kill(os.getpid(), signal.SIGHUP)
                assert ssl.get_server_certificate(address)

        Hangup(stdlib_server_tls([certificate], TlsPolicy(), watch_s=0)).serve_while(converse)

    def test_ends_no_server_that_has_nothing_to_read_again(self, certificate: CertificateFiles) -> None:
        """A service manager's reload is meant well."""

        def converse(address: tuple[str, int]) -> None:
            os.kill(os.getpid(), signal.SIGHUP)
            assert ssl.get_server_certificate(address)

        Hangup(of_the_standard_library(certificate)).serve_while(converse)
