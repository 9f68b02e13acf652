"""The made-up runs hold the truth that they were made with; else tests that use them would show nothing."""

from __future__ import annotations

import pytest

from harness.histograms import percentiles, total
from harness.statistics import Verdict, difference_interval, pair_blocks, ratio_interval, verdict
from harness.trials import Run
from tests.harness import synthetic


def costs_by_block(run: Run, cell: str) -> dict[int, float]:
    return {trial.block: trial.server_cpu_us_per_request for trial in run.trials if trial.cell == cell}


class TestTruth:
    def test_costs_are_found_again(self) -> None:
        run = synthetic.run(synthetic.plan(blocks=40), drift=0.05)
        digest = difference_interval(
            *pair_blocks(
                costs_by_block(run, "flask-threaded keep-alive c4 tls1.3 digest ecdsa-p256"),
                costs_by_block(run, "flask-threaded keep-alive c4 tls1.3 no-digest ecdsa-p256"),
            )
        )
        assert not digest.excludes(synthetic.Costs().digest)
        assert digest.low > 0

    def test_ratio_is_found_again(self) -> None:
        run = synthetic.run(seed=8)
        cells = [f"{name} keep-alive c64 tls1.3 digest ecdsa-p256" for name in synthetic.Costs().request]
        pairs = pair_blocks(*(costs_by_block(run, cell) for cell in cells))
        interval = ratio_interval(*pairs, level=0.999)
        assert not interval.excludes((180 + 55) / (420 + 55))
        assert verdict(interval) is Verdict.LESS

    def test_alike_is_mostly_a_tie(self) -> None:
        found = 0
        for seed in range(40):
            run = synthetic.run(synthetic.plan("smoke", blocks=6), costs=synthetic.Costs().alike(), seed=seed)
            cells = [f"{name} keep-alive c4 tls1.3 digest ecdsa-p256" for name in synthetic.Costs().request]
            interval = ratio_interval(*pair_blocks(*(costs_by_block(run, cell) for cell in cells)))
            found += verdict(interval) is not Verdict.TIE
        assert found <= 6

    def test_latencies_are_there(self) -> None:
        trial = synthetic.run(synthetic.plan("smoke")).trials[0]
        assert total(trial.latency_us) == trial.requests
        assert percentiles(trial.latency_us, [50])[0] == pytest.approx(
            trial.load.clients / trial.requests_per_s * 1e6, rel=0.05
        )
