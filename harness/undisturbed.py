"""What a piece of work takes, from several times that it took, where some of them were disturbed.

For work that does the same each time: whatever disturbs it makes it longer and never shorter, so that the lowest say
most of the work itself, and repeat better than mean or median (Chen and Revels, "Robust benchmarking in noisy
environments", HPEC 2016). Not for servers under load: what they do now and then is a part of what they cost.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def least_disturbed(times: Sequence[float]) -> float:
    """Return the mean of the lowest fifth of some times, at least of one.

    Where everything is disturbed half of the time, fewer than two of ten times are left in peace once in a hundred
    cases; fewer than a third of them would be in one case of six.
    """
    lowest = sorted(times)[: math.ceil(len(times) / 5)]
    return math.fsum(lowest) / len(lowest)
