"""Comparisons by block, with intervals, p-values and their correction.

The design is randomised blocks: the machine's drift falls on all cells of a block alike, so figures are
compared within blocks and the differences (or log ratios) between blocks are what Student's t sees. Noise is
multiplicative for costs, hence log ratios (Kalibera and Jones, "Rigorous benchmarking in reasonable time",
ISMM 2013).

A run may go on after its fixed blocks until an interval is narrow (`harness.adaptive`). Blocks that happen to scatter
little end it too early, and then the usual interval holds the truth in 93 % of cases instead of 95 (Chow and Robbins
1965 have it right only in the limit). With the degrees of freedom of the fixed blocks alone, as in Stein's two-stage
procedure of 1945, it is 94.5 % or more: `fixed_blocks` below, and tests/harness/test_adaptive.py counts.

Too few blocks give an infinite interval and a p-value of 1, never a guess. What cannot be told apart is a tie,
which does not mean that the two are equal: the interval says how different they may still be, and only where it
is narrow (`within`) is the tie itself a finding.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

MIN_BLOCKS_FOR_INTERVAL = 3
MIN_BLOCKS_FOR_VERDICT = 6  # below, one odd block can carry a verdict by itself

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, and the interval that holds the truth in 95 % of cases (or the level asked for)."""

    estimate: float
    low: float
    high: float
    n: int  # blocks behind it

    def excludes(self, value: float) -> bool:
        """Say whether the value lies outside; False does not say that the value is true."""
        return not self.low <= value <= self.high

    @property
    def is_finite(self) -> bool:
        """Whether there were enough blocks to tell anything."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def half_width(self) -> float:
        """Of a ratio's interval, to each side, as a share: 0.02 is "within 2 %". Infinite where nothing can be told.

        On the log scale, where the interval is even. So it depends on how the blocks scatter and not on how large the
        ratio is, and is the same read in the other direction.
        """
        return math.sqrt(self.high / self.low) - 1 if self.low > 0 and math.isfinite(self.high) else math.inf

    def reciprocal(self) -> Interval:
        """Return the same ratio read in the other direction (b to a instead of a to b)."""
        return Interval(1 / self.estimate, 1 / self.high, math.inf if self.low == 0 else 1 / self.low, self.n)

    def within(self, margin: float) -> bool:
        """Say whether a ratio differs from 1 by no more than a margin (0.02: 2 %), either way.

        Two one-sided tests at 2.5 % each when the level is 95 % (equivalence; stricter than the usual 5 %). False does
        not say that it differs by more.
        """
        return 1 / (1 + margin) <= self.low and self.high <= 1 + margin

    def beyond(self, margin: float) -> bool:
        """Say whether a ratio differs from 1 by more than a margin, in one direction."""
        return self.low > 1 + margin or self.high < 1 / (1 + margin)


class Verdict(StrEnum):
    """What may be said of a compared with b."""

    LESS = "less"
    MORE = "more"
    TIE = "tie"  # not told apart, for whatever reason


def verdict(interval: Interval, *, neutral: float = 1.0) -> Verdict:
    """Say whether a is less or more than b: that takes six blocks and an interval that excludes `neutral`.

    neutral: 1 for ratios, 0 for differences.
    """
    if interval.n < MIN_BLOCKS_FOR_VERDICT or not interval.excludes(neutral) or math.isnan(interval.estimate):
        return Verdict.TIE
    return Verdict.LESS if interval.high < neutral else Verdict.MORE


def mean_interval(values: ArrayLike, *, level: float = 0.95, fixed_blocks: int = 0) -> Interval:
    """Return the mean of one figure per block, by Student's t.

    fixed_blocks: how many were decided on beforehand; 0: all of them.
    Under 3 blocks: (-inf, inf). No block at all: the estimate is NaN. Raises ValueError for values that are
    not finite.
    """
    sample = _sample(values)
    count = len(sample)
    estimate = float(sample.mean()) if count else math.nan
    if count < MIN_BLOCKS_FOR_INTERVAL:
        return Interval(estimate, -math.inf, math.inf, count)
    half = _quantile(level, degrees_of_freedom(count, fixed_blocks)) * float(sample.std(ddof=1)) / math.sqrt(count)
    return Interval(estimate, estimate - half, estimate + half, count)


def difference_interval(a: ArrayLike, b: ArrayLike, *, level: float = 0.95, fixed_blocks: int = 0) -> Interval:
    """How much a is over b, in their unit: Student's t on a - b, block by block.

    a, b: shape (blocks,), same unit; a[i] and b[i] are from the same block. Under 3 blocks: (-inf, inf).
    fixed_blocks: as in `mean_interval`. Raises ValueError if the shapes differ.
    """
    left, right = _pair(a, b)
    return mean_interval(left - right, level=level, fixed_blocks=fixed_blocks)


def ratio_interval(a: ArrayLike, b: ArrayLike, *, level: float = 0.95, fixed_blocks: int = 0) -> Interval:
    """How many times b's figure a's is: Student's t on log(a / b), block by block.

    a, b: shape (blocks,), same unit, positive; a[i] and b[i] are from the same block. The estimate is a
    geometric mean. Under 3 blocks: (0, inf), "cannot tell". Raises ValueError if the shapes differ or a value
    is not positive. fixed_blocks: as in `mean_interval`.
    Not a percentile bootstrap: that calls an A/A of six blocks a difference in 14 % of tries.
    """
    logs = mean_interval(_log_ratios(a, b), level=level, fixed_blocks=fixed_blocks)
    return Interval(math.exp(logs.estimate), math.exp(logs.low), math.exp(logs.high), logs.n)


def p_value(values: ArrayLike, *, truth: float = 0.0, fixed_blocks: int = 0) -> float:
    """Return how likely values at least so far off are if `truth` is their mean: Student's t test, two-sided.

    Under the level of an interval (1 - 0.95) exactly when `mean_interval` excludes `truth`. Under 3 blocks: 1. Blocks
    that all agree give 0, or 1 if they agree on `truth`. fixed_blocks: as in `mean_interval`. Raises ValueError for
    values that are not finite.
    """
    sample = _sample(values)
    count = len(sample)
    if count < MIN_BLOCKS_FOR_INTERVAL:
        return 1.0
    off, error = float(sample.mean()) - truth, float(sample.std(ddof=1)) / math.sqrt(count)
    if error == 0:
        return float(off == 0)
    return float(2 * stats.t.sf(abs(off / error), degrees_of_freedom(count, fixed_blocks)))


def ratio_p_value(a: ArrayLike, b: ArrayLike, *, fixed_blocks: int = 0) -> float:
    """Return the p-value of "a is b", by the test behind `ratio_interval`: paired, on logs, two-sided.

    Under 3 blocks: 1. Raises ValueError if the shapes differ or a value is not positive.
    """
    return p_value(_log_ratios(a, b), fixed_blocks=fixed_blocks)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the p-values as they are after correction for their number, in the same order.

    Rejecting those up to 0.05 rejects a true hypothesis, any of them, in at most 5 % of all cases, however they depend
    on each other (S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, 1979): the smallest is multiplied by their number, the next by one less, and none falls below the one
    before it. Never weaker than Bonferroni's. Raises ValueError for what is no probability.
    """
    if any(not 0 <= value <= 1 for value in p_values):
        raise ValueError("a p-value lies between 0 and 1")
    corrected = [1.0] * len(p_values)
    highest = 0.0
    for place, index in enumerate(_rising(p_values)):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        corrected[index] = highest
    return tuple(corrected)


def holm_levels(p_values: Sequence[float], *, level: float = 0.95) -> tuple[float, ...]:
    """Return for each p-value the level at which its interval says the same as Holm's correction, in the same order.

    The interval at that level excludes "no difference" exactly where `holm` gives no more than 1 - level. What is not
    rejected has the level of the step at which the procedure stopped.
    """
    levels = [level] * len(p_values)
    stopped: float | None = None
    for place, index in enumerate(_rising(p_values)):
        step = stopped or 1 - (1 - level) / (len(p_values) - place)
        if stopped is None and p_values[index] > 1 - step:
            stopped = step
        levels[index] = step
    return tuple(levels)


def _rising(values: Sequence[float]) -> Iterable[int]:
    return sorted(range(len(values)), key=values.__getitem__)


def pair_blocks(a: Mapping[int, float], b: Mapping[int, float]) -> tuple[Floats, Floats]:
    """Keep the blocks that both have, in order: figures by block in, arrays for the functions above out."""
    shared = sorted(a.keys() & b.keys())
    return (
        np.array([a[block] for block in shared], dtype=np.float64),
        np.array([b[block] for block in shared], dtype=np.float64),
    )


def degrees_of_freedom(count: int, fixed_blocks: int) -> int:
    """Return the degrees of freedom of so many blocks. Never fewer than the fewest that give an interval have."""
    return (min(count, max(fixed_blocks, MIN_BLOCKS_FOR_INTERVAL)) if fixed_blocks else count) - 1


@functools.lru_cache(maxsize=1024)
def _quantile(level: float, degrees: int) -> float:
    """Return Student's t that the level's middle lies within; kept, for SciPy takes 100 µs to find it."""
    return float(stats.t.ppf((1 + level) / 2, degrees))


def _log_ratios(a: ArrayLike, b: ArrayLike) -> Floats:
    left, right = _pair(a, b)
    if np.any(left <= 0) or np.any(right <= 0):
        raise ValueError("a ratio interval needs positive values")
    logs: Floats = np.log(left / right)
    return logs


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    left, right = _sample(a), _sample(b)
    if left.shape != right.shape:
        raise ValueError(f"paired figures need one value a block on both sides, not {len(left)} and {len(right)}")
    return left, right


def _sample(values: ArrayLike) -> Floats:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1:
        raise ValueError(f"one value a block is needed, not an array of shape {sample.shape}")
    if not np.all(np.isfinite(sample)):
        raise ValueError("a figure is not a finite number")
    return sample
