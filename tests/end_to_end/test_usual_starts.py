"""Both applications, started by other people's commands as their users type them; settings are `DEVICE_*` variables.

With each kind of certificate that the guides come with: of a CA, made up by Werkzeug, and made by openssl in one line.
"""

import os
import shlex
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from certs import CertificateFiles, KeyKind, client_context, ensure_ca, ensure_certificate
from device_api.routes import HEALTH_PATH, INTERFACES_PATH, SYSTEM_STATE_PATH
from device_api.state import read_credentials
from tests.requirements import require_program

pytestmark = pytest.mark.end_to_end

TIMEOUT_S = 30.0
REALM = "the lab"  # not the default: whoever says it has read the variables

OPENSSL = "openssl req -x509 -newkey rsa:4096 -nodes -out cert.pem -keyout key.pem -days 365"
"""As the guides have it; the questions that it asks are answered by -subj."""


class Shown(Enum):
    """The certificate that the server shows."""

    ISSUED = auto()  # by a CA that the client trusts
    ADHOC = auto()  # Werkzeug's own, kept nowhere: nobody can verify it
    SELF_SIGNED = auto()  # by OPENSSL; the client trusts it, though it has no subjectAltName that could be checked


@dataclass(frozen=True)
class Start:
    """A command with PORT, CHAIN and KEY to be filled in; also in what `app.run` is given, where that is the start."""

    command: str
    shown: Shown = Shown.ISSUED
    ssl_context: str | None = None

    def __str__(self) -> str:
        what = self.command if self.ssl_context is None else f"app.run(ssl_context={self.ssl_context})"
        return f"{what} {self.shown.name.lower()}"

    def words(self, folder: Path, port: int, files: CertificateFiles | None) -> list[str]:
        """Write the program, if there is one, and return the command."""
        values = {"PORT": str(port)}
        if files is not None:
            values |= {"CHAIN": str(files.chain), "KEY": str(files.key)}
        if self.ssl_context is not None:
            program = f"from flask_impl import app\n\napp.run(port=int(PORT), ssl_context={self.ssl_context})\n"
            literals = {name: repr(value) for name, value in values.items()}
            (folder / "serve.py").write_text(_filled(program, literals))
        name, *arguments = self.command.split()
        return [str(Path(sys.executable).with_name(name)), *(_filled(argument, values) for argument in arguments)]


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(name, value)
    return text


STARTS = [
    Start("flask --app flask_impl run --cert adhoc --port PORT", Shown.ADHOC),
    Start("flask --app flask_impl run --cert CHAIN --key KEY --port PORT"),
    Start("flask --app flask_impl run --cert CHAIN --key KEY --port PORT", Shown.SELF_SIGNED),
    Start("python serve.py", Shown.ADHOC, ssl_context="'adhoc'"),
    Start("python serve.py", ssl_context="(CHAIN, KEY)"),
    Start("python serve.py", Shown.SELF_SIGNED, ssl_context="(CHAIN, KEY)"),
    # Without its last option gunicorn makes a socket in the home folder.
    Start("gunicorn flask_impl:app --bind 127.0.0.1:PORT --certfile CHAIN --keyfile KEY --no-control-socket"),
    Start("hypercorn quart_impl:app --bind 127.0.0.1:PORT --certfile CHAIN --keyfile KEY"),
    Start("uvicorn quart_impl:app --port PORT --ssl-certfile CHAIN --ssl-keyfile KEY"),
    Start("python -m flask_impl --port PORT --certificate CHAIN --key KEY", Shown.SELF_SIGNED),
    Start("python -m flask_impl --tls-backend pyopenssl --port PORT --certificate CHAIN --key KEY", Shown.SELF_SIGNED),
    Start("python -m quart_impl --port PORT --certificate CHAIN --key KEY", Shown.SELF_SIGNED),
]


@pytest.fixture(scope="module")
def tls_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def self_signed(tls_folder: Path) -> CertificateFiles:
    """What the guides' line makes."""
    program, *arguments = shlex.split(OPENSSL)
    command = [require_program(program, "openssl"), *arguments, "-subj", "/CN=localhost"]
    subprocess.run(command, check=True, cwd=tls_folder, capture_output=True)
    return CertificateFiles(chain=tls_folder / "cert.pem", key=tls_folder / "key.pem")


@pytest.fixture
def files(start: Start, tls_folder: Path, request: pytest.FixtureRequest) -> CertificateFiles | None:
    """What the server is given."""
    if start.shown is Shown.ADHOC:
        return None
    if start.shown is Shown.ISSUED:
        return ensure_certificate(tls_folder, KeyKind.ECDSA_P256)
    made: CertificateFiles = request.getfixturevalue("self_signed")
    return made


@pytest.fixture
def trusting(start: Start, tls_folder: Path, files: CertificateFiles | None) -> ssl.SSLContext:
    """The TLS context of a client that trusts the server as far as it can."""
    if files is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context = client_context(files.chain if start.shown is Shown.SELF_SIGNED else ensure_ca(tls_folder))
    context.check_hostname = start.shown is Shown.ISSUED
    return context


@pytest.mark.parametrize("start", STARTS, ids=str)
def test_answers_whoever_knows_the_first_password(
    start: Start, files: CertificateFiles | None, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    port = free_port()
    state, log = tmp_path / "state", tmp_path / "log"
    environ = os.environ | {"DEVICE_STATE": str(state), "DEVICE_REALM": REALM, "HOME": str(tmp_path)}
    with log.open("w") as output:
        command = start.words(tmp_path, port, files)
        server = subprocess.Popen(command, env=environ, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT)
    try:
        url = f"https://127.0.0.1:{port}"
        with httpx.Client(base_url=url, verify=trusting, timeout=TIMEOUT_S, trust_env=False) as client:
            wait_until_it_serves(client, server, log)
            stranger = client.get(SYSTEM_STATE_PATH)
            assert stranger.status_code == 401
            assert f'realm="{REALM}"' in stranger.headers["www-authenticate"]
            client.auth = httpx.DigestAuth(*read_credentials(state / "credentials"))
            for path in (SYSTEM_STATE_PATH, INTERFACES_PATH):
                answer = client.get(path)
                assert answer.status_code == 200, log.read_text()
                assert answer.json()
    finally:
        server.terminate()
        try:
            server.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise
    assert "Traceback" not in log.read_text()


def test_the_guides_line_makes_what_they_say(self_signed: CertificateFiles) -> None:
    """So the starts above are about RSA-4096, for a year, with no name that a client could check."""
    made = x509.load_pem_x509_certificate(self_signed.chain.read_bytes())
    key = made.public_key()
    assert isinstance(key, RSAPublicKey)
    assert key.key_size == 4096
    assert made.issuer == made.subject
    assert (made.not_valid_after_utc - made.not_valid_before_utc).days == 365
    with pytest.raises(x509.ExtensionNotFound):
        made.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def wait_until_it_serves(client: httpx.Client, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while True:
        try:
            assert client.get(HEALTH_PATH).json() == {"status": "ok"}
        except httpx.TransportError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.05)
        else:
            return


def free_port() -> int:
    """A port that is free now; none of these commands could be told 0 and asked for the one it got."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
