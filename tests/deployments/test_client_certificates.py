"""Every deployment, asking its clients for certificates: who is let in, and is the application told who it is."""

import os
import site
import ssl
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

import certs
import deployments
from certs import CertificateFiles
from deployments import DeploymentError, RunningServer, ServeOptions
from deployments._types import ClientCertificates
from tests.deployments.clients import TIMEOUT_S

HEALTH = "/health"
TOLD = "x-told"  # digest of the certificate that the application was told of; empty: of none

# Both applications, as every Python that starts now will find them: they answer what they were told besides.
FLASK_TELLS = """
import hashlib, ssl, flask

def told(environ):
    pem = environ.get("SSL_CLIENT_CERT")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest() if pem else ""

answer = flask.Flask.__call__

def call(app, environ, start_response):
    def start(status, headers, *more):
        return start_response(status, [*headers, ("x-told", told(environ))], *more)
    return answer(app, environ, start)

flask.Flask.__call__ = call
"""
QUART_TELLS = """
import hashlib, ssl, quart

def told(scope):
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(chain[0])).hexdigest() if chain else ""

answer = quart.Quart.__call__

async def call(app, scope, receive, send):
    async def tell(message):
        if message["type"] == "http.response.start":
            message = message | {"headers": [*message["headers"], (b"x-told", told(scope).encode())]}
        await send(message)
    await answer(app, scope, receive, tell)

quart.Quart.__call__ = call
"""


@dataclass(frozen=True)
class People:
    """Clients, each with what it shows."""

    ca: Path  # of those who are let in
    cas: Path  # another CA, and this one after it, in one file
    known: CertificateFiles
    stranger: CertificateFiles  # of another CA

    @property
    def digest(self) -> str:
        """Of the known one's certificate."""
        return sha256(ssl.PEM_cert_to_DER_cert(self.known.chain.read_text().partition("-----END")[0] + END)).hexdigest()


END = "-----END CERTIFICATE-----\n"


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    folder, beside, elsewhere = (tmp_path_factory.mktemp(name) for name in ("clients", "beside", "elsewhere"))
    ca, cas = certs.ensure_ca(folder), folder / "cas.pem"
    cas.write_bytes(certs.ensure_ca(beside).read_bytes() + ca.read_bytes())
    return People(
        ca=ca,
        cas=cas,
        known=certs.issue_client_certificate(folder, "router-7"),
        stranger=certs.issue_client_certificate(elsewhere, "router-7"),
    )


def asked(server: RunningServer, shown: CertificateFiles | None) -> httpx.Response:
    """Raises httpx.TransportError when the server does not let one in."""
    assert server.ca_file is not None
    trusting = certs.client_context(server.ca_file)
    if shown is not None:
        trusting.load_cert_chain(shown.chain, shown.key)
    with httpx.Client(base_url=server.url, verify=trusting, timeout=TIMEOUT_S, trust_env=False) as client:
        return client.get(HEALTH)


def check_that_it_refuses(server: RunningServer, shown: CertificateFiles | None) -> None:
    """In the handshake, or by an answer that no application gives."""
    if deployments.find(server.name).abilities.client_certificates is ClientCertificates.ANSWERED:
        answer = asked(server, shown)
        assert answer.status_code == 400
        assert TOLD not in answer.headers
    else:
        with pytest.raises(httpx.TransportError):
            asked(server, shown)


@pytest.fixture
def _applications_tell(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name: str = request.getfixturevalue("name")
    (tmp_path / "sitecustomize.py").write_text(FLASK_TELLS if name.startswith("flask") else QUART_TELLS)
    # The packages too: a Python that a server embeds finds them only after it has read that file.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), *site.getsitepackages())))


@pytest.mark.end_to_end
@pytest.mark.usefixtures("_applications_tell")
@pytest.mark.parametrize("name", deployments.names())
class TestAsked:
    """Who shows a certificate of the CA is let in, who shows another never is; who shows none may be."""

    def test_required(self, name: str, state: Path, people: People) -> None:
        """By any CA of the file, where it has several: some read one alone, and are given no more."""
        ca = people.ca if deployments.find(name).one_client_ca else people.cas
        with deployments.start(name, ServeOptions(state=state, client_ca=ca)) as server:
            for shown in (None, people.stranger):
                check_that_it_refuses(server, shown)
            answer = asked(server, people.known)
        assert answer.status_code == 200
        claimed = deployments.find(name).abilities.client_certificates is ClientCertificates.TOLD
        assert answer.headers[TOLD] == (people.digest if claimed else "")

    def test_optional(self, name: str, state: Path, people: People) -> None:
        options = ServeOptions(state=state, client_ca=people.ca, client_certificates="optional")
        with deployments.start(name, options) as server:
            check_that_it_refuses(server, people.stranger)
            known, anonymous = asked(server, people.known), asked(server, None)
        assert (known.status_code, anonymous.status_code) == (200, 200)
        assert anonymous.headers[TOLD] == ""


@pytest.mark.end_to_end
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_that_cannot_be_read_is_refused_before_anything_starts(
    state: Path, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DeploymentError, match=rf"^{file}: .*"):
        deployments.start("flask-werkzeug", ServeOptions(state=state, client_ca=file))


@pytest.mark.parametrize("name", [name for name in deployments.names() if deployments.find(name).one_client_ca])
def test_several_cas_are_refused_where_all_but_one_would_be_passed_over(name: str, state: Path, people: People) -> None:
    with pytest.raises(DeploymentError) as caught:
        deployments.start(name, ServeOptions(state=state, client_ca=people.cas))
    assert str(caught.value) == (
        f"{name} reads one certificate of a file of CAs, and this one has 2; give --client-ca a file that has one, or "
        "serve behind another proxy"
    )
