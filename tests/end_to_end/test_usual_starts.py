"""Both applications, started by other people's commands as their users type them; settings are `DEVICE_*` variables."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from certs import CertificateFiles, KeyKind, client_context, ensure_ca, ensure_certificate
from device_api.routes import HEALTH_PATH, INTERFACES_PATH, SYSTEM_STATE_PATH
from device_api.state import read_credentials

pytestmark = pytest.mark.end_to_end

TIMEOUT_S = 30.0
REALM = "the lab"  # not the default: whoever says it has read the variables


@dataclass(frozen=True)
class Start:
    """A command, with PORT, CHAIN and KEY to be filled in."""

    command: str
    verified: bool = True

    def words(self, port: int, files: CertificateFiles) -> list[str]:
        values = {"PORT": str(port), "127.0.0.1:PORT": f"127.0.0.1:{port}", "CHAIN": files.chain, "KEY": files.key}
        program, *arguments = self.command.split()
        installed = Path(sys.executable).with_name(program)
        return [str(installed), *(str(values.get(argument, argument)) for argument in arguments)]


STARTS = [
    Start("flask --app flask_impl run --cert adhoc --port PORT", verified=False),  # nobody is told its certificate
    Start("flask --app flask_impl run --cert CHAIN --key KEY --port PORT"),
    # Without its last option gunicorn makes a socket in the home folder.
    Start("gunicorn flask_impl:app --bind 127.0.0.1:PORT --certfile CHAIN --keyfile KEY --no-control-socket"),
    Start("hypercorn quart_impl:app --bind 127.0.0.1:PORT --certfile CHAIN --keyfile KEY"),
    Start("uvicorn quart_impl:app --port PORT --ssl-certfile CHAIN --ssl-keyfile KEY"),
]


@pytest.fixture(scope="module")
def tls_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.command)
def test_answers_whoever_knows_the_first_password(start: Start, tls_folder: Path, tmp_path: Path) -> None:
    port = free_port()
    state, log = tmp_path / "state", tmp_path / "log"
    environ = os.environ | {"DEVICE_STATE": str(state), "DEVICE_REALM": REALM, "HOME": str(tmp_path)}
    files = ensure_certificate(tls_folder, KeyKind.ECDSA_P256)
    with log.open("w") as output:
        command = start.words(port, files)
        server = subprocess.Popen(command, env=environ, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT)
    try:
        # The ad-hoc certificate is Werkzeug's own and kept nowhere, so that it cannot be verified.
        verify = client_context(ensure_ca(tls_folder)) if start.verified else False
        url = f"https://127.0.0.1:{port}"
        with httpx.Client(base_url=url, verify=verify, timeout=TIMEOUT_S, trust_env=False) as client:
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
