"""Takes off a trial's cost what its processor's pace had added to it, or taken from it, beside the run's other trials.

`harness.pace` measures how fast the server's processor was during each trial, with a work of its own. Where that was
slow, requests were dear: by how much, the run itself tells. In logarithms, cell by cell and block by block,

    cost = the cell's + the block's + exponent x pace + what is left

and the exponent is found by least squares (an analysis of covariance; in simulation a *control variate*). A trial is
then given the cost that it would have had at the run's mean pace. The pace is measured beside the server and knows
nothing of it, so this takes noise away and favours nobody; a garbage collection, say, stays where it is.

**Each block is evened by what the other blocks tell.** An exponent that had seen a block's own noise would fit some of
it away, and intervals would come out too narrow: of comparisons of two twins over ten blocks 7.5 to 8.5 % were false
alarms that way, and 5.2 to 5.9 % this way (simulated; tests/harness/test_evening.py counts them again).

**It starts from what is known.** A hardware thread that is disturbed does a piece of Python in 1.8 times the time, a
request to a Python server in 1.45 to 1.55 times, which makes an exponent of 0.65. With a standard deviation of 0.25
that is the prior: few trials move it little, many move it wherever they say.

Pure: numbers in, numbers out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PRIOR, PRIOR_DEVIATION = 0.75, 0.25
MOST = 1.5  # of an exponent: no work is slowed down much more than the one that the pace is measured by
LEAST_FREE = 8  # degrees of freedom that the other blocks leave; with fewer nothing is evened
NOISY = 4.0  # times the variance of the middle cell: such cells (few requests) do not tell the exponent

_ROUNDS = 30  # of taking off cells' and blocks' means in turn; where all cells are in all blocks the first is the last

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reading:
    """A trial, as far as it matters here; cost and pace in any unit, above 0."""

    cell: str
    block: int
    cost: float
    pace: float


@dataclass(frozen=True, slots=True)
class Evening:
    """What was made of a run.

    exponent: by which costs follow the pace, all blocks together; None where nothing could be evened. slowness: of each
    reading, by which its cost is to be divided; 1 where nothing is known.
    """

    exponent: float | None
    slowness: tuple[float, ...]


def even(readings: Sequence[Reading]) -> Evening:
    """Find the exponent, and what each reading's cost is to be divided by."""
    nothing = Evening(None, (1.0,) * len(readings))
    if not readings:
        return nothing
    cells = _numbered([reading.cell for reading in readings])
    blocks = _numbered([reading.block for reading in readings])
    pace = np.log([reading.pace for reading in readings])
    left_pace = _without_means(pace, cells, blocks)
    left_cost = _without_means(np.log([reading.cost for reading in readings]), cells, blocks)
    telling = _telling(left_cost, left_pace, cells)
    whole = _exponent(left_cost, left_pace, cells, blocks, telling)
    if whole is None:
        return nothing
    logs = np.zeros(len(readings))
    for block in range(int(blocks.max()) + 1):
        here = blocks == block
        of_others = _exponent(left_cost, left_pace, cells, blocks, telling & ~here)
        if of_others is not None:
            logs[here] = of_others * (pace[here] - pace.mean())
    return Evening(whole, tuple(np.exp(logs).tolist()))


def _numbered(names: Sequence[object]) -> NDArray[np.int64]:
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names])


def _without_means(values: Floats, cells: NDArray[np.int64], blocks: NDArray[np.int64]) -> Floats:
    """Take off what a cell's values have in common, and a block's."""
    left: Floats = values - values.mean()
    for _ in range(_ROUNDS):
        for groups in (cells, blocks):
            left -= (np.bincount(groups, left) / np.bincount(groups))[groups]
    return left


def _telling(cost: Floats, pace: Floats, cells: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which readings are of cells that do not scatter much more than others."""
    squares = (pace @ pace) or 1.0
    left = cost - (pace @ cost) / squares * pace
    variance = np.bincount(cells, left**2) / np.bincount(cells)
    return np.asarray((variance <= NOISY * np.median(variance))[cells])


def _exponent(
    cost: Floats, pace: Floats, cells: NDArray[np.int64], blocks: NDArray[np.int64], chosen: NDArray[np.bool_]
) -> float | None:
    """Return the exponent that these readings tell, drawn towards the prior; None where they are too few."""
    free = int(chosen.sum()) - len(np.unique(cells[chosen])) - len(np.unique(blocks[chosen])) + 1 - 1
    if free < LEAST_FREE:
        return None
    squares, products = float(pace[chosen] @ pace[chosen]), float(pace[chosen] @ cost[chosen])
    alone = products / squares if squares else 0.0
    left = cost[chosen] - alone * pace[chosen]
    variance = max(float(left @ left) / free, 1e-8)
    weight = 1 / PRIOR_DEVIATION**2
    found = (products / variance + PRIOR * weight) / (squares / variance + weight)
    return min(max(found, 0.0), MOST)
