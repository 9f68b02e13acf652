"""What only a person can put right is told in one line, with status 2 and without a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from certs import KeyKind, TlsPolicy, stdlib_server_context
from device_api.state import open_state
from tests.bench.peers import PASSWORD, USER, Device, ScriptedServer, refused_port
from tests.bench.running import Ended, locust


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return open_state(tmp_path_factory.mktemp("state")).folder


def complaint(ended: Ended) -> str:
    """The one line that is not Locust's log."""
    assert ended.status == 2, ended.output
    (line,) = [line for line in ended.output.splitlines() if "/INFO/" not in line]
    assert line.startswith("locust: error: "), ended.output
    return line


def headless(*arguments: str) -> Ended:
    return locust("bench/keep_alive.py", "--headless", "-u", "2", "-r", "2", "-t", "1s", *arguments)


def test_no_state(tmp_path: Path) -> None:
    line = complaint(headless("--device-state", str(tmp_path / "absent")))
    assert str(tmp_path / "absent" / "credentials") in line


def test_no_state_in_the_web_ui(tmp_path: Path) -> None:
    """At once, not at the first start button."""
    ended = locust("bench/keep_alive.py", "--web-port", "0", "--device-state", str(tmp_path / "absent"))
    assert "no credentials there" in complaint(ended)


@pytest.mark.parametrize("workers", [(), ("--processes", "2")], ids=["alone", "with workers"])
def test_unreachable(state: Path, workers: tuple[str, ...]) -> None:
    with refused_port() as port:
        line = complaint(headless("--device-state", str(state), "--host", f"https://127.0.0.1:{port}", *workers))
    assert f"host https://127.0.0.1:{port}: cannot connect: connection refused; start a device there" in line


def test_no_host_at_all(state: Path) -> None:
    assert "expected https://NAME:PORT" in complaint(headless("--device-state", str(state), "--host", "device"))


def test_ca_that_is_not_the_servers(state: Path, tmp_path: Path) -> None:
    files = open_state(tmp_path).certificate(KeyKind.ECDSA_P256)
    with ScriptedServer(Device().script, context=stdlib_server_context(files, TlsPolicy())) as server:
        line = complaint(headless("--device-state", str(state), "--host", server.url))
    assert "certificate refused" in line
    assert "--ca-file" in line


def test_wrong_credentials(state: Path, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("admin:wrong\n")
    with ScriptedServer(Device().script) as server:
        ended = headless("--device-state", str(state), "--host", server.url, "--credentials-file", str(credentials))
    line = complaint(ended)
    assert "credentials refused" in line
    assert "--credentials-file" in line


def test_recording_that_cannot_be_written(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(f"{USER}:{PASSWORD}\n")
    place = tmp_path / "absent" / "recording"
    with ScriptedServer(Device().script) as server:
        ended = headless("--host", server.url, "--credentials-file", str(credentials), "--record", str(place))
    line = complaint(ended)
    assert str(place) in line
    assert "--record" in line


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--rate", "fast"),
        ("--rate", "0"),
        ("--rate", "nan"),
        ("--rate", "inf"),
        ("--rate", "1e9"),
        ("--arrivals", "bursts"),
        ("--arrivals-seed", "1.5"),
        ("--requests-per-connection", "0"),
        ("--requests-per-connection", "many"),
    ],
)
def test_load_that_means_nothing(option: str, value: str) -> None:
    """Before anything is connected to, and before any state is read."""
    line = complaint(headless(option, value))
    assert f"{option} {value}: expected" in line


def test_load_that_means_nothing_to_a_master() -> None:
    line = complaint(headless("--rate", "-1", "--processes", "2"))
    assert "--rate -1: expected requests a second" in line
