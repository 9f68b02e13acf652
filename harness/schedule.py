"""In which order a plan is measured: randomised blocks, drawn from the plan's seed alone.

The same plan always gives the same order, so that a run which was killed goes on where it stopped.

Server starts are in random order; what is measured on one server is not. A server does not forget: requests on kept
connections cost Quart on Hypercorn without TLS 465 µs of CPU on a fresh process and 559 µs after two seconds of new
connections (means of 6 and 4 blocks). In random order that fell upon one side of a difference more
often than upon the other, and TLS seemed to save CPU. In a fixed order, those that leave least behind first, the cells
that are compared have the same past, as far as their plans are alike.
`harness.adaptive` says what further blocks measure.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

from harness.plan import SCENARIOS, Cell, Plan, ServerKey
from harness.trials import TrialId


@dataclass(frozen=True, slots=True)
class Turn:
    """One trial to come."""

    order: int  # position in the whole run
    id: TrialId
    cell: Cell
    window_s: float = 0.0  # that counts; 0: as long as the plan's


@dataclass(frozen=True, slots=True)
class Start:
    """One server start, and what is measured on it."""

    block: int
    server: ServerKey
    turns: tuple[Turn, ...]


def schedule(plan: Plan) -> tuple[Start, ...]:
    """Return the server starts of the blocks that every run of the plan has."""
    return tuple(
        start
        for block in range(plan.blocks)
        for start in block_starts(plan, block, plan.cells, first=block * len(plan.cells))
    )


def block_starts(plan: Plan, block: int, cells: Collection[Cell], *, first: int) -> tuple[Start, ...]:
    """Return the server starts of one block: in random order; what is measured on one server in that of `traces`.

    cells: what the block measures. first: the position of its first trial in the whole run.
    """
    # A generator of its own: the order of a block does not depend on how many blocks there are.
    drawn = random.Random(f"{plan.seed}/{block}")  # noqa: S311 - an order, not a secret
    servers = [server for server in plan.servers if any(cell.server == server for cell in cells)]
    drawn.shuffle(servers)
    starts: list[Start] = []
    for server in servers:
        on_it = sorted((cell for cell in cells if cell.server == server), key=traces)
        turns = [Turn(first + place, TrialId(block, cell.name), cell) for place, cell in enumerate(on_it)]
        first += len(turns)
        starts.append(Start(block, server, tuple(turns)))
    return tuple(starts)


def traces(cell: Cell) -> tuple[int, int, float, int]:
    """Sort by how much a cell leaves behind in the server: by its kind, then by how hard it pushes."""
    # The fewer requests a connection has, the more connections there are.
    return SCENARIOS.index(cell.scenario), cell.load.clients, cell.load.rate_per_s, -cell.requests_per_connection


def arrivals_seed(plan: Plan, turn: Turn) -> int:
    """Return the seed of a trial's arrivals: the same load of one block comes to every server at the same moments."""
    load = turn.cell.load
    return random.Random(f"{plan.seed}/{turn.id.block}/{load.name}").getrandbits(32)  # noqa: S311 - no secret


def remaining(starts: Collection[Start], finished: Collection[TrialId]) -> tuple[Start, ...]:
    """Return what is still to be measured, in the same order; a start with nothing left is dropped."""
    done = frozenset(finished)
    left = (
        Start(start.block, start.server, tuple(turn for turn in start.turns if turn.id not in done)) for start in starts
    )
    return tuple(start for start in left if start.turns)
