"""What the machine is: processors, limits, clocks, Python, room. Looks, and judges nothing; takes some milliseconds."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sysconfig
import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness import environment
from harness.clocks import check_readable
from harness.errors import UserError
from harness.pinning import Pinning, core_siblings, stay_off
from harness.undisturbed import least_disturbed

SLOWING_VARIABLES: Final = ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONMALLOC", "PYTHONTRACEMALLOC")
"""Variables that the load generator inherits and that make each of its requests dearer; servers inherit none."""

_READS: Final = 1000  # of the clock, in each batch
_BATCHES: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What was found. None: there is no limit, or the kernel does not tell."""

    processor: str  # its model's name
    virtual: bool
    kernel: str
    allowed: tuple[int, ...]  # the processors that may be used
    server: tuple[int, ...]  # those that a run gives to the server,
    generator: tuple[int, ...]  # and to the load
    pinning_note: str | None  # of harness.pinning
    cores: tuple[tuple[int, ...], ...]  # allowed processors that are threads of one core, where there are several
    cpu_quota: float | None  # processors' worth of time that the control group is given
    governors: tuple[str, ...]  # of the processors of both sides
    pinning_refusal: str | None  # why processors cannot be chosen
    clocks_refusal: str | None  # why CPU times cannot be read
    open_files_soft: int | None  # in one process
    open_files_hard: int | None
    clocksource: str | None
    clocksources: tuple[str, ...]  # that the kernel offers
    clock_read_ns: float
    clock_resolution_ns: float
    slept_s: float  # since it was started
    python: str
    python_debug: bool
    python_variables: tuple[str, ...]  # of SLOWING_VARIABLES
    temporary_folder: str | None  # None: no folder can be written to
    temporary_free_bytes: int


def read_machine(pinning: Pinning) -> Machine:
    """Look at this machine."""
    allowed = frozenset(os.sched_getaffinity(0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    folder = _temporary_folder()
    clocksources = Path("/sys/devices/system/clocksource/clocksource0")
    return Machine(
        processor=environment.processor(),
        virtual="hypervisor" in _text(Path("/proc/cpuinfo")),
        kernel=f"{platform.system()} {platform.release()}",
        allowed=tuple(sorted(allowed)),
        server=tuple(sorted(pinning.server)),
        generator=tuple(sorted(pinning.generator)),
        pinning_note=pinning.note,
        cores=_shared_cores(allowed),
        cpu_quota=cpu_quota(),
        governors=governors(pinning.server | pinning.generator),
        pinning_refusal=_pinning_refusal(pinning, allowed),
        clocks_refusal=_clocks_refusal(pinning),
        open_files_soft=None if soft == resource.RLIM_INFINITY else soft,
        open_files_hard=None if hard == resource.RLIM_INFINITY else hard,
        clocksource=_text(clocksources / "current_clocksource").strip() or None,
        clocksources=tuple(_text(clocksources / "available_clocksource").split()),
        clock_read_ns=_clock_read_ns(),
        clock_resolution_ns=time.clock_getres(time.CLOCK_MONOTONIC) * 1e9,
        slept_s=time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        python_debug=bool(sysconfig.get_config_var("Py_DEBUG")),
        python_variables=tuple(name for name in SLOWING_VARIABLES if os.environ.get(name)),
        temporary_folder=folder,
        temporary_free_bytes=shutil.disk_usage(folder).free if folder else 0,
    )


def governors(processors: Collection[int], cpus: Path = Path("/sys/devices/system/cpu")) -> tuple[str, ...]:
    """Return what decides over the frequency of some processors, each name once; none where the kernel tells none."""
    found = (_text(cpus / f"cpu{number}" / "cpufreq/scaling_governor").strip() for number in sorted(processors))
    return tuple(dict.fromkeys(name for name in found if name))


def cpu_quota(own: Path = Path("/proc/self/cgroup"), groups: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return how many processors' worth of time this process's control groups are given; None: no limit is told.

    Of version 2 of control groups: `docker run --cpus 1.5`, or CPUQuota= of a systemd unit. Each group above ours may
    have a limit, and the lowest holds.
    """
    path = next((line[3:] for line in _text(own).splitlines() if line.startswith("0::")), "/")
    folder = groups / path.lstrip("/")
    limits = [_quota_of(_text(each / "cpu.max")) for each in (folder, *folder.parents) if each.is_relative_to(groups)]
    return min((limit for limit in limits if limit is not None), default=None)


def _quota_of(text: str) -> float | None:
    """Read cpu.max: µs of CPU time in each period, and the period in µs, or "max" for no limit."""
    match text.split():
        case [quota, period] if quota != "max":
            return int(quota) / int(period)
        case _:
            return None


def _shared_cores(allowed: frozenset[int]) -> tuple[tuple[int, ...], ...]:
    cores = {core_siblings(number) & allowed for number in allowed}
    return tuple(sorted(tuple(sorted(core)) for core in cores if len(core) > 1))


def _pinning_refusal(pinning: Pinning, allowed: frozenset[int]) -> str | None:
    try:
        stay_off(pinning)
    except UserError as error:
        return str(error)
    os.sched_setaffinity(0, allowed)
    return None


def _clocks_refusal(pinning: Pinning) -> str | None:
    try:
        check_readable(pinning)
    except UserError as error:
        return str(error)
    return None


def _clock_read_ns() -> float:
    """Return what one look at the clock takes, in ns, as Python sees it."""
    batches = []
    for _ in range(_BATCHES):
        before = time.monotonic_ns()
        for _ in range(_READS):
            time.monotonic_ns()
        batches.append((time.monotonic_ns() - before) / _READS)
    return least_disturbed(batches)


def _temporary_folder() -> str | None:
    try:
        return tempfile.gettempdir()  # it has tried to write there
    except FileNotFoundError:
        return None


def _text(path: Path) -> str:
    """Return a file's text, empty where the kernel has no such file."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
