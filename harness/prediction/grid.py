"""The predictor over a grid of workloads: what the report's page needs to answer "would it be so for me?" by itself.

Everything is nested by the axes, in their order; `null` is what cannot be told, or is beyond capacity. An interval is
three numbers: estimate, low, high. CPU time needs the first two axes alone, the processors the first three.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.prediction.predictor import Predictor
from harness.prediction.workload import Workload
from harness.statistics import Interval

_FORMAT = 1
_DIGITS = 4  # significant: more than any interval bears, and a quarter of the page


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """The values that workloads are made of, rising."""

    requests_per_connection: tuple[int, ...] = (1, 2, 5, 10, 100, 1000)
    slow_share: tuple[float, ...] = (0.0, 0.01, 0.1, 0.5)
    rate_per_s: tuple[float, ...] = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
    rtt_ms: tuple[float, ...] = (0.0, 1.0, 10.0, 50.0, 150.0)


def grid_to_json(predictors: Sequence[Predictor], axes: Axes | None = None) -> dict[str, Any]:
    """Predict every workload of the grid for every deployment, each on as few processors as keep it under 80 % busy."""
    axes = axes or Axes()
    return {
        "format": _FORMAT,
        "axes": {
            "requests_per_connection": list(axes.requests_per_connection),
            "slow_share": list(axes.slow_share),
            "rate_per_s": list(axes.rate_per_s),
            "rtt_ms": list(axes.rtt_ms),
        },
        "deployments": [_deployment(predictor, axes) for predictor in predictors],
    }


def _deployment(predictor: Predictor, axes: Axes) -> dict[str, Any]:
    nested = [
        [_costs(predictor, axes, requests, share) for share in axes.slow_share]
        for requests in axes.requests_per_connection
    ]

    def each(key: str) -> list[list[Any]]:
        return [[point[key] for point in row] for row in nested]

    contender = predictor.contender
    return {
        "deployment": contender.deployment,
        "threads": contender.threads,
        "workers": contender.workers,
        "tls_version": predictor.version,
        **{key: each(key) for key in ("cpu_us", "cores", "mean_ms", "p50_ms", "p99_ms")},
    }


def _costs(predictor: Predictor, axes: Axes, requests: int, share: float) -> Mapping[str, Any]:
    """Return what is under one pair of the first two axes."""
    first = Workload(rate_per_s=axes.rate_per_s[0], requests_per_connection=requests, slow_share=share)
    nothing = dict.fromkeys(("cpu_us", "cores", "mean_ms", "p50_ms", "p99_ms"))
    if predictor.missing(first):
        return nothing
    cpu_us = predictor.predict(first).cpu_us
    cores, latencies = [], []
    for rate in axes.rate_per_s:
        workload = Workload(rate_per_s=rate, requests_per_connection=requests, slow_share=share)
        cores.append(predictor.cores_for(rate, cpu_us.estimate))
        latencies.append(predictor.latencies(workload, cpu_us, cores[-1], list(axes.rtt_ms)))

    def at(position: int) -> list[list[Any] | None]:
        return [
            None if isinstance(found, str) else [_rounded(each[position], 1e-3) for each in found]
            for found in latencies
        ]

    return {"cpu_us": _rounded(cpu_us), "cores": cores, "mean_ms": at(0), "p50_ms": at(1), "p99_ms": at(2)}


def _rounded(interval: Interval, factor: float = 1.0) -> list[float | None]:
    return [
        float(f"{factor * value:.{_DIGITS}g}") if math.isfinite(value) else None
        for value in (interval.estimate, interval.low, interval.high)
    ]
