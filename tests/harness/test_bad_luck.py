"""A run that is killed at any moment, or that finds the disk full: no finished trial lost, none counted twice.

Laboratory and display are made up (tests/harness/sitting.py); command line, plan, order and file are the real ones.
test_run_end_to_end.py kills a run of real servers.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.trials import FILE_NAME, TrialId, read_run
from tests.harness.sitting import MOMENTS

ROOT = Path(__file__).parents[2]
PLAN = """
name = "tiny"
seed = 1
blocks = 4
window_s = 1
budget_s = 40

[[cell]]
deployment = ["flask-threaded", "quart-hypercorn-asyncio"]
scenario = ["keep-alive", "full-handshake"]
clients = 4
"""
TRIALS = 16


class Sittings:
    """Of one run, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "tiny.toml").write_text(PLAN)

    def sit(self, outcome: str, *launcher: str) -> tuple[int, list[TrialId], str]:
        """Begin the run, or go on with it; return the status, the trials said to be on disk, and standard error.

        launcher: a program, with its arguments, that starts it.
        """
        found = list(self._folder.glob("results/*"))
        arguments = ["--resume", str(found[0])] if found else [str(self._folder / "tiny.toml"), "--out", "results"]
        done = subprocess.run(
            [*launcher, sys.executable, "-m", "tests.harness.sitting", outcome, *arguments],
            capture_output=True,
            text=True,
            cwd=self._folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            timeout=120,
            check=False,
        )
        lines = [line.partition(" ") for line in done.stdout.splitlines()]
        return done.returncode, [TrialId(int(block), cell) for block, _, cell in lines], done.stderr

    @property
    def run_folder(self) -> Path:
        (folder,) = self._folder.glob("results/*")
        return folder

    def ids(self) -> list[TrialId]:
        return [trial.id for trial in read_run(self.run_folder).trials]


@pytest.fixture
def sittings(tmp_path: Path) -> Sittings:
    return Sittings(tmp_path)


def test_killed_ten_times(sittings: Sittings) -> None:
    moments = random.Random(3)
    expected: list[TrialId] = []
    for _ in range(10):
        moment = moments.choice(MOMENTS)
        status, said, err = sittings.sit(f"{moment}:{moments.randint(1, 2)}")
        assert status == -9, err
        expected += said
        kept = sittings.ids()
        # Of the trial that was being written nothing was said; it is there if its line was.
        assert kept[: len(expected)] == expected
        assert len(kept) == len(expected) + (moment in {"written", "synced"})
        expected = kept
    status, said, err = sittings.sit("finish")
    assert status == 0, err
    assert sittings.ids() == expected + said
    assert len(set(sittings.ids())) == len(sittings.ids()) == TRIALS


def test_a_full_disk(sittings: Sittings) -> None:
    status, said, err = sittings.sit("full:6000")
    assert status == 2
    (line,) = [line for line in err.splitlines() if line.startswith("bench: error:")]
    assert f"{FILE_NAME} cannot be written (File too large); make room" in line
    assert "Traceback" not in err
    assert 0 < len(said) < TRIALS
    assert sittings.ids() == said
    assert not (sittings.run_folder / FILE_NAME).read_bytes().endswith(b"\n")  # a torn line, which going on cuts off
    status, more, err = sittings.sit("finish")
    assert status == 0, err
    assert sittings.ids() == said + more
    assert len(set(sittings.ids())) == len(sittings.ids()) == TRIALS


@pytest.mark.skipif(shutil.which("taskset") is None, reason="takes taskset")
def test_one_processor_is_said_at_the_beginning_and_noted(sittings: Sittings) -> None:
    status, _, err = sittings.sit("finish", "taskset", "--cpu-list", str(min(os.sched_getaffinity(0))))
    assert status == 0, err
    assert err.splitlines()[0].startswith("note: server and generator shared one processor;")
    assert read_run(sittings.run_folder).header.environment["notes"] == ["server and generator shared one processor"]
