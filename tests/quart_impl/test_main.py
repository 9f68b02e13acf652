"""`python -m quart_impl`, started as its users start it."""

import contextlib
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from certs import CertificateFiles, KeyKind, client_context, ensure_certificate
from device_api.ready import ReadyFile
from device_api.routes import HEALTH_PATH, SYSTEM_STATE_PATH
from device_api.state import open_state, read_credentials
from tests.certs.conftest import client_certificate
from tests.requirements import require_program

pytestmark = pytest.mark.end_to_end

TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_state(tmp_path_factory.mktemp("state")).folder


@dataclass(frozen=True, kw_only=True)
class Running:
    process: subprocess.Popen[str]
    ready_file: Path
    ready: ReadyFile

    def client(self, *, password: bool = True, certificate: CertificateFiles | None = None) -> httpx.Client:
        verify: ssl.SSLContext | bool = False
        if self.ready.ca_file is not None:
            verify = client_context(self.ready.ca_file)
            if certificate is not None:
                verify.load_cert_chain(certificate.chain, certificate.key)
        auth = None
        if password and self.ready.credentials_file is not None:
            auth = httpx.DigestAuth(*read_credentials(self.ready.credentials_file))
        return httpx.Client(base_url=self.ready.url, verify=verify, auth=auth, timeout=TIMEOUT_S, trust_env=False)

    def stop(self) -> tuple[int, str, str]:
        """Exit status, and what it has said on stdout and stderr."""
        self.process.send_signal(signal.SIGTERM)
        output, errors = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, output, errors


@contextlib.contextmanager
def running(state: Path, *options: str, environ: dict[str, str] | None = None) -> Iterator[Running]:
    with tempfile.TemporaryDirectory() as folder:
        ready_file = Path(folder) / "ready.json"
        places = ["--state", str(state), "--port", "0", "--ready-file", str(ready_file)]
        process = subprocess.Popen(
            [sys.executable, "-m", "quart_impl", *places, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | (environ or {}),
        )
        try:
            deadline_s = time.monotonic() + TIMEOUT_S
            while not ready_file.exists():
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline_s
                time.sleep(0.02)
            yield Running(process=process, ready_file=ready_file, ready=ReadyFile.read(ready_file))
        finally:
            process.kill()
            process.communicate()


def test_first_start_makes_everything_and_says_how_to_use_it(tmp_path: Path) -> None:
    curl = require_program("curl", "curl")
    state = tmp_path / "new state"
    with running(state) as server:
        assert server.ready.pid == server.process.pid
        assert server.ready.ca_file == state / "ca" / "ca.pem"
        assert server.ready.credentials_file == state / "credentials"
        assert server.process.stdout is not None
        lines = [server.process.stdout.readline().rstrip() for _ in range(4)]
        assert lines[0] == f"listening on {server.ready.url}"
        command = lines[-1].removeprefix("try: ").replace("curl", f"'{curl}' --silent --show-error --fail", 1)
        answer = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, cwd="/")
        assert "ietf-system:system-state" in answer.stdout
        assert server.stop() == (0, "", "")
        assert not server.ready_file.exists()


def test_a_password_is_asked_for(state: Path) -> None:
    with running(state) as server:
        with server.client(password=False) as stranger:
            assert stranger.get(SYSTEM_STATE_PATH).status_code == 401
        with server.client() as client:
            assert client.get(SYSTEM_STATE_PATH).status_code == 200


def test_adhoc(state: Path) -> None:
    with running(state, "--adhoc", "--tls", "1.3") as server:
        assert server.ready.ca_file is not None
        assert state not in server.ready.ca_file.parents
        with server.client() as client:
            assert client.get(SYSTEM_STATE_PATH).status_code == 200
        assert server.stop()[0] == 0
        assert not server.ready.ca_file.exists()


def test_certificate_and_key(state: Path, tmp_path: Path) -> None:
    files = ensure_certificate(tmp_path, KeyKind.RSA_2048)
    with running(state, "--certificate", str(files.chain), "--key", str(files.key)) as server:
        assert server.ready.ca_file == files.chain
        with server.client() as client:
            assert client.get(SYSTEM_STATE_PATH).status_code == 200


def test_client_ca(state: Path, tmp_path: Path) -> None:
    files = client_certificate(tmp_path)
    with running(state, "--client-ca", str(files.chain)) as server:
        with server.client() as client, pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            client.get(SYSTEM_STATE_PATH)
        with server.client(certificate=files) as client:
            assert client.get(SYSTEM_STATE_PATH).status_code == 200


@pytest.mark.parametrize(
    ("options", "environ"),
    [(["--no-tls", "--auth", "none"], {}), ([], {"DEVICE_TLS": "off", "DEVICE_AUTH": "none"})],
    ids=["options", "variables"],
)
def test_neither_tls_nor_digest(state: Path, options: list[str], environ: dict[str, str]) -> None:
    with running(state, *options, environ=environ) as server:
        assert server.ready.url.startswith("http://127.0.0.1:")
        assert (server.ready.ca_file, server.ready.credentials_file) == (None, None)
        with server.client() as client:
            assert client.get(SYSTEM_STATE_PATH).status_code == 200


@pytest.mark.parametrize("versions", ["1.2", "1.3"])
def test_tls_versions(state: Path, versions: str) -> None:
    with (
        running(state, "--tls", versions) as server,
        server.client() as client,
        client.stream("GET", HEALTH_PATH) as answer,
    ):
        tls = answer.extensions["network_stream"].get_extra_info("ssl_object")
        assert tls.version() == f"TLSv{versions}"


def test_balancers_are_told_while_it_stops(state: Path) -> None:
    with running(state) as server, server.client() as client:
        assert client.get(HEALTH_PATH).json() == {"status": "ok"}
        server.process.send_signal(signal.SIGTERM)
        while (answer := client.get(HEALTH_PATH)).status_code == 200:  # on the kept connection
            pass  # the signal is on its way
        assert (answer.status_code, answer.json()) == (503, {"status": "draining"})
        assert answer.headers["connection"] == "close"
        assert server.process.wait(TIMEOUT_S) == 0


def test_interrupt_is_a_clean_stop(state: Path) -> None:
    with running(state) as server:
        server.process.send_signal(signal.SIGINT)
        output, errors = server.process.communicate(timeout=TIMEOUT_S)
        assert (server.process.returncode, errors) == (0, "")
        assert output.startswith("listening on https://127.0.0.1:")
        assert not server.ready_file.exists()
