"""A newcomer's folder: the files of a page copied into it, its commands typed, its servers started."""

import contextlib
import os
import pty
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psutil

from certs import client_context
from tests.docs.pages import console, files

BIN: Final = Path(sys.executable).parent
CA: Final = Path(".device/ca/ca.pem")
TIMEOUT_S: Final = 20.0
RECORD: Final = re.compile(r"^(?=\[\d{4}-)", re.MULTILINE)
LATE_UPLOAD: Final = "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"
"""What Hypercorn says, at times, of an upload that it has answered with 401 before it came (docs/hypercorn.md)."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that a page says how to start."""

    process: psutil.Popen
    port: int
    log: Path
    ca: Path

    def client(self, scheme: str = "https", *, certificate: Path | None = None) -> httpx.Client:
        """A client that verifies the server, as localhost."""
        context = client_context(self.ca)
        if certificate is not None:
            context.load_cert_chain(certificate / "chain.pem", certificate / "key.pem")
        url = f"{scheme}://localhost:{self.port}"
        return httpx.Client(base_url=url, verify=context, timeout=TIMEOUT_S, trust_env=False)


def furnish(folder: Path, page: Path) -> None:
    """Write a page's files, and make certificates by the commands that it gives for that."""
    for name, text in files(page).items():
        (folder / name).write_text(text, encoding="utf-8")
    for command in console(page):
        if command.startswith("python -m certs"):
            run(folder, command)


def run(folder: Path, command: str) -> str:
    """Type a command; what it asks on its standard input is answered with its defaults."""
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=environment(),
        input="\n" * 10,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def typed(folder: Path, command: str, answer: str) -> str:
    """Type a command on a terminal, and the answer to whatever it asks there; what is then seen on it."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            ["setsid", "--ctty", "--wait", "sh", "-c", command],
            cwd=folder,
            env=environment(),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            seen = ""
            with contextlib.suppress(OSError):  # EIO: nobody has the terminal any more
                while octets := os.read(ours, 1000):
                    seen += octets.decode("utf-8")
                    if seen.endswith(": "):
                        os.write(ours, f"{answer}\n".encode())
            process.wait(TIMEOUT_S)
    finally:
        os.close(ours)
    return "".join(f"{line.rstrip()}\n" for line in seen.splitlines())


def environment() -> Mapping[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("DEVICE_")}
    return ours | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


@contextlib.contextmanager
def serving(
    furnished: Path, folder: Path, command: str, *, ports: Mapping[str, int] | None = None, fd: int | None = None
) -> Iterator[Server]:
    """Start a server as a page says, on ports that are free, until it listens; in the end, see that nothing went wrong.

    furnished: what `furnish` made; folder: an empty one, for a copy. ports: what the page's ports are to be; the first
    is the server's. fd: a descriptor that the server gets as its third.
    """
    shutil.copytree(furnished, folder, dirs_exist_ok=True)
    ports = ports or {"8443": free_port()}
    for file in folder.glob("*.py"):
        text = file.read_text(encoding="utf-8").replace("0.0.0.0", "127.0.0.1")
        for printed, port in ports.items():
            text = text.replace(printed, str(port))
        file.write_text(text, encoding="utf-8")
    words = ["sh", "-c", f"exec {command}"]
    if fd is not None:  # as systemd does it
        words = [sys.executable, "-c", f"import os; os.dup2({fd}, 3); os.execvp('sh', {words})"]
    port = next(iter(ports.values()))
    log = folder / "log"
    with log.open("w") as output:
        process = psutil.Popen(
            words,
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[] if fd is None else [fd],
        )
    try:
        wait_until_it_listens(process, port, log)
        yield Server(process, port, log, folder / CA)
        served = log.read_text()  # not what Hypercorn's workers say when they are stopped (docs/hypercorn.md)
        served = "".join(record for record in RECORD.split(served) if LATE_UPLOAD not in record)
    finally:
        stop(process)
    assert "Traceback" not in served, served


def stop(process: psutil.Popen) -> None:
    """Stop a server and what it has started: a reloader does not take its child along."""
    with contextlib.suppress(psutil.NoSuchProcess):
        processes = [*process.children(recursive=True), process]
        for each in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.terminate()
        _, alive = psutil.wait_procs(processes, TIMEOUT_S)
        for each in alive:
            each.kill()
        assert not alive
    process.wait(TIMEOUT_S)


def wait_until_it_listens(process: psutil.Popen, port: int, log: Path) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline_s, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return


def free_port() -> int:
    """A port that is free now: pages print ports."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def certificate_of(port: int) -> str:
    """The certificate that a server shows, trusted or not."""
    return ssl.get_server_certificate(("localhost", port), timeout=TIMEOUT_S)
