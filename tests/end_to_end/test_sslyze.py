"""sslyze, someone else's judge of TLS servers, finds our two servers to be as Mozilla's intermediate profile asks.

sslyze holds cryptography back to versions that this project is past, so it gets an environment of its own: made once
(in some 10 seconds), kept in pytest's cache or where SSLYZE_VENV says, made anew when what is pinned changes. The two
files that pin it come from `make lock`; one of them builds sslyze, which comes as source.

sslyze 6.3.1 carries the profile's version 5.7, `certs._policy` is of 6.0. What both admit is the same, but for three
DHE ciphers in 5.7 that we do not have, and for certificates, which in 5.7 are valid for 366 days at most. It looks at
certificate, versions, ciphers, groups, compression, renegotiation and known holes; not at HTTP's headers.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from certs import openssl_configuration
from device_api.ready import ReadyFile

pytestmark = pytest.mark.end_to_end

TIMEOUT_S = 60.0
INSTALL_TIMEOUT_S = 600.0  # some 20 MB, over whatever network there is

HERE: Final = Path(__file__).parent
PINS: Final = (HERE / "sslyze-build-requirements.txt", HERE / "sslyze-requirements.txt")

PROFILE_GROUPS: Final = "X25519:P-256:P-384"  # tls_curves of the profile; OpenSSL's own list has others as well
SERVERS: Final = {
    "flask-stdlib": ["flask_impl", "--tls-backend", "stdlib"],
    "flask-pyopenssl": ["flask_impl", "--tls-backend", "pyopenssl"],
    "quart": ["quart_impl"],
}


@pytest.mark.parametrize("program", SERVERS.values(), ids=SERVERS)
def test_our_servers_pass(sslyze: Path, program: Sequence[str], tmp_path: Path) -> None:
    kinds = ["--certificate-kind", "ecdsa-p256,rsa-2048"]  # both are looked at
    with serving([*program, *kinds], tmp_path, groups=PROFILE_GROUPS) as server:
        judged = judge(sslyze, server)
    assert re.search(r"cert chains detected: +2 ", judged.stdout), judged.stdout
    assert "OK - Compliant" in judged.stdout, judged.stdout
    assert judged.returncode == 0


def test_it_would_tell(sslyze: Path, tmp_path: Path) -> None:
    """A server whose groups are left to OpenSSL 3.0 has X448 and P-521 too, and is told so."""
    with serving(SERVERS["flask-stdlib"], tmp_path, groups=None) as server:
        judged = judge(sslyze, server)
    assert "FAILED - Not compliant" in judged.stdout, judged.stdout
    assert "tls_curves" in judged.stdout
    assert judged.returncode == 1


def judge(sslyze: Path, server: ReadyFile) -> subprocess.CompletedProcess[str]:
    port = server.url.rpartition(":")[2]
    return subprocess.run(
        [
            *(sslyze, "-m", "sslyze", "--mozilla_config", "intermediate"),
            *("--certinfo_ca_file", str(server.ca_file), f"localhost:{port}"),
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,  # its status is its verdict
    )


@contextmanager
def serving(program: Sequence[str], folder: Path, *, groups: str | None) -> Iterator[ReadyFile]:
    """Serve the device from a process whose OpenSSL has a configuration of its own."""
    configuration, ready, log = folder / "openssl.cnf", folder / "ready.json", folder / "log"
    configuration.write_text(openssl_configuration(groups), encoding="ascii")
    options = ["--port", "0", "--ready-file", str(ready), "--state", str(folder / "state")]
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", *program, *options],
            env=os.environ | {"OPENSSL_CONF": str(configuration)},
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as server,
    ):
        try:
            deadline_s = time.monotonic() + TIMEOUT_S
            while not ready.exists():
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline_s, log.read_text()
                time.sleep(0.02)
            yield ReadyFile.read(ready)
        finally:
            server.terminate()
            try:
                server.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                server.kill()
                raise
    assert server.returncode == 0, log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def sslyze(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has sslyze as it is pinned; a skip where pip cannot fetch it."""
    named = os.environ.get("SSLYZE_VENV")
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)  # absent with -p no:cacheprovider
    kept = tmp_path_factory.mktemp("sslyze") if cache is None else cache.mkdir("sslyze")
    venv = Path(named).absolute() if named else kept / "venv"
    python, stamp = venv / "bin" / "python", venv / "pinned"
    pinned = hashlib.sha256(b"".join(pins.read_bytes() for pins in PINS) + sys.version.encode()).hexdigest()
    venv.parent.mkdir(parents=True, exist_ok=True)
    with venv.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once
        if stamp.exists() and stamp.read_text() == pinned:
            return python
        if named and venv.exists() and not stamp.exists():
            pytest.fail(f"SSLYZE_VENV={named} is not an environment that these tests made; name another folder")
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=TIMEOUT_S)
        for pins in PINS:
            install(python, pins)
        stamp.write_text(pinned)
    return python


def install(python: Path, pins: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "install", "--quiet"]
    # Only sslyze is built here, by the pinned setuptools: nothing is compiled, and nothing unpinned is fetched.
    build = ["--no-build-isolation", "--only-binary", ":all:", "--no-binary", "sslyze"]
    installed = subprocess.run(
        [*pip, *build, "--require-hashes", "-r", str(pins)],
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    if installed.returncode == 0:
        return
    reason = installed.stderr.strip()
    assert "DO NOT MATCH THE HASHES" not in reason, reason
    pytest.skip(f"sslyze cannot be installed ({reason.splitlines()[-1]}); make a package index reachable for pip")
