"""What is made of the kernel's counters and of the pieces of work, and that both can be had."""

from __future__ import annotations

import os
import subprocess

import pytest

from harness.beats import Beat
from harness.doctor import watching
from harness.doctor.watching import Busy, CannotWatchError, Reading, pace_of, sum_up, watch
from harness.pinning import Pinning, choose_pinning

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
APART = Pinning(frozenset({2}), frozenset({3}))


def stat(**processors: tuple[float, float]) -> str:
    """Text of /proc/stat. processors: busy and stolen seconds of each."""
    lines = []
    for name, (busy_s, stolen_s) in processors.items():
        busy, stolen = round(busy_s * TICKS_PER_S), round(stolen_s * TICKS_PER_S)
        lines.append(f"{name} {busy} 0 0 70000 0 0 0 {stolen} 0 0")
    return "\n".join(lines)


def reading(
    at_s: float, text: str, *, own_s: float = 0.0, slept_s: float = 0.0, **processes: tuple[int, float]
) -> Reading:
    """Counters at a time. processes: by name, their id and CPU time in s."""
    return Reading(
        monotonic_ns=round(at_s * 1e9),
        suspended_ns=round(slept_s * 1e9),
        own_cpu_us=own_s * 1e6,
        stat=text,
        processes={pid: (name, cpu_s) for name, (pid, cpu_s) in processes.items()},
    )


def beats(*taken_us: float) -> tuple[Beat, ...]:
    return tuple(Beat(number, each_us) for number, each_us in enumerate(taken_us))


class TestShares:
    BEFORE = reading(10, stat(cpu0=(1, 0), cpu2=(50, 1), cpu3=(70, 2)), own_s=3.0)

    def test_others_are_what_neither_we_nor_the_hypervisor_took(self) -> None:
        after = reading(14, stat(cpu0=(5, 0), cpu2=(51.1, 1.2), cpu3=(70.1, 2)), own_s=3.2)
        watched = sum_up(APART, self.BEFORE, after, {})
        server, generator = watched.processors
        assert (server.number, server.role, generator.number, generator.role) == (2, "server", 3, "generator")
        assert server.others_share == pytest.approx((1.1 - 0.1) / 4)
        assert generator.others_share == 0.0
        assert watched.stolen_share == pytest.approx(0.2 / 8)
        assert watched.watched_s == 4.0

    def test_one_processor_for_both(self) -> None:
        after = reading(14, stat(cpu2=(51, 1)), own_s=3.2)
        (only,) = sum_up(Pinning(frozenset({2}), frozenset({2})), self.BEFORE, after, {}).processors
        assert only.role == "server and generator"
        assert only.others_share == pytest.approx((1 - 0.2) / 4)

    def test_sleep(self) -> None:
        watched = sum_up(APART, self.BEFORE, reading(11, self.BEFORE.stat, slept_s=2.5), {})
        assert watched.suspended_s == 2.5

    def test_the_busiest_are_named(self) -> None:
        before = reading(0, "", ended=(1, 9.0), browser=(2, 5.0), idle=(3, 1.0))
        after = reading(2, "", browser=(2, 6.0), idle=(3, 1.001), compiler=(4, 0.5))
        assert sum_up(APART, before, after, {}).busiest == (Busy("browser", 2, 0.5), Busy("compiler", 4, 0.25))


class TestPace:
    def test_tenths(self) -> None:
        pace = pace_of(beats(*[20.0] * 70, *[34.0] * 29, 900.0))
        assert pace is not None
        assert (pace.pieces, pace.fast_us, pace.slow_us) == (100, 20.0, 34.0)
        assert pace.ratio == pytest.approx(1.7)
        assert pace.slowed_share == pytest.approx(0.3)

    def test_an_interrupt_now_and_then_is_not_the_pace(self) -> None:
        pace = pace_of(beats(*[20.0] * 95, *[300.0] * 5))
        assert pace is not None
        assert pace.ratio == 1.0

    def test_too_few_to_tell(self) -> None:
        assert pace_of(beats(*[20.0] * 49)) is None
        assert pace_of(()) is None

    def test_each_processor_has_its_own(self) -> None:
        quiet, loud = beats(*[20.0] * 100), beats(*[20.0] * 50, *[40.0] * 50)
        before = reading(0, "")
        server, generator = sum_up(APART, before, reading(1, ""), {3: quiet, 2: loud}).processors
        assert server.pace is not None
        assert generator.pace is not None
        assert (server.pace.ratio, generator.pace.ratio) == (2.0, 1.0)


class TestThisMachine:
    def test_it_can_be_watched(self) -> None:
        watched = watch(choose_pinning(), seconds=0.3)
        assert watched.watched_s >= 0.3
        for processor in watched.processors:
            assert 0 <= processor.others_share < 1.2  # ticks of 10 ms
            assert processor.pace is None or processor.pace.ratio >= 1
        assert os.getpid() not in {each.pid for each in watched.busiest}

    @pytest.mark.parametrize("error", [OSError("no memory"), subprocess.SubprocessError("not pinned")])
    def test_it_cannot(self, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        def refuse(_processors: frozenset[int]) -> None:
            raise error

        monkeypatch.setattr(watching, "PaceProbe", refuse)
        with pytest.raises(CannotWatchError, match=str(error)):
            watch(choose_pinning(), seconds=0.1)
