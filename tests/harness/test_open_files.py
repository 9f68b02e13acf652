"""How many files one process of a run may have open, which `bench run` asks the kernel for and `bench doctor` tells."""

from __future__ import annotations

import pytest

from harness.doctor.machine_findings import MANY_CONNECTIONS, machine_findings
from harness.load import Load
from harness.plan import Cell, Plan, Search, ServerKey, open_files
from tests.harness import synthetic
from tests.harness.doctor.facts import MACHINE

BESIDE = open_files(0, proxied=False)


def plan(*clients: tuple[str, int], searched: tuple[tuple[str, int], ...] = ()) -> Plan:
    """A plan of deployments with so many clients each."""
    return Plan(
        name="mine",
        seed=1,
        blocks=6,
        window_s=1.0,
        budget_s=60.0,
        cells=tuple(
            Cell(server=ServerKey(deployment=name), scenario="health", load=Load(clients=n)) for name, n in clients
        ),
        searches=tuple(Search(server=ServerKey(deployment=name), scenario="health", clients=n) for name, n in searched),
    )


class TestPlan:
    """Its connections, twice where a proxy has both sides of each, and some beside."""

    @pytest.mark.parametrize("name", [name for name in synthetic.DEPLOYMENTS if "@" in name])
    def test_a_proxy_has_two_for_each_client(self, name: str) -> None:
        """Also where it passes TLS on as it comes."""
        assert plan((name, 64)).open_files == 2 * 64 + BESIDE

    @pytest.mark.parametrize("name", [name for name in synthetic.DEPLOYMENTS if "@" not in name])
    def test_a_server_has_one(self, name: str) -> None:
        assert plan((name, 64)).open_files == 64 + BESIDE

    def test_the_trial_that_needs_most_decides_which_need_not_be_the_widest(self) -> None:
        mixed = plan(("flask-waitress@nginx", 64), ("flask-threaded", 100))
        assert (mixed.connections, mixed.open_files) == (100, 2 * 64 + BESIDE)
        assert plan(("flask-waitress@nginx", 4), ("flask-threaded", 100)).open_files == 100 + BESIDE

    def test_searches_for_capacity_count(self) -> None:
        searching = plan(("flask-threaded", 4), searched=(("flask-waitress@nginx", 300),))
        assert searching.open_files == 2 * 300 + BESIDE


def test_doctor_tells_what_a_run_asks_for() -> None:
    (finding,) = (each for each in machine_findings(MACHINE, ()) if each.subject == "open files")
    plain, proxied = (plan((name, MANY_CONNECTIONS)).open_files for name in ("flask-threaded", "flask-waitress@nginx"))
    assert f"need {plain:,}, and {proxied:,} in a proxy in front" in finding.seen
