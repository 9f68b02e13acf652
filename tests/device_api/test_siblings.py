"""Several worker processes with a memory of used nonces each: found when they start, and nothing else is taken for it.

Siblings here are processes that inherit a socket, as a master's workers do; TestServers has the real ones.
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from device_api.siblings import claim_memory_store
from device_api.state import StateError

START_S = 20.0
YOUNG_S = 0.5  # so long after it another process of a pool may be started

# Claims at each line that it reads, says how that went, and gives up what it has at the line "close".
WORKER = """
import sys
from pathlib import Path
from device_api.siblings import claim_memory_store
claim = None
for line in sys.stdin:
    try:
        if line == "close\\n":
            claim.close()
        else:
            claim = claim_memory_store(Path(sys.argv[1]))
        print("done", flush=True)
    except ValueError as error:
        print(error, flush=True)
"""


class Worker:
    """A process that holds a socket which others may hold too."""

    def __init__(self, folder: Path, *inherited: socket.socket) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder)],
            pass_fds=[one.fileno() for one in inherited],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid

    def tell(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def claim(self) -> str:
        """What it says: "done", or why not."""
        return self.tell("claim")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


@contextlib.contextmanager
def two(folder: Path, *inherited: socket.socket) -> Iterator[tuple[Worker, Worker]]:
    """Started together."""
    with contextlib.closing(Worker(folder, *inherited)) as one, contextlib.closing(Worker(folder, *inherited)) as other:
        yield one, other


def claims_left(folder: Path) -> int:
    return len([path for path in (folder / "memory-stores").iterdir() if path.name != "lock"])


class TestRefused:
    """Same folder, same listening socket, started together: the second is told what to set."""

    def test_the_second(self, tmp_path: Path, listener: socket.socket) -> None:
        with two(tmp_path, listener) as (one, other):
            assert one.claim() == "done"
            assert other.claim() == (
                f"--replay-store (DEVICE_REPLAY_STORE): several worker processes ({other.pid}, {one.pid}) serve the "
                f"state folder {tmp_path}, each with its own memory of used nonces; set it to shm:NAME (workers of one "
                "host) or redis://HOST (several hosts), or serve with one worker"
            )

    def test_a_socket_that_listens_later(self, tmp_path: Path) -> None:
        """Uvicorn's master binds; its workers call listen() after the application has started."""
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            with two(tmp_path, bound) as (one, other):
                assert one.claim() == "done"
                assert "several worker processes" in other.claim()

    def test_a_unix_socket(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(tmp_path / "socket"))
            with two(tmp_path, bound) as (one, other):
                assert one.claim() == "done"
                assert "several worker processes" in other.claim()

    def test_as_often_as_it_tries_while_the_first_lives(self, tmp_path: Path, listener: socket.socket) -> None:
        with two(tmp_path, listener) as (one, other):
            assert one.claim() == "done"
            assert other.claim() == other.claim() != "done"
            one.kill()
            assert other.claim() == "done"
            assert claims_left(tmp_path) == 1

    def test_until_the_first_has_closed(self, tmp_path: Path, listener: socket.socket) -> None:
        with two(tmp_path, listener) as (one, other):
            assert one.claim() == "done"
            assert other.claim() != "done"
            assert one.tell("close") == "done"
            assert other.claim() == "done"


class TestHarmless:
    """No alarm where a client cannot reach both, or where one takes the other's place."""

    def test_each_has_a_socket_of_its_own(self, tmp_path: Path, listener: socket.socket) -> None:
        """Two devices that were started from one shell."""
        with (
            socket.create_server(("127.0.0.1", 0)) as another,
            contextlib.closing(Worker(tmp_path, listener)) as one,
            contextlib.closing(Worker(tmp_path, another)) as other,
        ):
            assert (one.claim(), other.claim()) == ("done", "done")

    def test_each_has_a_folder_of_its_own(self, tmp_path: Path, listener: socket.socket) -> None:
        for name in "ab":
            (tmp_path / name).mkdir()
        with (
            contextlib.closing(Worker(tmp_path / "a", listener)) as one,
            contextlib.closing(Worker(tmp_path / "b", listener)) as other,
        ):
            assert (one.claim(), other.claim()) == ("done", "done")

    def test_they_share_a_connection_alone(self, tmp_path: Path) -> None:
        """As services do whose output goes to the system's log by a socket."""
        ours, theirs = socket.socketpair()
        with ours, theirs, two(tmp_path, ours) as (one, other):
            assert (one.claim(), other.claim()) == ("done", "done")

    def test_one_is_older(self, tmp_path: Path, listener: socket.socket) -> None:
        """The new worker of a reload, while the old one finishes."""
        with contextlib.closing(Worker(tmp_path, listener)) as old:
            assert old.claim() == "done"
            time.sleep(YOUNG_S + 0.1)  # the age of a process cannot be set
            with contextlib.closing(Worker(tmp_path, listener)) as new:
                assert new.claim() == "done"

    def test_the_other_keeps_no_nonces(self, tmp_path: Path, listener: socket.socket) -> None:
        with two(tmp_path, listener) as (one, _):
            assert one.claim() == "done"

    def test_one_process_with_two_devices(self, tmp_path: Path) -> None:
        with claim_memory_store(tmp_path), claim_memory_store(tmp_path):
            assert claims_left(tmp_path) == 1
        assert claims_left(tmp_path) == 0


class TestClaim:
    """A file, locked while the process lives."""

    def test_a_second_close_changes_nothing(self, tmp_path: Path) -> None:
        claim = claim_memory_store(tmp_path)
        claim.close()
        with claim_memory_store(tmp_path):
            claim.close()
            assert claims_left(tmp_path) == 1

    def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "memory-stores").touch()
        with pytest.raises(StateError, match=r"^state folder .*memory-stores: File exists; make it writable$"):
            claim_memory_store(tmp_path)


WSGI = "flask_impl:app"
ASGI = "quart_impl:app"


@contextlib.contextmanager
def served(listener: socket.socket, folder: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server on a socket of ours, which every master hands to its workers; its output goes to `log` in the folder."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.replace("FD", str(listener.fileno())) for part in command)],
            pass_fds=[listener.fileno()],
            env={**os.environ, "DEVICE_STATE": str(folder / "state"), "DEVICE_TLS": "off"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(START_S)


def ask(listener: socket.socket) -> int:
    """The status of a request on a connection of its own. It waits for a worker to come."""
    host, port = listener.getsockname()
    connection = http.client.HTTPConnection(host, port, timeout=START_S)
    with contextlib.closing(connection):
        connection.request("GET", "/health")
        return connection.getresponse().status


def complaints(folder: Path) -> list[str]:
    return [line for line in (folder / "log").read_text().splitlines() if "several worker processes" in line]


@pytest.mark.end_to_end
class TestServers:
    """Two workers as servers start them, when nobody said so to the device."""

    @pytest.mark.parametrize(
        "command",
        [
            ("uvicorn", "--fd", "FD", "--workers", "2", ASGI),
            ("hypercorn", "-b", "fd://FD", "-w", "2", ASGI),
            ("gunicorn", "-b", "fd://FD", "-w", "2", "-k", "asgi", "--no-control-socket", ASGI),
        ],
        ids=lambda command: command[0],
    )
    def test_asgi_servers_do_not_start(self, tmp_path: Path, listener: socket.socket, command: tuple[str, ...]) -> None:
        with served(listener, tmp_path, *command) as process:
            process.wait(START_S)
        assert any("(DEVICE_REPLAY_STORE)" in line for line in complaints(tmp_path))

    def test_a_wsgi_worker_that_is_one_too_many_answers_503(self, tmp_path: Path, listener: socket.socket) -> None:
        """It opens the device at its first request; the first worker to do so goes on."""
        gunicorn = ("gunicorn", "-b", "fd://FD", "-w", "2", "-k", "gthread", "--no-control-socket", WSGI)
        with served(listener, tmp_path, *gunicorn):
            assert ask(listener) == 200
            deadline_s = time.monotonic() + START_S
            while ask(listener) != 503:
                assert time.monotonic() < deadline_s, "the second worker never answered"
        assert all("(DEVICE_REPLAY_STORE)" in line for line in complaints(tmp_path))
        assert complaints(tmp_path)

    @pytest.mark.parametrize(("kind", "application"), [("gthread", WSGI), ("sync", WSGI), ("asgi", ASGI)])
    def test_one_worker_is_reloaded(self, tmp_path: Path, listener: socket.socket, kind: str, application: str) -> None:
        """SIGHUP starts the new worker before the old one ends; both have a memory, and no request is refused."""
        gunicorn = ("gunicorn", "-b", "fd://FD", "-w", "1", "-k", kind, "--no-control-socket", application)
        with served(listener, tmp_path, *gunicorn) as process:
            assert ask(listener) == 200
            (old,) = psutil.Process(process.pid).children()
            answered_s = time.monotonic()
            while time.monotonic() < answered_s + YOUNG_S:
                assert ask(listener) == 200
            process.send_signal(signal.SIGHUP)
            while old.is_running():
                assert ask(listener) == 200
            assert ask(listener) == 200
        assert complaints(tmp_path) == []
