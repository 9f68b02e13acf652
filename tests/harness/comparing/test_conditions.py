"""Another machine or plan is not compared, and the reason is one line; upgrades are listed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.comparing.conditions import changed_plan, changed_software, why_not
from harness.load import Load
from tests.harness import synthetic
from tests.harness.comparing.two_runs import run, small_plan, with_environment, with_plan

ONE = run(seed=1)


class TestMachine:
    def test_the_same(self) -> None:
        assert why_not(ONE.header, run(seed=2).header) is None

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"processor": "Another 1"}, "another machine (processor: Synthetic Processor 3000 in A, Another 1 in B)"),
            ({"processors": 4}, "another machine (processors: 2 in A, 4 in B)"),
            ({"memory_bytes": 4 << 30}, "another machine (memory: 8.0 GiB in A, 4.0 GiB in B)"),
            ({"virtual": True}, "another machine (virtual: absent in A, true in B)"),
            (
                {"generator_cpus": [0]},
                (
                    "the machine's processors were given out in another way (A: 1 for the server and 1 for the"
                    " generator; B: 1 for the server and 1 for the generator, shared)"
                ),
            ),
        ],
    )
    def test_another(self, changed: dict[str, Any], said: str) -> None:
        assert why_not(ONE.header, with_environment(ONE, **changed).header) == said

    @pytest.mark.parametrize(
        "changed",
        [
            {"server_cpus": [1], "generator_cpus": [0]},  # the two changed places
            {"memory_bytes": (8 << 30) - (100 << 20)},  # a new kernel keeps more for itself
            {"kernel": "6.12.0"},
            {"python": "3.14.2"},
        ],
    )
    def test_what_does_not_make_it_another(self, changed: dict[str, Any]) -> None:
        assert why_not(ONE.header, with_environment(ONE, **changed).header) is None


class TestSoftware:
    def test_each_upgrade_is_listed(self) -> None:
        before = ONE.header.environment
        after = {
            **before,
            "kernel": "6.12.0",
            "python": "3.14.2",
            "openssl": {**before["openssl"], "ssl": "OpenSSL 3.5.0"},
            "packages": {"flask": "3.2.0", "quart": "0.22.0", "uvloop": "0.23.0"},
        }
        assert [str(change) for change in changed_software(before, after)] == [
            "kernel 6.1.0 → 6.12.0",
            "python 3.11.7 → 3.14.2",
            "openssl ssl OpenSSL 3.0.22 → OpenSSL 3.5.0",
            "flask 3.1.3 → 3.2.0",
            "hypercorn 0.18.0 → absent",
            "uvloop absent → 0.23.0",
        ]

    def test_nothing(self) -> None:
        assert changed_software(synthetic.ENVIRONMENT, synthetic.ENVIRONMENT) == ()


class TestPlan:
    def test_how_long_was_measured_may_differ(self) -> None:
        longer = with_plan(ONE, replace(small_plan(), name="longer", blocks=20))
        assert why_not(ONE.header, longer.header) is None
        said = [str(change) for change in changed_plan(ONE.header.plan, longer.header.plan)]
        assert said == ["name quick → longer", "blocks 8 → 20"]

    def test_another_window_is_another_plan(self) -> None:
        """It is another age at which the server is measured."""
        reason = why_not(ONE.header, with_plan(ONE, replace(small_plan(), window_s=4.0)).header)
        assert reason is not None
        assert reason.startswith("another plan (")
        assert reason.endswith(": window_s is 0.1 in A, 4.0 in B)")

    def test_a_cell_more(self) -> None:
        plan = small_plan()
        cell = replace(plan.cells[0], load=Load(clients=99))
        reason = why_not(ONE.header, with_plan(ONE, replace(plan, cells=(*plan.cells, cell))).header)
        assert reason is not None
        assert "only B has 'flask-threaded " in reason
        assert "clients=99" in reason

    def test_another_cell(self) -> None:
        plan = small_plan()
        cell = replace(plan.cells[0], load=Load(clients=99))
        reason = why_not(ONE.header, with_plan(ONE, replace(plan, cells=(cell, *plan.cells[1:]))).header)
        assert reason is not None
        assert "only A has 'flask-threaded " in reason
        assert ", only B has 'flask-threaded " in reason

    def test_a_plan_that_is_none_does_not_break_it(self) -> None:
        odd = replace(ONE.header, plan={"cell": ["what"], "window_s": 0.1}, plan_hash="odd")
        reason = why_not(ONE.header, odd)
        assert reason is not None
        assert "only B has '\"what\"'" in reason
