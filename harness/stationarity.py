"""When a load has settled: the first window in which nothing drifts any more, and so the first that may count.

A fixed warm-up is too long for one server and too short for another. Georges, Buytaert and Eeckhout ("Statistically
rigorous Java performance evaluation", OOPSLA 2007) let each run say for itself when its figures are steady; Kalibera
and Jones ("Rigorous benchmarking in reasonable time", ISMM 2013) warn that some never are, and that no rule may then
pretend it. So a window counts as soon as no drift can be seen in it; where there is still one at the end of the
longest warm-up, the last window is taken, and what drifts in it is said.

What is looked at, slice by slice, is the server's CPU time for one request, and beside it the rate of a closed load or
the median latency of an open one (whose rate is given). Each is asked twice:

- Is there a trend from the first slice to the last? By the Mann-Kendall test, which knows nothing of how noise is
  distributed, and only if the drift by Theil and Sen's slope moves the window's mean by more than a limit.
- Is there a step, all slices up to one of them being off those behind it? By the greatest t statistic over all places
  where it may be. A warm-up that ends within a few slices is no trend of the whole, and shifts the mean all the same.

Both need significance and size: the first alone would chase drifts of no consequence in long windows, the second alone
would chase noise in short ones. All four questions together call a steady window a drifting one in at most 2 of 100
cases (`LEVEL`; by simulation 0 to 2, by how noisy the slices are). Noise that neighbours make is not independent from
slice to slice, so it is more often on a busy machine; that costs a quarter of a second at a time and shifts no figure.
A long window would see a trend in any such noise, so it is judged by batch means, as simulations are (Schmeiser 1982).

What it cannot see: a drift that the noise of so few slices hides. Of a cost that falls by 30 % with a time constant of
a second, a window of 2.25 s with a noise of 1.5 % a slice keeps 4 % in its mean where half a second of warm-up left 7;
one of 4 s keeps 1.5 %. Cells of one plan have windows of one length, so what is kept is in all blocks alike.

Pure: numbers in, a choice out. A choice depends on nothing behind its window, so that a recording which is still being
written gives the same one as the whole recording does later.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.plan import SLICE_S

SHORTEST_WARM_UP_S = 0.25  # after a slice that ended with all clients there, so half a second of load is left out
LONGEST_WARM_UP_S = 4.0  # counted from there as well; longer than any server here was seen to need
LEVEL = 0.02
MIN_SLICES = 6  # fewer cannot show a drift at that level: such a window is not judged
MOST_BATCHES = 16  # longer windows are judged by the means of so many batches of slices, or half as many
MIN_ANSWERED = 4.0  # requests a slice, in the mean: the figures of fewer are no smooth ones, and are not judged either

# By how much a drift may move the window's mean, as a share. CPU: less than the half-width of 2 % to which ratios are
# told apart. Rates and latencies answer to every neighbour, several per cent from second to second.
COST_BIAS = 0.015
LOAD_BIAS = 0.05

_QUESTIONS = 4  # two of each of two series

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is needed to know of one slice of a load."""

    monotonic_ns: int  # its end
    clients: int  # at that moment
    answered: int  # requests
    latency_us_p50: float = math.nan  # NaN: none was answered, or nobody asks


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of a load that counts: from the end of slice `first` to the end of slice `last`.

    cost_drift, load_drift: by which share of the mean each still drifts from the window's start to its end, where
    that can be seen and matters; 0: it has settled.
    """

    first: int
    last: int
    warm_up_s: float  # of load with all clients, before the window
    cost_drift: float = 0.0
    load_drift: float = 0.0


def choose_window(
    slices: Sequence[Progress],
    server_cpu_us: Values,
    *,
    clients: int,
    window_s: float,
    is_open: bool,
    earliest: int = 0,
) -> Window | None:
    """Return the window that counts; None as long as there is none.

    server_cpu_us: the server's CPU clock at the end of each slice; NaN where it was not read.
    earliest: the first slice that a window may begin behind, where those before are known to give none.
    """
    all_there = next((index for index, piece in enumerate(slices) if piece.clients >= clients), None)
    if all_there is None:
        return None
    length = round(window_s / SLICE_S)
    start_ns = slices[all_there].monotonic_ns
    for first in range(max(all_there, earliest), len(slices) - length):
        waited_s = (slices[first].monotonic_ns - start_ns) / 1e9 + SLICE_S / 2  # slices are not exactly even
        if waited_s < SHORTEST_WARM_UP_S:
            continue
        last = first + length
        cost_drift, load_drift = _drifts(slices[first : last + 1], server_cpu_us[first : last + 1], is_open=is_open)
        if not (cost_drift or load_drift) or waited_s >= LONGEST_WARM_UP_S:
            warm_up_s = (slices[first].monotonic_ns - start_ns) / 1e9 + SLICE_S
            return Window(first=first, last=last, warm_up_s=warm_up_s, cost_drift=cost_drift, load_drift=load_drift)
    return None


def _drifts(slices: Sequence[Progress], server_cpu_us: Values, *, is_open: bool) -> tuple[float, float]:
    """Return the drift of CPU for a request, and of rate or latency, behind the first slice's end."""
    answered = np.array([piece.answered for piece in slices[1:]], dtype=np.float64)
    if answered.mean() < MIN_ANSWERED:
        return 0.0, 0.0
    cost = np.full(len(answered), math.nan)
    np.divide(np.diff(server_cpu_us), answered, out=cost, where=answered > 0)
    if is_open:
        load = np.array([piece.latency_us_p50 for piece in slices[1:]])
    else:
        load = answered / np.diff([piece.monotonic_ns for piece in slices])
    return drift(cost, COST_BIAS), drift(load, LOAD_BIAS)


def drift(values: Values, bias: float) -> float:
    """Return by which share of its mean a series drifts, with its sign; 0 if that cannot be seen or does not matter.

    bias: what matters, as a share that the drift moves the mean by. NaN values are left out: slices in which nothing
    was answered. A series of fewer than MIN_SLICES values is not judged.
    """
    size = math.ceil(len(values) / MOST_BATCHES)
    batches = _means(values, size)
    at = np.flatnonzero(np.isfinite(batches))
    known = batches[at]
    if len(known) < MIN_SLICES or known.mean() == 0:
        return 0.0
    level = LEVEL / _QUESTIONS
    trend = float(theil_sen(at.astype(np.float64) * size, known) * (len(values) - 1) / abs(known.mean()))
    if abs(trend) / 2 > bias and mann_kendall(known) >= critical_score(len(known), level):
        return trend
    off, share = step(known, level)
    return -off if abs(off) * share > bias else 0.0


def _means(values: Values, size: int) -> Values:
    """Return the means of batches of so many values; NaN values are left out of them, and a last one that is short."""
    batches = [values[first : first + size] for first in range(0, len(values) - size + 1, size)]
    known = [batch[np.isfinite(batch)] for batch in batches]
    return np.array([batch.mean() if len(batch) else math.nan for batch in known], dtype=np.float64)


def step(values: Values, level: float) -> tuple[float, float]:
    """Return by how much the values up to some slice are off those behind it, and how large a share of all they are.

    The slice is that of the greatest t statistic, its level divided by the number of slices that it is chosen from
    (Bonferroni). (0, 0) if not even that one is significant.
    """
    count = len(values)
    heads = np.arange(1, count - 1)
    rests = count - heads
    middle = values.mean()
    sums, squares = np.cumsum(values - middle), ((values - middle) ** 2).sum()
    before, behind = sums[heads - 1] / heads, (sums[-1] - sums[heads - 1]) / rests
    within = np.maximum(0.0, squares - heads * before**2 - rests * behind**2)
    error = np.sqrt(within / (count - 2) * (1 / heads + 1 / rests))
    difference = before - behind
    critical = float(special.stdtrit(count - 2, 1 - level / len(heads) / 2))
    found = np.flatnonzero(np.abs(difference) > critical * error)
    if not len(found):
        return 0.0, 0.0
    score = np.full(len(found), math.inf)  # of steps without any noise around them
    np.divide(np.abs(difference[found]), error[found], out=score, where=error[found] > 0)
    best = found[np.argmax(score)]
    level_behind = abs(behind[best] + middle)
    return (float(difference[best] / level_behind) if level_behind else math.inf), float(heads[best] / count)


def mann_kendall(values: Values) -> int:
    """Return Mann and Kendall's score without its sign: how many more pairs rise than fall, or the other way round."""
    earlier, later = np.triu_indices(len(values), k=1)
    return abs(int(np.sign(values[later] - values[earlier]).sum()))


def theil_sen(at: Values, values: Values) -> float:
    """Return the median of the slopes between all pairs: no outlier moves it."""
    earlier, later = np.triu_indices(len(values), k=1)
    slopes = (values[later] - values[earlier]) / (at[later] - at[earlier])
    return float(np.median(slopes))


@functools.cache
def critical_score(count: int, level: float) -> int:
    """Return the least score that so many values in random order reach with a chance of at most `level`.

    Exact, by counting the orders with each number of inversions; ties, which lower a score, make it rarer still. Where
    not even a full order is rare enough, the score that is returned cannot be reached.
    """
    orders = [1]  # by number of inversions, of one value
    for size in range(2, count + 1):
        cumulative = [0]
        for ways in orders:
            cumulative.append(cumulative[-1] + ways)
        longest = size * (size - 1) // 2
        orders = [
            cumulative[min(number, len(orders) - 1) + 1] - cumulative[max(0, min(number - size + 1, len(orders)))]
            for number in range(longest + 1)
        ]
    total, pairs = math.factorial(count), count * (count - 1) // 2
    reached = 0
    for inversions in range(pairs // 2 + 1):
        reached += 2 * orders[inversions]  # as many orders fall as rise
        if reached > level * total:
            return pairs - 2 * inversions + 2
    return 1
