"""What goes on while nothing is measured: the load of others, stolen time, the pace of the processors. Judges nothing.

For some seconds the pieces of work of harness.beats run on the processors that a run would give to server and
generator; before and after, the kernel's counters are read. What the pieces themselves take is taken off.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from harness.beats import Beat
from harness.clocks import busy_us, process_cpu_us, process_tree, stolen_us
from harness.pace import PaceProbe
from harness.pinning import Pinning

WATCHED_S: Final = 3.0
SLOWED: Final = 1.25  # times the fastest tenth: no scatter of a quiet processor reaches so far

_START_LIMIT_S: Final = (
    0.7  # until the first piece on each processor; a machine that takes longer is watched all the same
)
_POLL_S: Final = 0.01
_LEAST_PIECES: Final = 50  # fewer have no tenths worth the name
_BUSIEST: Final = 3
_BUSY_SHARE: Final = 0.02  # of a processor's time, below which nobody is named


class CannotWatchError(Exception):
    """The kernel does not let us; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long pieces of one and the same work took on a processor, by the CPU clock of the thread that did them."""

    pieces: int
    fast_us: float  # the fastest tenth took at most so long
    slow_us: float  # the slowest tenth took at least so long
    slowed_share: float  # of the pieces that took over SLOWED times fast_us

    @property
    def ratio(self) -> float:
        """How many times as long as the fastest tenth the slowest tenth took, or longer."""
        return self.slow_us / self.fast_us


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedProcessor:
    """What one processor did. Shares are of its time."""

    number: int
    role: str  # "server", "generator", "server and generator"
    others_share: float  # processes that are none of ours
    pace: Pace | None  # None: too few pieces to tell


@dataclass(frozen=True, slots=True)
class Busy:
    """A process that took much. share: of one processor's time, whichever it ran on."""

    name: str
    pid: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What was seen."""

    watched_s: float
    processors: tuple[WatchedProcessor, ...]  # the server's first
    stolen_share: float  # of both sides' processors, by other virtual machines; what the hypervisor tells of it
    suspended_s: float  # the machine slept meanwhile
    busiest: tuple[Busy, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The counters at one moment."""

    monotonic_ns: int
    suspended_ns: int  # since boot
    own_cpu_us: float  # of this process and of all below it
    stat: str  # text of /proc/stat
    processes: Mapping[int, tuple[str, float]]  # of others, by process id: name, CPU time in s


def watch(pinning: Pinning, *, seconds: float = WATCHED_S) -> Watched:
    """Watch for some seconds. Raises CannotWatchError."""
    numbers = sorted(pinning.server | pinning.generator)
    try:
        with ExitStack() as stack:
            probes = {number: stack.enter_context(PaceProbe(frozenset({number}))) for number in numbers}
            _wait_for_first(probes)
            before = _read()
            time.sleep(seconds)
            after = _read()
            beats = {number: probe.since(before.monotonic_ns) for number, probe in probes.items()}
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotWatchError(str(error)) from error
    return sum_up(pinning, before, after, beats)


def sum_up(pinning: Pinning, before: Reading, after: Reading, beats: Mapping[int, Sequence[Beat]]) -> Watched:
    """Return what happened between two readings. beats: by processor. Pure."""
    span_us = (after.monotonic_ns - before.monotonic_ns) / 1000
    both = pinning.server | pinning.generator
    # Each processor has the same pieces to do, and we sleep meanwhile.
    own_us = (after.own_cpu_us - before.own_cpu_us) / len(both)

    def others(number: int) -> float:
        one = frozenset({number})
        busy = busy_us(one, after.stat) - busy_us(one, before.stat)
        stolen = stolen_us(one, after.stat) - stolen_us(one, before.stat)
        return max(0.0, busy - stolen - own_us) / span_us

    return Watched(
        watched_s=span_us / 1e6,
        processors=tuple(
            WatchedProcessor(
                number=number,
                role=_role(number, pinning),
                others_share=others(number),
                pace=pace_of(beats.get(number, ())),
            )
            for number in (*sorted(pinning.server), *sorted(pinning.generator - pinning.server))
        ),
        stolen_share=(stolen_us(both, after.stat) - stolen_us(both, before.stat)) / (span_us * len(both)),
        suspended_s=(after.suspended_ns - before.suspended_ns) / 1e9,
        busiest=_busiest(before.processes, after.processes, span_us / 1e6),
    )


def pace_of(beats: Sequence[Beat]) -> Pace | None:
    """Sum up the pieces of one processor; None where they are too few."""
    if len(beats) < _LEAST_PIECES:
        return None
    taken_us = [beat.cpu_us for beat in beats]
    fast_us, *_, slow_us = statistics.quantiles(taken_us, n=10)
    slowed = sum(each_us > SLOWED * fast_us for each_us in taken_us)
    return Pace(pieces=len(taken_us), fast_us=fast_us, slow_us=slow_us, slowed_share=slowed / len(taken_us))


def _role(number: int, pinning: Pinning) -> str:
    roles = {"server": number in pinning.server, "generator": number in pinning.generator}
    return " and ".join(role for role, has in roles.items() if has)


def _busiest(
    before: Mapping[int, tuple[str, float]], after: Mapping[int, tuple[str, float]], span_s: float
) -> tuple[Busy, ...]:
    """Return those that took most; one that was started meanwhile took all that it has taken."""
    found = [Busy(name, pid, (cpu_s - before.get(pid, ("", 0.0))[1]) / span_s) for pid, (name, cpu_s) in after.items()]
    found.sort(key=lambda each: each.share, reverse=True)
    return tuple(each for each in found[:_BUSIEST] if each.share > _BUSY_SHARE)


def _wait_for_first(probes: Mapping[int, PaceProbe]) -> None:
    """Let Python start: that is nobody's load."""
    limit_s = time.monotonic() + _START_LIMIT_S
    while not all(probe.since(0) for probe in probes.values()) and time.monotonic() < limit_s:
        time.sleep(_POLL_S)


def _read() -> Reading:
    ours = process_tree(os.getpid())
    suspended_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return Reading(
        processes=_processes(frozenset(ours)),  # takes milliseconds, so before the clocks
        monotonic_ns=time.monotonic_ns(),
        suspended_ns=suspended_ns,
        own_cpu_us=sum(process_cpu_us(pid) or 0.0 for pid in ours),
        stat=Path("/proc/stat").read_text(encoding="ascii"),
    )


def _processes(ours: frozenset[int]) -> dict[int, tuple[str, float]]:
    """Return the CPU time of all processes that can be seen, but for ours."""
    found = {}
    for process in psutil.process_iter(["name", "cpu_times"]):
        times = process.info["cpu_times"]
        if process.pid not in ours and times is not None:  # None: it is somebody's who hides it
            found[process.pid] = (str(process.info["name"]), times.user + times.system)
    return found
