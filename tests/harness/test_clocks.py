"""CPU clocks of a real process tree, against what it says of itself; /proc/stat from its text."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.clocks import (
    ClocksError,
    Sample,
    TreeClocks,
    busy_us,
    check_readable,
    interpolate,
    process_cpu_us,
    process_tree,
    rss_bytes,
    stolen_us,
)
from harness.errors import UserError
from harness.pinning import Pinning

# A process and its child: both spend CPU time in a thread that ends, say who they are, and wait.
SCRIPT = """
import os, sys, threading, time
def spend():
    end = time.thread_time() + 0.06
    while time.thread_time() < end: pass
pid = os.fork()
thread = threading.Thread(target=spend); thread.start(); thread.join()
if pid == 0:
    os.write(1, f"child {os.getpid()}\\n".encode())  # whole, whoever else writes
    time.sleep(60)
os.write(1, f"parent {os.getpid()}\\n".encode())
sys.stdin.read()
os.kill(pid, 9); os.waitpid(pid, 0)
"""


@contextmanager
def tree() -> Iterator[tuple[subprocess.Popen[str], dict[str, int]]]:
    """A process and its child, each of which has spent 60 ms in a thread that has ended."""
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = (process.stdout.readline().split() for _ in range(2))
        yield process, {name: int(pid) for name, pid in said}
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


class TestProcessTree:
    def test_children_and_threads_that_ended_count(self) -> None:
        with tree() as (process, pids):
            assert set(process_tree(process.pid)) == set(pids.values())
            for pid in pids.values():
                spent_us = process_cpu_us(pid)
                assert spent_us is not None
                assert spent_us >= 60_000
            clocks = TreeClocks([process.pid], Pinning(frozenset({0}), frozenset({0})))
            sample = clocks.sample()
            assert sample.server_alive
            assert sample.server_cpu_us >= 120_000
            assert sample.server_rss_bytes > 2_000_000
        gone = clocks.sample()
        assert not gone.server_alive
        assert gone.server_cpu_us >= sample.server_cpu_us  # what ended goes on counting

    def test_agrees_with_the_process_s_own_clock(self) -> None:
        before, ours, after = time.process_time_ns(), process_cpu_us(os.getpid()), time.process_time_ns()
        assert ours is not None
        assert before / 1000 <= ours <= after / 1000

    def test_nobody_there(self) -> None:
        with tree() as (process, _):
            pass
        assert process_cpu_us(process.pid) is None
        assert process_tree(process.pid) == (process.pid,)
        assert rss_bytes([process.pid]) == 0


STAT = """\
cpu  1 1 1 1 1 1 1 1 1 1
cpu0 100 20 30 5000 60 7 8 9 50 0
cpu1 1 0 0 9000 0 0 0 0 0 0
cpu10 500 0 0 9000 0 0 0 0 0 0
intr 12345
"""


class TestBusyTime:
    """All but idle and iowait; guest time is in user time already; stolen time was not there for us."""

    @pytest.mark.parametrize(
        ("processors", "ticks"), [({0}, 100 + 20 + 30 + 7 + 8 + 9), ({1}, 1), ({0, 10}, 674), (set(), 0)]
    )
    def test_from_text(self, processors: set[int], ticks: int) -> None:
        assert busy_us(frozenset(processors), STAT) == ticks * 1e6 / os.sysconf("SC_CLK_TCK")


class TestStolenTime:
    @pytest.mark.parametrize(("processors", "ticks"), [({0}, 9), ({1}, 0), ({0, 10}, 9)])
    def test_from_text(self, processors: set[int], ticks: int) -> None:
        assert stolen_us(frozenset(processors), STAT) == ticks * 1e6 / os.sysconf("SC_CLK_TCK")


class TestTrouble:
    """What is not ours to read is said; what has ended meanwhile is not trouble."""

    def test_of_this_machine_all_can_be_read(self) -> None:
        check_readable(Pinning(frozenset({min(os.sched_getaffinity(0))}), frozenset({1})))

    def test_no_file_to_be_had(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: Path, *_: object, **__: object) -> str:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

        monkeypatch.setattr(Path, "read_text", refuse)
        clocks = TreeClocks([os.getpid()], Pinning(frozenset({0}), frozenset({0})))
        with pytest.raises(ClocksError, match=r"^/proc/.*: Too many open files$"):
            clocks.sample()
        with pytest.raises(UserError, match=r"cannot be read \(/proc/.*: Too many open files\); the bench needs /proc"):
            check_readable(Pinning(frozenset({0}), frozenset({0})))

    def test_a_kernel_that_shows_nothing(self) -> None:
        nowhere = Pinning(frozenset({4095}), frozenset({4095}))
        with pytest.raises(UserError, match="shows no CPU time"):
            check_readable(nowhere)

    def test_a_sample_says_how_long_the_machine_slept(self) -> None:
        sample = TreeClocks([os.getpid()], Pinning(frozenset({0}), frozenset({0}))).sample()
        assert abs(sample.suspended_ns - (time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()) * 1e9) < 1e9


class TestInterpolation:
    """Even growth between samples; nothing outside of them."""

    SAMPLES = tuple(
        Sample(
            monotonic_ns=at,
            server_cpu_us=value,
            server_rss_bytes=0,
            server_processors_busy_us=0,
            generator_processors_busy_us=0,
            server_alive=True,
        )
        for at, value in ((100, 10.0), (200, 30.0), (200, 30.0), (400, 30.0), (500, 90.0))
    )

    @pytest.mark.parametrize(("at", "value"), [(100, 10), (150, 20), (200, 30), (300, 30), (450, 60), (500, 90)])
    def test_between(self, at: int, value: float) -> None:
        assert interpolate(at, self.SAMPLES, lambda sample: sample.server_cpu_us) == pytest.approx(value)

    @pytest.mark.parametrize("at", [99, 501])
    def test_outside(self, at: int) -> None:
        with pytest.raises(ValueError, match="not read at that time"):
            interpolate(at, self.SAMPLES, lambda sample: sample.server_cpu_us)
