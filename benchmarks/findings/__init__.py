"""What servers do that they should not, each shown by a program of its own: reports for upstream, asked again by tests.

    hypercorn   Hypercorn beside clients that mean no good, and the server that this project has around it
    werkzeug    Werkzeug's accepting thread, and what it waits for

A finding is a function: its docstring is the question, what it returns is the answer. Each gets a server of its own,
in a process of its own: a module here, `serve_…`, that imports that server alone. Neither program needs more of this
project than this folder, but for the server that is this project's.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

ROOT: Final = Path(__file__).parents[2]
CERTIFICATE: Final = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -keyout"
)

Asked = TypeVar("Asked")  # what a finding asks: a server and its clients


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path  # its standard error


@contextlib.contextmanager
def served(module: str, *words: str) -> Iterator[Served]:
    """Run `python -m benchmarks.findings.MODULE PORT KEY WORDS` until the block ends; KEY holds the certificate too."""
    with tempfile.TemporaryDirectory() as name:
        key, certificate = Path(name) / "key.pem", Path(name) / "certificate.pem"
        subprocess.run([*CERTIFICATE.split(), key, "-out", certificate], check=True, capture_output=True)
        with key.open("ab") as both:
            both.write(certificate.read_bytes())
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        log = Path(name) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", f"{__name__}.{module}", str(port), str(key), *words],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=output,
            )
        try:
            while process.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield Served(process, port, log)
        finally:
            process.kill()
            process.wait()


def question(finding: Callable[[Asked], str]) -> str:
    """Return what a finding asks."""
    return (finding.__doc__ or "").rstrip(".")


def tell(findings: Sequence[Callable[[Asked], str]], find: Callable[[Callable[[Asked], str]], str]) -> None:
    """Find each out, and print it as a row of a table."""
    for finding in findings:
        print(f"| {question(finding)} | {find(finding)} |", flush=True)
