"""Two servers that cost next to nothing, so that the generator is what is measured: nginx, and one of our own.

Both answer what the generator asks for after a challenge, of whose answer they check nothing; nginx also without one,
at OPEN_PATH.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from certs import KeyKind
from device_api.state import DeviceState
from harness.calibration.responder import ANSWER, CHALLENGE
from harness.child import start_child

OPEN_PATH: Final = "/open"  # nginx answers it without a challenge
_LOOK_EVERY_S: Final = 0.05
_START_LIMIT_S: Final = 5.0

_NGINX: Final = Template("""\
daemon off;
master_process off;
pid $folder/nginx.pid;
error_log $folder/nginx.log;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    keepalive_requests 1000000000;
    default_type application/yang-data+json;
    server {
        listen 127.0.0.1:$port ssl;
        ssl_certificate $chain;
        ssl_certificate_key $key;
        ssl_protocols TLSv1.3;
        location $open_path { return 200 '$answer'; }
        location / {
            add_header WWW-Authenticate $$challenge always;
            if ($$http_authorization = "") { return 401; }
            return 200 '$answer';
        }
    }
    map $$http_authorization $$challenge {
        "" '$challenge';
    }
}
""")


class NotUpError(Exception):
    """A server did not start; the message is one line."""


@dataclass(frozen=True, slots=True)
class Server:
    """One that runs. name: as a report says it."""

    name: str
    url: str


def installed_nginx(which: Callable[[str], str | None] = shutil.which) -> str | None:
    """Return the path of nginx; Debian keeps it where only root's path leads."""
    return which("nginx") or (path if os.access(path := "/usr/sbin/nginx", os.X_OK) else None)


@contextmanager
def nginx(program: str, folder: Path, state: DeviceState, cpus: frozenset[int]) -> Iterator[Server]:
    """Run nginx on a free port. folder: for what it writes. Raises NotUpError."""
    files = state.certificate(KeyKind.ECDSA_P256)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _NGINX.substitute(
            folder=folder,
            port=port,
            chain=files.chain,
            key=files.key,
            answer=ANSWER,
            challenge=CHALLENGE,
            open_path=OPEN_PATH,
        ),
        encoding="utf-8",
    )
    argv = [program, "-e", str(folder / "nginx.log"), "-c", str(configuration)]
    with _running(argv, cpus, stdout=subprocess.DEVNULL) as process:
        await_listening("nginx", port, process)
        yield Server("nginx", f"https://127.0.0.1:{port}")


@contextmanager
def responder(state: DeviceState, cpus: frozenset[int]) -> Iterator[Server]:
    """Run our own. Raises NotUpError."""
    files = state.certificate(KeyKind.ECDSA_P256)
    argv = [sys.executable, "-m", "harness.calibration.responder", str(files.chain), str(files.key)]
    with _running(argv, cpus, stdout=subprocess.PIPE) as process:
        if process.stdout is None:
            raise TypeError("started with a pipe")
        with process.stdout as printed:
            line = printed.readline()  # empty if it ended
            if not line:
                raise NotUpError(f"the trivial server ended with status {process.wait()}")
            yield Server("a trivial server", f"https://127.0.0.1:{int(line)}")


@contextmanager
def _running(argv: list[str], cpus: frozenset[int], *, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    process = start_child(argv, cpus=cpus, stdout=stdout)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def await_listening(name: str, port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server accepts connections, for five seconds at most. Raises NotUpError."""
    deadline_s = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(_LOOK_EVERY_S)
    raise NotUpError(f"{name} did not start")
