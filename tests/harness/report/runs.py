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
