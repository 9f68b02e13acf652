"""Runs with searches for capacity, on simulated servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from harness.capacity.search import Capacity, guess_of, next_step
from harness.plan import Plan
from harness.trials import Options, Run, RunHeader, Trial
from tests.harness import synthetic
from tests.harness.capacity.simulated import Server

CAPACITIES = {
    "flask-threaded": 2600.0,
    "flask-gunicorn-gthread": 2100.0,
    "quart-hypercorn-asyncio": 1050.0,
    "quart-uvicorn-uvloop": 3300.0,
}


def run_with_searches(
    plan: Plan,
    *,
    capacities: Mapping[str, float] = CAPACITIES,
    generator_per_s: Mapping[str, float] | None = None,
    most_trials: int = 1000,
    seed: int = 1,
) -> Run:
    """Return a run of a plan with its searches, by deployment. most_trials: of each search; then it was killed."""
    run = synthetic.run(plan, seed=seed)
    trials = list(run.trials)
    for number, search in enumerate(plan.searches):
        deployment = search.server.deployment
        server = Server(
            saturation_per_s=capacities[deployment],
            random=np.random.default_rng((seed, number)),
            noise=0.02,
            generator_per_s=(generator_per_s or {}).get(deployment, np.inf),
        )
        own: list[Trial] = []
        guess = guess_of(search, plan, run.trials)
        while len(own) < most_trials and not isinstance(step := next_step(search, own, guess_per_s=guess), Capacity):
            threads = 16 if deployment.startswith("flask") else None
            options = Options(tls="1.3", auth="digest", certificate_kind="ecdsa-p256", threads=threads, workers=1)
            own.append(replace(server.trial(search, step), order=len(trials) + len(own), options=options))
        trials += own
    header = RunHeader(
        plan=plan.to_json(),
        plan_hash=plan.hash,
        seed=plan.seed,
        started=run.header.started,
        environment=run.header.environment,
    )
    return Run(header, tuple(trials))
