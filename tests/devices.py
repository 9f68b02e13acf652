"""A device as its users start it, `python -m flask_impl` or `python -m quart_impl`, for as long as a test needs it."""

import contextlib
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from certs import client_context
from device_api.ready import ReadyFile

START_S = 20.0
STOP_S = 20.0

DEVICES: Mapping[str, tuple[str, ...]] = {
    "flask-stdlib": ("flask_impl",),
    "flask-pyopenssl": ("flask_impl", "--tls-backend", "pyopenssl"),
    "quart": ("quart_impl",),
}
"""Our servers, each TLS stack in turn: module and options."""


@dataclass(frozen=True, slots=True)
class RunningDevice:
    """One that has said that it accepts connections."""

    ready: ReadyFile
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.ready.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    @property
    def trusting(self) -> ssl.SSLContext:
        """What a client of it needs; it serves HTTPS."""
        assert self.ready.ca_file is not None
        return client_context(self.ready.ca_file)

    def logged(self) -> list[str]:
        """Lines of stdout and stderr."""
        return self.log.read_text().splitlines()


@contextlib.contextmanager
def running_device(device: str, folder: Path, *options: str, shows_log: bool = True) -> Iterator[RunningDevice]:
    """Start one of DEVICES with its state in a folder; afterwards stop it by SIGTERM, which has to go well.

    shows_log: whether to print what it wrote, in the end; pytest keeps that to itself unless a test fails.
    """
    module, *usual = DEVICES[device]
    ready, log = folder / "ready.json", folder / "log"
    places = ["--port", "0", "--state", str(folder / "state"), "--ready-file", str(ready)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *usual, *places, *options], stdout=output, stderr=subprocess.STDOUT
        )
    try:
        deadline_s = time.monotonic() + START_S
        while not ready.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, f"not ready after {START_S} s: {log.read_text()}"
            time.sleep(0.02)
        yield RunningDevice(ReadyFile.read(ready), process, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            if shows_log:
                sys.stdout.write(log.read_text())
    assert status == 0, log.read_text()
