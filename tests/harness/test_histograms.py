"""Percentiles are those of the raw values, within a bin's width; merged trials are as exact as single ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.histograms import mean, merge, percentiles, share_above, total
from harness.recording import Histogram, bin_of

RELATIVE_ERROR = 0.001


def histogram_of(values: list[int]) -> dict[int, int]:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram.sparse()


class TestPercentiles:
    @pytest.mark.parametrize("scale", [300, 30_000, 3_000_000])
    def test_against_numpy_on_the_raw_values(self, scale: int) -> None:
        values = np.random.default_rng(scale).lognormal(0, 1, 4_987) * scale
        raw = [int(value) for value in np.clip(values, 1, 6e7)]
        wanted = [0, 1, 50, 90, 99, 99.9, 100]
        theirs = np.percentile(raw, wanted, method="inverted_cdf")
        assert percentiles(histogram_of(raw), wanted) == pytest.approx(list(theirs), rel=RELATIVE_ERROR)

    def test_merged_is_the_same_as_all_at_once(self) -> None:
        random = np.random.default_rng(1)
        halves = [[int(value) for value in random.exponential(900, 1_000) + 1] for _ in range(2)]
        merged = merge(histogram_of(half) for half in halves)
        assert merged == histogram_of(halves[0] + halves[1])
        assert total(merged) == 2_000

    def test_ranks_are_whole(self) -> None:
        assert percentiles(dict.fromkeys(range(1, 1001), 1), [99.9, 0.1, 50]) == [999, 1, 500]

    def test_empty(self) -> None:
        assert all(math.isnan(value) for value in percentiles({}, [50, 99]))
        assert math.isnan(mean({}))
        assert math.isnan(share_above({}, 5))

    @pytest.mark.parametrize("wrong", [-1, 100.1])
    def test_no_such_percentile(self, wrong: float) -> None:
        with pytest.raises(ValueError, match="between 0 and 100"):
            percentiles({1: 1}, [wrong])


class TestOtherFigures:
    def test_mean(self) -> None:
        assert mean({bin_of(100): 3, bin_of(500): 1}) == pytest.approx(200)

    def test_share_above(self) -> None:
        assert share_above({100: 3, 500: 1}, 100) == pytest.approx(0.25)
        assert share_above({100: 3, 500: 1}, 99) == pytest.approx(1)
