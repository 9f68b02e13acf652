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
    holm,
    holm_levels,
    mean_interval,
    p_value,
    pair_blocks,
    ratio_interval,
    ratio_p_value,
    verdict,
)


class TestCoverage:
    """A 95 % interval holds the truth in about 95 % of draws, whatever the drift from block to block."""

    DRAWS = 4000
    # Three standard deviations of a binomial share at 95 % and 4,000 draws: 0.0103.
    SLACK = 0.0104

    @pytest.mark.parametrize("blocks", range(3, 21))
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

    def test_p_values(self) -> None:
        assert ratio_p_value(self.A, self.B) == pytest.approx(stats.ttest_rel(np.log(self.A), np.log(self.B)).pvalue)
        assert p_value(self.A, truth=100) == pytest.approx(stats.ttest_1samp(self.A, 100).pvalue)

    def test_p_values_far_out(self) -> None:
        """What a correction for hundreds of comparisons looks at: not lost in rounding."""
        a = np.array(self.A) * 50
        theirs = stats.ttest_1samp(np.log(a / self.B), 0).pvalue
        assert theirs < 1e-12
        assert ratio_p_value(a, self.B) == pytest.approx(theirs, rel=1e-9)

    @pytest.mark.parametrize("blocks", range(3, 21))
    def test_random_data(self, blocks: int) -> None:
        random = np.random.default_rng(blocks)
        for _ in range(50):
            a, b = np.exp(random.normal(5, 0.05, (2, blocks)))
            theirs = stats.ttest_rel(np.log(a), np.log(b))
            assert ratio_p_value(a, b) == pytest.approx(theirs.pvalue)
            for level in (0.9, 0.95, 0.999):
                ends = np.exp(theirs.confidence_interval(level))
                ours = ratio_interval(a, b, level=level)
                assert (ours.low, ours.high) == pytest.approx(tuple(ends))
                assert ours.excludes(1.0) == (ratio_p_value(a, b) < 1 - level)

    def test_blocks_that_were_added_later_give_no_degrees_of_freedom(self) -> None:
        logs = np.log(np.array(self.A) / self.B)
        half = stats.t.ppf(0.975, 3) * stats.sem(logs)  # 4 of the 6 were fixed beforehand
        interval = ratio_interval(self.A, self.B, fixed_blocks=4)
        assert (interval.low, interval.high) == pytest.approx(tuple(np.exp([logs.mean() - half, logs.mean() + half])))
        p_value = 2 * stats.t.sf(logs.mean() / stats.sem(logs), 3)
        assert ratio_p_value(self.A, self.B, fixed_blocks=4) == pytest.approx(p_value)

    @pytest.mark.parametrize("fixed", [0, 6, 8])
    def test_fewer_blocks_than_were_fixed_are_what_they_are(self, fixed: int) -> None:
        assert ratio_interval(self.A, self.B, fixed_blocks=fixed) == ratio_interval(self.A, self.B)


class TestPValues:
    """At most 5 % of true hypotheses are under 0.05; too few blocks say nothing."""

    def test_a_against_a(self) -> None:
        random = np.random.default_rng(11)
        draws = 4000
        small = sum(ratio_p_value(*np.exp(random.normal(5, 0.02, (2, 6)))) <= 0.05 for _ in range(draws))
        assert abs(small / draws - 0.05) < TestCoverage.SLACK

    @pytest.mark.parametrize("blocks", [0, 1, 2])
    def test_too_few_blocks(self, blocks: int) -> None:
        assert ratio_p_value([2.0] * blocks, [1.0] * blocks) == 1.0

    def test_blocks_that_all_agree(self) -> None:
        assert ratio_p_value([2.0] * 4, [2.0] * 4) == 1.0
        assert ratio_p_value([2.0] * 4, [1.0] * 4) == 0.0


class TestHolm:
    """Over all comparisons together, at most 5 % of runs name a difference that is none."""

    def test_worked_by_hand(self) -> None:
        # Four hypotheses: 0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 x 1, which may not fall below the one before it.
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))

    def test_bonferroni_would_miss_one_of_them(self) -> None:
        p_values = (0.01, 0.013, 0.005, 0.9)
        assert [value <= 0.05 for value in holm(p_values)] == [True, True, True, False]
        assert [4 * value <= 0.05 for value in p_values] == [True, False, True, False]

    def test_none_and_one(self) -> None:
        assert holm([]) == ()
        assert holm([0.04]) == (0.04,)

    def test_never_over_one(self) -> None:
        assert holm([0.5, 0.9, 1.0]) == (1.0, 1.0, 1.0)

    @pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan])
    def test_no_probability(self, bad: float) -> None:
        with pytest.raises(ValueError, match="between 0 and 1"):
            holm([0.5, bad])

    def test_equal_ones_are_treated_alike(self) -> None:
        corrected = holm([0.02, 0.02, 0.02])
        assert corrected == pytest.approx((0.06,) * 3)

    @pytest.mark.parametrize("true_differences", [0, 3])
    def test_family_wise_false_alarms(self, true_differences: int) -> None:
        """Ten comparisons of eight blocks, all with the same contender on one side, so they are not independent."""
        random = np.random.default_rng(2025 + true_differences)
        truth = np.array([0.05] * true_differences + [0.0] * (10 - true_differences))
        runs = wrong = uncorrected = 0
        for _ in range(2000):
            shared = random.normal(0, 0.02, 8)
            ratios = truth[:, None] + random.normal(0, 0.02, (10, 8)) - shared
            p_values = [p_value(row) for row in ratios]
            runs += 1
            wrong += any(value <= 0.05 for value in holm(p_values)[true_differences:])
            uncorrected += any(value <= 0.05 for value in p_values[true_differences:])
        # Three standard deviations of a share of 5 % at 2,000 runs: 0.0146.
        assert wrong / runs < 0.05 + 0.0146
        assert uncorrected / runs > 0.15  # what the correction is for

    def test_intervals_say_the_same_as_the_corrected_p_values(self) -> None:
        random = np.random.default_rng(8)
        for _ in range(300):
            samples = random.normal(0, 0.02, (6, 8)) + random.choice([0, 0.02, 0.04], 6)[:, None]
            p_values = [p_value(row) for row in samples]
            for row, corrected, level in zip(samples, holm(p_values), holm_levels(p_values), strict=True):
                assert mean_interval(row, level=level).excludes(0.0) == (corrected <= 0.05)
                assert 0.95 <= level <= 1 - 0.05 / 6 + 1e-12

    def test_levels_worked_by_hand(self) -> None:
        # 0.005 against 0.05/4, 0.01 against 0.05/3, 0.03 against 0.05/2: there it stops, for 0.04 as well.
        assert holm_levels([0.01, 0.04, 0.03, 0.005]) == pytest.approx((1 - 0.05 / 3, 0.975, 0.975, 1 - 0.05 / 4))


class TestWidth:
    """How narrow a ratio's interval is, and whether that makes a tie, or a difference, a finding."""

    def test_to_each_side(self) -> None:
        assert Interval(1.5, 1.5 / 1.02, 1.5 * 1.02, 8).half_width == pytest.approx(0.02)

    def test_the_same_read_backwards(self) -> None:
        interval = ratio_interval([2.0, 2.1, 1.9, 2.2], [1.0, 1.02, 0.99, 1.0])
        assert interval.reciprocal().half_width == pytest.approx(interval.half_width)

    def test_nothing_known_is_infinitely_wide(self) -> None:
        assert math.isinf(ratio_interval([1.0], [1.0]).half_width)
        assert not ratio_interval([1.0], [1.0]).within(1e9)
        assert not ratio_interval([1.0], [1.0]).beyond(0.0)

    @pytest.mark.parametrize(
        ("low", "high", "within", "beyond"),
        [
            (0.99, 1.01, True, False),
            (0.97, 1.01, False, False),  # a tie that cannot be told from a difference
            (1.005, 1.015, True, False),  # told apart, and too little to matter
            (1.03, 1.05, False, True),
            (0.90, 0.97, False, True),
            (1.01, 1.05, False, False),
        ],
    )
    def test_against_two_percent(self, low: float, high: float, *, within: bool, beyond: bool) -> None:
        interval = Interval(math.sqrt(low * high), low, high, 8)
        assert (interval.within(0.02), interval.beyond(0.02)) == (within, beyond)

    def test_equivalence_is_rarely_claimed_of_what_differs(self) -> None:
        """The truth lies at the margin itself: at most one in forty intervals may lie within it."""
        random = np.random.default_rng(4)
        claimed = sum(
            ratio_interval(1.02 * np.exp(random.normal(0, 0.01, 12)), np.ones(12)).within(0.02) for _ in range(4000)
        )
        assert claimed / 4000 < 0.025 + 0.0075


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
