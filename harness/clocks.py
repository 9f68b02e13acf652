"""What processors did: CPU time and memory of a process tree, and what everybody else took of some processors.

`clock_gettime` on a process's CPU clock counts in nanoseconds and includes threads that have ended; it costs about
1 µs. /proc/PID/stat agrees, but in ticks of 10 ms.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.errors import UserError
from harness.pinning import Pinning

# A process's CPU clock by its id, as in the kernel's include/linux/posix-timers_types.h: (~pid << 3) | CPUCLOCK_SCHED.
_CPUCLOCK_SCHED = 2
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

# Columns of a cpu line in /proc/stat, proc(5): user nice system idle iowait irq softirq steal guest guest_nice.
# Guest time is contained in user and nice already.
_IDLE, _IOWAIT, _STEAL = 3, 4, 7
_COLUMNS_COUNTED = 8


class ClocksError(UserError):
    """The kernel does not let us read its clocks: no figure for that trial; anywhere else the end of the command."""


def process_cpu_us(pid: int) -> float | None:
    """Return the CPU time of one process, all its threads, in µs; None if it is gone."""
    try:
        return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED) / 1000
    except OSError:
        return None


def process_tree(root: int, proc: Path = Path("/proc")) -> tuple[int, ...]:
    """Return the root and all its descendants that are alive, the root first."""
    found = [root]
    for pid in found:
        found.extend(_children(pid, proc))  # the loop walks over what it appends
    return tuple(found)


def _children(pid: int, proc: Path) -> list[int]:
    children: list[int] = []
    try:
        threads = list((proc / str(pid) / "task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return []  # gone meanwhile
    for thread in threads:
        try:
            children.extend(int(word) for word in (thread / "children").read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue  # that thread ended meanwhile
    return children


def rss_bytes(pids: Iterable[int], proc: Path = Path("/proc")) -> int:
    """Return the resident memory of some processes, in bytes; pages that they share count in each."""
    pages = 0
    for pid in pids:
        try:
            pages += int((proc / str(pid) / "statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # gone meanwhile
    return pages * _PAGE_BYTES


def busy_us(processors: frozenset[int], stat_text: str) -> float:
    """Return the busy time of some processors since boot, in µs, from the text of /proc/stat (10 ms ticks).

    Time stolen by other virtual machines counts as busy: it was not there for us.
    """
    return _ticks(processors, stat_text, lambda columns: sum(columns) - columns[_IDLE] - columns[_IOWAIT])


def stolen_us(processors: frozenset[int], stat_text: str) -> float:
    """Return the time since boot that other virtual machines took of some processors, in µs, as `busy_us`.

    It is what the hypervisor tells of it: nothing, on some.
    """
    return _ticks(processors, stat_text, lambda columns: columns[_STEAL])


def _ticks(processors: frozenset[int], stat_text: str, figure: Callable[[Sequence[int]], int]) -> float:
    names = {f"cpu{number}" for number in processors}
    ticks = 0
    for line in stat_text.splitlines():
        name, *columns = line.split()
        if name in names:
            ticks += figure([int(column) for column in columns[:_COLUMNS_COUNTED]])
    return ticks * 1e6 / _TICKS_PER_S


@dataclass(frozen=True, slots=True)
class Sample:
    """The clocks at one moment; CPU times only ever grow."""

    monotonic_ns: int
    server_cpu_us: float  # the server's whole tree, processes that ended in between included
    server_rss_bytes: int
    server_processors_busy_us: float  # everybody's time there
    generator_processors_busy_us: float
    server_alive: bool
    stolen_us: float = 0.0  # of both sides' processors, by other virtual machines
    suspended_ns: int = 0  # how long the machine slept since boot, in which CLOCK_MONOTONIC stands still


class Clocks(Protocol):
    """Something that can be asked for a sample at any time."""

    def sample(self) -> Sample:
        """Read all clocks now. Raises ClocksError."""


class TreeClocks:
    """The clocks of a server's process tree, and of the processors that both sides are pinned to.

    roots: one process, or several (a proxy beside its server). A process that has ended keeps counting with
    the last time seen, so that a worker which restarts takes nothing away.
    """

    def __init__(
        self,
        roots: Iterable[int],
        pinning: Pinning,
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._roots = tuple(roots)
        self._pinning = pinning
        self._monotonic_ns = monotonic_ns
        self._seen_us: dict[int, float] = {}

    def sample(self) -> Sample:
        """Read all clocks now. Raises ClocksError."""
        try:
            return self._sample()
        except OSError as error:
            raise ClocksError(f"{error.filename or '/proc'}: {error.strerror}") from error

    def _sample(self) -> Sample:
        pids = {pid for root in self._roots for pid in process_tree(root)}
        before = self._monotonic_ns()
        alive = False
        for pid in pids:
            cpu_us = process_cpu_us(pid)
            if cpu_us is not None:
                self._seen_us[pid] = max(cpu_us, self._seen_us.get(pid, 0.0))
                alive = True
        after = self._monotonic_ns()
        stat = Path("/proc/stat").read_text(encoding="ascii")
        return Sample(
            monotonic_ns=(before + after) // 2,
            server_cpu_us=sum(self._seen_us.values()),
            server_rss_bytes=rss_bytes(pids),
            server_processors_busy_us=busy_us(self._pinning.server, stat),
            generator_processors_busy_us=busy_us(self._pinning.generator, stat),
            server_alive=alive,
            stolen_us=stolen_us(self._pinning.server | self._pinning.generator, stat),
            suspended_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC),
        )


def check_readable(pinning: Pinning) -> None:
    """Refuse a kernel whose clocks cannot be read, before anything is measured. Raises UserError."""
    try:
        sample = TreeClocks([os.getpid()], pinning).sample()
    except ClocksError as error:
        raise UserError(
            f"the clocks of processes and processors cannot be read ({error})",
            hint="the bench needs /proc, as a usual Linux has it, and may not be hidden from what it starts",
        ) from error
    if not (sample.server_alive and sample.server_processors_busy_us):
        raise UserError(
            "the kernel shows no CPU time of processes and processors (clock_gettime, /proc/stat)",
            hint="measure on a usual Linux; some sandboxes have neither",
        )


def interpolate(at_ns: int, samples: Sequence[Sample], figure: Callable[[Sample], float]) -> float:
    """Return a figure's value between two samples, as if it had grown evenly.

    Raises ValueError outside the time that the samples span: nothing is extrapolated.
    """
    for earlier, later in itertools.pairwise(samples):
        if earlier.monotonic_ns <= at_ns <= later.monotonic_ns:
            span_ns = later.monotonic_ns - earlier.monotonic_ns
            share = (at_ns - earlier.monotonic_ns) / span_ns if span_ns else 0.0
            return figure(earlier) + share * (figure(later) - figure(earlier))
    raise ValueError("the clocks were not read at that time")
