"""What is to be said of the machine itself. Pure: its facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from harness.doctor.findings import Finding, good, mind
from harness.doctor.installed import FIRST_PLAN, PlanNeeds
from harness.doctor.machine import Machine
from harness.plan import open_files

MANY_CONNECTIONS: Final = 1000
SLOW_CLOCK_NS: Final = 500.0  # a clock that is read without the kernel takes 30 to 60, seen from Python
COARSE_CLOCK_NS: Final = 1000.0  # latencies are kept in µs
SLEPT_S: Final = 60.0
LITTLE_ROOM: Final = 50_000_000  # bytes: recordings and logs of one server's trials have to fit
SCARCE_ROOM: Final = 1_000_000_000

_NEEDED: Final = open_files(MANY_CONNECTIONS, proxied=False)
_TARGET: Final = open_files(MANY_CONNECTIONS, proxied=True)


def machine_findings(machine: Machine, plans: Iterable[PlanNeeds]) -> tuple[Finding, ...]:
    """Judge everything that does not move."""
    return (
        _processors(machine),
        *_refusals(machine),
        *_quota(machine),
        _governor(machine),
        _open_files(machine.open_files_soft, machine.open_files_hard, tuple(plans)),
        _clock(machine),
        _sleep(machine.slept_s),
        _python(machine),
        _room(machine),
    )


def _processors(machine: Machine) -> Finding:
    count = len(machine.allowed)
    seen = f"{machine.processor}: {count} may be used; the server gets {_listed(machine.server)}, the load generator "
    seen += _listed(machine.generator)
    if machine.pinning_note is not None:
        return mind(
            "processors",
            f"{seen}: {machine.pinning_note}",
            "figures of such a run are good for a try, and the report says so; give it a second core "
            "(a container: --cpuset-cpus)",
        )
    threads = "; ".join(f"{_listed(core)} are threads of one core" for core in machine.cores)
    seen += f"; {threads}" if threads else ", each a core as far as the kernel tells"
    if machine.virtual:
        seen += "; a virtual machine: what else runs on its cores only their pace shows"
    if count == len({*machine.server, *machine.generator}):
        seen += "; the bench itself runs beside the generator, for want of a third"
    return good("processors", seen)


def _refusals(machine: Machine) -> Iterator[Finding]:
    if machine.pinning_refusal is not None:
        yield mind(
            "choice of processors",
            machine.pinning_refusal,
            "allow sched_setaffinity, or measure outside of the sandbox",
            in_the_way=True,
        )
    if machine.clocks_refusal is not None:
        yield mind(
            "CPU clocks",
            machine.clocks_refusal,
            "show /proc and the clocks of other processes, or measure outside of the sandbox",
            in_the_way=True,
        )


def _quota(machine: Machine) -> Iterator[Finding]:
    """A quota stops all processes for the rest of each period (100 ms, mostly): servers that stand still."""
    if machine.cpu_quota is not None and machine.cpu_quota < len(machine.allowed):
        yield mind(
            "CPU quota",
            f"the control group is given {machine.cpu_quota:g} processors' time on {len(machine.allowed)} processors",
            "once it is used up everything stands still for some 10 ms, which latencies show: give it processors of "
            "its own (a container: --cpuset-cpus in place of --cpus; systemd: AllowedCPUs= in place of CPUQuota=)",
        )


def _governor(machine: Machine) -> Finding:
    if not machine.governors:
        return good(
            "frequency", "the kernel tells of no governor, as in most virtual machines; the pace shows what moves"
        )
    seen = f"governor {' and '.join(machine.governors)}"
    if machine.governors == ("performance",):
        return good("frequency", seen)
    return mind(
        "frequency",
        seen,
        "the frequency follows the load, so that a server with little to do looks dearer than it is: "
        "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
    )


def _open_files(soft: int | None, hard: int | None, plans: tuple[PlanNeeds, ...]) -> Finding:
    allowed = "any number is" if hard is None else f"{hard:,} are"
    seen = f"{allowed} allowed in a process"
    if soft is not None and soft != hard:
        seen += f", {soft:,} unless it asks for more, which bench run does"
    need = f"{MANY_CONNECTIONS:,} connections need {_NEEDED:,}, and {_TARGET:,} in a proxy in front"
    if hard is None or hard >= _TARGET:
        return good("open files", f"{seen}; {need}")
    refused = [f"{plan.name} ({plan.connections:,} connections)" for plan in plans if plan.open_files > hard]
    return mind(
        "open files",
        f"{seen}; {need}" + (f"; refused: the plans {', '.join(refused)}" if refused else ""),
        f"allow {_TARGET:,}: nofile in /etc/security/limits.conf, LimitNOFILE= of a systemd unit, "
        f"docker run --ulimit nofile={_TARGET}",
        in_the_way=any(plan.name == FIRST_PLAN and plan.open_files > hard for plan in plans),
    )


def _clock(machine: Machine) -> Finding:
    seen = f"{machine.clocksource or 'the kernel does not tell its source'}, {machine.clock_read_ns:.0f} ns a look"
    if machine.clock_resolution_ns > COARSE_CLOCK_NS:
        return mind(
            "clock",
            f"{seen}, in steps of {machine.clock_resolution_ns / 1000:,.0f} µs",
            "latencies cannot be finer than that: boot a kernel with high-resolution timers (highres=on)",
        )
    if machine.clock_read_ns <= SLOW_CLOCK_NS:
        return good("clock", seen)
    others = [name for name in machine.clocksources if name != machine.clocksource]
    better = next((name for name in ("tsc", "kvm-clock", "arch_sys_counter") if name in others), None)
    return mind(
        "clock",
        f"{seen}; it has others: {', '.join(others)}" if others else seen,
        "generator and servers look at it several times a request, which makes all of them slower"
        + (
            f": echo {better} | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource"
            if better
            else "; ratios hold, microseconds do not carry over to another machine"
        ),
    )


def _sleep(slept_s: float) -> Finding:
    if slept_s <= SLEPT_S:
        return good("sleep", "the machine has not slept since it was started")
    return mind(
        "sleep",
        f"the machine has slept for {_duration(slept_s)} since it was started",
        "a trial in which it does is set aside; keep it awake: systemd-inhibit --what=idle:sleep bench run",
    )


def _python(machine: Machine) -> Finding:
    if machine.python_debug:
        return mind(
            "Python",
            f"{machine.python}, a debug build",
            "it is several times slower than what a server runs on: take a usual one",
            in_the_way=True,
        )
    if machine.python_variables:
        return mind(
            "Python",
            f"{machine.python}, with {', '.join(machine.python_variables)} set",
            f"the load generator inherits it and gets slower: unset {' '.join(machine.python_variables)}",
            in_the_way=True,
        )
    return good("Python", f"{machine.python}; {machine.kernel}")


def _room(machine: Machine) -> Finding:
    folder, free = machine.temporary_folder, machine.temporary_free_bytes
    if folder is None:
        return mind(
            "temporary folder", "there is none that can be written to", "make one and set TMPDIR", in_the_way=True
        )
    seen = f"{folder}: {_size(free)} free"
    if free >= SCARCE_ROOM:
        return good("temporary folder", seen)
    return mind(
        "temporary folder", seen, "make room, or set TMPDIR to a folder that has it", in_the_way=free < LITTLE_ROOM
    )


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _size(octets: int) -> str:
    return f"{octets / 1e9:,.1f} GB" if octets >= 1e9 else f"{octets / 1e6:,.0f} MB"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
