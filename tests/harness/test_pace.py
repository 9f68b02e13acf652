"""The probe that tells how fast a processor is: what it writes, and what is made of it."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from harness.beats import Beat, Memory
from harness.pace import PaceProbe, mean_us
from tests.processes import children

PROCESSOR = max(os.sched_getaffinity(0))


def eventually(probe: PaceProbe, count: int, start_ns: int) -> tuple[Beat, ...]:
    deadline_s = time.monotonic() + 20
    while len(found := probe.since(start_ns)) < count:
        assert time.monotonic() < deadline_s, f"{len(found)} pieces"
        time.sleep(0.01)
    return found


class TestMean:
    BEATS = tuple(Beat(at_ns, us) for at_ns, us in ((10, 40.0), (20, 50.0), (30, 60.0), (40, 1000.0)))

    def test_of_the_window_alone(self) -> None:
        assert mean_us(self.BEATS, 10, 30) == pytest.approx(55)

    def test_none_where_there_is_nothing(self) -> None:
        assert mean_us(self.BEATS, 100, 200) is None
        assert mean_us((), 0, 200) is None

    def test_an_interrupt_counts_four_pieces_at_most(self) -> None:
        assert mean_us(self.BEATS, 0, 50) == pytest.approx((40 + 50 + 60 + 4 * 55) / 4)


class TestMemory:
    def test_the_newest_are_kept(self) -> None:
        with Memory() as memory, Memory(os.dup(memory.descriptor)) as other:
            for number in range(40_000):
                memory.write(number, 1000 * number)
            seen = other.beats()
            assert seen[-1] == Beat(39_999, 39_999.0)
            assert [beat.monotonic_ns for beat in seen] == list(range(40_000 - len(seen), 40_000))
            assert len(seen) > 30_000


class TestProbe:
    def test_pieces_come_on_that_processor_and_end_with_it(self) -> None:
        start_ns = time.monotonic_ns()
        with PaceProbe(frozenset({PROCESSOR})) as probe:
            found = eventually(probe, 50, start_ns)
            (child,) = children("harness.beats")
            assert child.cpu_affinity() == [PROCESSOR]
            assert all(beat.cpu_us > 0 for beat in found)
            assert [beat.monotonic_ns for beat in found] == sorted(beat.monotonic_ns for beat in found)
            assert start_ns < found[0].monotonic_ns < found[-1].monotonic_ns <= time.monotonic_ns()
            assert probe.since(found[-1].monotonic_ns)[:1] != found[-1:]
        assert not child.is_running()

    def test_every_processor_has_one(self) -> None:
        processors = frozenset(os.sched_getaffinity(0))
        with PaceProbe(processors) as probe:
            eventually(probe, 50, 0)
            pinned = [each.cpu_affinity() for each in children("harness.beats")]
        assert sorted(pinned) == sorted([number] for number in processors)

    def test_without_its_process_there_is_nothing_more(self) -> None:
        with PaceProbe(frozenset({PROCESSOR})) as probe:
            eventually(probe, 1, 0)
            (child,) = children("harness.beats")
            child.send_signal(signal.SIGKILL)
            while child.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
            assert probe.since(time.monotonic_ns()) == ()
