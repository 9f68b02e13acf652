"""What the blocks of a run measure: the fixed ones everything, further ones what is not decided yet.

After a plan's `blocks`, blocks go on up to `max_blocks` as long as the windows fit into `budget_s`. They measure only
cells with an open comparison, always both sides of it, so that they are paired. A comparison closes

- when the 95 % interval of its ratio is narrow: `half_width` to each side (more for figures that are noisier,
  `harness.comparisons`). Stopping for the width alone is the fixed-width rule of Chow and Robbins (1965). It looks at
  the scatter and not at the ratio, so that it does not favour differences.
- a choice between deployments also when it is clear-cut: the 99.9 % interval lies beyond `half_width` on one side. By
  how much one is better matters less than the time that the others need. Stopping at the first interval that excludes 1
  would triple the false alarms; this rule asks for so much that it cannot raise them (tests/harness/test_adaptive.py
  counts them, and the coverage, for whole procedures). Costs never close that way: their size is what is asked.
- when fewer than three of the fixed blocks gave a figure for both sides: more would not either.

Of a choice between several, the leader is compared with each other, for that is what decides.

What a block measures follows from the plan and from the trials of the blocks before it, and from nothing else: a run
that was killed in a further block goes on with the same cells.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from harness.comparisons import Comparison, Figures, Kind, comparisons, conditions
from harness.plan import Cell, Plan, ServerKey
from harness.schedule import traces
from harness.statistics import MIN_BLOCKS_FOR_INTERVAL, Floats, Interval, ratio_interval
from harness.trials import Trial

CLEAR_CUT_LEVEL = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a comparison has come."""

    comparison: Comparison
    interval: Interval  # of the ratio, 95 %
    target: float  # half-width at which it closes
    is_open: bool

    @property
    def blocks_needed(self) -> float:
        """Guess how many blocks it takes until the interval is narrow, if they scatter as they did."""
        return self.interval.n * (self.interval.half_width / self.target) ** 2


def goes_on(plan: Plan) -> bool:
    """Say whether a plan has further blocks."""
    return plan.max_blocks > plan.blocks


def most_trials(plan: Plan) -> int:
    """Return how many trials a run of the plan's blocks has at most."""
    if not goes_on(plan):
        return plan.trials
    affordable = int(plan.budget_s / plan.window_s + 1e-9)
    return max(plan.trials, min(plan.max_blocks * len(plan.cells), affordable))


def most_left(plan: Plan, block: int, trials: Collection[Trial]) -> int:
    """Return how many trials a run still has at most, from a further block on."""
    left = most_trials(plan) - len(_before(plan, block, trials))
    return max(0, min(left, (plan.max_blocks - block) * len(plan.cells)))


def cells_of_block(plan: Plan, block: int, trials: Collection[Trial]) -> tuple[Cell, ...]:
    """Return what a block measures, in the order of the plan; nothing when the run is over.

    trials: those of the run so far; only blocks before this one are looked at.
    """
    if block < plan.blocks:
        return plan.cells
    if block >= plan.max_blocks:
        return ()
    before = _before(plan, block, trials)
    affordable = most_trials(plan) - len(before)
    chosen: frozenset[Cell] = frozenset()
    pairs: list[tuple[Cell, Cell]] = []
    for standing in sorted(open_standings(plan, before), key=_urgency):
        pair = (standing.comparison.left, standing.comparison.right)
        more = _with_the_same_past(plan, chosen.union(pair), [*pairs, pair])
        if len(more) <= affordable:
            chosen = more
            pairs.append(pair)
    return tuple(cell for cell in plan.cells if cell in chosen)


def open_standings(plan: Plan, trials: Collection[Trial]) -> tuple[Standing, ...]:
    """Return the comparisons that are not decided yet, in the order of `comparisons`."""
    return tuple(standing for standing in standings(plan, trials) if standing.is_open)


def standings(plan: Plan, trials: Collection[Trial]) -> tuple[Standing, ...]:
    """Return how far each comparison has come: of choices, those of the leader with each other."""
    figures = Figures(trials)
    leaders: dict[object, Cell] = {}
    found = []
    for comparison in comparisons(plan):
        if comparison.kind is Kind.CHOICE:
            contest = (conditions(comparison.left), comparison.measure.name)
            if contest not in leaders:
                leaders[contest] = _leader(plan, comparison, figures)
            if leaders[contest] not in (comparison.left, comparison.right):
                continue
        found.append(_standing(comparison, figures, plan))
    return tuple(found)


def _standing(comparison: Comparison, figures: Figures, plan: Plan) -> Standing:
    paired = comparison.paired(figures)
    target = plan.half_width * comparison.measure.looseness
    return Standing(
        comparison=comparison,
        interval=ratio_interval(*paired, fixed_blocks=plan.blocks),
        target=target,
        is_open=not closes(*paired, kind=comparison.kind, target=target, fixed_blocks=plan.blocks),
    )


def closes(left: Floats, right: Floats, *, kind: Kind, target: float, fixed_blocks: int) -> bool:
    """Say whether a comparison needs no further blocks. left, right: one figure a block, paired."""
    if len(left) < MIN_BLOCKS_FOR_INTERVAL:
        return True
    if ratio_interval(left, right, fixed_blocks=fixed_blocks).half_width <= target:
        return True
    wide = ratio_interval(left, right, level=CLEAR_CUT_LEVEL, fixed_blocks=fixed_blocks)
    return kind is Kind.CHOICE and wide.beyond(target)


def _leader(plan: Plan, comparison: Comparison, figures: Figures) -> Cell:
    """Return who is best so far among all that compete under the comparison's conditions."""
    wanted = conditions(comparison.left)
    rivals = [cell for cell in plan.cells if conditions(cell) == wanted and not cell.server.is_calibration]
    by_cell = {cell: figures.of(cell, comparison.measure) for cell in rivals}
    measured = {cell: by_block for cell, by_block in by_cell.items() if by_block}
    if not measured:
        return comparison.left
    shared = set.intersection(*(set(by_block) for by_block in measured.values()))

    def mean_log(cell: Cell) -> float:
        by_block = measured[cell]
        return float(np.mean(np.log([by_block[block] for block in sorted(shared or by_block)])))

    best = max if comparison.measure.more_is_better else min
    return best(measured, key=mean_log)


def _urgency(standing: Standing) -> tuple[int, float]:
    """Sort by what is asked most, then by what is decided soonest: so as many as possible are, before time is up."""
    comparison = standing.comparison
    if comparison.kind is Kind.CHOICE:
        server = comparison.left.server
        secured = server.uses_tls and server.auth == "digest"
        rank = 0 if secured else 3  # the others are there for what they cost
    else:
        rank = 1 if comparison.kind is Kind.COST else 2
    needed = standing.blocks_needed
    return rank, needed if math.isfinite(needed) else math.inf


def _with_the_same_past(plan: Plan, chosen: Collection[Cell], pairs: Collection[tuple[Cell, Cell]]) -> frozenset[Cell]:
    """Add what keeps the two servers of each pair alike: a server remembers what was done to it before.

    What one of them is put through before the cell that is compared, the other one is too, as far as its plan has it.
    """
    on_server: dict[ServerKey, dict[object, Cell]] = defaultdict(dict)
    for cell in plan.cells:
        on_server[cell.server][_what(cell)] = cell
    whole = set(chosen)
    while True:
        missing = {
            counterpart
            for pair in pairs
            for one, other in (pair, pair[::-1])
            for what, earlier in on_server[one.server].items()
            if earlier in whole and traces(earlier) < traces(one)
            if (counterpart := on_server[other.server].get(what)) is not None
        } - whole
        if not missing:
            return frozenset(whole)
        whole |= missing


def _what(cell: Cell) -> tuple[object, ...]:
    return cell.scenario, cell.load, cell.requests_per_connection


def _before(plan: Plan, block: int, trials: Collection[Trial]) -> Sequence[Trial]:
    names = {cell.name for cell in plan.cells}
    return [trial for trial in trials if trial.block < block and trial.cell in names and not trial.is_searched]
