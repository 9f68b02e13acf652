"""After how many requests the handshake hardly counts; Fieller's interval holds the truth as often as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.costs import break_even
from harness.costs.break_even import ratio_of_means
from harness.measured import Contender, Measured
from harness.trials import Run
from tests.harness import synthetic
from tests.harness.report.runs import FLASK, without

CONTENDER = Contender(FLASK, 16, 1)
TRUTH = synthetic.Costs()


def test_from_there_on_its_share_is_under_a_tenth(long_run: Run) -> None:
    found = break_even(Measured(long_run), CONTENDER)
    assert found is not None
    request = TRUTH.request[FLASK] + TRUTH.digest + TRUTH.tls_records
    handshake = TRUTH.handshake["1.3", "ecdsa-p256", "full"]
    true = (9 * handshake - TRUTH.connection) / request
    assert handshake / (true * request + TRUTH.connection + handshake) == pytest.approx(0.1)
    assert found.low - 0.1 < true < found.high + 0.1
    assert found.high - found.low < 0.1 * true


def test_a_resumed_one_is_paid_back_sooner(short_run: Run) -> None:
    measured = Measured(short_run)
    full, resumed = break_even(measured, CONTENDER), break_even(measured, CONTENDER, resumed=True)
    assert full is not None
    assert resumed is not None
    assert resumed.high < full.low


def test_a_smaller_share_takes_more_requests(short_run: Run) -> None:
    measured = Measured(short_run)
    tenth, hundredth = break_even(measured, CONTENDER), break_even(measured, CONTENDER, share=0.01)
    assert tenth is not None
    assert hundredth is not None
    assert hundredth.estimate > 10 * tenth.estimate


def test_without_its_cells_there_is_none(short_run: Run) -> None:
    plain_gone = without(short_run, lambda trial: trial.options.tls == "off")
    assert break_even(Measured(plain_gone), CONTENDER) is None


class TestFieller:
    def test_holds_the_truth_in_95_of_100(self) -> None:
        random = np.random.default_rng(7)
        tries, held = 2000, 0
        for _ in range(tries):
            drift = np.exp(random.normal(0, 0.1, 6))  # shared, as within a block
            above, below = drift * random.normal(30, 6, 6), drift * random.normal(10, 0.5, 6)
            held += not ratio_of_means(above, below).excludes(3.0)
        assert held / tries == pytest.approx(0.95, abs=0.015)

    def test_bears_a_numerator_below_zero(self) -> None:
        found = ratio_of_means([-1.0, 2.0, -2.0, 1.0], [10.0, 11.0, 9.0, 10.0])
        assert found.low < 0 < found.high

    @pytest.mark.parametrize(
        ("above", "below"),
        [([1.0, 2.0], [1.0, 1.0]), ([1.0, 2.0, 3.0], [1.0, -1.0, 0.5])],
        ids=["two blocks", "below may be 0"],
    )
    def test_cannot_always_tell(self, above: list[float], below: list[float]) -> None:
        found = ratio_of_means(above, below)
        assert (found.low, found.high) == (-math.inf, math.inf)

    def test_exact_figures_have_no_width(self) -> None:
        found = ratio_of_means([20.0, 22.0, 24.0], [10.0, 11.0, 12.0])
        assert found.estimate == pytest.approx(2.0)
        assert found.high - found.low == pytest.approx(0.0, abs=1e-6)

    @pytest.mark.parametrize(("above", "below"), [([], []), ([1.0], [1.0, 2.0])])
    def test_needs_pairs(self, above: list[float], below: list[float]) -> None:
        with pytest.raises(ValueError, match="same blocks"):
            ratio_of_means(above, below)
