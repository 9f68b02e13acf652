"""Predictions beside trials that no cost was taken of: how far the predictor is off.

CPU time: clients that make so many requests on each connection (scenario reconnecting). Latency: requests at random
moments on open connections (an open load). Trials count that agreed on the TLS version, key and Digest that the costs
are of; on which servers they ran is theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.load import Arrivals
from harness.measured import Condition, Contender, Measured, Scenario, Spread, cpu_us
from harness.prediction.predictor import Prediction, Predictor, negotiated, predictors
from harness.prediction.workload import Workload
from harness.statistics import Interval, mean_interval, pair_blocks, ratio_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuCheck:
    """Server CPU of a request at so many requests a connection, µs: measured, and predicted without that."""

    contender: Contender
    requests_per_connection: int
    measured: Interval
    predicted: Interval
    error: Interval  # predicted over measured, less 1; block by block


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyCheck:
    """Latency at a rate: measured, and predicted without that."""

    condition: Condition
    p50: Spread  # measured, µs
    p99: Spread
    prediction: Prediction

    @property
    def p50_error(self) -> float:
        """Predicted over measured, less 1; NaN where the load was predicted to be beyond capacity."""
        return _error(self.prediction.p50_us, self.p50.whole)

    @property
    def p99_error(self) -> float:
        """The same of the 99th percentile."""
        return _error(self.prediction.p99_us, self.p99.whole)


def check_cpu(measured: Measured) -> tuple[CpuCheck, ...]:
    """Hold every predictor against the trials in which connections had so many requests each, the fewest first."""
    found = []
    for contender, predictor in predictors(measured).items():
        for condition in measured.conditions(Scenario.RECONNECTING):
            if _is_alike(measured, predictor, condition):
                check = _cpu_check(measured, predictor, contender, condition)
                if check is not None:
                    found.append(check)
    return tuple(sorted(found, key=lambda one: (one.contender.deployment, one.requests_per_connection)))


def check_latency(measured: Measured) -> tuple[LatencyCheck, ...]:
    """Hold every predictor against the trials in which requests came at random moments."""
    found = []
    for contender, predictor in predictors(measured).items():
        for condition in measured.open_conditions(Scenario.KEEP_ALIVE):
            trials = measured.trials(contender, condition)
            if not trials or not _is_alike(measured, predictor, condition):
                continue
            if any(trial.load.arrivals is not Arrivals.POISSON for trial in trials):
                continue
            workload = Workload(rate_per_s=condition.rate_per_s, clients=condition.clients, cores=contender.workers)
            found.append(
                LatencyCheck(
                    condition=condition,
                    p50=measured.latency(contender, condition, 50),
                    p99=measured.latency(contender, condition, 99),
                    prediction=predictor.predict(workload),
                )
            )
    return tuple(found)


def _is_alike(measured: Measured, predictor: Predictor, condition: Condition) -> bool:
    base, contender = predictor.base, predictor.contender
    return (
        (contender, condition) in measured.cells
        and (condition.auth, condition.certificate_kind) == (base.auth, base.certificate_kind)
        and negotiated(measured, contender, condition) == predictor.version
    )


def _cpu_check(measured: Measured, predictor: Predictor, contender: Contender, condition: Condition) -> CpuCheck | None:
    requests = condition.requests_per_connection
    seen = measured.figures(contender, condition, cpu_us)
    sum_of_cells = predictor.cpu(Workload(rate_per_s=1.0, requests_per_connection=requests))
    predicted, truth = pair_blocks(sum_of_cells.by_block(measured), seen)
    if not len(truth) or min(predicted) <= 0:
        return None
    fixed = measured.fixed_blocks
    ratio = ratio_interval(predicted, truth, fixed_blocks=fixed)
    return CpuCheck(
        contender=contender,
        requests_per_connection=requests,
        measured=mean_interval(truth, fixed_blocks=fixed),
        predicted=mean_interval(predicted, fixed_blocks=fixed),
        error=Interval(ratio.estimate - 1, ratio.low - 1, ratio.high - 1, ratio.n),
    )


def _error(predicted: Interval | None, measured: float) -> float:
    return predicted.estimate / measured - 1 if predicted is not None and measured > 0 else math.nan
