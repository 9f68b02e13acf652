"""After how many requests on one connection its handshake hardly counts.

k requests on a connection take k requests' CPU (R each), a TCP connection (T) and a handshake (H). The handshake's
share of all that is H / (k R + T + H); it is under a tenth from k = (9 H - T) / R on.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from harness.costs.cells import Cells
from harness.costs.parts import Part, part_sums
from harness.costs.sums import Sum
from harness.measured import Contender, Measured
from harness.statistics import MIN_BLOCKS_FOR_INTERVAL, Interval, degrees_of_freedom

NEGLIGIBLE = 0.1  # of what all requests of a connection take, and the connection


def break_even(
    measured: Measured, contender: Contender, *, resumed: bool = False, share: float = NEGLIGIBLE
) -> Interval | None:
    """Return from how many requests on a connection its handshake is under a share of the cost.

    resumed: of a handshake that resumes a session. Below 1: it is from the first request on. None: a cell was not
    measured.
    """
    cells = Cells.of(measured, contender)
    if cells is None:
        return None
    parts = part_sums(cells)
    handshake, tcp = parts.get(Part.RESUMED if resumed else Part.HANDSHAKE), parts.get(Part.TCP)
    if handshake is None or tcp is None:
        return None
    over = ((1 / share - 1) * handshake - tcp).by_block(measured)
    request = Sum.cell(contender, cells.base).by_block(measured)
    blocks = sorted(over.keys() & request.keys())
    if not blocks:
        return None
    return ratio_of_means(
        [over[block] for block in blocks], [request[block] for block in blocks], fixed_blocks=measured.fixed_blocks
    )


def ratio_of_means(above: ArrayLike, below: ArrayLike, *, level: float = 0.95, fixed_blocks: int = 0) -> Interval:
    """Return mean(above) / mean(below), paired block by block, with Fieller's interval.

    Fieller, "Some problems in interval estimation", JRSS B 16, 1954: all r for which the mean of above - r below may be
    0. Unlike an interval of log ratios it bears a numerator that noise makes negative. Under 3 blocks, or where the
    mean of below may itself be 0: (-inf, inf), "cannot tell". Raises ValueError if the shapes differ or nothing is
    there. fixed_blocks: as in `harness.statistics.mean_interval`.
    """
    y, x = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    if y.shape != x.shape or y.ndim != 1 or not len(y):
        raise ValueError("a ratio of means needs the same blocks on both sides, and at least one")
    count = len(y)
    estimate = float(y.mean() / x.mean()) if x.mean() else math.nan
    unknown = Interval(estimate, -math.inf, math.inf, count)
    if count < MIN_BLOCKS_FOR_INTERVAL:
        return unknown
    reach = float(stats.t.ppf((1 + level) / 2, degrees_of_freedom(count, fixed_blocks))) ** 2 / count
    spread = np.cov(y, x)  # its divisor is count - 1
    # The r with (mean(y) - r mean(x))² <= reach (var(y) - 2 r cov(y, x) + r² var(x)): a r² - 2 b r + c <= 0.
    a = float(x.mean() ** 2 - reach * spread[1, 1])
    b = float(x.mean() * y.mean() - reach * spread[0, 1])
    c = float(y.mean() ** 2 - reach * spread[0, 0])
    if a <= 0:
        return unknown
    half = math.sqrt(max(0.0, b * b - a * c)) / a
    return Interval(estimate, b / a - half, b / a + half, count)
