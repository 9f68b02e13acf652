"""The generator process: started on its processor, watched, stopped; gone when the harness is gone.

A small program stands in for Locust here: it writes a recording and does as it is told.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import generator
from harness.generator import Generator, GeneratorFailedError, RecordingTail, command, locust_arguments, locustfile
from harness.load import Load
from harness.plan import SCENARIOS, Cell, ServerKey
from harness.recording import Recorder, Slice, read_recording

STAND_IN = """
import signal, sys, time
from pathlib import Path
from harness.recording import Recorder, Slice
manner, record = sys.argv[1], Path(sys.argv[2])
if manner == "fails":
    print("a warning\\nlocust: error: no such option: --x", file=sys.stderr)
    sys.exit(2)
if manner == "hangs":
    time.sleep(60)
signal.signal(signal.SIGTERM, signal.SIG_IGN if manner == "stays" else lambda *_: sys.exit())
recorder = Recorder(record)
try:
    for _ in range(1000):
        time.sleep(0.01)  # faster than Locust's quarter second
        recorder.write(Slice(monotonic_ns=time.monotonic_ns(), users=4))
finally:
    recorder.close(0)
"""


def until(condition: Callable[[], bool], what: str, limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"not in {limit_s} s: {what}"
        time.sleep(0.01)


def watch(running: Generator, limit_s: float = 10.0) -> None:
    """Read its recording until it fails."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        running.new_slices()
        time.sleep(0.01)
    raise AssertionError(f"it did not fail in {limit_s} s")


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"  # dead, its parent has not looked yet


@pytest.fixture
def start(tmp_path: Path) -> Callable[[str], Generator]:
    def begin(manner: str) -> Generator:
        record = tmp_path / "recording.jsonl"
        return Generator.start(
            [sys.executable, "-c", STAND_IN, manner, str(record)],
            record=record,
            cpus=frozenset({max(os.sched_getaffinity(0))}),
            log=tmp_path / "log",
        )

    return begin


class TestLife:
    def test_stopped_in_good_order(self, start: Callable[[str], Generator], tmp_path: Path) -> None:
        with start("works") as running:
            until(lambda: bool(running.new_slices()), "a slice")
            running.stop()
        recording = read_recording(tmp_path / "recording.jsonl")
        assert recording.complete
        assert os.sched_getaffinity(0)  # ours is as it was
        assert is_gone(recording.pid)

    def test_on_its_processor_and_no_other(self, start: Callable[[str], Generator], tmp_path: Path) -> None:
        with start("works"):
            until((tmp_path / "recording.jsonl").exists, "a recording")
            until(lambda: b"\n" in (tmp_path / "recording.jsonl").read_bytes(), "its first line")
            pid = read_recording(tmp_path / "recording.jsonl").pid
            assert os.sched_getaffinity(pid) == {max(os.sched_getaffinity(0))}

    def test_leaving_early_ends_it(self, start: Callable[[str], Generator], tmp_path: Path) -> None:
        with start("stays") as running:
            until(lambda: RecordingTail(tmp_path / "recording.jsonl").read() != [], "a slice")
        assert running.has_ended

    def test_it_dies_with_the_harness(self, tmp_path: Path) -> None:
        record = tmp_path / "recording.jsonl"
        harness = (
            "import os, sys, time; from pathlib import Path; from harness.generator import Generator\n"
            "stand_in, record = sys.argv[1:]\n"
            "Generator.start([sys.executable, '-c', stand_in, 'stays', record], record=Path(record),"
            " cpus=frozenset(os.sched_getaffinity(0)), log=Path(record + '.log'))\n"
            "time.sleep(60)"
        )
        parent = subprocess.Popen([sys.executable, "-c", harness, STAND_IN, str(record)])
        try:
            until(lambda: record.exists() and b"\n" in record.read_bytes(), "a recording")
            child = read_recording(record).pid
            assert not is_gone(child)
        finally:
            parent.kill()
            parent.wait()
        until(lambda: is_gone(child), "the generator's end")


class TestFailure:
    """One line that says how it ended, with its own last words."""

    def test_ends_at_once(self, start: Callable[[str], Generator]) -> None:
        with start("fails") as running:
            with pytest.raises(GeneratorFailedError) as caught:
                watch(running)
            assert str(caught.value) == "it ended too early, with status 2: locust: error: no such option: --x"

    def test_records_nothing(self, start: Callable[[str], Generator], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(generator, "SILENCE_LIMIT_S", 0.05)
        with start("hangs") as running, pytest.raises(GeneratorFailedError, match=r"recorded nothing for 0\.05 s"):
            watch(running)

    def test_falls_silent(
        self, start: Callable[[str], Generator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(generator, "SILENCE_LIMIT_S", 0.3)
        with start("works") as running:
            until(lambda: bool(running.new_slices()), "a slice")
            pid = read_recording(tmp_path / "recording.jsonl").pid
            os.kill(pid, signal.SIGSTOP)
            with pytest.raises(GeneratorFailedError, match=r"recorded nothing for 0\.3 s"):
                watch(running)

    def test_processors_that_are_not_to_be_had(self, tmp_path: Path) -> None:
        with pytest.raises(GeneratorFailedError, match=r"it could not be started on processors \[4095\]"):
            Generator.start(
                [sys.executable, "-c", ""], record=tmp_path / "r", cpus=frozenset({4095}), log=tmp_path / "log"
            )

    def test_does_not_end(
        self, start: Callable[[str], Generator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(generator, "STOP_LIMIT_S", 0.1)
        with start("stays") as running:
            until(lambda: RecordingTail(tmp_path / "recording.jsonl").read() != [], "a slice")
            with pytest.raises(GeneratorFailedError, match=r"did not end within 0\.1 s of SIGTERM"):
                running.stop()


class TestCommand:
    """What a user would type."""

    def test_words(self, tmp_path: Path) -> None:
        arguments = locust_arguments(
            Cell(server=ServerKey(deployment="flask-threaded"), scenario="slow-io", load=Load(clients=64)),
            url="https://127.0.0.1:8443",
            state=tmp_path,
            limit_s=40,
            record=tmp_path / "r",
            seed=1,
        )
        line = " ".join(command(arguments))
        assert "-m locust -f " in line
        assert "/bench/slow_io.py --headless" in line
        assert "--users 64 --spawn-rate 64 --run-time 40s" in line
        assert f"--host https://127.0.0.1:8443 --device-state {tmp_path} --record {tmp_path / 'r'}" in line

    @pytest.mark.parametrize("scenario", SCENARIOS)
    def test_every_scenario_has_its_file(self, scenario: str) -> None:
        assert locustfile(scenario).is_file()

    def test_no_such_scenario(self) -> None:
        with pytest.raises(ValueError, match="no scenario"):
            locustfile("../keep-alive")


class TestTail:
    """Reads a file that grows, line by whole line, and each line once."""

    def test_grows(self, tmp_path: Path) -> None:
        path = tmp_path / "r"
        tail = RecordingTail(path)
        assert tail.read() == []
        recorder = Recorder(path)
        assert tail.read() == []
        first = Slice(monotonic_ns=1, users=3, requests=7, errors={"reset": 2}, latency_us={"state": {500: 4, 9: 1}})
        recorder.write(first)
        second = Slice(monotonic_ns=2, users=4)
        recorder.write(second)
        whole = path.read_bytes()
        path.write_bytes(whole[:-5])
        assert tail.read() == [first]
        path.write_bytes(whole)
        assert tail.read() == [second]
        recorder.close()
        assert tail.read() == []
