"""An ACME server on loopback, Let's Encrypt's own for tests, and Debian's certbot as its client.

Pebble checks a name as Let's Encrypt does, by asking the name for a file over HTTP, though on a port of our choice; a
name server of its own (pebble-challtestsrv) says that every name is this machine. Neither can be told to take any free
port, so that free ones are looked for.
"""

import contextlib
import json
import os
import random
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from certs import KeyKind, client_context, ensure_ca, issue_certificate
from tests.requirements import require_program

START_S: Final = 10.0
STOP_S: Final = 10.0
CERTBOT_S: Final = 60.0

_FIRST_PORT: Final = 10000
_LAST_PORT: Final = 32000  # below the ports that outgoing connections take: nobody takes one by chance while it is free


def free_port() -> int:
    """A port that nobody listens on, most likely until it is used."""
    while True:
        port = random.randint(_FIRST_PORT, _LAST_PORT)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@contextlib.contextmanager
def running(
    command: list[str], log: Path, *, port: int, environ: Mapping[str, str] | None = None, stop: int = signal.SIGTERM
) -> Iterator[subprocess.Popen[bytes]]:
    """A program, from when it listens on a port of 127.0.0.1 until it has ended on a signal."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environ or {})}
        )
    try:
        await_listening(process, port, log)
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            sys.stdout.write(log.read_text(errors="replace")[-20000:])  # pytest shows it when a test fails


def await_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        assert process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline_s, f"nobody listens on port {port} after {START_S} s: {log.read_text()}"
        time.sleep(0.02)


@dataclass(frozen=True, slots=True)
class Pebble:
    """One that runs."""

    directory_url: str
    own_ca: Path  # of the certificate that its API shows; has nothing to do with those that it issues
    root: Path  # what it issues leads there
    http_port: int  # where it looks for the answers to HTTP-01
    tls_port: int  # where it looks for the answers to TLS-ALPN-01


@contextlib.contextmanager
def running_pebble(folder: Path, *, validity_s: int | None = None) -> Iterator[Pebble]:
    """Pebble with a name server; `validity_s` is how long what it issues is valid."""
    program = require_program("pebble", "pebble")
    names = require_program("pebble-challtestsrv", "pebble")
    api, management, http, tls, dns, dns_management = (free_port() for _ in range(6))
    own = issue_certificate(folder, KeyKind.ECDSA_P256, ["127.0.0.1"], out=folder / "pebble")
    configuration = {
        "listenAddress": f"127.0.0.1:{api}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(own.chain),
        "privateKey": str(own.key),
        "httpPort": http,
        "tlsPort": tls,
    } | ({} if validity_s is None else {"certificateValidityPeriod": validity_s})
    file = folder / "pebble.json"
    file.write_text(json.dumps({"pebble": configuration}))
    # All names lead to 127.0.0.1; what else this program can do for tests is off.
    names_command = [names, "-dns01", f"127.0.0.1:{dns}", "-management", f"127.0.0.1:{dns_management}"]
    names_command += ["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]
    # No pauses made up to teach clients patience, every name checked each time.
    environ = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
    with (
        running(names_command, folder / "names.log", port=dns_management),
        running(
            [program, "-config", str(file), "-dnsserver", f"127.0.0.1:{dns}"],
            folder / "pebble.log",
            port=api,
            environ=environ,
        ),
    ):
        own_ca = ensure_ca(folder)
        root = folder / "root.pem"
        context = client_context(own_ca)
        with urllib.request.urlopen(f"https://127.0.0.1:{management}/roots/0", context=context) as answer:
            root.write_bytes(answer.read())
        yield Pebble(f"https://127.0.0.1:{api}/dir", own_ca, root, http, tls)


def trusting(pebble: Pebble) -> ssl.SSLContext:
    """A client that trusts what this Pebble issues, and checks names."""
    return client_context(pebble.root)


@dataclass(frozen=True, slots=True)
class Certbot:
    """Debian's certbot with this test's ACME server, folder and port for HTTP-01 as its defaults."""

    pebble: Pebble
    folder: Path  # as /etc/letsencrypt is on a real machine
    settings: Path  # as ~/.config
    programs: Path  # found before those of the system

    @classmethod
    def prepared(cls, pebble: Pebble, folder: Path, programs: Path, *, http_port: int | None = None) -> "Certbot":
        """http_port: where it answers HTTP-01, if somebody passes that on from where Pebble asks."""
        require_program("certbot", "certbot")
        settings = folder.with_name("certbot-settings")
        defaults = {
            "server": pebble.directory_url,
            "config-dir": folder,
            "work-dir": settings / "work",
            "logs-dir": settings / "logs",
            "http-01-port": http_port or pebble.http_port,
            "agree-tos": True,
            "email": "you@device.example",
            "non-interactive": True,
            "no-random-sleep-on-renew": True,  # else up to eight minutes, where nobody looks on
        }
        file = settings / "letsencrypt" / "cli.ini"
        file.parent.mkdir(parents=True)
        file.write_text("".join(f"{name} = {value}\n" for name, value in defaults.items()))
        return cls(pebble, folder, settings, programs)

    def run(self, command: str) -> str:
        """Run a command line that begins with certbot; it must succeed, its hook too. Returns what it says."""
        name, *options = shlex.split(command)
        assert name == "certbot"
        done = subprocess.run(
            [require_program("certbot", "certbot"), *options],
            env={
                **os.environ,
                "XDG_CONFIG_HOME": str(self.settings),
                "REQUESTS_CA_BUNDLE": str(self.pebble.own_ca),
                "PATH": f"{self.programs}{os.pathsep}{os.environ['PATH']}",
                "LC_ALL": "C.UTF-8",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=CERTBOT_S,
            check=False,
        )
        sys.stdout.write(done.stdout)
        assert done.returncode == 0, done.stdout
        assert "reported error" not in done.stdout, done.stdout  # of a hook, which certbot itself takes lightly
        return done.stdout
