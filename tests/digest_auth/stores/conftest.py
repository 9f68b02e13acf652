"""Every test that takes `table` runs for each kind of store in STORES (kinds.py), through use() and use_async()."""

import asyncio
import contextlib
import inspect
import itertools
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from digest_auth import _replay_shm
from tests.digest_auth.stores.kinds import STORES, Kind
from tests.digest_auth.stores.racer import Race
from tests.digest_auth.stores.uses import LIFETIME_S, Asked

_NUMBERS = itertools.count(1)


@dataclass
class Table:
    """A table that no other test uses. `open` gives what a server process would have of it."""

    kind: Kind
    where: str
    runner: asyncio.Runner | None
    resources: contextlib.ExitStack
    name: str = field(default_factory=lambda: f"contract-{next(_NUMBERS)}")
    capacity: int = 1024

    def open(self, *, lifetime_s: float = LIFETIME_S) -> Asked:
        store = self.kind.open(self.where, self.name, capacity=self.capacity, lifetime_s=lifetime_s)
        self.resources.callback(store.close)  # a second close does no harm: that is part of the contract
        return Asked(store, self.runner)

    def lose(self) -> None:
        if self.kind.lose is None:
            pytest.fail("this test is for kinds that can be lost")
        self.kind.lose(self.where, self.name)

    def start_racer(self, name: str, counts: Iterable[int]) -> subprocess.Popen[str]:
        """Another process that has the table open and waits for a line of input (racer.py)."""
        words = [sys.executable, "-m", "tests.digest_auth.stores.racer"]
        racer = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.resources.callback(_end, racer)
        race = Race(self.kind.name, self.where, self.name, self.capacity, name, list(counts), self.runner is not None)
        assert racer.stdin is not None
        assert racer.stdout is not None
        racer.stdin.write(race.as_line())
        racer.stdin.flush()
        assert racer.stdout.readline() == "ready\n"
        return racer


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


_KINDS_OF: dict[str, Callable[[Kind], bool]] = {
    "table": lambda _: True,
    "shared_table": lambda kind: kind.shared,
    "bounded_table": lambda kind: kind.bounded,
    "losable_table": lambda kind: kind.lose is not None,
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Which fixture a test takes says which kinds it is for; nothing is skipped."""
    for fixture, suits in _KINDS_OF.items():
        if fixture in inspect.signature(metafunc.function).parameters:
            kinds = [kind for kind in STORES if suits(kind)]
            metafunc.parametrize("house", kinds, ids=[kind.name for kind in kinds], indirect=True, scope="session")


@pytest.fixture(scope="session")
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kind, str]]:
    kind: Kind = request.param
    with kind.house(tmp_path_factory.mktemp(f"house-{kind.name}")) as where:
        yield kind, where


@pytest.fixture(params=["use", "use_async"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner | None]:
    if request.param == "use":
        yield None
        return
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def table(house: tuple[Kind, str], runner: asyncio.Runner | None) -> Iterator[Table]:
    kind, where = house
    with contextlib.ExitStack() as resources:
        yield Table(kind, where, runner, resources)


@pytest.fixture
def shared_table(table: Table) -> Table:
    """Of the kinds that processes share."""
    return table


@pytest.fixture
def bounded_table(table: Table) -> Table:
    """Of the kinds that hold no more than their capacity; this one holds 32 records."""
    table.capacity = 32
    return table


@pytest.fixture
def losable_table(table: Table, monkeypatch: pytest.MonkeyPatch) -> Table:
    """Of the kinds whose table may be taken away under a running server."""
    monkeypatch.setattr(_replay_shm, "LOOK_EVERY_S", 0.05)  # else each test waits for a second
    return table
