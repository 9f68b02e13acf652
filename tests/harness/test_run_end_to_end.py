"""A real run of the smallest plan: stopped by Ctrl-C, gone on with, killed, gone on with, finished.

Whatever happens, finished trials stay, none is measured twice, and no server or generator is left behind.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from harness.handshakes.figures import read_blocks
from harness.trials import FILE_NAME, Run, read_run
from tests.harness import synthetic

pytestmark = pytest.mark.end_to_end

PLAN = synthetic.plan("smoke")
ENDED_WITHIN_S = 15.0  # the guard of a server gives it five seconds to end by itself


class Bench:
    """`bench run` as a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [Path(sys.executable).parent / "bench", "run", *arguments, "--state", str(folder / "state")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )

    def until_trials(self, count: int) -> list[psutil.Process]:
        """Wait for so many trials on disk and for the next one's processes; return those."""
        wait_for(lambda: self._ended() or len(self.lines()) > count, f"{count} trials", 60)
        wait_for(lambda: self._ended() or self._is_loading(), "the next trial", 30)
        assert not self._ended(), self._process.communicate()
        return self._children()

    def lines(self) -> list[str]:
        """All whole lines of trials.jsonl."""
        found = list(self._folder.glob(f"results/*/{FILE_NAME}"))
        return found[0].read_text().splitlines(keepends=True) if found else []

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def finish(self) -> tuple[int, str, str]:
        """Wait for its end; return status, standard output and standard error."""
        out, err = self._process.communicate(timeout=120)
        return self._process.returncode, out, err

    def _ended(self) -> bool:
        return self._process.poll() is not None

    def _children(self) -> list[psutil.Process]:
        return psutil.Process(self._process.pid).children(recursive=True)

    def _is_loading(self) -> bool:
        """A generator is a fork of a process with the same command line."""
        return sum("bench._prefork" in " ".join(command_line(child)) for child in self._children()) > 1


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []  # gone meanwhile


def wait_for(condition: Callable[[], bool], what: str, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not in {limit_s} s: {what}"
        time.sleep(0.02)


def all_gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=ENDED_WITHIN_S)[1]


@dataclass(frozen=True)
class Story:
    """What each sitting left behind."""

    folder: Path
    run_folder: Path
    interrupted: tuple[int, str, str]
    interrupted_children_gone: bool
    interrupted_lines: list[str]
    killed_children_gone: bool
    killed_lines: list[str]
    finished: tuple[int, str, str]
    finished_lines: list[str]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("run")

    first = Bench(folder, "smoke")
    children = first.until_trials(1)
    first.send(signal.SIGINT)
    interrupted = first.finish()
    interrupted_children_gone = all_gone(children)
    interrupted_lines = first.lines()

    run_folder = next(folder.glob("results/*"))
    second = Bench(folder, "--resume", str(run_folder))
    children = second.until_trials(3)
    second.send(signal.SIGKILL)
    second.finish()
    killed_children_gone = all_gone(children)
    killed_lines = second.lines()

    third = Bench(folder, "--resume", str(run_folder))
    return Story(
        folder=folder,
        run_folder=run_folder,
        interrupted=interrupted,
        interrupted_children_gone=interrupted_children_gone,
        interrupted_lines=interrupted_lines,
        killed_children_gone=killed_children_gone,
        killed_lines=killed_lines,
        finished=third.finish(),
        finished_lines=third.lines(),
    )


@pytest.fixture(scope="module")
def run(story: Story) -> Run:
    return read_run(story.run_folder)


class TestCtrlC:
    """Servers stopped, what finished kept, the way on printed, status 130."""

    def test_says_how_to_go_on(self, story: Story) -> None:
        status, out, err = story.interrupted
        assert status == 130
        assert out == ""
        assert f"Go on with: bench run --resume {story.run_folder.relative_to(story.folder)} --state" in err
        assert "Traceback" not in err

    def test_leaves_nothing_running(self, story: Story) -> None:
        assert story.interrupted_children_gone


class TestKill:
    """kill -9 of the harness: no server and no generator outlives it."""

    def test_leaves_nothing_running(self, story: Story) -> None:
        assert story.killed_children_gone


class TestWholeRun:
    """Every trial once, the first ones untouched, and a report at the end."""

    def test_nothing_lost_nothing_rewritten(self, story: Story) -> None:
        first, second, last = story.interrupted_lines, story.killed_lines, story.finished_lines
        assert len(first) < len(second) < len(last) == 1 + PLAN.trials
        assert last[: len(second)] == second
        assert second[: len(first)] == first

    def test_every_trial_once(self, run: Run) -> None:
        assert sorted(trial.order for trial in run.trials) == list(range(PLAN.trials))
        assert {trial.cell for trial in run.trials} == {cell.name for cell in PLAN.cells}

    def test_report_and_findings(self, story: Story) -> None:
        status, out, err = story.finished
        assert status == 0, err
        lines = out.splitlines()
        page = story.folder / lines[-1].removeprefix("report: ")
        assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html")
        assert 1 <= len(lines) - 1 <= 6
        assert "measured " in err

    def test_handshakes_in_memory(self, story: Story) -> None:
        blocks = read_blocks(story.run_folder)
        assert [block.number for block in blocks] == list(range(PLAN.handshake_blocks)) == [0]
        assert not any(figure.refusal for figure in blocks[0].figures)
        assert "TLS alone: Against a full TLS 1.3 handshake with RSA-2048" in story.finished[1]

    def test_the_plan_lies_beside_it(self, story: Story) -> None:
        assert 'name = "smoke"' in (story.run_folder / "plan.toml").read_text()


class TestFigures:
    """What a real trial holds."""

    def test_requests_were_answered(self, run: Run) -> None:
        for trial in run.trials:
            assert trial.errors == {}
            assert trial.requests > 20, trial.doubts
            assert sum(trial.latency_us.values()) == trial.requests

    def test_server_cpu_is_there_and_not_more_than_there_was(self, run: Run) -> None:
        for trial in run.trials:
            assert 30 < trial.server_cpu_us_per_request < 100_000
            assert 0 < trial.server_cores < 1.05
            assert trial.rss_bytes > 10_000_000

    def test_negotiated(self, run: Run) -> None:
        for trial in run.trials:
            if trial.options.tls == "off":
                assert trial.tls is None
            else:
                assert trial.tls is not None
                assert (trial.tls.version, trial.tls.group, trial.tls.key_kind) == ("TLSv1.3", "X25519", "ecdsa-p256")

    def test_handshakes(self, run: Run) -> None:
        for trial in run.trials:
            handshakes = trial.handshakes.full + trial.handshakes.resumed
            if trial.scenario == "full-handshake":
                # A request that spans the window's edge has its handshake on the other side of it.
                assert abs(trial.handshakes.full - trial.requests) <= 2 * trial.load.clients
                assert sum(trial.handshake_us.full.values()) == trial.handshakes.full
            else:
                assert handshakes <= trial.load.clients

    def test_header(self, run: Run) -> None:
        assert json.loads(json.dumps(run.header.environment))["packages"]["quart"]
        assert run.header.plan_hash == PLAN.hash


UNDECIDED = """
name = "undecided"
seed = 3
blocks = 3
max_blocks = 5
half_width = 0.001  # which no five blocks reach; a cost has no other way to be decided
window_s = 1
budget_s = 9        # room for one block of two trials beyond the three, and for half another

[[cell]]
deployment = "flask-threaded"
scenario = "keep-alive"
clients = 4
tls = "off"

[[cell]]
deployment = "flask-threaded"
scenario = "keep-alive"
clients = 4
tls = "off"
auth = "none"
"""


class TestFurtherBlocks:
    """A run goes on with both sides of what is not decided, within its budget, also after a kill in a further block."""

    def test_killed_in_a_further_block(self, tmp_path: Path) -> None:
        (tmp_path / "undecided.toml").write_text(UNDECIDED)
        first = Bench(tmp_path, "undecided.toml")
        children = first.until_trials(7)
        first.send(signal.SIGKILL)
        first.finish()
        assert all_gone(children)
        kept = first.lines()
        (run_folder,) = tmp_path.glob("results/*")
        second = Bench(tmp_path, "--resume", str(run_folder))
        status, _, err = second.finish()
        assert status == 0, err
        assert (
            "block 4: 1 comparison is not decided yet: digest to no-digest, flask-threaded keep-alive c4 no-tls" in err
        )
        assert "1 of 1 comparisons stayed wider than the plan wanted" in err
        assert second.lines()[: len(kept)] == kept
        trials = read_run(run_folder).trials
        assert [trial.order for trial in trials] == list(range(8))
        assert [trial.block for trial in trials] == [0, 0, 1, 1, 2, 2, 3, 3]
        assert len({trial.id for trial in trials}) == 8
