"""What differs between the runs: each held against the first, need by need and cost by cost.

A need's figure is a cell's, and its change that cell's row of `harness.comparing`. A cost is a sum of cells; its change
is made as theirs are: one figure a block, the yardstick taken off, Welch's interval on logs, corrected for how many
costs there are. That takes costs that are positive in every block, and surely positive as a whole: the ratio of two
differences that may be nothing says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harness.comparing import Compared, compare
from harness.comparing.compared import DEFAULT_MARGIN
from harness.comparing.figures import Figure
from harness.comparing.judging import Judgement, intervals, judge
from harness.comparing.welch import Shift, shift
from harness.comparing.yardstick import Yardstick
from harness.costs import Cells, Costs, Part, Sum, part_sums
from harness.measured import Condition, Contender, Spread
from harness.report import first_screen
from harness.report.decisions import CPU, NEEDS, TAIL, THROUGHPUT, Measure, Need, condition_for
from harness.report.reading import RunFolder
from harness.report.side_by_side.sides import Side, sides
from harness.statistics import Interval

# The page's costs and the parts that they are; None: a whole request.
_PARTS: Final = (None, Part.HANDSHAKE, Part.RESUMED, Part.RECORDS, Part.DIGEST, Part.CHALLENGE)
COSTS: Final = tuple(
    (name, read, part) for (name, read), part in zip(first_screen.COST_COLUMNS, _PARTS, strict=True)
)  # how a cost is called, how it is read off a contender's, and which part it is

_FIGURES: Final[Sequence[tuple[Measure, Figure]]] = (
    (CPU, Figure.CPU),
    (THROUGHPUT, Figure.THROUGHPUT),
    (TAIL, Figure.P99),
)


@dataclass(frozen=True, slots=True)
class Change:
    """How many times the first run's figure another run's is."""

    interval: Interval
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Pair:
    """A run held against the first."""

    first: Side
    other: Side
    compared: Compared

    @property
    def why_not(self) -> str:
        """Why the two cannot be compared at all; empty: they can."""
        return self.compared.reason if self.compared.yardstick is None else ""

    @property
    def ratio_name(self) -> str:
        """Return "B / A"."""
        return f"{self.other.letter} / {self.first.letter}"


@dataclass(frozen=True, slots=True)
class Seen:
    """A need's figure in one run: the mean over its blocks, and the latency that goes with it."""

    level: Interval
    p99_us: Spread  # over all requests of all blocks


@dataclass(frozen=True, slots=True)
class NeedRow:
    """A need's figure of one contender in all runs."""

    need: Need
    condition: Condition
    contender: Contender
    seen: tuple[Seen | None, ...]  # by run; None: no trial of it can be used
    changes: tuple[Change | None, ...]  # by pair; None: not compared


@dataclass(frozen=True, slots=True)
class CostRow:
    """One of a contender's costs in all runs, µs."""

    cost: str
    contender: Contender
    seen: tuple[Interval | None, ...]
    changes: tuple[Change | None, ...]


@dataclass(frozen=True, slots=True)
class SideBySide:
    """All there is to say of several runs."""

    sides: tuple[Side, ...]
    pairs: tuple[Pair, ...]  # every other run with the first
    needs: tuple[NeedRow, ...]
    costs: tuple[CostRow, ...]


def put_side_by_side(folders: Sequence[RunFolder]) -> SideBySide:
    """Put at least two runs side by side. Raises UserError for a run that is there twice."""
    found = sides(folders)
    first = found[0]
    pairs = tuple(
        Pair(first, other, compare(first.found.run, other.found.run, names=(first.letter, other.letter)))
        for other in found[1:]
    )
    return SideBySide(found, pairs, _needs(found, pairs), _costs(found, pairs))


def _needs(found: Sequence[Side], pairs: Sequence[Pair]) -> tuple[NeedRow, ...]:
    rows = []
    for need in NEEDS:
        conditions = [condition_for(need, side.measured) for side in found]
        for condition in dict.fromkeys(one for one in conditions if one is not None):
            contenders = sorted(
                {contender for side in found for contender in side.measured.contenders_under(condition)},
                key=lambda contender: (contender.deployment, contender.threads or 0, contender.workers),
            )
            rows += [_need_row(need, condition, contender, found, pairs) for contender in contenders]
    return tuple(row for row in rows if any(row.seen))


def _need_row(
    need: Need, condition: Condition, contender: Contender, found: Sequence[Side], pairs: Sequence[Pair]
) -> NeedRow:
    return NeedRow(
        need,
        condition,
        contender,
        tuple(_seen(side, need.measure, contender, condition) for side in found),
        tuple(_cell_change(pair, need.measure, contender, condition) for pair in pairs),
    )


def _seen(side: Side, measure: Measure, contender: Contender, condition: Condition) -> Seen | None:
    level = side.measured.level(contender, condition, measure.figure)
    return Seen(level, side.measured.latency(contender, condition, 99)) if level.n else None


def _cell_change(pair: Pair, measure: Measure, contender: Contender, condition: Condition) -> Change | None:
    trials = pair.first.measured.cost_trials(contender, condition)
    if not trials:
        return None
    figure = next(figure for known, figure in _FIGURES if known is measure)
    rows = pair.compared.rows_of(figure)
    row = next((row for row in rows if row.cells == 1 and row.name == trials[0].cell), None)
    return Change(row.interval, row.judgement) if row else None


def _costs(found: Sequence[Side], pairs: Sequence[Pair]) -> tuple[CostRow, ...]:
    known = [{cost.contender: cost for cost in side.costs} for side in found]
    contenders = list(dict.fromkeys(cost.contender for side in found for cost in side.costs))
    changes = [_cost_changes(pair, contenders) for pair in pairs]
    rows = []
    for place, (name, read, _) in enumerate(COSTS):
        for contender in contenders:
            seen = tuple(read(own[contender]) if contender in own else None for own in known)
            if any(interval is not None for interval in seen):
                rows.append(CostRow(name, contender, seen, tuple(each.get((contender, place)) for each in changes)))
    return tuple(rows)


def _cost_changes(pair: Pair, contenders: Sequence[Contender]) -> Mapping[tuple[Contender, int], Change]:
    """Compare the costs that the two runs made of the same cells: one family."""
    yardstick = pair.compared.yardstick
    if yardstick is None:
        return {}
    shifts: dict[tuple[Contender, int], Shift] = {}
    for contender in contenders:
        sums = [_sums(side, contender) for side in (pair.first, pair.other)]
        for place, (_, read, part) in enumerate(COSTS):
            if (found := _cost_shift(pair, contender, read, [own.get(part) for own in sums], yardstick)) is not None:
                shifts[contender, place] = found
    found_intervals = intervals(list(shifts.values()), margin=DEFAULT_MARGIN)
    return {
        key: Change(interval, judge(interval, margin=DEFAULT_MARGIN, more_is_better=False))
        for key, interval in zip(shifts, found_intervals, strict=True)
    }


def _sums(side: Side, contender: Contender) -> Mapping[Part | None, Sum]:
    cells = Cells.of(side.measured, contender)
    if cells is None:
        return {}
    found: dict[Part | None, Sum] = {None: Sum.cell(contender, cells.base)}
    found.update(part_sums(cells).items())
    return found


def _cost_shift(
    pair: Pair,
    contender: Contender,
    read: Callable[[Costs], Interval | None],
    sums: Sequence[Sum | None],
    yardstick: Yardstick,
) -> Shift | None:
    before, after = sums
    if before is None or after is None or set(before.terms) != set(after.terms):
        return None
    runs = (pair.first, pair.other)
    own = [read(cost) for side in runs for cost in side.costs if cost.contender == contender]
    by_block = before.by_block(pair.first.measured), after.by_block(pair.other.measured)
    are_sure = all(interval is not None and interval.low > 0 for interval in own)
    if not are_sure or any(value <= 0 for side in by_block for value in side.values()):
        return None
    taken = yardstick.take_off(*by_block)
    if not all(taken):
        return None
    fixed = pair.first.measured.fixed_blocks, pair.other.measured.fixed_blocks
    return shift([*taken[0].values()], [*taken[1].values()], fixed_blocks=fixed)
