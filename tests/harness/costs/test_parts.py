"""Each part is found again, by the pair of cells that leaves out what it has nothing to do with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.costs import Cells, Costs, Part, costs, handshake_costs, part_sums
from harness.measured import Contender, Measured
from harness.statistics import Interval
from harness.trials import Run
from tests.harness import synthetic
from tests.harness.report.runs import FLASK, changed, quick_run, without

TRUTH = synthetic.Costs()
CONTENDER = Contender(FLASK, 16, 1)


def of_flask(run: Run) -> Costs:
    return next(cost for cost in costs(Measured(run)) if cost.contender == CONTENDER)


def sums(run: Run) -> dict[Part, set[tuple[str, str, str]]]:
    """Return the cells of each part, as scenario, TLS and authentication."""
    cells = Cells.of(Measured(run), CONTENDER)
    assert cells is not None
    return {
        part: {(condition.scenario, condition.tls, condition.auth) for (_, condition), _ in each.terms}
        for part, each in part_sums(cells).items()
    }


@pytest.mark.parametrize(
    ("name", "true"),
    [
        ("server", TRUTH.request[FLASK]),
        ("health", TRUTH.request[FLASK] + TRUTH.health),
        ("datastore", TRUTH.datastore),
        ("digest", TRUTH.digest),
        ("challenge", TRUTH.challenge),
        ("tls_request", TRUTH.tls_records),
        ("tcp_connection", TRUTH.connection),
        ("tls_connection", TRUTH.handshake["1.3", "ecdsa-p256", "full"]),
        ("tls_resumed", TRUTH.handshake["1.3", "ecdsa-p256", "resumed"]),
    ],
)
def test_the_truth_is_found_again(long_run: Run, name: str, true: float) -> None:
    found = getattr(of_flask(long_run), name)
    assert isinstance(found, Interval)
    assert found.estimate == pytest.approx(true, abs=1.5 * (found.high - found.low))
    assert (found.high - found.low) < 0.2 * true + 5


class TestPairs:
    def test_digest_is_measured_without_tls_and_tls_without_digest(self, short_run: Run) -> None:
        found = sums(short_run)
        assert {tls for _, tls, _ in found[Part.DIGEST]} == {"off"}
        for part in (Part.RECORDS, Part.TCP, Part.HANDSHAKE, Part.RESUMED, Part.DATASTORE, Part.SERVER):
            assert {auth for _, _, auth in found[part]} == {"none"}, part

    def test_no_part_is_made_of_the_trials_that_predictions_are_held_against(self, short_run: Run) -> None:
        used = {scenario for each in sums(short_run).values() for scenario, _, _ in each}
        assert "reconnecting" not in used
        assert "1.2+1.3" not in {tls for each in sums(short_run).values() for _, tls, _ in each}

    def test_where_those_are_missing_the_next_best_are_taken(self) -> None:
        found = sums(quick_run())  # which has neither one without TLS and Digest
        assert {tls for _, tls, _ in found[Part.DIGEST]} == {"1.3"}
        assert {auth for _, _, auth in found[Part.RECORDS]} == {"digest"}
        assert Part.SERVER in found

    def test_what_takes_missing_cells_is_not_guessed(self, short_run: Run) -> None:
        cost = of_flask(without(short_run, lambda trial: trial.options.tls == "off"))
        assert (cost.tls_request, cost.tls_connection, cost.tcp_connection, cost.server) == (None,) * 4
        assert cost.challenge is not None
        assert cost.digest is not None  # with TLS on both sides


class TestProxies:
    def test_a_hop_is_what_the_proxied_deployment_takes_more(self) -> None:
        plan = synthetic.plan("costs", blocks=12)
        direct = synthetic.run(replace(plan, cells=tuple(c for c in plan.cells if c.server.deployment == FLASK)))
        dearer = changed(
            direct,
            lambda trial: replace(
                trial,
                id=replace(trial.id, cell=trial.cell.replace(FLASK, f"{FLASK}@nginx")),
                deployment=f"{FLASK}@nginx",
                server_cpu_us=trial.server_cpu_us + 45.0 * trial.requests,
            ),
        )
        measured = Measured(Run(direct.header, direct.trials + dearer.trials))
        by_name = {cost.contender.deployment: cost for cost in costs(measured)}
        hop = by_name[f"{FLASK}@nginx"].proxy
        assert hop is not None
        assert hop.estimate == pytest.approx(45.0)
        assert by_name[FLASK].proxy is None
        assert by_name[f"{FLASK}@nginx"].server == by_name[FLASK].server


class TestHandshakes:
    def test_each_kind_once_with_its_group(self, long_run: Run) -> None:
        found = handshake_costs(Measured(long_run), CONTENDER)
        assert [(one.version, one.key_kind, one.resumed) for one in found] == [
            ("1.3", "ecdsa-p256", True),
            ("1.3", "ecdsa-p256", False),
        ]
        assert all(one.group == "X25519" for one in found)

    def test_versions_and_keys(self) -> None:
        found = {
            (one.version, one.key_kind, one.resumed): one.cost
            for one in handshake_costs(Measured(synthetic.run(synthetic.plan("quick", blocks=20))), CONTENDER)
        }
        for kind, true in TRUTH.handshake.items():
            if kind[1] == "rsa-4096":
                continue  # not in the plan
            cost = found[kind[0], kind[1], kind[2] == "resumed"]
            assert cost.estimate == pytest.approx(true, abs=1.5 * (cost.high - cost.low)), kind
