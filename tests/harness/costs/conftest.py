"""Runs of the plan `costs` whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.plan import Plan
from harness.trials import Run
from tests.harness import synthetic


def costs_plan(*, blocks: int = 6) -> Plan:
    return replace(synthetic.plan("costs", blocks=blocks), window_s=1.0)


@pytest.fixture(scope="session")
def long_run() -> Run:
    """Return a run of so many blocks that chance hardly matters."""
    return synthetic.run(costs_plan(blocks=30), drift=0.05, noise=0.01)


@pytest.fixture(scope="session")
def short_run() -> Run:
    return synthetic.run(costs_plan())
