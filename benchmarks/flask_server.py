"""Flask's own server beside gunicorn's threads: CPU time; and what it does to new clients and with idle ones.

Costs: the same tiny WSGI application, TLS 1.3, P-256, X25519, one process, 16 threads, 16 connections of wrk; gunicorn
gthread with its context kept, by the configuration that `flask-gunicorn-gthread` is deployed with. Server and wrk are
pinned to a processor each, and take turns in random order in every block. Counted is the CPU time of the server's
whole process tree; "new" is a connection, a full handshake, a request and the end of it.

New clients: each connects, shakes hands and asks, from the moment that it begins to connect.

Goals: at most 0.6 times gunicorn's time for a request on a kept connection, at most 1.0 times for a new one (ours with
the standard library's TLS; pyOpenSSL's is shown beside it). Beside 400 busy connections the slowest of 8 new clients
takes at most 0.3 s, and beside 20 half ClientHellos at most twice what it takes alone, or 0.1 s. 1,000 idle
connections take at most 25 kB each.

    python -m benchmarks.flask_server [--blocks N] [--seconds S] [--json FILE]
"""

import argparse
import contextlib
import json
import os
import random
import re
import resource
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.bad_clients import Kind
from benchmarks.pinning import NotMeasuredError, pinned
from certs import (
    PINNED_GROUP,
    CertificateFiles,
    KeyKind,
    client_context,
    ensure_ca,
    ensure_certificate,
    openssl_configuration,
)
from deployments._templates import render_template
from deployments.servers._tls import TemplateTls
from harness.calibration.servers import await_listening
from harness.clocks import process_cpu_us, process_tree, rss_bytes
from harness.statistics import ratio_interval

CONNECTIONS = 16
KEPT_GOAL, NEW_GOAL = 0.6, 1.0
BUSY, NEWCOMERS, NEWCOMER_GOAL_S = 400, 8, 0.3
HALF_HELLOS, HALF_HELLO_GOAL, HALF_HELLO_FLOOR_S = 20, 2.0, 0.1
IDLE, IDLE_GOAL_BYTES = 1000, 25_000
TRIES = 5
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
OURS = {"stdlib": "ours, ssl", "pyopenssl": "ours, pyOpenSSL"}
GUNICORN = "gunicorn gthread"


@dataclass(frozen=True, slots=True)
class Server:
    """One that listens."""

    port: int
    pid: int
    trust: ssl.SSLContext

    def cpu_us(self) -> float:
        """CPU time of its processes so far."""
        return sum(process_cpu_us(pid) or 0.0 for pid in process_tree(self.pid))

    def memory(self) -> int:
        """Resident octets of its processes."""
        return rss_bytes(process_tree(self.pid))


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure and its goal."""

    what: str
    figure: float
    goal: float | None  # None: shown beside the others
    unit: str
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the goal, if there is one, was reached."""
        return self.goal is None or self.figure <= self.goal

    def __str__(self) -> str:
        goal = "" if self.goal is None else f"; goal: at most {self.goal:g}: {'met' if self.met else 'MISSED'}"
        return f"{self.what}: {self.figure:.3g}{self.unit}{self.note}{goal}"


@dataclass(frozen=True, slots=True)
class Site:
    """What the servers share."""

    folder: Path
    certificate: CertificateFiles
    trust: ssl.SSLContext
    processor: int
    environ: dict[str, str]

    @contextlib.contextmanager
    def ours(self, backend: str) -> Iterator[Server]:
        """Our server, until the block ends."""
        files = self.certificate
        command = ["-m", "benchmarks.tiny_server", backend, "{port}", str(files.chain), str(files.key)]
        with self._started(command) as server:
            yield server

    @contextlib.contextmanager
    def gunicorn(self) -> Iterator[Server]:
        """Gunicorn's threads, until the block ends."""
        configuration = self.folder / "gunicorn.conf.py"

        def write(port: int) -> None:
            text = render_template(
                "gunicorn.conf.py.j2",
                name="flask-gunicorn-gthread",
                bind=f"127.0.0.1:{port}",
                worker_class="gthread",
                threads=16,
                keep_context=True,
                tls=TemplateTls(chain=self.certificate.chain, key=self.certificate.key),
            )
            configuration.write_text(text, encoding="utf-8")

        command = ["-m", "gunicorn", "-c", str(configuration), "benchmarks.tiny_application:application"]
        with self._started(command, write) as server:
            yield server

    @contextlib.contextmanager
    def _started(self, command: list[str], prepare: Callable[[int], None] = lambda _port: None) -> Iterator[Server]:
        port = free_port()
        prepare(port)
        words = [sys.executable, *(word.format(port=port) if word == "{port}" else word for word in command)]
        log = self.folder / "log"
        with log.open("wb") as output, pinned(self.processor):
            process = subprocess.Popen(words, env=self.environ, stdout=output, stderr=output)
        try:
            await_listening("the server", port, process)
            server = Server(port, process.pid, self.trust)
            newcomer(server)  # gunicorn's worker may not be there yet
            yield server
        finally:
            process.terminate()
            process.wait()


def costs(site: Site, blocks: int, seconds: float) -> list[Finding]:
    """CPU time of a request on a kept connection, and on a new one."""
    us: dict[tuple[str, str], list[float]] = {}
    order = random.Random(5)
    with contextlib.ExitStack() as stack:
        servers = {name: stack.enter_context(site.ours(backend)) for backend, name in OURS.items()}
        servers[GUNICORN] = stack.enter_context(site.gunicorn())
        cells = [(name, kind) for name in servers for kind in ("kept", "new")]
        for server in servers.values():
            wrk(server, 1.0, new=False)  # what Python does the first time is not what is asked
        for block in range(blocks):
            for name, kind in order.sample(cells, len(cells)):
                server = servers[name]
                before_us = server.cpu_us()
                requests = wrk(server, seconds, new=kind == "new")
                us.setdefault((name, kind), []).append((server.cpu_us() - before_us) / requests)
            print(f"  block {block + 1}/{blocks}", flush=True)
    findings = []
    for kind, goal in (("kept", KEPT_GOAL), ("new", NEW_GOAL)):
        base = us[GUNICORN, kind]
        print(f"{GUNICORN}, {kind} connection: {statistics.median(base):.1f} µs of CPU (median of {blocks} blocks)")
        for backend, name in OURS.items():
            values = us[name, kind]
            interval = ratio_interval(values, base)
            note = f" ({interval.low:.3f} to {interval.high:.3f}; {statistics.median(values):.1f} µs)"
            findings.append(
                Finding(
                    f"CPU, {kind} connection, {name} / {GUNICORN}",
                    interval.estimate,
                    goal if backend == "stdlib" else None,
                    "",
                    note,
                )
            )
    return findings


def beside_busy_ones(server: Server, name: str) -> Finding:
    """How long the slowest of some new clients waits, who come all at once, while many others keep the server busy."""
    worst_s = 0.0
    crowd = subprocess.Popen(
        ["wrk", "-t1", f"-c{BUSY}", f"-d{TRIES + 3}s", url(server)], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    try:
        time.sleep(2.0)  # for its 400 handshakes
        for _ in range(TRIES):
            if crowd.poll() is not None:
                raise NotMeasuredError("wrk ended too early")
            worst_s = max(worst_s, *at_once(server, NEWCOMERS))
    finally:
        crowd.terminate()
        crowd.wait()
    return Finding(
        f"slowest of {NEWCOMERS} new clients beside {BUSY} busy ones, {name}", worst_s, NEWCOMER_GOAL_S, " s"
    )


def beside_half_hellos(server: Server, name: str) -> Finding:
    """How long a new client takes while others stand still in the middle of their handshakes."""
    alone_s = max(newcomer(server) for _ in range(NEWCOMERS))
    words = [sys.executable, "-m", "benchmarks.bad_clients", Kind.HALF_HELLO, str(HALF_HELLOS), "127.0.0.1"]
    crowd = subprocess.Popen([*words, str(server.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if crowd.stdout is None or crowd.stdout.readline() != "ready\n":
            raise NotMeasuredError("the clients with half a ClientHello did not get ready")
        beside_s = max(newcomer(server) for _ in range(NEWCOMERS))
    finally:
        crowd.communicate()
    goal = max(HALF_HELLO_FLOOR_S, HALF_HELLO_GOAL * alone_s)
    return Finding(
        f"slowest of {NEWCOMERS} new clients, one by one, beside {HALF_HELLOS} half ClientHellos, {name}",
        beside_s,
        goal,
        " s",
        f" (alone {alone_s:.3g} s)",
    )


def idle_memory(server: Server, name: str) -> Finding:
    """What a connection costs that was served once and then says nothing."""
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(asked(server))
        before = server.memory()
        for _ in range(IDLE):
            stack.enter_context(asked(server))
        grown = server.memory() - before
    return Finding(
        f"memory of each of {IDLE} idle connections, {name}", grown / IDLE / 1000, IDLE_GOAL_BYTES / 1000, " kB"
    )


def at_once(server: Server, count: int) -> list[float]:
    """Let new clients come together; seconds of each."""
    seconds: list[float] = []
    start = threading.Barrier(count)

    def come() -> None:
        start.wait()
        seconds.append(newcomer(server))

    threads = [threading.Thread(target=come) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(seconds) != count:
        raise NotMeasuredError("a new client was not answered")
    return seconds


def newcomer(server: Server) -> float:
    """Connect, ask and leave; seconds until the answer."""
    began_s = time.monotonic()
    with asked(server):
        return time.monotonic() - began_s


@contextlib.contextmanager
def asked(server: Server) -> Iterator[ssl.SSLSocket]:
    """A connection on which a request was answered."""
    with (
        socket.create_connection(("127.0.0.1", server.port), 30) as plain,
        server.trust.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.sendall(REQUEST)
        answer = tls.recv(4096)
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise NotMeasuredError(f"a client was answered {answer[:40]!r}")
        yield tls


def wrk(server: Server, seconds: float, *, new: bool) -> int:
    """Load a server; how many requests were answered."""
    header = ("-H", "Connection: close") if new else ()
    words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", *header, url(server)]
    output = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    counted = re.search(r"(\d+) requests in", output)
    if counted is None or "Non-2xx" in output or int(counted[1]) == 0:
        raise NotMeasuredError(f"wrk failed: {output.strip()}")
    return int(counted[1])


def url(server: Server) -> str:
    """Where a server is."""
    return f"https://127.0.0.1:{server.port}/"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def measure(blocks: int, seconds: float) -> list[Finding]:
    """Measure everything. Raises NotMeasuredError."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        raise NotMeasuredError("it takes two processors: one for the server, one for its clients")
    if shutil.which("wrk") is None:
        raise NotMeasuredError("wrk is not installed: apt-get install wrk")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192) if most > 0 else 8192, most))
    with tempfile.TemporaryDirectory() as name, pinned(processors[-1]):
        folder = Path(name)
        (folder / "openssl.cnf").write_text(openssl_configuration(PINNED_GROUP), encoding="ascii")
        site = Site(
            folder,
            ensure_certificate(folder / "tls", KeyKind.ECDSA_P256),
            client_context(ensure_ca(folder / "tls")),
            processors[0],
            os.environ | {"OPENSSL_CONF": str(folder / "openssl.cnf")},
        )
        findings = costs(site, blocks, seconds)
        for backend, label in OURS.items():
            for find in (beside_busy_ones, beside_half_hellos, idle_memory):
                with site.ours(backend) as server:
                    findings.append(find(server, label))
        return findings


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and compare with the goals. 1 when one was missed or could not be measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=2.0, help="of load, for each cell in each block")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures there")
    options = parser.parse_args(arguments)
    try:
        findings = measure(options.blocks, options.seconds)
    except NotMeasuredError as reason:
        print(f"not measured: {reason}")
        return 1
    for finding in findings:
        print(finding)
    if options.json:
        options.json.write_text(json.dumps([asdict(finding) | {"met": finding.met} for finding in findings], indent=1))
    return int(not all(finding.met for finding in findings))


if __name__ == "__main__":
    raise SystemExit(main())
