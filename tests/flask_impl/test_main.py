"""`python -m flask_impl`: from the command line to the last answer."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from certs import client_context
from device_api.ready import ReadyFile
from tests.flask_impl.server.conftest import until

pytestmark = pytest.mark.end_to_end

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the program; it is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*options: str) -> subprocess.Popen[str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("DEVICE_")}
        command = [sys.executable, "-m", "flask_impl", "--state", str(tmp_path / "state"), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def health(url: str, context: ssl.SSLContext | None) -> int:
    with urllib.request.urlopen(f"{url}/health", timeout=5, context=context) as answer:  # noqa: S310 (of our own)
        return int(answer.status)


class TestServing:
    @pytest.mark.parametrize(
        ("options", "stop"),
        [
            (("--tls-backend", "stdlib"), signal.SIGTERM),
            (("--tls-backend", "pyopenssl"), signal.SIGINT),
            (("--adhoc",), signal.SIGTERM),
            (("--no-tls", "--auth", "none"), signal.SIGTERM),
        ],
    )
    def test_from_start_to_stop(
        self, start: Start, tmp_path: Path, options: tuple[str, ...], stop: signal.Signals
    ) -> None:
        ready_file = tmp_path / "ready.json"
        process = start("--port", "0", "--ready-file", str(ready_file), *options)
        until(lambda: ready_file.exists() or process.poll() is not None, 15)
        ready = ReadyFile.read(ready_file)
        assert ready.pid == process.pid
        context = None if ready.ca_file is None else client_context(ready.ca_file)
        assert health(ready.url, context) == 200
        process.send_signal(stop)
        talk, complaints = process.communicate(timeout=15)
        assert process.returncode == 0
        assert f"listening on {ready.url}\n" in talk
        assert complaints == ""
        assert not ready_file.exists()

    def test_a_request_at_work_is_answered_before_it_ends(self, start: Start, tmp_path: Path) -> None:
        ready_file = tmp_path / "ready.json"
        process = start("--port", "0", "--ready-file", str(ready_file), "--no-tls", "--auth", "none")
        until(lambda: ready_file.exists() or process.poll() is not None, 15)
        ready = ReadyFile.read(ready_file)
        ping = {"network-device:input": {"destination": "192.0.2.1", "count": 2, "interval-ms": 300}}
        body = json.dumps(ping).encode()
        address = ("127.0.0.1", int(ready.url.rpartition(":")[2]))
        with socket.create_connection(address, timeout=5) as client:
            client.sendall(
                b"POST /restconf/operations/network-device:ping HTTP/1.1\r\nHost: device\r\n"
                b"Content-Type: application/yang-data+json\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            client.sendall(body)
            assert health(ready.url, None) == 200  # so the ping has arrived too
            process.send_signal(signal.SIGTERM)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"Connection: close\r\n" in answer
        process.communicate(timeout=15)
        assert process.returncode == 0


class TestBadInput:
    """One line: what, where, what to do; exit status 2; no traceback."""

    def complaint(self, process: subprocess.Popen[str]) -> str:
        talk, complaints = process.communicate(timeout=15)
        assert process.returncode == 2
        assert talk == ""
        assert complaints.count("\n") == 1
        assert complaints.startswith("python -m flask_impl: error: ")
        return complaints

    def test_a_port_in_use(self, start: Start) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            assert port in self.complaint(start("--port", port))

    def test_a_missing_key(self, start: Start, tmp_path: Path) -> None:
        missing = str(tmp_path / "missing.pem")
        assert missing in self.complaint(start("--certificate", missing, "--key", missing))
