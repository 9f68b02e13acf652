"""Generators that are forks of one process: the same `locust`, with the same words, sooner."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.nursery import Nursery

LAST = frozenset({max(os.sched_getaffinity(0))})

LOCUSTFILE = """
import json, os, random, sys
from pathlib import Path
from locust import User, events, task

class Idle(User):
    @task
    def wait(self):
        import gevent
        gevent.sleep(0.01)

@events.init.add_listener
def say(environment, **_):
    Path("facts").write_text(json.dumps({
        "cpus": sorted(os.sched_getaffinity(0)),
        "drawn": random.random(),
        "users": environment.parsed_options.num_users,
        "session": os.getsid(0) == os.getpid(),
        "input": os.readlink("/proc/self/fd/0"),
    }))
"""


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    before = os.environ.get("LOCUST_USERS")
    os.environ["LOCUST_USERS"] = "77"
    try:
        with Nursery() as running:
            yield running
    finally:
        os.environ.pop("LOCUST_USERS") if before is None else os.environ.update(LOCUST_USERS=before)


def arguments(folder: Path, *more: str) -> list[str]:
    (folder / "locustfile.py").write_text(LOCUSTFILE)
    return ["-f", str(folder / "locustfile.py"), "--headless", "--host", "http://127.0.0.1:9", *more]


def facts(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "facts").read_text())
    return found


def until_there(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline, f"{path} does not come"
        time.sleep(0.01)


def test_it_is_locust(nursery: Nursery, tmp_path: Path) -> None:
    generator = nursery.start(arguments(tmp_path, "-t", "1s"), log=tmp_path / "log", cpus=LAST)
    assert generator.wait(30) == 0
    assert "Starting Locust" in (tmp_path / "log").read_text()
    said = facts(tmp_path)
    assert said["cpus"] == sorted(LAST)
    assert said["session"] is True
    assert said["input"] == os.devnull
    assert said["users"] is None, "nothing of LOCUST_USERS in the caller's environment"


def test_each_draws_its_own_numbers(nursery: Nursery, tmp_path: Path) -> None:
    drawn = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        nursery.start(arguments(folder, "-t", "1s"), log=folder / "log", cpus=LAST).wait(30)
        drawn.append(facts(folder)["drawn"])
    assert drawn[0] != drawn[1]


def test_words_that_locust_refuses(nursery: Nursery, tmp_path: Path) -> None:
    generator = nursery.start(arguments(tmp_path, "--no-such-option"), log=tmp_path / "log", cpus=LAST)
    assert generator.wait(30) == 2
    assert "--no-such-option" in (tmp_path / "log").read_text()


def test_a_signal_is_told_as_such(nursery: Nursery, tmp_path: Path) -> None:
    generator = nursery.start(arguments(tmp_path), log=tmp_path / "log", cpus=LAST)
    until_there(tmp_path / "facts")
    assert generator.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        generator.wait(0)
    generator.kill()
    assert generator.wait(30) == -signal.SIGKILL
    assert generator.poll() == -signal.SIGKILL


def test_it_ends_with_the_nursery(tmp_path: Path) -> None:
    with Nursery() as own:
        generator = own.start(arguments(tmp_path), log=tmp_path / "log", cpus=LAST)
        until_there(tmp_path / "facts")
        watched = os.pidfd_open(generator.pid)
    try:
        deadline = time.monotonic() + 20
        while Path(f"/proc/{generator.pid}").exists() and _state(generator.pid) != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.close(watched)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_a_nursery_that_dies_loses_one_generator_and_no_more(tmp_path: Path) -> None:
    with Nursery() as own:
        generator = own.start(arguments(tmp_path), log=tmp_path / "log", cpus=LAST)
        until_there(tmp_path / "facts")
        os.kill(own.pid, signal.SIGKILL)
        with pytest.raises(UserError, match="the process that starts generators ended"):
            generator.wait(30)
        assert own.start(["--version"], log=tmp_path / "log", cpus=LAST).wait(30) == 0


def test_importing_it_needs_no_locust() -> None:
    """The harness never imports Locust, which patches the process that does."""
    code = "import harness.nursery, sys; sys.exit('locust' in sys.modules or 'gevent' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
