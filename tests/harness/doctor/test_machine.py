"""What is read of a machine, from what a kernel shows."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from harness.doctor.machine import SLOWING_VARIABLES, cpu_quota, governors, read_machine
from harness.pinning import choose_pinning


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class TestGovernors:
    def test_of_the_processors_that_are_asked_for(self, tmp_path: Path) -> None:
        for number, name in enumerate(("powersave", "performance", "performance")):
            write(tmp_path / f"cpu{number}" / "cpufreq" / "scaling_governor", f"{name}\n")
        assert governors({1, 2}, tmp_path) == ("performance",)
        assert governors({2, 0}, tmp_path) == ("powersave", "performance")

    def test_none_is_told(self, tmp_path: Path) -> None:
        assert governors({0}, tmp_path) == ()


class TestQuota:
    """The lowest limit of this process's control groups, version 2."""

    @pytest.fixture
    def own(self, tmp_path: Path) -> Path:
        write(tmp_path / "own", "1:name=systemd:/\n0::/outer.slice/inner.service\n")
        return tmp_path / "own"

    def test_own_group(self, own: Path, tmp_path: Path) -> None:
        write(tmp_path / "groups/outer.slice/cpu.max", "max 100000\n")
        write(tmp_path / "groups/outer.slice/inner.service/cpu.max", "150000 100000\n")
        assert cpu_quota(own, tmp_path / "groups") == 1.5

    def test_a_group_above_is_narrower(self, own: Path, tmp_path: Path) -> None:
        write(tmp_path / "groups/outer.slice/cpu.max", "25000 50000\n")
        write(tmp_path / "groups/outer.slice/inner.service/cpu.max", "150000 100000\n")
        assert cpu_quota(own, tmp_path / "groups") == 0.5

    def test_a_container_s_root(self, tmp_path: Path) -> None:
        """There its own group is the root of what it sees."""
        write(tmp_path / "own", "0::/\n")
        write(tmp_path / "groups/cpu.max", "200000 100000\n")
        assert cpu_quota(tmp_path / "own", tmp_path / "groups") == 2.0

    def test_no_limit(self, own: Path, tmp_path: Path) -> None:
        assert cpu_quota(own, tmp_path / "groups") is None
        write(tmp_path / "groups/outer.slice/inner.service/cpu.max", "max 100000\n")
        assert cpu_quota(own, tmp_path / "groups") is None


class TestThisMachine:
    def test_looking_changes_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in SLOWING_VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PYTHONDEVMODE", "1")
        before = os.sched_getaffinity(0)
        machine = read_machine(choose_pinning())
        assert os.sched_getaffinity(0) == before
        assert machine.allowed == tuple(sorted(before))
        assert {*machine.server, *machine.generator} <= before
        assert machine.clocks_refusal is None
        assert 0 < machine.clock_read_ns < 1e6
        assert machine.python_variables == ("PYTHONDEVMODE",)
        assert machine.temporary_free_bytes > 0

    def test_a_sandbox_in_which_nobody_chooses_processors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_pid: int, _processors: object) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        monkeypatch.setattr("os.sched_setaffinity", refuse)
        refusal = read_machine(choose_pinning()).pinning_refusal
        assert refusal is not None
        assert "does not let this process choose its processors (Operation not permitted)" in refusal

    def test_no_room_for_temporary_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def none() -> str:
            raise FileNotFoundError("No usable temporary directory found")

        monkeypatch.setattr("tempfile.gettempdir", none)
        machine = read_machine(choose_pinning())
        assert (machine.temporary_folder, machine.temporary_free_bytes) == (None, 0)
