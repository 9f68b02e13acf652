"""Locust as a user starts it, against both implementations as a user starts them."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from bench._reporting import TLS_NAMES
from device_api.ready import ReadyFile
from harness.recording import Recording, Slice, bin_of, read_recording
from tests.bench.peers import PASSWORD, USER, Device, ScriptedServer
from tests.bench.running import ROOT, Ended, command, environ, locust

pytestmark = pytest.mark.end_to_end

FILES = (
    "health", "keep_alive", "one_interface", "reconnecting", "full_handshake", "resumed_handshake", "challenge",
    "slow_io", "mix",
)  # fmt: skip
ROW = {
    "health": "health",
    "one_interface": "interface",
    "reconnecting": "system-state, reconnecting",
    "keep_alive": "system-state",
    "full_handshake": "system-state, new connection",
    "resumed_handshake": "system-state, resumed connection",
    "challenge": "system-state, challenged",
    "slow_io": "ping",
    "mix": "interfaces",
}


@contextmanager
def serving(package: str, state: Path, *options: str) -> Iterator[str]:
    ready = state / f"{package}-ready"
    log = state / f"{package}.log"
    state.mkdir(exist_ok=True)
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", package, "--port", "0", "--state", str(state), "--ready-file", str(ready), *options],
            cwd=ROOT, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        wait_until(lambda: ready.exists() or server.poll() is not None)
        assert server.poll() is None, log.read_text()
        yield ReadyFile.read(ready).url
    finally:
        server.terminate()
        server.wait(15)


def wait_until(condition: Callable[[], object], limit_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


@dataclass(frozen=True)
class Server:
    url: str
    state: Path

    def load(self, file: str, *options: str, users: int = 4, seconds: int = 1) -> Ended:
        return locust(
            f"bench/{file}", "--headless", "--only-summary", "-u", str(users), "-r", str(users), "-t", f"{seconds}s",
            "--host", self.url, "--device-state", str(self.state), *options,
        )  # fmt: skip


@pytest.fixture(scope="module", params=["flask_impl", "quart_impl"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    state = tmp_path_factory.mktemp(request.param)
    with serving(request.param, state) as url:
        yield Server(url, state)


@pytest.fixture(scope="module")
def flask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One implementation, where it is Locust that is looked at."""
    state = tmp_path_factory.mktemp("flask")
    with serving("flask_impl", state) as url:
        yield Server(url, state)


def slices(path: Path) -> tuple[Slice, ...]:
    return read_recording(path).slices


def total(recording: Recording) -> Counter[str]:
    counts: Counter[str] = Counter()
    for piece in recording.slices:
        counts["requests"] += piece.requests
        counts["challenges"] += piece.challenges
        counts["full"] += piece.handshakes.full
        counts["resumed"] += piece.handshakes.resumed
        for histogram in piece.latency_us.values():
            counts["latencies"] += sum(histogram.values())
    return counts


class TestEveryKindOfClient:
    """No failure; the recording and Locust's tables agree to the last request."""

    @pytest.mark.parametrize("file", FILES)
    def test_no_failure(self, file: str, server: Server, tmp_path: Path) -> None:
        ended = server.load(f"{file}.py", "--record", str(tmp_path / "r"))
        assert (ended.status, ended.failures) == (0, 0), ended.output
        recording = read_recording(tmp_path / "r")
        counts = total(recording)
        assert (recording.complete, recording.exit_status) == (True, 0)
        assert counts["requests"] == counts["latencies"] == ended.requests
        assert counts["full"] == ended.row(TLS_NAMES["full"])
        assert counts["resumed"] == ended.row(TLS_NAMES["resumed"])
        assert ended.row(ROW[file]) > 10
        self.check_kind(file, counts)

    def check_kind(self, file: str, counts: Counter[str]) -> None:
        """Each does what it is named for. Up to a request of each of the 4 users was cut off at the end."""
        requests, users = counts["requests"], 4
        match file:
            case "full_handshake":
                assert requests + users <= counts["full"] <= requests + 2 * users
            case "resumed_handshake":
                assert counts["full"] == users
                assert requests <= counts["resumed"] <= requests + users
            case "challenge":
                assert requests + users <= counts["challenges"] <= requests + 2 * users
            case "reconnecting":  # 10 requests each, the first of which was only to be challenged
                assert requests / 10 <= counts["full"] <= requests / 10 + 2 * users
            case "health":
                assert (counts["challenges"], counts["full"]) == (0, users)
            case "mix":
                assert counts["challenges"] == users
                assert users < counts["full"] < requests / 5
            case _:
                assert (counts["challenges"], counts["full"]) == (users, users)

    def test_all_at_once(self, server: Server) -> None:
        ended = server.load("", users=18, seconds=2)
        assert (ended.status, ended.failures) == (0, 0), ended.output
        assert all(ended.row(row) for row in ROW.values())


class TestSlices:
    """Four a second, while users run, with their processor time."""

    def test_slices(self, flask: Server, tmp_path: Path) -> None:
        flask.load("keep_alive.py", "--record", str(tmp_path / "r"), seconds=2)
        busy = [piece for piece in read_recording(tmp_path / "r").slices if piece.users == 4]
        assert 6 <= len(busy) <= 9
        assert all(piece.generator_cpu_us > 0 for piece in busy)
        assert all(piece.tls is not None and piece.tls.version == "TLSv1.3" for piece in busy)
        times_s = [piece.monotonic_ns / 1e9 for piece in busy]
        assert times_s == sorted(times_s)

    def test_killed_generator_leaves_what_it_did(self, flask: Server, tmp_path: Path) -> None:
        record = tmp_path / "r"
        with running(flask, "--record", str(record)) as process:
            wait_until(lambda: record.exists() and record.read_bytes().count(b'"users":4') > 2)
            process.kill()
        recording = read_recording(record)
        assert not recording.complete
        assert total(recording)["requests"] > 0


@pytest.fixture(scope="module", params=[("--no-tls",), ("--auth", "none")], ids=["http", "no Digest"])
def cheaper(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    state = tmp_path_factory.mktemp("cheaper")
    with serving("quart_impl", state, *request.param) as url:
        yield Server(url, state)


@pytest.mark.parametrize("file", ["keep_alive", "full_handshake", "resumed_handshake", "challenge"])
def test_without_tls_or_without_digest(file: str, cheaper: Server, tmp_path: Path) -> None:
    """The same clients, without failures, measure what TLS and Digest cost by their absence."""
    ended = cheaper.load(f"{file}.py", "--record", str(tmp_path / "r"))
    assert (ended.status, ended.failures) == (0, 0), ended.output
    counts = total(read_recording(tmp_path / "r"))
    assert counts["requests"] > 10
    if cheaper.url.startswith("http:"):
        assert counts["full"] == counts["resumed"] == 0
    else:
        assert counts["challenges"] == 0


class TestDistributed:
    """`--processes 2`: exact totals in the master's tables, a recording from each worker."""

    def test_totals(self, flask: Server, tmp_path: Path) -> None:
        ended = flask.load("keep_alive.py", "--processes", "2", "--record", str(tmp_path / "r"), seconds=2)
        assert ended.status == 0, ended.output
        recordings = [read_recording(path) for path in tmp_path.iterdir()]
        assert len(recordings) == 2
        assert all(recording.complete for recording in recordings)
        assert {path.name for path in tmp_path.iterdir()} == {f"r.{recording.pid}" for recording in recordings}
        counts = sum((total(recording) for recording in recordings), Counter[str]())
        assert (counts["requests"], counts["full"]) == (ended.requests, ended.row(TLS_NAMES["full"]))
        assert min(total(recording)["requests"] for recording in recordings) > 0


class TestOpenLoad:
    """`--rate`: each kind of client does what is due, when it is due, and every request is accounted for."""

    @pytest.mark.parametrize("file", FILES)
    def test_rate(self, file: str, flask: Server, tmp_path: Path) -> None:
        ended = flask.load(
            f"{file}.py", "--rate", "40", "--arrivals", "constant", "--record", str(tmp_path / "r"), seconds=2
        )
        assert (ended.status, ended.failures) == (0, 0), ended.output
        recording = read_recording(tmp_path / "r")
        assert total(recording)["requests"] == due(recording) == ended.requests
        begun = [piece for piece in recording.slices if piece.requests and piece.users == 4]
        per_s = sum(piece.requests for piece in begun[1:-1]) / ((begun[-2].monotonic_ns - begun[0].monotonic_ns) / 1e9)
        assert per_s == pytest.approx(40, rel=0.3)

    def test_nobody_is_there_before_all_are_ready(self, flask: Server, tmp_path: Path) -> None:
        """The window of a trial begins when all users are there: then requests are due."""
        flask.load("keep_alive.py", "--rate", "100", "--record", str(tmp_path / "r"))
        before = [piece for piece in slices(tmp_path / "r") if piece.users < 4]
        first_with_all = next(index for index, piece in enumerate(slices(tmp_path / "r")) if piece.users == 4)
        assert all(piece.requests == 0 for piece in before[:first_with_all])

    def test_stop_timeout_waits_for_nobody_idle(self, flask: Server) -> None:
        started_s = time.monotonic()
        ended = flask.load("keep_alive.py", "--rate", "0.5", "--stop-timeout", "30")
        assert ended.status == 0, ended.output
        assert time.monotonic() - started_s < 15

    def test_overload_is_not_silent(self, flask: Server, tmp_path: Path) -> None:
        """What is never answered is counted as failed; what is answered late has its whole latency."""
        ended = flask.load(
            "slow_io.py", "--rate", "1000", "--arrivals", "constant", "--record", str(tmp_path / "r"), seconds=2
        )
        assert ended.status == 1
        assert "DUE open load: no answer by the end of the run" in ended.output
        recording = read_recording(tmp_path / "r")
        assert total(recording)["requests"] == due(recording) == ended.requests
        waiting = [piece.waiting for piece in recording.slices if piece.users == 4]
        assert waiting[:4] == sorted(waiting[:4])
        assert max(waiting) > 1000
        slowest = max(
            number for piece in recording.slices for histogram in piece.latency_us.values() for number in histogram
        )
        assert slowest > bin_of(1_000_000)

    def test_ended_by_a_signal(self, flask: Server, tmp_path: Path) -> None:
        record = tmp_path / "r"
        with running(flask, "--rate", "100", "--record", str(record)) as process:
            wait_until(lambda: record.exists() and record.read_bytes().count(b'"users":4') > 2)
            process.terminate()
            assert process.wait(15) == 0
        recording = read_recording(record)
        assert recording.complete
        assert total(recording)["requests"] == due(recording) > 0

    @pytest.mark.parametrize("kind", ["constant", "poisson"])
    def test_workers_make_a_share_each(self, kind: str, flask: Server, tmp_path: Path) -> None:
        ended = flask.load(
            "keep_alive.py", "--rate", "100", "--arrivals", kind, "--processes", "2", "--record", str(tmp_path / "r"),
            users=5, seconds=3,
        )  # fmt: skip
        assert (ended.status, ended.failures) == (0, 0), ended.output
        recordings = [read_recording(path) for path in tmp_path.iterdir()]
        requests = [total(recording)["requests"] for recording in recordings]
        assert sum(requests) == sum(map(due, recordings)) == ended.requests
        assert len(requests) == 2
        if kind == "constant":
            assert requests[0] == pytest.approx(requests[1], abs=2)
        else:
            assert min(requests) > 0.4 * sum(requests) / 2


def due(recording: Recording) -> int:
    """How many requests were handed out."""
    return sum(sum(piece.lateness_us.values()) for piece in recording.slices)


class TestFailures:
    """A failure has its reason in Locust's table, and the exit status is Locust's 1."""

    def test_exit_status(self, tmp_path: Path) -> None:
        (tmp_path / "credentials").write_text(f"{USER}:{PASSWORD}\n")
        device = Device()
        busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"

        def overload(peer: object) -> None:
            device._answer = busy
            device.script(peer)  # type: ignore[arg-type]  # a Peer

        with ScriptedServer(device.script, device.script, overload) as server:
            ended = locust(
                "bench/keep_alive.py", "--headless", "--only-summary", "-u", "2", "-r", "2", "-t", "1s",
                "--host", server.url, "--credentials-file", str(tmp_path / "credentials"),
                "--record", str(tmp_path / "r"),
            )  # fmt: skip
        assert ended.status == 1
        assert "GET system-state: HTTP 503" in ended.output
        recording = read_recording(tmp_path / "r")
        assert recording.exit_status == 1
        assert sum(piece.errors.get("HTTP 503", 0) for piece in recording.slices) == ended.failures > 0

    def test_server_that_goes_away(self, tmp_path: Path) -> None:
        """Refusals are counted at a rate that leaves Locust alive."""
        state = tmp_path / "state"
        record = tmp_path / "r"
        with (
            serving("flask_impl", state) as url,
            running(Server(url, state), "--record", str(record)) as process,
        ):
            wait_until(lambda: record.exists() and b'"users":4' in record.read_bytes())
            os.kill(ReadyFile.read(state / "flask_impl-ready").pid, signal.SIGKILL)
            wait_until(lambda: b"connection refused" in record.read_bytes())
            process.terminate()
            assert process.wait(10) == 1
        # Four users that pause a tenth of a second: some forty failures a second, no storm.
        refused = max(piece.errors.get("cannot connect: connection refused", 0) for piece in slices(record))
        assert 0 < refused < 30


class TestStopping:
    """A short trial is not spent on starting and stopping."""

    def test_overhead(self, flask: Server) -> None:
        """3 s of load take 3.3 s on a quiet machine; a busy one may take longer, but nothing waits for a time-out."""
        started_s = time.monotonic()
        assert flask.load("keep_alive.py", users=16, seconds=3).status == 0
        assert time.monotonic() - started_s < 6

    def test_stop_timeout_waits_for_no_more_than_a_task(self, flask: Server) -> None:
        """A task is a tenth of a second of requests, and users finish it cleanly."""
        started_s = time.monotonic()
        ended = flask.load("slow_io.py", "--stop-timeout", "10")
        assert (ended.status, ended.failures) == (0, 0)
        assert time.monotonic() - started_s < 8


class TestOutput:
    """Locust's own files show what its tables show."""

    def test_csv(self, flask: Server, tmp_path: Path) -> None:
        ended = flask.load("keep_alive.py", "--csv", str(tmp_path / "load"), seconds=2)
        with (tmp_path / "load_stats.csv").open() as file:
            rows = {(row["Type"], row["Name"]): row for row in csv.DictReader(file)}
        total = int(rows["", "Aggregated"]["Request Count"])
        assert int(rows["GET", "system-state"]["Request Count"]) == total
        assert 0.3 * ended.requests < total <= ended.requests  # Locust writes it once a second, and not at the end
        assert rows["TLS", TLS_NAMES["full"]]["Request Count"] == "4"
        assert float(rows["GET", "system-state"]["Average Content Size"]) > 50

    def test_web_ui(self, flask: Server, tmp_path: Path) -> None:
        """Started from its page, also against a host that is wrong at first."""
        log = tmp_path / "log"
        with running(flask, log=log, web=True) as process:
            wait_until(lambda: "Starting web interface at" in log.read_text())
            port = web_port(process.pid)
            wait_until(lambda: answers(port))
            assert swarm(port, flask.url)
            wait_until(lambda: self.state(port)["state"] == "running" and self.requests(port) > 100)
            urllib.request.urlopen(f"http://127.0.0.1:{port}/stop", data=b"", timeout=5).read()
            wait_until(lambda: self.state(port)["state"] == "stopped")
            assert swarm(port, "https://127.0.0.1:1")
            wait_until(lambda: "https://127.0.0.1:1: cannot connect: connection refused" in log.read_text())
            assert "Traceback" not in log.read_text()

    def state(self, port: int) -> dict[str, object]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats/requests", timeout=5) as answer:
            stats: dict[str, object] = json.load(answer)
        return stats

    def requests(self, port: int) -> int:
        rows = self.state(port)["stats"]
        assert isinstance(rows, list)
        return sum(row["num_requests"] for row in rows if row["name"] == "Aggregated")


@contextmanager
def running(
    server: Server, *options: str, log: Path | None = None, web: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    how = ["--web-host", "127.0.0.1", "--web-port", "0"] if web else ["--headless", "-u", "4", "-r", "4", "-t", "60s"]
    with (log or Path(os.devnull)).open("w") as output:
        process = subprocess.Popen(
            command("bench/keep_alive.py", *how, "--host", server.url, "--device-state", str(server.state), *options),
            cwd=ROOT, env=environ(), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def web_port(pid: int) -> int:
    """Locust logs the port that it was asked for, 0: ask the system which one it got."""
    ports: list[int] = []

    def listening() -> bool:
        ports[:] = [one.laddr.port for one in psutil.Process(pid).net_connections("tcp") if one.status == "LISTEN"]
        return bool(ports)

    wait_until(listening)
    return ports[0]


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats/requests", timeout=5):
            return True
    except OSError:
        return False


def swarm(port: int, host: str) -> bool:
    form = f"user_count=4&spawn_rate=4&host={host}".encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/swarm", data=form, timeout=10) as answer:
        started: bool = json.load(answer)["success"]
    return started
