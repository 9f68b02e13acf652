"""Every figure on the page passes through harness.words."""

from __future__ import annotations

import math

import pytest

from harness import words
from harness.statistics import Interval

THIN = words.THIN


def interval(estimate: float, low: float, high: float, n: int = 6) -> Interval:
    return Interval(estimate, low, high, n)


class TestSignificantDigits:
    @pytest.mark.parametrize(
        ("value", "digits", "said"),
        [
            (0, 2, "0"),
            (0.0449, 2, "0.045"),
            (1.84, 2, "1.8"),
            (1.84, 3, "1.84"),
            (9.97, 2, "10"),
            (412.3, 2, "410"),
            (12_345, 2, "12,000"),
            (-3.26, 2, "\N{MINUS SIGN}3.3"),
            (math.nan, 2, words.NOT_KNOWN),
        ],
    )
    def test_rounds_without_an_exponent(self, value: float, digits: int, said: str) -> None:
        assert words.significant(value, digits) == said

    def test_a_rounded_zero_has_no_sign(self) -> None:
        assert words.at_decimals(-0.04, 1) == "0.0"


class TestTimes:
    @pytest.mark.parametrize(
        ("value_us", "said"),
        [(230.4, "230 µs"), (999.4, "1.0 ms"), (1234, "1.2 ms"), (3.4e6, "3.4 s"), (0, "0 µs"), (0.52, "0.52 µs")],
    )
    def test_have_the_unit_that_reads_best(self, value_us: float, said: str) -> None:
        assert words.microseconds(value_us) == said.replace(" ", THIN)

    def test_error_and_value_end_at_the_same_place(self) -> None:
        assert words.microseconds_between(interval(412.34, 403.1, 421.6)) == f"412 ±{THIN}9{THIN}µs"
        assert words.microseconds_between(interval(412.34, 400.1, 424.6)) == f"412 ±{THIN}12{THIN}µs"
        assert words.microseconds_between(interval(4321.0, 4221.0, 4421.0)) == f"4.32 ±{THIN}0.10{THIN}ms"

    def test_too_few_blocks_are_said(self) -> None:
        assert "no interval" in words.microseconds_between(interval(412, -math.inf, math.inf, 2))

    def test_a_range_names_a_shared_unit_once(self) -> None:
        assert words.microseconds_range(1500, 1800) == f"1.5 {words.DASH} 1.8{THIN}ms"
        assert words.microseconds_range(930, 1100) == f"930{THIN}µs {words.DASH} 1.1{THIN}ms"


class TestRatios:
    """A figure as shown never contradicts the verdict drawn from the figure as computed."""

    def test_narrow_intervals_earn_a_third_digit(self) -> None:
        assert words.ratio(interval(1.837, 1.7, 1.9)).startswith("1.8" + THIN)
        assert words.ratio(interval(1.837, 1.82, 1.85)).startswith("1.84" + THIN)

    def test_a_small_advantage_is_not_rounded_away(self) -> None:
        assert words.ratio(interval(1.03, 1.005, 1.06)).startswith("1.03")
        assert words.ratio_range(interval(1.02, 1.0004, 1.04)) == f"1.0004 {words.DASH} 1.0400"

    def test_a_tie_shows_on_which_sides_of_one_it_lies(self) -> None:
        assert words.ratio_range(interval(1.0, 0.974, 1.036)) == f"0.97 {words.DASH} 1.04"

    def test_no_interval_is_no_figure(self) -> None:
        assert words.ratio_range(interval(1.2, 0, math.inf, 2)) == "cannot tell"


class TestLists:
    def test_reads_as_a_sentence(self) -> None:
        assert words.listed(["a"]) == "a"
        assert words.listed(["a", "b", "c"]) == "a, b and c"

    def test_long_ones_are_cut(self) -> None:
        assert words.shortened(["a", "b", "c", "d", "e"], 3) == "a, b and 3 others"
        assert words.shortened(["a", "b", "c"], 3) == "a, b and c"
