"""An application's server and the proxy in front of it, as one: how they start and end, and who says so."""

import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import deployments
from deployments import DeploymentError, ServeOptions, _start
from deployments._process import ServerProcess
from deployments._together import Together
from deployments._types import Deployment, Upstream
from tests.deployments.test_proxies import FRONTS

pytestmark = pytest.mark.end_to_end

# Plays either: notes its name when it is told to end by the signal that it knows, and ends with its own status.
PROGRAM = """
import pathlib, signal, sys
name, number, status = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def end(*_):
    with pathlib.Path("ended").open("a") as notes:
        notes.write(name + "\\n")
    sys.exit(status)

signal.signal(number, end)
pathlib.Path(name + "-up").touch()
while True:
    signal.pause()
"""
APP_STATUS, PROXY_STATUS = 3, 4


@pytest.fixture
def together(tmp_path: Path) -> Iterator[Together]:
    app = started(tmp_path, "app", signal.SIGTERM, APP_STATUS)
    both = Together(app).behind(started(tmp_path, "proxy", signal.SIGQUIT, PROXY_STATUS), signal.SIGQUIT)
    yield both
    both.stop(0.0)


def started(folder: Path, name: str, number: signal.Signals, status: int) -> ServerProcess:
    command = (sys.executable, "-c", PROGRAM, name, str(int(number)), str(status))
    process = ServerProcess(command, environment={}, folder=folder, log=folder / "log", cpus=None)
    began_s = time.monotonic()
    while not (folder / f"{name}-up").exists():
        assert process.poll() is None
        assert time.monotonic() < began_s + 10
        time.sleep(0.01)
    return process


class TestTogether:
    """One server to whoever started it."""

    def test_the_proxy_is_stopped_first(self, together: Together, tmp_path: Path) -> None:
        """Each by its own signal; the status is that of the one that clients met, also when it is asked again."""
        assert together.stop(10.0) == PROXY_STATUS
        assert (tmp_path / "ended").read_text().split() == ["proxy", "app"]
        assert together.stop(10.0) == PROXY_STATUS

    def test_roles(self, together: Together) -> None:
        assert [role.role for role in together.roles] == ["app", "proxy"]
        assert together.pid == together.roles[0].pid
        assert together.facing.pid == together.roles[1].pid

    @pytest.mark.parametrize(
        ("place", "number", "status"), [(0, signal.SIGTERM, APP_STATUS), (1, signal.SIGQUIT, PROXY_STATUS)]
    )
    def test_whichever_ends_first_ends_it(
        self, together: Together, place: int, number: signal.Signals, status: int
    ) -> None:
        assert together.wait(0.05) is None
        processes = together._all
        processes[place].send_signal(number)
        assert together.wait(10.0) == status
        together.stop(10.0)
        assert all(process.poll() is not None for process in processes)


PROGRAMS = {deployments.find(name).programs[-1].name: name for name in FRONTS}


class TestStart:
    """What goes wrong is said in the words of the one that it went wrong with, and nothing is left."""

    @pytest.mark.parametrize("name", PROGRAMS.values())
    def test_an_application_that_dies_early(
        self, name: str, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No proxy is started that would say something else."""
        # A module of this name is found before the real one, and fails.
        (tmp_path / "sitecustomize.py").write_text("import os; os.write(2, b'no mood today\\n'); os._exit(7)")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        with pytest.raises(DeploymentError) as caught:
            deployments.start(name, ServeOptions(state=state))
        assert str(caught.value) == f"{name} ended with status 7 before it answered; its last line: no mood today"
        assert caught.value.log_tail == ("no mood today",)

    @pytest.mark.parametrize(("program", "name"), PROGRAMS.items())
    def test_a_proxy_that_dies_early(
        self, program: str, name: str, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        impostor = tmp_path / program
        impostor.write_text("#!/bin/sh\necho no mood today >&2\nexit 7\n")
        impostor.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        with pytest.raises(DeploymentError) as caught:
            deployments.start(name, ServeOptions(state=state))
        assert str(caught.value) == f"{name} ended with status 7 before it answered; its last line: no mood today"

    def test_the_applications_port_is_chosen_anew_where_another_program_took_it(
        self, state: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        choose = _start._upstreams
        chosen: list[tuple[Upstream, ...]] = []
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))

            def choose_badly_at_first(deployment: Deployment, workers: int, folder: Path) -> tuple[Upstream, ...]:
                first = Upstream(port=other.getsockname()[1])
                chosen.append(choose(deployment, workers, folder) if chosen else (first,))
                return chosen[-1]

            monkeypatch.setattr(_start, "_upstreams", choose_badly_at_first)
            with deployments.start("flask-waitress@nginx", ServeOptions(state=state)) as server:
                assert server.poll() is None
        assert len(chosen) == 2
