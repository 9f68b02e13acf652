"""The function that many servers' files share: run as it stands there, with real certificates and handshakes in memory.

That a server calls it as it should is seen in test_serving.
"""

import ast
import contextlib
import os
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from OpenSSL import SSL

from certs import CertificateFiles, KeyKind, TlsVersion, client_context, ensure_ca, issue_certificate
from tests.deployments.test_rendering import rendered

LOOKS_S = 0.25


@dataclass
class Clock:
    """Stands in for the module `time`."""

    now_s: float = 1000.0

    def monotonic(self) -> float:
        return self.now_s


class Renewing:
    """A context that `renewing` made of a pair of files, and the files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = self.issue("live")
        self.clock = Clock()
        self.context = self.renewing()(self.make_context, str(self.files.chain), str(self.files.key))

    def renewing(self) -> Callable[..., object]:
        module: dict[str, Any] = {}
        exec(rendered("flask-gunicorn-gthread").files["gunicorn.conf.py"], module)  # noqa: S102 (what gunicorn does)
        module["time"] = self.clock
        renewing: Callable[..., object] = module["renewing"]
        return renewing

    def issue(self, name: str) -> CertificateFiles:
        return issue_certificate(self.folder, KeyKind.ECDSA_P256, ["localhost"], out=self.folder / name)

    def make_context(self) -> object:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.files.chain, self.files.key)
        return context

    def server(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> Callable[[], None]:
        """The server's side of a handshake, which raises SSLWantReadError until it is done."""
        assert isinstance(self.context, ssl.SSLContext)
        return self.context.wrap_bio(incoming, outgoing, server_side=True).do_handshake

    def serial(self) -> int:
        """Of the certificate that is in the file."""
        return x509.load_pem_x509_certificate(self.files.chain.read_bytes()).serial_number

    def shown(self, *, version: TlsVersion = TlsVersion.TLS_1_3, name: str | None = "localhost") -> int:
        """Of the certificate that a client sees."""
        trusting = client_context(ensure_ca(self.folder), versions=frozenset({version}))
        trusting.check_hostname = name is not None
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting.wrap_bio(to_client, to_server, server_hostname=name)
        waiting = [client.do_handshake, self.server(to_server, to_client)]
        while waiting:
            side = waiting.pop(0)
            try:
                side()
            except ssl.SSLWantReadError:
                waiting.append(side)
        der = client.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der).serial_number


class RenewingPyOpenSSL(Renewing):
    """The same function with pyOpenSSL's context."""

    def renewing(self) -> Callable[..., object]:
        """The function alone: its script does more when it is run."""
        script = ast.parse(rendered("flask-cheroot-pyopenssl").files["serve.py"])
        script.body = [part for part in script.body if isinstance(part, ast.FunctionDef) and part.name == "renewing"]
        module: dict[str, Any] = {"os": os, "sys": sys, "time": self.clock, "SSL": SSL}
        exec(compile(script, "serve.py", "exec"), module)  # noqa: S102 (as above)
        renewing: Callable[..., object] = module["renewing"]
        return renewing

    def make_context(self) -> object:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(str(self.files.chain))
        context.use_privatekey_file(str(self.files.key))
        return context

    def server(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> Callable[[], None]:
        assert isinstance(self.context, SSL.Context)
        connection = SSL.Connection(self.context, None)
        connection.set_accept_state()

        def step() -> None:
            while octets := incoming.read():
                connection.bio_write(octets)
            try:
                connection.do_handshake()
            except SSL.WantReadError as error:
                raise ssl.SSLWantReadError from error
            finally:
                with contextlib.suppress(SSL.WantReadError):
                    outgoing.write(connection.bio_read(1 << 20))

        return step


@pytest.fixture(params=[Renewing, RenewingPyOpenSSL])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Renewing:
    made: Renewing = request.param(tmp_path)
    return made


class TestRenewing:
    """The newest certificate that can be used, looked for when a client comes, at most four times a second."""

    @pytest.mark.parametrize("version", TlsVersion)
    @pytest.mark.parametrize("name", ["localhost", None])
    def test_a_new_pair_is_shown_at_the_next_look(
        self, served: Renewing, version: TlsVersion, name: str | None
    ) -> None:
        first = served.shown(version=version, name=name)
        served.issue("live")
        assert served.serial() != first
        served.clock.now_s += LOOKS_S * 0.9
        assert served.shown(version=version, name=name) == first
        served.clock.now_s += LOOKS_S * 0.2
        assert served.shown(version=version, name=name) == served.serial()

    def test_half_of_a_new_pair_waits_for_the_other_half(
        self, served: Renewing, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first, new = served.shown(), served.issue("new")
        new.chain.replace(served.files.chain)
        for _ in range(3):
            served.clock.now_s += LOOKS_S
            assert served.shown() == first
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"{served.files.chain}: not served yet, the one from before is: ")
        assert "key values mismatch" in line.lower().replace("_", " ")
        new.key.replace(served.files.key)
        served.clock.now_s += LOOKS_S
        assert served.shown() == served.serial() != first
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nMIIB"])
    def test_a_file_that_is_gone_or_not_whole(
        self, served: Renewing, capsys: pytest.CaptureFixture[str], content: bytes | None
    ) -> None:
        first, whole = served.shown(), served.files.chain.read_bytes()
        if content is None:
            served.files.chain.unlink()
        else:
            served.files.chain.write_bytes(content)
        for _ in range(3):
            served.clock.now_s += LOOKS_S
            assert served.shown() == first
        assert len(capsys.readouterr().err.splitlines()) == 1
        served.files.chain.write_bytes(whole)
        served.clock.now_s += LOOKS_S
        assert served.shown() == first
        assert capsys.readouterr().err == ""

    def test_a_link_is_what_it_leads_to(self, served: Renewing) -> None:
        """As certbot has it: live/ holds links, and a renewal leads them elsewhere."""
        new = served.issue("new")
        for link, target in ((served.files.key, new.key), (served.files.chain, new.chain)):
            link.unlink()
            link.symlink_to(target)
        served.clock.now_s += LOOKS_S
        assert served.shown() == served.serial()
        served.issue("new")
        served.clock.now_s += LOOKS_S
        assert served.shown() == served.serial()
