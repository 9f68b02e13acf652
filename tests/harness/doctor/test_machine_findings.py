"""What is said of a machine: one that is as it should be, and each thing that can be wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness.doctor.findings import Finding, Standing, obstacles
from harness.doctor.machine_findings import machine_findings
from harness.pinning import ONE_PROCESSOR
from tests.harness.doctor.facts import FULL, MACHINE, QUICK

PLANS = (FULL, QUICK)


def found(subject: str, changes: Mapping[str, Any] | None = None) -> Finding:
    """The one finding of a subject, on a machine that is good but for the changes."""
    (finding,) = (
        each for each in machine_findings(replace(MACHINE, **(changes or {})), PLANS) if each.subject == subject
    )
    return finding


class TestGoodMachine:
    def test_everything_is_good_and_nothing_is_to_be_done(self) -> None:
        findings = machine_findings(MACHINE, PLANS)
        assert {finding.standing for finding in findings} == {Standing.GOOD}
        assert not any(finding.advice for finding in findings)
        assert obstacles(findings) == ()

    def test_who_gets_which_processor(self) -> None:
        assert found("processors").seen == (
            "Synthetic Processor 3000: 4 may be used; the server gets 2, the load generator 3, each a core as far as "
            "the kernel tells"
        )

    def test_threads_of_a_core_and_hypervisors_are_named(self) -> None:
        seen = found("processors", {"allowed": (2, 3), "cores": ((0, 2), (1, 3)), "virtual": True}).seen
        assert "; 0, 2 are threads of one core; 1, 3 are threads of one core;" in seen
        assert "a virtual machine" in seen
        assert seen.endswith("the bench itself runs beside the generator, for want of a third")

    def test_what_many_connections_need(self) -> None:
        assert found("open files").seen == (
            "20,000 are allowed in a process, 1,024 unless it asks for more, which bench run does; 1,000 connections "
            "need 1,100, and 2,100 in a proxy in front"
        )

    def test_no_limit(self) -> None:
        finding = found("open files", {"open_files_soft": None, "open_files_hard": None})
        assert finding.standing is Standing.GOOD
        assert finding.seen.startswith("any number is allowed in a process; ")

    def test_a_kernel_that_tells_of_no_governor(self) -> None:
        finding = found("frequency", {"governors": ()})
        assert finding.standing is Standing.GOOD
        assert "tells of no governor" in finding.seen


class TestToBeMinded:
    """It can be measured, and the figures suffer or something is refused: said, with what to do, and not in the way."""

    @pytest.mark.parametrize(
        ("subject", "changes", "seen", "advice"),
        [
            ("processors", {"pinning_note": ONE_PROCESSOR}, ONE_PROCESSOR, "--cpuset-cpus"),
            ("CPU quota", {"cpu_quota": 1.5}, "1.5 processors' time on 4 processors", "--cpuset-cpus"),
            ("frequency", {"governors": ("powersave", "performance")}, "powersave and performance", "scaling_governor"),
            ("open files", {"open_files_hard": 2000}, "2,000 are allowed", "ulimit nofile=2100"),
            ("open files", {"open_files_hard": 1024}, "refused: the plans full (1,000 connections)", "limits.conf"),
            (
                "clock",
                {"clock_read_ns": 1400.0, "clocksource": "hpet"},
                "hpet, 1400 ns a look; it has others: tsc, acpi_pm",
                "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource",
            ),
            (
                "clock",
                {"clock_read_ns": 900.0, "clocksource": "xen", "clocksources": ("xen",)},
                "xen, 900 ns a look",
                "microseconds do not carry over",
            ),
            ("clock", {"clock_resolution_ns": 4e6}, "in steps of 4,000 µs", "highres=on"),
            ("sleep", {"slept_s": 7500.0}, "has slept for 2 h 5 min", "systemd-inhibit --what=idle:sleep bench run"),
            ("temporary folder", {"temporary_free_bytes": 400_000_000}, "/scratch: 400 MB free", "TMPDIR"),
        ],
    )
    def test_said(self, subject: str, changes: dict[str, Any], seen: str, advice: str) -> None:
        finding = found(subject, changes)
        assert finding.standing is Standing.MIND
        assert seen in finding.seen
        assert advice in finding.advice
        assert not finding.in_the_way

    def test_a_clock_of_unknown_source_is_judged_by_what_it_takes(self) -> None:
        finding = found("clock", {"clocksource": None, "clocksources": (), "clock_read_ns": 30.0})
        assert (finding.standing, finding.seen) == (Standing.GOOD, "the kernel does not tell its source, 30 ns a look")

    def test_a_quota_of_all_processors_is_none(self) -> None:
        findings = machine_findings(replace(MACHINE, cpu_quota=4.0), PLANS)
        assert "CPU quota" not in {finding.subject for finding in findings}


class TestInTheWay:
    """Nothing that is worth keeping could be measured."""

    @pytest.mark.parametrize(
        ("subject", "changes", "seen"),
        [
            ("choice of processors", {"pinning_refusal": "the kernel does not let us"}, "the kernel does not let us"),
            ("CPU clocks", {"clocks_refusal": "/proc is hidden"}, "/proc is hidden"),
            ("open files", {"open_files_hard": 150}, "refused: the plans full (1,000 connections), quick (64 "),
            ("Python", {"python_debug": True}, "CPython 3.11.7, a debug build"),
            ("Python", {"python_variables": ("PYTHONDEVMODE", "PYTHONMALLOC")}, "with PYTHONDEVMODE, PYTHONMALLOC set"),
            ("temporary folder", {"temporary_folder": None, "temporary_free_bytes": 0}, "none that can be written to"),
            ("temporary folder", {"temporary_free_bytes": 3_000_000}, "/scratch: 3 MB free"),
        ],
    )
    def test_said_and_counted(self, subject: str, changes: dict[str, Any], seen: str) -> None:
        finding = found(subject, changes)
        assert seen in finding.seen
        assert finding.advice
        assert obstacles(machine_findings(replace(MACHINE, **changes), PLANS)) == (subject,)
