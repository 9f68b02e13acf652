"""Welch's interval is SciPy's, holds the truth as often as it claims, and guesses nothing of too few blocks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.comparing.welch import shift

BEFORE = (101.2, 99.1, 104.9, 98.0, 103.3, 100.7)
AFTER = (106.1, 109.9, 103.8, 112.0, 107.2, 105.9, 108.8, 101.5)


class TestAgainstScipy:
    def test_interval(self) -> None:
        ours = shift(BEFORE, AFTER).interval(level=0.9)
        theirs = stats.ttest_ind(np.log(AFTER), np.log(BEFORE), equal_var=False)
        low, high = theirs.confidence_interval(0.9)
        assert (ours.low, ours.high) == pytest.approx((math.exp(low), math.exp(high)))
        assert ours.estimate == pytest.approx(stats.gmean(AFTER) / stats.gmean(BEFORE))
        assert ours.n == 6

    def test_p_value_without_a_margin(self) -> None:
        theirs = stats.ttest_ind(np.log(AFTER), np.log(BEFORE), equal_var=False)
        assert shift(BEFORE, AFTER).p_beyond(0) == pytest.approx(theirs.pvalue)


class TestMargin:
    @pytest.mark.parametrize("margin", [0.0, 0.01, 0.03])
    @pytest.mark.parametrize("factor", [0.9, 0.95, 1.0, 1.05, 1.1])
    def test_p_value_and_interval_say_the_same(self, margin: float, factor: float) -> None:
        moved = shift(BEFORE, [factor * value for value in AFTER])
        for level in (0.5, 0.9, 0.95, 0.99, 0.999):
            assert moved.interval(level=level).beyond(margin) == (moved.p_beyond(margin) < 1 - level)

    def test_within_the_margin_nothing_is_beyond_it(self) -> None:
        assert shift(BEFORE, [1.02 * value for value in BEFORE]).p_beyond(0.03) == 1.0


class TestCoverage:
    """Also where the runs differ in length and in noise, which Student's own test does not stand."""

    DRAWS = 4000
    SLACK = 0.0104  # three standard deviations of a binomial share

    @pytest.mark.parametrize(("blocks", "noises"), [((6, 6), (0.02, 0.02)), ((6, 20), (0.05, 0.01))])
    def test_ratio(self, blocks: tuple[int, int], noises: tuple[float, float]) -> None:
        random = np.random.default_rng(20260801)
        held = 0
        for _ in range(self.DRAWS):
            before = 100 * np.exp(random.normal(0, noises[0], blocks[0]))
            after = 107 * np.exp(random.normal(0, noises[1], blocks[1]))
            held += not shift(before, after).interval().excludes(1.07)
        assert abs(held / self.DRAWS - 0.95) < self.SLACK


class TestTooLittle:
    @pytest.mark.parametrize(("before", "after"), [((1.0, 2.0), AFTER), (BEFORE, (1.0,))])
    def test_no_interval_and_no_alarm(self, before: tuple[float, ...], after: tuple[float, ...]) -> None:
        moved = shift(before, after)
        assert not moved.interval().is_finite
        assert moved.p_beyond(0) == 1.0
        assert math.isfinite(moved.ratio)

    def test_nothing(self) -> None:
        assert math.isnan(shift((), AFTER).ratio)

    def test_figures_that_never_move_are_told_apart(self) -> None:
        moved = shift([2.0] * 6, [3.0] * 6)
        assert moved.ratio == pytest.approx(1.5)
        assert (moved.error, moved.freedom, moved.blocks) == (0.0, 10.0, 6)
        assert moved.p_beyond(0.03) == 0.0
        assert moved.interval().low == pytest.approx(1.5)

    @pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
    def test_what_is_no_cost(self, wrong: float) -> None:
        with pytest.raises(ValueError, match="positive and finite"):
            shift(BEFORE, [wrong, 1.0, 1.0])
