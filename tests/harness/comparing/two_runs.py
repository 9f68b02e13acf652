"""Pairs of synthetic runs of one small plan, with what differs between them known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from harness.plan import Cell, Plan
from harness.trials import Run, Trial
from tests.harness import synthetic
from tests.harness.synthetic import Costs

FLASK, QUART = "flask-threaded", "quart-hypercorn-asyncio"


def small_plan(*, blocks: int = 8, cells_each: int = 3) -> Plan:
    """So many cells of each of two deployments; windows are short, because nobody waits for them to be full."""
    whole = synthetic.plan("quick", blocks=blocks)

    def of(deployment: str) -> list[Cell]:
        return [cell for cell in whole.cells if cell.server.deployment == deployment][:cells_each]

    return replace(whole, cells=(*of(FLASK), *of(QUART)), window_s=0.1, handshake_blocks=0)


def run(
    plan: Plan | None = None,
    *,
    seed: int,
    slower: Mapping[str, float] | None = None,  # deployment -> factor on its cost
    slowness: float = 1.0,  # of the machine
    drift: float = 0.02,
    noise: float = 0.013,
    reference_noise: float | None = 0.01,
) -> Run:
    costs = Costs()
    if slower:
        requests = {name: cost * slower.get(name, 1.0) for name, cost in costs.request.items()}
        costs = replace(costs, request=requests)
    return synthetic.run(
        plan or small_plan(),
        costs=costs,
        seed=seed,
        slowness=slowness,
        drift=drift,
        noise=noise,
        reference_noise=reference_noise,
    )


def with_environment(whole: Run, **changed: object) -> Run:
    environment = {**whole.header.environment, **changed}
    return replace(whole, header=replace(whole.header, environment=environment))


def with_plan(whole: Run, plan: Plan) -> Run:
    return replace(whole, header=replace(whole.header, plan=plan.to_json(), plan_hash=plan.hash))


def each_trial(whole: Run, change: Callable[[Trial], Trial]) -> Run:
    return replace(whole, trials=tuple(map(change, whole.trials)))
