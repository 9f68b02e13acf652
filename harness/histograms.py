"""Questions asked of a sparse histogram: percentiles, mean, share under a limit.

A sparse histogram is `{bin: count}` in the bins of `harness.recording` (relative width under 0.1 %). Merging
adds their counts, bin by bin, so that a percentile of merged trials is exact; percentiles are never averaged.
This module uses NumPy; `harness.recording`, which runs inside Locust, does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.recording import value_of


def merge(histograms: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Add histograms bin by bin."""
    merged: Counter[int] = Counter()
    for histogram in histograms:
        merged.update(histogram)
    return dict(merged)


def total(histogram: Mapping[int, int]) -> int:
    """Return how many values the histogram holds."""
    return sum(histogram.values())


def sorted_values(histogram: Mapping[int, int]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the values in µs, rising, and how often each was seen."""
    bins = sorted(number for number, count in histogram.items() if count > 0)
    values = np.array([value_of(number) for number in bins], dtype=np.float64)
    counts = np.array([histogram[number] for number in bins], dtype=np.int64)
    return values, counts


def percentiles(histogram: Mapping[int, int], wanted: Sequence[float]) -> list[float]:
    """Return the percentiles in µs: each the smallest value that at least that share of all does not exceed.

    wanted: in percent. An empty histogram has no percentiles: NaN. Raises ValueError outside 0 to 100.
    """
    if any(not 0 <= percent <= 100 for percent in wanted):
        raise ValueError(f"percentiles lie between 0 and 100, not {list(wanted)}")
    values, counts = sorted_values(histogram)
    if not len(values):
        return [float("nan")] * len(wanted)
    cumulative = np.cumsum(counts)
    # Ranks are whole numbers; the tiny subtraction keeps 99.9 % of 1,000 at rank 999, not 1,000.
    ranks = np.maximum(1, np.ceil(np.asarray(wanted) / 100 * cumulative[-1] - 1e-9))
    return [float(value) for value in values[np.searchsorted(cumulative, ranks)]]


def mean(histogram: Mapping[int, int]) -> float:
    """Return the mean in µs; NaN for an empty histogram."""
    values, counts = sorted_values(histogram)
    return float(np.average(values, weights=counts)) if len(values) else float("nan")


def share_above(histogram: Mapping[int, int], limit_us: float) -> float:
    """Return which share of the values is over the limit, 0 to 1; NaN for an empty histogram."""
    values, counts = sorted_values(histogram)
    return float(counts[values > limit_us].sum() / counts.sum()) if len(values) else float("nan")
