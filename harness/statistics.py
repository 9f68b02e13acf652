"""Comparisons by block, with intervals.

The design is randomised blocks: the machine's drift falls on all cells of a block alike, so figures are
compared within blocks and the differences (or log ratios) between blocks are what Student's t sees. Noise is
multiplicative for costs, hence log ratios (Kalibera and Jones, "Rigorous benchmarking in reasonable time",
ISMM 2013).

Too few blocks give an infinite interval, never a guess. What cannot be told apart is a tie, which does not
mean that the two are equal: the interval says how different they may still be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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

    def reciprocal(self) -> Interval:
        """Return the same ratio read in the other direction (b to a instead of a to b)."""
        return Interval(1 / self.estimate, 1 / self.high, math.inf if self.low == 0 else 1 / self.low, self.n)


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


def mean_interval(values: ArrayLike, *, level: float = 0.95) -> Interval:
    """Return the mean of one figure per block, by Student's t.

    Under 3 blocks: (-inf, inf). No block at all: the estimate is NaN. Raises ValueError for values that are
    not finite.
    """
    sample = _sample(values)
    count = len(sample)
    estimate = float(sample.mean()) if count else math.nan
    if count < MIN_BLOCKS_FOR_INTERVAL:
        return Interval(estimate, -math.inf, math.inf, count)
    half = float(stats.t.ppf((1 + level) / 2, count - 1) * sample.std(ddof=1) / math.sqrt(count))
    return Interval(estimate, estimate - half, estimate + half, count)


def difference_interval(a: ArrayLike, b: ArrayLike, *, level: float = 0.95) -> Interval:
    """How much a is over b, in their unit: Student's t on a - b, block by block.

    a, b: shape (blocks,), same unit; a[i] and b[i] are from the same block. Under 3 blocks: (-inf, inf).
    Raises ValueError if the shapes differ.
    """
    left, right = _pair(a, b)
    return mean_interval(left - right, level=level)


def ratio_interval(a: ArrayLike, b: ArrayLike, *, level: float = 0.95) -> Interval:
    """How many times b's figure a's is: Student's t on log(a / b), block by block.

    a, b: shape (blocks,), same unit, positive; a[i] and b[i] are from the same block. The estimate is a
    geometric mean. Under 3 blocks: (0, inf), "cannot tell". Raises ValueError if the shapes differ or a value
    is not positive.
    Not a percentile bootstrap: that calls an A/A of six blocks a difference in 14 % of tries.
    """
    left, right = _pair(a, b)
    if np.any(left <= 0) or np.any(right <= 0):
        raise ValueError("a ratio interval needs positive values")
    logs = mean_interval(np.log(left / right), level=level)
    return Interval(math.exp(logs.estimate), math.exp(logs.low), math.exp(logs.high), logs.n)


def pair_blocks(a: Mapping[int, float], b: Mapping[int, float]) -> tuple[Floats, Floats]:
    """Keep the blocks that both have, in order: figures by block in, arrays for the functions above out."""
    shared = sorted(a.keys() & b.keys())
    return (
        np.array([a[block] for block in shared], dtype=np.float64),
        np.array([b[block] for block in shared], dtype=np.float64),
    )


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
