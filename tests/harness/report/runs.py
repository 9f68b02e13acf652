"""Runs for tests of the report, made by tests.harness.synthetic; small, for they are many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from harness.plan import Cell, Plan
from harness.trials import Run, Trial
from tests.harness import synthetic

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}"
FLASK, QUART = "flask-threaded", "quart-hypercorn-asyncio"


def quick_plan(*, blocks: int = 6, window_s: float = 0.25, keep: Callable[[Cell], bool] = lambda _: True) -> Plan:
    """Return the quick plan with short windows, which leave costs alone but give histograms few values."""
    plan = synthetic.plan(blocks=blocks)
    return replace(plan, window_s=window_s, cells=tuple(cell for cell in plan.cells if keep(cell)))


def usual(cell: Cell) -> bool:
    """Say whether a cell has the usual TLS, key and authentication: those that decisions are made of."""
    server = cell.server
    return (server.tls, server.auth, server.certificate_kind) == ("1.3", "digest", "ecdsa-p256")


def crowded_plan(*, blocks: int = 6, window_s: float = 0.1) -> Plan:
    """Return the decisions' part of the quick plan for every deployment that this bench has."""
    plan = quick_plan(blocks=blocks, window_s=window_s, keep=lambda cell: usual(cell) and is_choice(cell))
    kinds = [cell for cell in plan.cells if cell.server.deployment == FLASK]
    cells = [
        replace(cell, server=replace(cell.server, deployment=name)) for name in synthetic.DEPLOYMENTS for cell in kinds
    ]
    return replace(plan, cells=tuple(cells))


def everything_plan(*, window_s: float = 0.25) -> Plan:
    """Return the full plan with every deployment in each of its cells, not only in some of them."""
    plan = replace(synthetic.plan("full"), window_s=window_s)
    kinds = dict.fromkeys(
        replace(cell, server=replace(cell.server, deployment=FLASK)) for cell in plan.cells if is_choice(cell)
    )
    cells = [
        replace(cell, server=replace(cell.server, deployment=name)) for name in synthetic.DEPLOYMENTS for cell in kinds
    ]
    checks = [cell for cell in plan.cells if not is_choice(cell)]
    return replace(plan, cells=(*cells, *checks))


def is_choice(cell: Cell) -> bool:
    """Say whether a cell is no part of the bench's check of itself."""
    return not (cell.server.twin or cell.server.added_cpu_us or cell.server.added_delay_ms)


def crowded_costs() -> synthetic.Costs:
    """Return a truth in which the first few deployments lie close together and the others further and further away."""
    return synthetic.Costs(
        request={name: 200.0 + (2 if place < 4 else 15) * place for place, name in enumerate(synthetic.DEPLOYMENTS)},
        slow_at_once={name: 64.0 if name.startswith("quart") else 16.0 for name in synthetic.DEPLOYMENTS},
    )


def failed(trial: Trial, requests: int) -> Trial:
    """Return the trial as if some of its requests had failed."""
    doubt = f"{requests} of {trial.requests} requests failed: connection closed before the answer"
    return replace(
        trial,
        requests=trial.requests - requests,
        errors={"connection closed before the answer": requests},
        doubts=(doubt,),
    )


def quick_run(*, seed: int = 1, costs: synthetic.Costs | None = None, plan: Plan | None = None) -> Run:
    """Return a run of the quick plan."""
    return synthetic.run(plan or quick_plan(), costs=costs, seed=seed)


def changed(run: Run, change: Callable[[Trial], Trial | None]) -> Run:
    """Return the run with each trial changed, or dropped where the change gives None."""
    return Run(run.header, tuple(trial for old in run.trials if (trial := change(old)) is not None))


def without(run: Run, unwanted: Callable[[Trial], bool]) -> Run:
    """Return the run without some of its trials."""
    return changed(run, lambda trial: None if unwanted(trial) else trial)


def hostile_run() -> Run:
    """Return a run that holds markup wherever text can stand."""
    run = changed(quick_run(), lambda trial: replace(trial, deployment=EVIL if trial.deployment == QUART else FLASK))
    header = replace(run.header, started=EVIL, environment={EVIL: EVIL}, plan={"name": EVIL})
    return Run(header, (replace(run.trials[0], doubts=(EVIL,)), *run.trials[1:]))
