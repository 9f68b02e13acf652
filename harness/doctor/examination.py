"""All that is looked at, and all that is found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.doctor.findings import Finding, mind
from harness.doctor.installed import Installed, read_installed
from harness.doctor.installed_findings import installed_findings
from harness.doctor.machine import Machine, read_machine
from harness.doctor.machine_findings import machine_findings
from harness.doctor.quiet_findings import quiet_findings
from harness.doctor.watching import WATCHED_S, CannotWatchError, Watched, watch
from harness.pinning import choose_pinning


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """The facts."""

    machine: Machine
    installed: Installed
    watched: Watched | None  # None: clocks cannot be read, or
    watch_failure: str | None = None  # for this reason


def examine(*, seconds: float = WATCHED_S) -> Examination:
    """Look at everything. seconds: how long the processors are watched; the rest takes under one."""
    pinning = choose_pinning()
    machine, installed = read_machine(pinning), read_installed()
    if machine.clocks_refusal is not None:
        return Examination(machine=machine, installed=installed, watched=None)
    try:
        return Examination(machine=machine, installed=installed, watched=watch(pinning, seconds=seconds))
    except CannotWatchError as error:
        return Examination(machine=machine, installed=installed, watched=None, watch_failure=str(error))


def all_findings(examination: Examination) -> tuple[Finding, ...]:
    """Judge everything: the machine, whether it is quiet, what is installed."""
    return (
        *machine_findings(examination.machine, examination.installed.plans),
        *_watched(examination),
        *installed_findings(examination.installed),
    )


def _watched(examination: Examination) -> Iterator[Finding]:
    if examination.watched is not None:
        yield from quiet_findings(examination.watched)
    if examination.watch_failure is not None:
        yield _not_watched(examination.watch_failure)


def _not_watched(failure: str) -> Finding:
    return mind(
        "whether it is quiet",
        f"the processors cannot be watched: {failure}",
        "a run watches the pace of the server's processor in the same way: let processes be started and pinned, and "
        "/proc be read",
        in_the_way=True,
    )
