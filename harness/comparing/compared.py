"""The comparison itself: from two runs to rows, each judged, and one status."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from harness.comparing.conditions import Change, changed_plan, changed_software, why_not
from harness.comparing.figures import MEASURES, ByBlock, Cells, Figure, by_block, cells_of, geometric_mean, together
from harness.comparing.judging import Judgement, intervals, judge
from harness.comparing.welch import Shift, shift
from harness.comparing.yardstick import AUTO, Yardstick, choose
from harness.statistics import MIN_BLOCKS_FOR_VERDICT, Interval
from harness.trials import Run, Trial

DEFAULT_MARGIN: Final = 0.03


class Status(IntEnum):
    """What it comes to, as exit statuses. 2 is bad input, as everywhere in `bench`."""

    NO_WORSE = 0
    WORSE = 1
    NOT_COMPARABLE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure before and after: of a cell, or of several together."""

    name: str  # the cell's
    cells: int  # 1: a cell; more: so many together, whose figures before and after are 1 and the ratio
    deployment: str | None  # None: of all deployments together
    figure: Figure
    before: float  # geometric means over the blocks, as measured
    after: float
    blocks: tuple[int, int]  # before, after
    shift: Shift  # with the yardstick taken off
    interval: Interval  # of the ratio after / before; see `judging.intervals`
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Lost:
    """A cell that gives a deciding figure in one run, and in the other was measured and gives none."""

    cell: str
    in_after: bool  # whether it is the second run that has none
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two runs, held against each other."""

    before: Run
    after: Run
    margin: float
    deciding: tuple[Figure, ...]
    status: Status
    reason: str  # of NOT_COMPARABLE; else empty
    changes: tuple[Change, ...]  # of software
    plan_changes: tuple[Change, ...]
    names: tuple[str, str] = ("A", "B")  # what sentences call the two runs
    yardstick: Yardstick | None = None  # None: it did not come to that
    rows: tuple[Row, ...] = ()  # of all figures
    lost: tuple[Lost, ...] = ()
    only_in: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())  # cells that the other run has not measured yet

    def rows_of(self, figure: Figure) -> tuple[Row, ...]:
        """Return a figure's rows: by deployment, its cells and then all of them together; last, everything together."""
        return tuple(row for row in self.rows if row.figure is figure)

    def all_together(self, figure: Figure) -> Row | None:
        """Return the row of all cells of a figure together, if there are several."""
        return next((row for row in self.rows_of(figure) if row.deployment is None), None)

    @property
    def deciding_rows(self) -> tuple[Row, ...]:
        """The rows that the status depends on."""
        return tuple(row for row in self.rows if row.figure in self.deciding)


def compare(
    before: Run,
    after: Run,
    *,
    margin: float = DEFAULT_MARGIN,
    deciding: Sequence[Figure] = (Figure.CPU,),
    yardstick: str = AUTO,
    strict: bool = False,
    names: tuple[str, str] = ("A", "B"),
) -> Compared:
    """Hold a run against one made before.

    margin: how much worse counts, as a share. deciding: the figures that the status depends on. yardstick: what is
    taken off as the machine's part: see `harness.comparing.yardstick`. strict: not to be able to tell of one cell is no
    pass. names: what sentences call the two runs. Raises UserError for a yardstick that the runs do not have.
    """
    environments = before.header.environment, after.header.environment
    deciding = tuple(dict.fromkeys(deciding))
    nothing = Compared(
        before=before,
        after=after,
        margin=margin,
        deciding=deciding,
        status=Status.NOT_COMPARABLE,
        reason=why_not(before.header, after.header, names) or "",
        changes=changed_software(*environments),
        plan_changes=changed_plan(before.header.plan, after.header.plan),
        names=names,
    )
    if nothing.reason:
        return nothing
    cells = cells_of(before), cells_of(after)
    taken_off = choose(yardstick, *cells, environments, names)
    rows = _rows(cells, taken_off, margin, deciding, (before.header.fixed_blocks, after.header.fixed_blocks))
    lost = _lost(*cells, deciding)
    status, reason = _status([row for row in rows if row.figure in deciding], lost, cells, names, strict=strict)
    return replace(
        nothing, status=status, reason=reason, yardstick=taken_off, rows=rows, lost=lost, only_in=_only_in(*cells)
    )


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a row is about, with its figures by block: as measured, and with the yardstick taken off."""

    name: str
    cells: int
    deployment: str | None
    figure: Figure
    measured: tuple[ByBlock, ByBlock]
    corrected: tuple[ByBlock, ByBlock]
    fixed_blocks: tuple[int, int]  # of each run

    @property
    def is_there(self) -> bool:
        """Whether both runs have a figure of it."""
        return all(self.corrected)

    @property
    def shift(self) -> Shift:
        before, after = self.corrected
        return shift([*before.values()], [*after.values()], fixed_blocks=self.fixed_blocks)


def _rows(
    cells: tuple[Cells, Cells],
    yardstick: Yardstick,
    margin: float,
    deciding: tuple[Figure, ...],
    fixed_blocks: tuple[int, int],
) -> tuple[Row, ...]:
    """Make and judge all rows: the deciding figures' are one family, each other figure's another one."""
    families = [deciding, *((figure,) for figure in Figure if figure not in deciding)]
    rows: list[Row] = []
    for family in families:
        subjects = [subject for figure in family for subject in _subjects(cells, yardstick, figure, fixed_blocks)]
        shifts = [subject.shift for subject in subjects]
        found = intervals(shifts, margin=margin)
        rows += [_row(*each, margin) for each in zip(subjects, shifts, found, strict=True)]
    return tuple(rows)


def _row(subject: _Subject, moved: Shift, interval: Interval, margin: float) -> Row:
    before, after = ([*side.values()] for side in subject.measured)
    return Row(
        name=subject.name,
        cells=subject.cells,
        deployment=subject.deployment,
        figure=subject.figure,
        before=geometric_mean(before),
        after=geometric_mean(after),
        blocks=(len(subject.corrected[0]), len(subject.corrected[1])),
        shift=moved,
        interval=interval,
        judgement=judge(interval, margin=margin, more_is_better=MEASURES[subject.figure].more_is_better),
    )


def _subjects(
    cells: tuple[Cells, Cells], yardstick: Yardstick, figure: Figure, fixed_blocks: tuple[int, int]
) -> list[_Subject]:
    """Return the rows of a figure: each deployment's cells, these together, and everything together."""
    by_deployment: dict[str, list[_Subject]] = {}
    for name, trials in sorted(cells[0].items()):
        deployment = trials[0].deployment
        if name not in cells[1] or (yardstick.is_deployment and deployment == yardstick.name):
            continue
        measured = by_block(trials, figure), by_block(cells[1][name], figure)
        corrected = yardstick.take_off(*measured) if figure is Figure.CPU else measured
        subject = _Subject(name, 1, deployment, figure, measured, corrected, fixed_blocks)
        if subject.is_there:
            by_deployment.setdefault(deployment, []).append(subject)
    found: list[_Subject] = []
    for deployment, own in by_deployment.items():
        found += own
        if len(own) > 1 and len(by_deployment) > 1:
            found.append(_together(own, deployment, figure))
    everything = [subject for own in by_deployment.values() for subject in own]
    if len(everything) > 1:
        found.append(_together(everything, None, figure))
    return found


def _together(subjects: Sequence[_Subject], deployment: str | None, figure: Figure) -> _Subject:
    name = f"{deployment or 'everything'}, {len(subjects)} cells together"
    corrected = together([subject.corrected for subject in subjects])
    measured = together([subject.measured for subject in subjects])
    return _Subject(name, len(subjects), deployment, figure, measured, corrected, subjects[0].fixed_blocks)


def _lost(before: Cells, after: Cells, deciding: Sequence[Figure]) -> tuple[Lost, ...]:
    """Find them; a cell that lacks several figures is there once."""
    found: dict[str, Lost] = {}
    for cell, figure in itertools.product(sorted(before.keys() & after.keys()), deciding):
        usable = [bool(by_block(side[cell], figure)) for side in (before, after)]
        if usable[0] != usable[1]:
            found.setdefault(cell, Lost(cell, usable[0], _usual_doubt(after[cell] if usable[0] else before[cell])))
    return tuple(found.values())


def _usual_doubt(trials: Sequence[Trial]) -> str:
    doubts = Counter(doubt for trial in trials for doubt in trial.doubts)
    return doubts.most_common(1)[0][0] if doubts else "no request was answered"


def _only_in(before: Cells, after: Cells) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(sorted(before.keys() - after.keys())), tuple(sorted(after.keys() - before.keys()))


def _status(
    rows: Sequence[Row], lost: Sequence[Lost], cells: tuple[Cells, Cells], names: tuple[str, str], *, strict: bool
) -> tuple[Status, str]:
    if any(row.judgement is Judgement.WORSE for row in rows):
        return Status.WORSE, ""
    untold = [row for row in rows if row.cells == 1 and row.judgement is Judgement.CANNOT_TELL]
    reason = _nothing_to_compare(rows, cells, names) or _gone(lost, names)
    if not reason and all(row.judgement is Judgement.CANNOT_TELL for row in rows):
        reason = "the runs are too noisy, or too short, to tell anything: more blocks, or a quieter machine"
    if not reason and strict and untold:
        others = f" and of {len(untold) - 1} more" if len(untold) > 1 else ""
        reason = f"it cannot be told of {untold[0].name!r}{others} (--strict)"
    return (Status.NOT_COMPARABLE, reason) if reason else (Status.NO_WORSE, "")


def _gone(lost: Sequence[Lost], names: tuple[str, str]) -> str:
    gone = [each for each in lost if each.in_after]
    if not gone:
        return ""
    others = f", and {len(gone) - 1} more such" if len(gone) > 1 else ""
    return f"{gone[0].cell!r} gives no figure in {names[1]} ({gone[0].why}){others}"


def _nothing_to_compare(rows: Sequence[Row], cells: tuple[Cells, Cells], names: tuple[str, str]) -> str:
    if not rows:
        for name, side in zip(names, cells, strict=True):
            doubtful = [trial for trials in side.values() for trial in trials if not trial.costs_are_sound]
            if not any(trial.costs_are_sound for trials in side.values() for trial in trials):
                why = f" (such as: {_usual_doubt(doubtful)})" if doubtful else ""
                return f"{name} has no usable trial{why}"
        return "no cell has usable trials in both runs"
    most = max(rows, key=lambda row: min(row.blocks))
    if min(most.blocks) < MIN_BLOCKS_FOR_VERDICT:
        before, after = most.blocks
        each = f"{before} in {names[0]}, {after} in {names[1]}"
        return f"too few blocks ({each}; a verdict takes {MIN_BLOCKS_FOR_VERDICT} of each)"
    return ""
