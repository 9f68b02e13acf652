"""A real server under a real generator, and what can befall them in the middle of a trial."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from harness import clocks, lab
from harness.errors import UserError
from harness.lab import RealLab, Served
from harness.load import Load
from harness.pinning import choose_pinning
from harness.plan import Cell, ServerKey
from harness.window import Figures, Observation, VoidTrialError, figures
from tests.processes import children

pytestmark = pytest.mark.end_to_end

SERVER = ServerKey(deployment="flask-threaded")
CLOSED = Cell(server=SERVER, scenario="keep-alive", load=Load(clients=4))
OPEN = Cell(server=SERVER, scenario="keep-alive", load=Load(clients=8, rate_per_s=50.0))
PINNING = choose_pinning()
WINDOW_S = 1.0


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def real(state: Path) -> Iterator[RealLab]:
    with RealLab(state, PINNING) as real:
        yield real


GENERATOR = "bench._prefork"


@pytest.fixture
def served(real: RealLab) -> Iterator[Served]:
    with real.serve(SERVER) as running:
        yield running


def cut(observation: Observation, cell: Cell = CLOSED) -> Figures:
    return figures(observation, cell=cell, window_s=WINDOW_S, pinning=PINNING)


def once_loading(act: Callable[[psutil.Process], None], words: str) -> Callable[[], None]:
    """Make a tick that does something, once, to the child with these words in its command line, under load.

    Of several it is the youngest: a generator is a fork of a process with the same words.
    """
    done: list[int] = []

    def tick() -> None:
        if not done and len(children(GENERATOR, recursive=True)) > 1:
            (*_, found) = children(words, recursive=True)
            done.append(found.pid)
            act(found)

    return tick


class TestTrial:
    @pytest.mark.parametrize("cell", [CLOSED, OPEN], ids=lambda cell: cell.load.name)
    def test_everything_is_seen(self, served: Served, cell: Cell) -> None:
        before = os.sched_getaffinity(0)
        observation = served.measure(cell, WINDOW_S, seed=1)
        found = cut(observation, cell)
        assert found.requests > 10
        assert found.window_s == pytest.approx(WINDOW_S, abs=0.3)
        assert 0.3 < found.warm_up_s < 5
        assert found.reference_us is not None
        assert found.pace_us is not None
        assert bool(found.lateness_us) is cell.load.is_open
        assert os.sched_getaffinity(0) == before


class TestBadLuck:
    def test_a_server_that_dies_in_mid_trial(self, real: RealLab) -> None:
        real.on_tick(once_loading(lambda server: server.send_signal(signal.SIGKILL), "flask_impl"))
        with real.serve(SERVER) as served:
            observation = served.measure(CLOSED, WINDOW_S, seed=1)
            assert served.status() == -9
        with pytest.raises(VoidTrialError, match="the server ended by itself with status -9"):
            cut(observation)

    def test_a_generator_that_is_killed(self, real: RealLab) -> None:
        real.on_tick(once_loading(lambda generator: generator.kill(), GENERATOR))
        with real.serve(SERVER) as served:
            observation = served.measure(CLOSED, WINDOW_S, seed=1)
        with pytest.raises(VoidTrialError, match="the generator failed: it ended too early, with SIGKILL"):
            cut(observation)

    def test_clocks_that_cannot_be_read_any_more(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: clocks.TreeClocks) -> clocks.Sample:
            raise clocks.ClocksError("/proc/stat: Too many open files")

        monkeypatch.setattr(clocks.TreeClocks, "sample", refuse)
        with pytest.raises(VoidTrialError, match="clocks were not read: /proc/stat: Too many open files"):
            cut(served.measure(CLOSED, WINDOW_S, seed=1))

    def test_a_full_disk_is_no_failure_of_the_generator(self, real: RealLab, monkeypatch: pytest.MonkeyPatch) -> None:
        real.on_tick(once_loading(lambda generator: generator.kill(), GENERATOR))
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=4096))
        with real.serve(SERVER) as served, pytest.raises(UserError, match="No space left on device; files go to"):
            served.measure(CLOSED, WINDOW_S, seed=1)

    def test_nowhere_to_write(self, served: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
        with pytest.raises(UserError, match=r"no folder can be made .No such file.*what finished is kept"):
            served.measure(CLOSED, WINDOW_S, seed=1)

    def test_a_server_with_nowhere_to_write(
        self, real: RealLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
        with pytest.raises(UserError, match=r"flask-threaded cannot be started .No such file"), real.serve(SERVER):
            pass

    def test_processors_taken_away_meanwhile(self, state: Path) -> None:
        with pytest.raises(lab.ServerFailedError, match="cannot be given to the server"):
            elsewhere = RealLab(
                state, choose_pinning(frozenset({4094, 4095}), siblings=lambda number: frozenset({number}))
            )
            with elsewhere.serve(SERVER):
                pass
