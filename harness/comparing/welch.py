"""The difference of two runs' figures: unpaired, on logs, by Welch's t test.

Two runs are two samples of blocks that have nothing to do with each other, and one may be noisier or shorter than the
other: hence Welch's test (B. L. Welch, "The generalization of 'Student's' problem when several different population
variances are involved", Biometrika 34, 1947) and not Student's, which takes the two spreads to be the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.statistics import MIN_BLOCKS_FOR_INTERVAL, Floats, Interval, degrees_of_freedom


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the logs of a figure lie above those of the run before."""

    estimate: float  # of the mean of the logs after, less the mean before
    error: float  # its standard error; infinite where there are too few blocks
    freedom: float  # degrees of freedom, Welch's
    blocks: int  # of the run that has fewer

    @property
    def ratio(self) -> float:
        """How many times the figure before the figure after is."""
        return math.exp(self.estimate)

    def interval(self, *, level: float = 0.95) -> Interval:
        """Return the ratio with its interval: (0, inf) where there are too few blocks."""
        if not math.isfinite(self.error):
            return Interval(self.ratio, 0.0, math.inf, self.blocks)
        half = float(stats.t.ppf((1 + level) / 2, self.freedom)) * self.error
        return Interval(self.ratio, math.exp(self.estimate - half), math.exp(self.estimate + half), self.blocks)

    def p_beyond(self, margin: float) -> float:
        """Return how likely a ratio so far out is, either way, if the true one is within a margin of 1.

        At most 1 - level exactly when `interval` at that level lies beyond the margin. Too few blocks: 1.
        """
        beyond = abs(self.estimate) - math.log1p(margin)
        if beyond <= 0 or not math.isfinite(self.error):
            return 1.0
        if self.error == 0:
            return 0.0
        return float(2 * stats.t.sf(beyond / self.error, self.freedom))


def shift(before: ArrayLike, after: ArrayLike, *, fixed_blocks: tuple[int, int] = (0, 0)) -> Shift:
    """Compare the figures of two runs, one a block, all of them positive.

    Under 3 blocks in either the error is infinite. No block at all: the estimate is NaN. fixed_blocks: of each run,
    as in `harness.statistics.mean_interval`. Raises ValueError for a figure that is not positive and finite.
    """
    left, right = _logs(before), _logs(after)
    blocks = min(len(left), len(right))
    if not blocks:
        return Shift(math.nan, math.inf, math.nan, 0)
    estimate = float(right.mean() - left.mean())
    if blocks < MIN_BLOCKS_FOR_INTERVAL:
        return Shift(estimate, math.inf, math.nan, blocks)
    degrees = [degrees_of_freedom(*each) for each in zip((len(left), len(right)), fixed_blocks, strict=True)]
    parts = [float(sample.var(ddof=1)) / len(sample) for sample in (left, right)]
    variance = sum(parts)
    if variance == 0:
        return Shift(estimate, 0.0, float(sum(degrees)), blocks)
    # The Welch-Satterthwaite equation.
    freedom = variance**2 / sum(part**2 / own for part, own in zip(parts, degrees, strict=True))
    return Shift(estimate, math.sqrt(variance), freedom, blocks)


def _logs(figures: ArrayLike) -> Floats:
    sample = np.asarray(figures, dtype=np.float64)
    if not np.all(np.isfinite(sample)) or np.any(sample <= 0):
        raise ValueError("figures that are compared as ratios are positive and finite")
    logs: Floats = np.log(sample)
    return logs
