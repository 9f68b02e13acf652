"""How long requests wait in turn: the distribution of the wait in the queue M/G/1, and of a second wait after it.

Pollaczek and Khinchine: whoever comes waits for a geometric number of residual services, each distributed as the part
of a service that is still to be done when somebody looks in at random. On a lattice of times that sum is a division of
Fourier transforms. The second wait, for a thread, is exponential for those who find none free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FINE = 24  # steps of the lattice to a mean residual service
_FAR = 20.0  # the lattice reaches so many times the queue's own decay: beyond lies e^-20 of the waits
_MOST_STEPS = 1 << 19
_FORGOTTEN = 1e-12

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """The distribution of a wait, µs: straight between the knots, exponential after the last."""

    knots_us: Floats  # the first is 0
    below: Floats  # which share waits up to there
    decay_us: float  # of what is left after the last knot

    @property
    def longest_us(self) -> float:
        """As good as nobody waits longer."""
        return float(self.knots_us[-1]) + 30 * self.decay_us

    def up_to(self, times_us: Floats) -> Floats:
        """Return which share of the requests waits up to so long; 0 for times below 0."""
        found = np.interp(times_us, self.knots_us, self.below, left=0.0)
        beyond_us = times_us - self.knots_us[-1]
        if self.decay_us > 0 and beyond_us.max() > 0:
            left = (1 - self.below[-1]) * np.exp(-np.maximum(0.0, beyond_us) / self.decay_us)
            found = np.where(beyond_us > 0, 1 - left, found)
        return found


def queue_waits(
    rate_per_s: float, *, work_us: Floats, shares: Floats, more_share: float = 0.0, more_us: float = 0.0
) -> Waits:
    """Return the waits for one processor, served in turn, that is less than wholly busy.

    work_us: what the kinds of requests take of it, some more than 0. shares: of the requests, by kind; their sum is 1.
    more_share: of the requests wait a second time, exponentially, more_us on average.
    """
    mean_us = float(shares @ work_us)
    residual_us = float(shares @ work_us**2) / (2 * mean_us)
    busy = rate_per_s * mean_us / 1e6
    reach_us = 2 * float(work_us.max()) + _FAR * residual_us / (1 - busy)
    step_us = residual_us / _FINE
    count = 1 << min(math.ceil(math.log2(reach_us / step_us)), int(math.log2(_MOST_STEPS)))
    step_us = max(step_us, reach_us / count)

    edges_us = (np.arange(count) + 0.5) * step_us
    to_edge = np.minimum.outer(edges_us, work_us) @ shares / mean_us  # of a residual service
    residuals = np.diff(to_edge, prepend=0.0)
    waits = np.fft.irfft((1 - busy) / (1 - busy * np.fft.rfft(residuals)), count)
    below = np.minimum(1.0, np.cumsum(np.maximum(0.0, waits)))
    if more_share > 0 and more_us > 0:
        unended = _faded(waits, math.exp(-step_us / more_us)) * math.exp(-step_us / more_us / 2)
        return Waits(
            knots_us=np.concatenate(([0.0], edges_us)),
            below=np.concatenate(([(1 - busy) * (1 - more_share)], np.maximum(0.0, below - more_share * unended))),
            decay_us=more_us,
        )
    return Waits(
        knots_us=np.concatenate(([0.0], edges_us)),
        below=np.concatenate(([1 - busy], below)),
        decay_us=0.0,
    )


def _faded(values: Floats, factor: float) -> Floats:
    """Return, at each place, the sum of all values up to there, each times the factor to the power of its distance."""
    total, span = values.copy(), 1
    while span < len(values) and factor**span > _FORGOTTEN:
        total[span:] += factor**span * total[:-span].copy()
        span *= 2
    return total
