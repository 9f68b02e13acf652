"""The margin's rules, and their correction for how many cells there are."""

from __future__ import annotations

import math

import pytest

from harness.comparing.judging import Judgement, intervals, judge
from harness.comparing.welch import Shift
from harness.statistics import Interval

MARGIN = 0.03


def moved(percent: float, error_percent: float, blocks: int = 8) -> Shift:
    return Shift(math.log1p(percent / 100), error_percent / 100, 2 * blocks - 2, blocks)


class TestJudge:
    """Of a figure of which less is better."""

    @pytest.mark.parametrize(
        ("low", "high", "said"),
        [
            (1.031, 1.2, Judgement.WORSE),
            (1.03, 1.2, Judgement.CANNOT_TELL),  # the edge belongs to the margin
            (1.01, 1.04, Judgement.CANNOT_TELL),
            (0.9, 1.04, Judgement.CANNOT_TELL),
            (0.98, 1.03, Judgement.TIE),
            (1.01, 1.02, Judgement.TIE),  # told apart from 1, and too little to count
            (0.96, 1.01, Judgement.NO_WORSE),
            (0.9, 0.99, Judgement.NO_WORSE),
            (0.9, 0.97, Judgement.BETTER),
        ],
    )
    def test_less_is_better(self, low: float, high: float, said: Judgement) -> None:
        interval = Interval(math.sqrt(low * high), low, high, 6)
        assert judge(interval, margin=MARGIN, more_is_better=False) is said

    @pytest.mark.parametrize("low_high_said", [(1.04, 1.2, Judgement.BETTER), (0.99, 1.2, Judgement.NO_WORSE)])
    def test_the_other_way_round_where_more_is_better(self, low_high_said: tuple[float, float, Judgement]) -> None:
        low, high, said = low_high_said
        interval = Interval(1.1, low, high, 6)
        assert judge(interval, margin=MARGIN, more_is_better=True) is said
        if said is Judgement.BETTER:
            assert judge(interval.reciprocal(), margin=MARGIN, more_is_better=True) is Judgement.WORSE

    @pytest.mark.parametrize("interval", [Interval(2.0, 1.8, 2.2, 5), Interval(2.0, 0.0, math.inf, 2)])
    def test_too_few_blocks_tell_nothing(self, interval: Interval) -> None:
        assert judge(interval, margin=MARGIN, more_is_better=False) is Judgement.CANNOT_TELL


class TestCorrection:
    def test_one_alarm_alone_needs_no_correction(self) -> None:
        alone = moved(6, 1)
        assert intervals([alone], margin=MARGIN) == (alone.interval(),)

    def test_the_same_alarm_among_many_cells_is_none(self) -> None:
        suspect, *others = family = [moved(6, 1), *[moved(0, 1)] * 19]
        assert suspect.interval().beyond(MARGIN)
        shown = intervals(family, margin=MARGIN)
        assert judge(shown[0], margin=MARGIN, more_is_better=False) is Judgement.CANNOT_TELL
        assert shown[1:] == tuple(other.interval() for other in others)  # ties are judged each for itself

    def test_a_clear_alarm_stands_among_many(self) -> None:
        shown = intervals([moved(12, 1), *[moved(0, 1)] * 19], margin=MARGIN)
        assert judge(shown[0], margin=MARGIN, more_is_better=False) is Judgement.WORSE

    def test_cells_without_enough_blocks_are_no_tries(self) -> None:
        alone = moved(6, 1)
        assert intervals([alone, *[moved(0, 1, blocks=5)] * 30], margin=MARGIN)[0] == alone.interval()
