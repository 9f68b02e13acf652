"""What the processor's pace did to costs is taken off, and nothing else: on simulated runs whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from harness.evening import PRIOR, Evening, Reading, even
from harness.statistics import ratio_interval

PROCESS_NOISE = 0.02


def run(
    seed: int,
    *,
    blocks: int,
    costs: Sequence[float] = (100.0, 100.0),
    exponent: float = 0.8,
    disturbance: float = 0.1,
    noise: Sequence[float] = (),
) -> list[Reading]:
    """Simulate trials: cells' costs, a pace that wanders, costs that follow it, noise of processes and of the probe."""
    random = np.random.default_rng(seed)
    noises = noise or (PROCESS_NOISE,) * len(costs)
    found = []
    for block in range(blocks):
        drift = random.normal(0, 0.03)
        for number, cost in enumerate(costs):
            pace = random.normal(0, disturbance)
            log_cost = math.log(cost) + drift + exponent * pace + random.normal(0, noises[number])
            found.append(
                Reading(f"cell {number}", block, math.exp(log_cost), 36 * math.exp(pace + random.normal(0, 0.01)))
            )
    return found


def sides(readings: Sequence[Reading], evening: Evening | None) -> tuple[list[float], list[float]]:
    """The costs of the first two cells, block by block, evened or as they were."""
    slowness = evening.slowness if evening is not None else (1.0,) * len(readings)
    costs = [
        [one.cost / share for one, share in zip(readings, slowness, strict=True) if one.cell == f"cell {number}"]
        for number in (0, 1)
    ]
    return costs[0], costs[1]


class TestWhatIsTakenOff:
    def test_the_exponent_is_found(self) -> None:
        for exponent in (0.3, 0.8, 1.2):
            found = even(run(1, blocks=20, costs=(100, 130, 50, 400), exponent=exponent)).exponent
            assert found == pytest.approx(exponent, abs=0.08)

    def test_intervals_are_narrower_by_as_much(self) -> None:
        wide, narrow = [], []
        for seed in range(50):
            readings = run(seed, blocks=15)
            wide.append(ratio_interval(*sides(readings, None)).half_width)
            narrow.append(ratio_interval(*sides(readings, even(readings))).half_width)
        assert np.median(narrow) < 0.4 * np.median(wide)

    def test_three_percent_is_found_where_it_was_not(self) -> None:
        def found(*, evened: bool) -> int:
            runs = [run(seed, blocks=15, costs=(103.0, 100.0)) for seed in range(100)]
            return sum(ratio_interval(*sides(each, even(each) if evened else None)).low > 1 for each in runs)

        assert found(evened=True) >= 90
        assert found(evened=False) <= 30

    def test_what_differs_stays(self) -> None:
        """Costs that are far apart, and one cell that happened to be measured at a slower pace throughout."""
        readings = run(5, blocks=30, costs=(100.0, 250.0, 40.0))
        slower = [
            Reading(one.cell, one.block, one.cost * 1.2**0.8, one.pace * 1.2) if one.cell == "cell 1" else one
            for one in readings
        ]
        estimate = ratio_interval(*sides(slower, even(slower))).estimate
        assert 1 / estimate == pytest.approx(2.5, rel=0.02)

    def test_at_the_mean_pace_nothing_changes(self) -> None:
        evening = even(run(3, blocks=12))
        assert float(np.mean(np.log(evening.slowness))) == pytest.approx(0, abs=0.005)


class TestHonesty:
    @pytest.mark.parametrize(("cells", "blocks"), [(2, 10), (2, 15), (4, 6), (12, 6)])
    @pytest.mark.parametrize("disturbance", [0.1, 0.01])
    def test_twins_are_told_apart_no_oftener_than_promised(self, cells: int, blocks: int, disturbance: float) -> None:
        """5 % of 800 are 40; 61 are more than three standard deviations beyond."""
        false = 0
        for seed in range(800):
            readings = run(seed, blocks=blocks, costs=(100.0,) * cells, disturbance=disturbance)
            interval = ratio_interval(*sides(readings, even(readings)))
            false += not interval.low <= 1 <= interval.high
        assert false <= 61

    def test_a_block_does_not_tell_its_own_exponent(self) -> None:
        """What happens in one block changes how the others are evened, and not itself."""
        readings = run(4, blocks=12)
        changed = [
            Reading(one.cell, one.block, one.cost * 1.3, one.pace) if (one.block, one.cell) == (7, "cell 0") else one
            for one in readings
        ]
        before, after = even(readings), even(changed)
        own = [number for number, one in enumerate(readings) if one.block == 7]
        others = [number for number in range(len(readings)) if number not in own]
        assert any(before.slowness[number] != after.slowness[number] for number in others)
        for number in own:  # but for what its cell's mean and the noise of all have to do with it
            assert after.slowness[number] == pytest.approx(before.slowness[number], rel=0.02)

    def test_cells_that_scatter_much_do_not_tell_it(self) -> None:
        quiet = run(6, blocks=10, costs=(100.0,) * 6)
        loud = run(6, blocks=10, costs=(100.0,) * 7, noise=(*(PROCESS_NOISE,) * 6, 1.5))
        expected = even(quiet).exponent
        assert expected is not None
        assert even(loud).exponent == pytest.approx(expected, abs=0.15)


class TestLittle:
    def test_nothing_to_even(self) -> None:
        assert even([]) == Evening(None, ())

    @pytest.mark.parametrize("blocks", [1, 2, 6, 9])
    def test_few_blocks_of_two_cells_stay_as_they_are(self, blocks: int) -> None:
        readings = run(7, blocks=blocks)
        assert even(readings) == Evening(None, (1.0,) * len(readings))

    def test_a_steady_pace_leaves_what_was_known_before(self) -> None:
        readings = [Reading(f"cell {n}", block, 100.0 + n + block % 3, 36.0) for block in range(10) for n in range(4)]
        evening = even(readings)
        assert evening.exponent == pytest.approx(PRIOR)
        assert evening.slowness == pytest.approx((1.0,) * 40)

    def test_cells_that_are_not_in_every_block(self) -> None:
        readings = [one for one in run(8, blocks=20, costs=(100, 130, 50, 400)) if (one.block + len(one.cell)) % 5]
        readings = [one for one in readings if one.cell != "cell 3" or one.block % 3]
        assert even(readings).exponent == pytest.approx(0.8, abs=0.08)
