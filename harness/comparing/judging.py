"""What may be said of a ratio of two runs: better, worse, no worse, a tie, or that nothing can be said.

The margin is how much worse counts. "Worse" is claimed only where the whole interval lies beyond it, "a tie" only where
the whole interval lies within it, either way (an equivalence test, not the absence of a finding), "no worse" where it
does not reach beyond it on the side that is worse (a non-inferiority test); everything else is "cannot tell".

Many cells are many chances for a false alarm. So "worse" and "better" are corrected for their number (Holm): the
interval of a cell that would be an alarm by itself is shown, and judged, as wide as the number of cells takes. A tie
needs no correction, nor does "no worse": that nothing is worse is true only if it is true of each cell, and each is
judged at its own level.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from harness.comparing.welch import Shift
from harness.statistics import MIN_BLOCKS_FOR_VERDICT, Interval, holm_levels

LEVEL: Final = 0.95


class Judgement(StrEnum):
    """What may be said of the figure after, beside the figure before."""

    BETTER = "better"
    WORSE = "worse"
    TIE = "a tie"
    NO_WORSE = "no worse"  # perhaps better
    CANNOT_TELL = "cannot tell"


def intervals(shifts: Sequence[Shift], *, margin: float) -> tuple[Interval, ...]:
    """Return the interval by which each of a family of shifts is judged, in the same order."""
    told = [index for index, shift in enumerate(shifts) if shift.blocks >= MIN_BLOCKS_FOR_VERDICT]
    levels = dict(zip(told, holm_levels([shifts[index].p_beyond(margin) for index in told], level=LEVEL), strict=True))
    found = []
    for index, shift in enumerate(shifts):
        alone = shift.interval(level=LEVEL)
        found.append(shift.interval(level=levels[index]) if index in levels and alone.beyond(margin) else alone)
    return tuple(found)


def judge(interval: Interval, *, margin: float, more_is_better: bool) -> Judgement:
    """Judge an interval of `intervals`."""
    if interval.n < MIN_BLOCKS_FOR_VERDICT or not interval.is_finite:
        return Judgement.CANNOT_TELL
    if interval.beyond(margin):
        return Judgement.BETTER if (interval.low > 1) == more_is_better else Judgement.WORSE
    if interval.within(margin):
        return Judgement.TIE
    worst = interval.reciprocal().high if more_is_better else interval.high
    return Judgement.NO_WORSE if worst <= 1 + margin else Judgement.CANNOT_TELL
