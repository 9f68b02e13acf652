"""What a running deployment does when it is told of a renewed certificate, whatever kind of server it is."""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployments import DeploymentError, DeploymentName, Reload, RunningServer
from deployments._process import ServerProcess
from deployments._together import Together

# Notes each SIGHUP, and dies of it unless told to note it.
SERVER = """
import pathlib, signal, sys
if "notes" in sys.argv:
    signal.signal(signal.SIGHUP, lambda *_: pathlib.Path("hung-up").touch())
pathlib.Path("up").touch()
while True:
    signal.pause()
"""


@contextmanager
def running(reload: Reload, *arguments: str) -> Iterator[RunningServer]:
    folder = tempfile.TemporaryDirectory()
    place = Path(folder.name)
    process = ServerProcess(
        (sys.executable, "-c", SERVER, *arguments), environment={}, folder=place, log=place / "log", cpus=None
    )
    with RunningServer(
        DeploymentName("flask", "any"),
        Together(process),
        url="https://127.0.0.1:1",
        ca_file=None,
        credentials_file=place / "credentials",
        threads=None,
        workers=1,
        reload=reload,
        front=None,
        log=place / "log",
        folder=folder,
    ) as server:
        wait_for(place / "up", server)
        yield server


def wait_for(file: Path, server: RunningServer) -> None:
    deadline_s = time.monotonic() + 10
    while not file.exists():
        assert server.poll() is None
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.end_to_end
class TestReload:
    """SIGHUP goes to servers that mean by it what we do; to others it may be the end."""

    @pytest.mark.parametrize("reload", [Reload.SIGHUP, Reload.WATCHED_OR_SIGHUP])
    def test_a_server_that_knows_sighup_gets_it(self, reload: Reload) -> None:
        with running(reload, "notes") as server:
            server.reload()
            wait_for(server.folder / "hung-up", server)

    def test_a_server_that_notices_by_itself_is_left_alone(self) -> None:
        with running(Reload.WATCHED) as server:
            server.reload()
            assert server.wait(0.1) is None

    def test_a_server_that_must_be_restarted_says_so(self) -> None:
        with running(Reload.RESTART) as server:
            with pytest.raises(DeploymentError) as caught:
                server.reload()
            assert str(caught.value) == (
                "flask-any reads its certificate only when it starts; stop it, and start it again"
            )
            assert server.wait(0.1) is None
