"""In which order a plan is measured: randomised blocks, drawn from the plan's seed alone.

The same plan always gives the same order, so that a run which was killed goes on where it stopped.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

from harness.plan import Cell, Plan, ServerKey
from harness.trials import TrialId


@dataclass(frozen=True, slots=True)
class Turn:
    """One trial to come."""

    order: int  # position in the whole run
    id: TrialId
    cell: Cell


@dataclass(frozen=True, slots=True)
class Start:
    """One server start, and what is measured on it."""

    block: int
    server: ServerKey
    turns: tuple[Turn, ...]


def schedule(plan: Plan) -> tuple[Start, ...]:
    """Return all server starts of a run: block after block, random within, scenarios random within a start."""
    starts: list[Start] = []
    order = 0
    for block in range(plan.blocks):
        # A generator of its own: the order of a block does not depend on how many blocks there are.
        drawn = random.Random(f"{plan.seed}/{block}")  # noqa: S311 - an order, not a secret
        servers = list(plan.servers)
        drawn.shuffle(servers)
        for server in servers:
            cells = list(plan.cells_on(server))
            drawn.shuffle(cells)
            turns = [Turn(order + i, TrialId(block, cell.name), cell) for i, cell in enumerate(cells)]
            order += len(turns)
            starts.append(Start(block, server, tuple(turns)))
    return tuple(starts)


def remaining(starts: Collection[Start], finished: Collection[TrialId]) -> tuple[Start, ...]:
    """Return what is still to be measured, in the same order; a start with nothing left is dropped."""
    done = frozenset(finished)
    left = (
        Start(start.block, start.server, tuple(turn for turn in start.turns if turn.id not in done)) for start in starts
    )
    return tuple(start for start in left if start.turns)
