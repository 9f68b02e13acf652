"""When a load has settled, against series whose truth is known, and the tests behind it against SciPy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from harness.stationarity import (
    COST_BIAS,
    LEVEL,
    LOAD_BIAS,
    LONGEST_WARM_UP_S,
    MIN_SLICES,
    Progress,
    Window,
    choose_window,
    critical_score,
    drift,
    mann_kendall,
    theil_sen,
)

SLICE_NS = 250_000_000
WINDOWS = (MIN_SLICES, 9, 16, 40)  # in slices: the built-in plans have 9 and 16
COST_US = 180.0  # of a request, when warm
RATE = 500.0  # requests a slice
SLICES = 80


def steady(_at_s: float) -> float:
    return 1.0


def chosen(
    random: np.random.Generator,
    length: int,
    *,
    factor: Callable[[float], float] = steady,  # of a request's cost, by seconds of load
    cost_noise: float = 0.015,
    rate_noise: float = 0.03,
    mean_requests: float | None = None,
    is_open: bool = False,
) -> tuple[Window, float]:
    """Choose the window of a made-up load; return it and by which share its mean cost is off the truth.

    mean_requests: of a slice, drawn as Poisson does; None: RATE, with noise, in inverse proportion to the cost.
    """
    factors = np.array([factor((index + 1) / 4) for index in range(SLICES)])
    cost = COST_US * factors * np.exp(random.normal(0, cost_noise, SLICES))
    if mean_requests is None:
        answered = np.rint(RATE / factors * np.exp(random.normal(0, rate_noise, SLICES)))
    else:
        answered = random.poisson(mean_requests, SLICES).astype(np.float64)
    slices = [
        Progress(
            monotonic_ns=(index + 1) * SLICE_NS,
            clients=8,
            answered=int(answered[index]),
            latency_us_p50=900 * factors[index] * np.exp(random.normal(0, rate_noise)) if answered[index] else math.nan,
        )
        for index in range(SLICES)
    ]
    spent = np.cumsum(cost * answered)
    window = choose_window(slices, spent, clients=8, window_s=length / 4, is_open=is_open)
    assert window is not None
    counted = slice(window.first + 1, window.last + 1)
    return window, float((cost * answered)[counted].sum() / max(1, answered[counted].sum()) / COST_US - 1)


class TestSteadyLoad:
    """What is steady is taken at once, but for the few cases that the level allows."""

    @pytest.mark.parametrize("length", WINDOWS)
    @pytest.mark.parametrize(("cost_noise", "rate_noise"), [(0.01, 0.02), (0.02, 0.07), (0.05, 0.2)])
    @pytest.mark.parametrize("is_open", [False, True])
    def test_false_alarms(self, *, length: int, cost_noise: float, rate_noise: float, is_open: bool) -> None:
        random = np.random.default_rng(1)
        tries = 200
        longer = 0
        for _ in range(tries):
            window, _ = chosen(random, length, cost_noise=cost_noise, rate_noise=rate_noise, is_open=is_open)
            longer += window.warm_up_s > 0.5
        assert longer <= stats.binom.ppf(0.999, tries, LEVEL)

    @pytest.mark.parametrize("mean_requests", [0.3, 1, 4, 10])
    @pytest.mark.parametrize("is_open", [False, True])
    def test_few_requests_do_not_stall_it(self, *, mean_requests: float, is_open: bool) -> None:
        random = np.random.default_rng(2)
        tries = 200
        longer = sum(
            chosen(random, 9, mean_requests=mean_requests, cost_noise=0.3, is_open=is_open)[0].warm_up_s > 0.5
            for _ in range(tries)
        )
        assert longer <= stats.binom.ppf(0.999, tries, LEVEL)

    def test_requests_that_come_in_waves_are_steady(self) -> None:
        waves = [32.0, 48.0] * 8  # slow requests of 64 clients, seen
        assert drift(np.array(waves), LOAD_BIAS) == 0

    def test_no_noise_at_all(self) -> None:
        window, off = chosen(np.random.default_rng(3), 9, cost_noise=0, rate_noise=0)
        assert window == Window(first=1, last=10, warm_up_s=0.5)
        assert off == pytest.approx(0)


class TestWarmUp:
    """What drifts is waited for, as long as the noise of so many slices lets it be seen."""

    @pytest.mark.parametrize("length", [9, 16])
    @pytest.mark.parametrize("ends_s", [1.0, 1.75, 2.25])
    def test_a_step(self, length: int, ends_s: float) -> None:
        random = np.random.default_rng(4)
        found = [chosen(random, length, factor=lambda at_s: 1.2 if at_s <= ends_s else 1.0) for _ in range(200)]
        assert np.mean([off for _, off in found]) < COST_BIAS
        assert np.mean([window.warm_up_s for window, _ in found]) < ends_s + 0.6

    @pytest.mark.parametrize(
        ("length", "amplitude", "time_constant_s", "kept"),
        [(9, 0.5, 0.4, 0.03), (16, 0.5, 0.4, 0.02), (9, 0.3, 1.0, 0.05), (16, 0.3, 1.0, 0.02), (16, 0.1, 1.0, 0.02)],
    )
    def test_an_exponential_decay(self, length: int, amplitude: float, time_constant_s: float, kept: float) -> None:
        random = np.random.default_rng(5)

        def cools(at_s: float) -> float:
            return 1 + amplitude * math.exp(-at_s / time_constant_s)

        found = [chosen(random, length, factor=cools) for _ in range(200)]
        at_once = np.mean([cools((index + 1) / 4) - 1 for index in range(2, 2 + length)])
        assert np.mean([off for _, off in found]) < min(kept, float(at_once))

    @pytest.mark.parametrize("length", WINDOWS[1:])
    def test_a_ramp_without_an_end_is_taken_at_the_limit_and_said(self, length: int) -> None:
        random = np.random.default_rng(6)
        window, _ = chosen(random, length, factor=lambda at_s: 1 + 0.1 * at_s, cost_noise=0.005, rate_noise=0.01)
        assert window.warm_up_s == pytest.approx(LONGEST_WARM_UP_S + 0.25)
        assert window.cost_drift > 0.1
        assert window.load_drift < -0.1

    def test_an_open_load_s_latency(self) -> None:
        random = np.random.default_rng(7)
        window, _ = chosen(random, 16, factor=lambda at_s: 2.0 if at_s <= 2 else 1.0, is_open=True)
        assert 2 <= window.warm_up_s <= 2.5

    def test_a_drift_of_no_consequence_is_none(self) -> None:
        assert drift(np.linspace(1, 1.02, 40), COST_BIAS) == 0
        assert drift(np.linspace(1, 1.04, 40), COST_BIAS) == pytest.approx(0.04, rel=0.05)

    def test_too_few_slices_are_not_judged(self) -> None:
        assert drift(np.linspace(1, 2, MIN_SLICES - 1), COST_BIAS) == 0

    def test_noise_that_lasts_for_seconds_is_no_trend_of_a_long_window(self) -> None:
        random = np.random.default_rng(8)
        tries, found = 300, 0
        for _ in range(tries):
            noise = np.zeros(120)
            for index in range(1, 120):
                noise[index] = 0.7 * noise[index - 1] + random.normal(0, 0.03)
            found += drift(np.exp(noise), COST_BIAS) != 0
        assert found <= 0.06 * tries  # three times LEVEL; slice by slice it would be a third

    def test_unknown_values_are_left_out(self) -> None:
        values = np.linspace(1, 2, 20)
        values[::3] = math.nan
        assert drift(values, COST_BIAS) == pytest.approx(1 / np.nanmean(values), rel=0.05)


class TestChoice:
    def progress(self, clients: list[int]) -> list[Progress]:
        return [
            Progress(monotonic_ns=(index + 1) * SLICE_NS, clients=count, answered=100)
            for index, count in enumerate(clients)
        ]

    def window(self, clients: list[int], earliest: int = 0) -> Window | None:
        spent = np.array([1e4 * index for index in range(len(clients))], dtype=np.float64)
        slices = self.progress(clients)
        return choose_window(slices, spent, clients=8, window_s=2.0, is_open=False, earliest=earliest)

    def test_begins_when_all_clients_are_there(self) -> None:
        found = self.window([0, 3, 6, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8])
        assert found == Window(first=4, last=12, warm_up_s=0.5)

    def test_none_yet(self) -> None:
        assert self.window([]) is None
        assert self.window([7] * 20) is None
        assert self.window([8] * 9) is None
        assert self.window([8] * 10) is not None

    def test_what_was_refused_before_is_not_asked_again(self) -> None:
        assert self.window([8] * 20, earliest=5) == Window(first=5, last=13, warm_up_s=1.5)

    def test_clocks_that_were_not_read_leave_the_rate_to_judge(self) -> None:
        unknown = np.array([math.nan] * 20, dtype=np.float64)
        found = choose_window(self.progress([8] * 20), unknown, clients=8, window_s=2.0, is_open=False)
        assert found == Window(first=1, last=9, warm_up_s=0.5)


class TestAgainstOthers:
    """The arithmetic, by someone else's code or by counting."""

    def values(self, count: int, seed: int) -> NDArray[np.float64]:
        return np.random.default_rng(seed).normal(5, 1, count)

    @pytest.mark.parametrize("count", [6, 9, 16, 40])
    def test_score_and_slope(self, count: int) -> None:
        values, at = self.values(count, count), np.arange(count, dtype=float)
        tau = stats.kendalltau(at, values).statistic
        assert mann_kendall(values) == round(abs(tau) * count * (count - 1) / 2)
        assert theil_sen(at, values) == pytest.approx(stats.theilslopes(values, at).slope)

    @pytest.mark.parametrize("count", [6, 9, 16, 40])
    @pytest.mark.parametrize("level", [0.2, 0.05, 0.005])
    def test_critical_score(self, count: int, level: float) -> None:
        at = np.arange(count, dtype=float)
        least = critical_score(count, level)
        for score, rare in ((least, True), (least - 2, False)):
            if 0 <= score <= count * (count - 1) // 2:
                p_value = float(stats.kendalltau(at, self.order(count, score), method="exact").pvalue)
                assert (p_value <= level) is rare

    def order(self, count: int, score: int) -> NDArray[np.float64]:
        """Some order of so many values that has this score."""
        inversions = (count * (count - 1) // 2 - score) // 2
        left, found = list(range(count)), []
        for place in range(count):
            take = min(inversions, count - 1 - place)
            inversions -= take
            found.append(left.pop(take))
        return np.array(found, dtype=float)

    def test_critical_score_by_counting_all_orders(self) -> None:
        scores = [mann_kendall(np.array(order, dtype=float)) for order in itertools.permutations(range(6))]
        for level in (0.3, 0.1, 0.01):
            least = critical_score(6, level)
            assert sum(score >= least for score in scores) <= level * len(scores)
            assert sum(score >= least - 2 for score in scores) > level * len(scores)

    def test_what_cannot_be_rare_enough_is_out_of_reach(self) -> None:
        assert critical_score(4, 0.01) > 6
