"""A server's processes are ended as a whole, whatever any of them, or we, do. Small scripts stand in for servers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

import deployments
from deployments import DeploymentError
from deployments._process import ServerProcess

OBEDIENT = "import signal; print('up', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause()"
PARENT = """
import subprocess, sys, signal
child = subprocess.Popen([sys.executable, "-S", "-c", {child!r}], stdout=subprocess.PIPE)
child.stdout.readline()
signal.signal(15, lambda *_: sys.exit(7))
print("child", child.pid, flush=True)
signal.pause()
"""
LAUNCHER = """
import sys, signal
from pathlib import Path
from deployments._process import ServerProcess
command = [sys.executable, "-S", "-c", {server!r}]
Path("own").mkdir()
Path("table").touch()
remains = [Path("table").absolute()]
server = ServerProcess(command, environment={{}}, folder=Path("own"), log=Path("log"), cpus=None, remains=remains)
print(server.pid, flush=True)
signal.pause()
"""


def wait_for(condition: Callable[[], bool], *, timeout_s: float = 8.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Starter:
    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self._folder = folder
        self._started: list[ServerProcess] = []

    def __call__(
        self, script: str, *, cpus: frozenset[int] | None = None, remains: Sequence[Path] = ()
    ) -> ServerProcess:
        command = [sys.executable, "-S", "-c", script]
        process = ServerProcess(command, environment={}, folder=self._folder, log=self.log, cpus=cpus, remains=remains)
        self._started.append(process)
        wait_for(lambda: self.log.read_bytes() != b"")
        return process

    def end(self) -> None:
        for process in self._started:
            process.stop(0.0)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(tmp_path)
    yield starter
    starter.end()


class TestStop:
    """SIGTERM to the first process, time to finish, SIGKILL to what is left of its group."""

    def test_the_status_tells_how_it_ended(self, start: Starter) -> None:
        process = start(OBEDIENT)
        assert process.poll() is None
        assert process.stop(5.0) == -signal.SIGTERM
        assert process.poll() == -signal.SIGTERM
        assert process.stop(5.0) == -signal.SIGTERM

    def test_a_server_that_will_not_go_is_killed_after_the_grace(self, start: Starter) -> None:
        process = start(STUBBORN)
        before_s = time.monotonic()
        assert process.stop(0.3) == -signal.SIGKILL
        assert 0.3 <= time.monotonic() - before_s < 3

    def test_a_child_that_outlives_its_parent_goes_too(self, start: Starter) -> None:
        process = start(PARENT.format(child=STUBBORN))
        child = int(start.log.read_text().split()[1])
        assert not is_gone(child)
        assert process.stop(5.0) == 7
        wait_for(lambda: is_gone(child))

    def test_a_server_that_ended_by_itself_is_noticed_at_once(self, start: Starter) -> None:
        process = start("print('bye', flush=True); raise SystemExit(3)")
        assert process.wait(5.0) == 3
        assert process.poll() == 3
        assert process.stop(5.0) == 3


class TestLauncherDies:
    """However the launcher ends, its servers end as well: also those that ignore SIGTERM, and their children."""

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    @pytest.mark.parametrize("server", [OBEDIENT, PARENT.format(child=OBEDIENT)])
    def test_nothing_is_left(self, tmp_path: Path, number: signal.Signals, server: str) -> None:
        launcher = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER.format(server=server)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
        )
        with launcher:
            assert launcher.stdout is not None
            pid = int(launcher.stdout.readline())
            wait_for(lambda: (tmp_path / "log").read_bytes() != b"")
            started = [pid, *(child.pid for child in psutil.Process(pid).children())]
            launcher.send_signal(number)
        for each in started:
            wait_for(lambda each=each: is_gone(each))  # type: ignore[misc]  # a lambda's default has no type
        wait_for(lambda: not (tmp_path / "own").exists() and not (tmp_path / "table").exists())


STARTING = """
import signal, sys
from pathlib import Path
import deployments
from deployments import _start

def pause(*_arguments, **_more):
    print("started", flush=True)
    signal.pause()

_start.{wait} = pause
deployments.start({name!r}, deployments.ServeOptions(state=Path("state")))
"""


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    "name", ["flask-werkzeug", "flask-waitress@nginx", "quart-hypercorn-asyncio-tls@haproxy"]
)  # one process; two in one folder; each in a folder of its own
def test_a_launcher_that_dies_in_the_middle_leaves_no_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first server is there; those that were to follow never come."""
    (tmp_path / "sites").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "sites"))
    front = deployments.find(name).front
    wait = "wait_until_ready" if front is None or front.passes_tls else "wait_until_app_answers"
    launcher = subprocess.Popen(
        [sys.executable, "-c", STARTING.format(name=name, wait=wait)], cwd=tmp_path, stdout=subprocess.PIPE
    )
    with launcher:
        assert launcher.stdout is not None
        assert launcher.stdout.readline() == b"started\n"
        assert len(list((tmp_path / "sites").glob("bench-*"))) == 1
        launcher.kill()
    wait_for(lambda: not list((tmp_path / "sites").iterdir()))


class TestRemains:
    """What is of no use without the server goes with it, and not before."""

    def test_after_the_stop(self, tmp_path: Path, start: Starter) -> None:
        table = tmp_path / "table"
        table.touch()
        process = start(PARENT.format(child=STUBBORN), remains=[table, tmp_path / "gone-already"])
        assert table.exists()
        process.stop(5.0)
        assert not table.exists()

    @pytest.mark.parametrize("wrong", ["program", "log"])
    def test_a_server_that_was_not_started(self, tmp_path: Path, wrong: str) -> None:
        table = tmp_path / "table"
        table.touch()
        command = ["no-such-program"] if wrong == "program" else ["true"]
        log = tmp_path / "no" / "log" if wrong == "log" else tmp_path / "log"
        with pytest.raises(DeploymentError):
            ServerProcess(command, environment={}, folder=tmp_path, log=log, cpus=None, remains=[table])
        assert not table.exists()


class TestProcessors:
    """A server runs on the processors that it was given from its first instruction on, and on no other."""

    def test_given(self, start: Starter) -> None:
        ours = os.sched_getaffinity(0)
        cpu = max(ours)
        process = start(OBEDIENT, cpus=frozenset({cpu}))
        assert os.sched_getaffinity(process.pid) == {cpu}
        assert os.sched_getaffinity(0) == ours

    def test_not_to_be_had(self, start: Starter) -> None:
        with pytest.raises(DeploymentError, match=r"^processors \[100000\] cannot be given to the server"):
            start(OBEDIENT, cpus=frozenset({100000}))


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match="cannot open the server's log"):
        ServerProcess(["true"], environment={}, folder=tmp_path, log=tmp_path / "no" / "log", cpus=None)


def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=r"^no-such-program: no such program"):
        ServerProcess(["no-such-program"], environment={}, folder=tmp_path, log=tmp_path / "log", cpus=None)
