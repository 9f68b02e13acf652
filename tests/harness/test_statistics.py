"""Intervals hold the truth as often as they claim, agree with SciPy, and never guess from too little."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.statistics import (
    Interval,
    Verdict,
    difference_interval,
    mean_interval,
    pair_blocks,
    ratio_interval,
    verdict,
)


class TestCoverage:
    """A 95 % interval holds the truth in about 95 % of draws, whatever the drift from block to block."""

    DRAWS = 4000
    # Three standard deviations of a binomial share at 95 % and 4,000 draws: 0.0103.
    SLACK = 0.0104

    @pytest.mark.parametrize("blocks", [3, 6, 12])
    def test_ratio(self, blocks: int) -> None:
        random = np.random.default_rng(20260701 + blocks)
        truth = 1.3
        held = 0
        for _ in range(self.DRAWS):
            drift = np.exp(random.normal(0, 0.3, blocks))
            a = 100 * truth * drift * np.exp(random.normal(0, 0.02, blocks))
            b = 100 * drift * np.exp(random.normal(0, 0.02, blocks))
            held += not ratio_interval(a, b).excludes(truth)
        assert abs(held / self.DRAWS - 0.95) < self.SLACK

    @pytest.mark.parametrize("blocks", [3, 6, 12])
    def test_difference(self, blocks: int) -> None:
        random = np.random.default_rng(7 + blocks)
        held = 0
        for _ in range(self.DRAWS):
            drift = random.normal(0, 20, blocks)
            a = 112 + drift + random.normal(0, 3, blocks)
            b = 100 + drift + random.normal(0, 3, blocks)
            held += not difference_interval(a, b).excludes(12.0)
        assert abs(held / self.DRAWS - 0.95) < self.SLACK

    def test_level_is_what_was_asked(self) -> None:
        random = np.random.default_rng(5)
        held = sum(not mean_interval(random.normal(3, 1, 6), level=0.8).excludes(3) for _ in range(self.DRAWS))
        assert abs(held / self.DRAWS - 0.8) < 0.019

    def test_a_against_a_is_rarely_a_verdict(self) -> None:
        random = np.random.default_rng(99)
        wrong = 0
        for _ in range(self.DRAWS):
            a, b = np.exp(random.normal(5, 0.02, (2, 6)))
            wrong += verdict(ratio_interval(a, b)) is not Verdict.TIE
        assert wrong / self.DRAWS < 0.05 + self.SLACK

    def test_three_percent_is_found_in_twelve_blocks_of_ordinary_noise(self) -> None:
        random = np.random.default_rng(3)
        found = 0
        for _ in range(500):
            a = 1.03 * np.exp(random.normal(5, 0.017, 12))
            b = np.exp(random.normal(5, 0.017, 12))
            found += verdict(ratio_interval(a, b)) is Verdict.MORE
        assert found / 500 > 0.9


class TestAgainstScipy:
    """The same numbers as SciPy's own paired test."""

    A = (101.2, 99.1, 104.9, 98.0, 103.3, 100.7)
    B = (95.0, 96.2, 97.1, 92.8, 99.4, 94.1)

    def test_difference(self) -> None:
        ours = difference_interval(self.A, self.B)
        theirs = stats.ttest_rel(self.A, self.B).confidence_interval(0.95)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))

    def test_ratio(self) -> None:
        ours = ratio_interval(self.A, self.B, level=0.9)
        theirs = stats.ttest_rel(np.log(self.A), np.log(self.B)).confidence_interval(0.9)
        assert (ours.low, ours.high) == pytest.approx((math.exp(theirs.low), math.exp(theirs.high)))
        assert ours.estimate == pytest.approx(stats.gmean(np.array(self.A) / np.array(self.B)))


class TestTooLittle:
    """Under three blocks nothing can be told, and that is what the interval says."""

    @pytest.mark.parametrize("blocks", [0, 1, 2])
    def test_ratio(self, blocks: int) -> None:
        interval = ratio_interval([2.0] * blocks, [1.0] * blocks)
        assert (interval.low, interval.high, interval.n) == (0.0, math.inf, blocks)
        assert not interval.is_finite

    @pytest.mark.parametrize("blocks", [0, 1, 2])
    def test_difference(self, blocks: int) -> None:
        interval = difference_interval([2.0] * blocks, [1.0] * blocks)
        assert (interval.low, interval.high) == (-math.inf, math.inf)

    def test_no_block_has_no_estimate(self) -> None:
        assert math.isnan(mean_interval([]).estimate)

    def test_one_block_has_an_estimate(self) -> None:
        assert ratio_interval([2.0], [1.0]).estimate == pytest.approx(2.0)


class TestVerdict:
    """Six blocks and an interval without the neutral value; everything else is a tie."""

    @pytest.mark.parametrize(
        ("interval", "neutral", "said"),
        [
            (Interval(2.0, 1.8, 2.2, 6), 1.0, Verdict.MORE),
            (Interval(0.5, 0.4, 0.6, 6), 1.0, Verdict.LESS),
            (Interval(2.0, 1.8, 2.2, 5), 1.0, Verdict.TIE),
            (Interval(1.0, 0.9, 1.1, 60), 1.0, Verdict.TIE),
            (Interval(1.1, 1.0, 1.2, 6), 1.0, Verdict.TIE),  # the edge belongs to the interval
            (Interval(2.0, 1.0, 3.0, 6), 0.0, Verdict.MORE),
            (Interval(-2.0, -3.0, -1.0, 6), 0.0, Verdict.LESS),
            (Interval(math.nan, math.nan, math.nan, 0), 1.0, Verdict.TIE),
        ],
    )
    def test_verdict(self, interval: Interval, neutral: float, said: Verdict) -> None:
        assert verdict(interval, neutral=neutral) is said

    def test_reading_it_backwards_says_the_opposite(self) -> None:
        interval = Interval(2.0, 1.6, 2.5, 6)
        assert interval.reciprocal() == Interval(0.5, 0.4, 0.625, 6)
        assert verdict(interval.reciprocal()) is Verdict.LESS

    def test_backwards_of_cannot_tell_is_cannot_tell(self) -> None:
        backwards = Interval(2.0, 0.0, math.inf, 2).reciprocal()
        assert (backwards.low, backwards.high) == (0.0, math.inf)


class TestPairs:
    """Only figures of the same block are compared."""

    def test_blocks_that_both_have(self) -> None:
        a, b = pair_blocks({0: 1.0, 2: 3.0, 5: 6.0}, {5: 60.0, 0: 10.0, 1: 20.0})
        assert a.tolist() == [1.0, 6.0]
        assert b.tolist() == [10.0, 60.0]

    def test_nothing_shared(self) -> None:
        assert ratio_interval(*pair_blocks({0: 1.0}, {1: 1.0})).n == 0


class TestMisuse:
    """Wrong shapes and impossible figures are errors, never a quiet number."""

    def test_shapes_differ(self) -> None:
        with pytest.raises(ValueError, match="one value a block on both sides, not 2 and 3"):
            ratio_interval([1, 2], [1, 2, 3])

    def test_not_a_row(self) -> None:
        with pytest.raises(ValueError, match="shape"):
            mean_interval([[1.0, 2.0]])

    @pytest.mark.parametrize("bad", [0.0, -1.0])
    def test_ratio_of_nothing(self, bad: float) -> None:
        with pytest.raises(ValueError, match="positive"):
            ratio_interval([1.0, 1.0, bad], [1.0, 1.0, 1.0])

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_not_finite(self, bad: float) -> None:
        with pytest.raises(ValueError, match="finite"):
            difference_interval([1.0, 1.0, bad], [1.0, 1.0, 1.0])
