"""The predictor over a grid of workloads: what the report's page needs to answer "would it be so for me?" by itself.

A workload on several processors is the same one on each of them at its share of the rate, so neither the rate nor the
processors are an axis: what counts is how loaded each processor is, as a share of the rate at which that deployment
could go on for ever with that workload (`capacity_per_s`; by what it is limited stands beside it). So every deployment
has its points where its own curve bends, and none is spent on loads that it cannot take.

    load                = rate / processors / capacity_per_s
    processors busy     = rate x cpu_us / 1e6
    fewest processors   = processors busy / busiest, rounded up

Between the points of `load` and `rtt_ms` latency may be interpolated: along `rtt_ms` as it is, along `load` its
logarithm over log(load / (1 - load)). Under the lowest load hardly anybody waits; over the highest nothing is told.
Between the points of the first two axes nothing is told either: a percentile jumps where the share of new connections,
of slow requests or of both passes it (a half, a hundredth). The points avoid those shares.

Everything is nested by the axes, in their order; `null` is what cannot be told. An interval is three numbers: estimate,
low, high. CPU time and capacity need the first two axes alone. Connections that stay open are `null` requests each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.prediction.predictor import BUSIEST, Predictor
from harness.prediction.workload import Workload
from harness.statistics import Interval

_FORMAT = 2
_DIGITS = 4  # significant: more than any interval bears, and a quarter of the page


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """The values that workloads are made of, rising."""

    requests_per_connection: tuple[int | None, ...] = (1, 3, 10, 30, 200, None)  # None: connections stay open
    slow_share: tuple[float, ...] = (0.0, 0.002, 0.02, 0.05, 0.2)
    load: tuple[float, ...] = (0.01, 0.02, 0.04, 0.1, 0.25, 0.45, 0.5, 0.65, 0.8, 0.88, 0.94, 0.97)
    rtt_ms: tuple[float, ...] = (0.0, 1.0, 5.0, 20.0, 35.0, 50.0, 100.0, 200.0)


def grid_to_json(predictors: Sequence[Predictor], axes: Axes | None = None) -> dict[str, Any]:
    """Predict every workload of the grid for every deployment."""
    axes = axes or Axes()
    return {
        "format": _FORMAT,
        "busiest": BUSIEST,
        "axes": {
            "requests_per_connection": list(axes.requests_per_connection),
            "slow_share": list(axes.slow_share),
            "load": list(axes.load),
            "rtt_ms": list(axes.rtt_ms),
        },
        "deployments": [_deployment(predictor, axes) for predictor in predictors],
    }


_KEYS = ("cpu_us", "capacity_per_s", "limit", "mean_ms", "p50_ms", "p99_ms")


def _deployment(predictor: Predictor, axes: Axes) -> dict[str, Any]:
    nested = [
        [_costs(predictor, axes, requests, share) for share in axes.slow_share]
        for requests in axes.requests_per_connection
    ]
    contender = predictor.contender
    return {
        "deployment": contender.deployment,
        "threads": contender.threads,
        "workers": contender.workers,
        "tls_version": predictor.version,
        "is_least": predictor.is_least,
        **{key: [[point[key] for point in row] for row in nested] for key in _KEYS},
    }


def _costs(predictor: Predictor, axes: Axes, requests: int | None, share: float) -> dict[str, Any]:
    """Return what is under one pair of the first two axes."""
    asked = Workload(rate_per_s=1.0, requests_per_connection=requests, slow_share=share)
    interval = None if predictor.missing(asked) else predictor.cpu_interval(asked)
    if interval is None:
        return dict.fromkeys(_KEYS)
    capacity = predictor.capacity(asked)
    rtts_ms = list(axes.rtt_ms)
    latencies = []
    for load in axes.load:
        workload = Workload(
            rate_per_s=load * capacity.rate_per_s, requests_per_connection=requests, slow_share=share, cores=1
        )
        latencies.append(predictor.latencies(workload, interval, 1, rtts_ms))

    def at(position: int) -> list[list[Any] | None]:
        return [
            None if isinstance(found, str) else [_rounded(each[position], 1e-3) for each in found]
            for found in latencies
        ]

    return {
        "cpu_us": _rounded(interval),
        "capacity_per_s": float(f"{capacity.rate_per_s:.6g}"),
        "limit": capacity.limit,
        "mean_ms": at(0),
        "p50_ms": at(1),
        "p99_ms": at(2),
    }


def _rounded(interval: Interval, factor: float = 1.0) -> list[float | None]:
    return [
        float(f"{factor * value:.{_DIGITS}g}") if math.isfinite(value) else None
        for value in (interval.estimate, interval.low, interval.high)
    ]
