"""The one predictor: from the cells of a run to what a load that nobody measured takes.

CPU time of a request = a request on an open connection
                      + (a TCP connection + a TLS handshake) / requests per connection
                      + the share of slow requests x what one takes more

It is a sum of cells like every cost (`harness.costs`), taken block by block, so that its interval holds how the cells
vary together. Processors = rate x CPU time. Latency is `latency`'s, at the costs and at both ends of their interval.

The costs are those of a busy server, with all its clients on one machine; a server with little to do takes some per
cent more for each request.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

import deployments
from certs import TlsVersion
from deployments import DeploymentError
from harness import histograms
from harness.costs import Cells, Part, Sum, part_sums
from harness.errors import UserError, unknown_name
from harness.measured import Condition, Contender, Measured, Scenario
from harness.network.model import round_trips
from harness.plan_files import load_plan
from harness.prediction.latency import BeyondCapacityError, Capacity, Latency, Service, Traffic, at_distances, capacity
from harness.prediction.workload import Workload
from harness.statistics import Interval, mean_interval

SLOW_WAIT_US = 100_000.0  # the scenario slow-io asks the device for one echo that takes so long
BUSIEST = 0.8  # processors are added, where their number is free, until none is busier than this
_PLANS = ("costs", "full")  # that measure what predictions take
_BOUND_REACHED = 0.85  # of the clients: with fewer requests waiting at once, something else was their bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a workload takes on one contender, with 95 % intervals from those of the costs."""

    contender: Contender
    workload: Workload
    version: str  # of TLS
    setup_round_trips: int  # of a new connection, before its request
    cpu_us: Interval  # a request, all included
    cores_needed: Interval  # rate x CPU: how many processors are busy
    cores: int  # that the latency is for
    mean_us: Interval | None  # these three: None beyond capacity
    p50_us: Interval | None
    p99_us: Interval | None
    beyond: str  # why there is no latency; empty where there is one
    is_least: bool  # the latency leaves out what an answer takes beside the server's CPU: that was not measured


def predictors(measured: Measured) -> dict[Contender, Predictor]:
    """Return the predictors of all contenders of whom requests and connections were measured."""
    found = {}
    for contender in measured.contenders:
        cells = Cells.of(measured, contender)
        if cells is not None:
            predictor = Predictor(cells)
            if predictor.is_known and not predictor.missing(Workload(rate_per_s=1.0, requests_per_connection=1)):
                found[contender] = predictor
    return found


class Predictor:
    """Predicts for one contender."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._parts = part_sums(cells)
        self._services: dict[tuple[bool, bool, bool], Service] = {}

    @classmethod
    def of(cls, measured: Measured, deployment: str, *, source: str) -> Predictor:
        """Return a deployment's predictor. source names the run in errors. Raises UserError where there can be none."""
        here = [contender for contender in measured.contenders if contender.deployment == deployment]
        if not here:
            known = sorted({contender.deployment for contender in measured.contenders})
            if deployment in deployments.names() or not known:
                raise UserError(
                    f"{source} has no trials of {deployment} to predict from", hint=how_to_measure(deployment)
                )
            raise unknown_name("deployment", deployment, known, where=source)
        if len(here) > 1:
            raise UserError(
                f"{source} has {deployment} with several numbers of threads or workers",
                hint="predict from a run that has it with one",
            )
        cells = Cells.of(measured, here[0])
        if cells is None:
            raise UserError(
                f"{source} lacks requests on open connections with TLS and Digest (keep-alive) of {deployment}",
                hint=how_to_measure(deployment),
            )
        found = cls(cells)
        if not found.is_known:
            raise UserError(f"{source} has {found.version} of {deployment}", hint="this version knows TLS 1.2 and 1.3")
        return found

    @property
    def is_known(self) -> bool:
        """Whether the TLS version that was agreed on is one whose round trips are known here."""
        return not self.version or self.version in list(TlsVersion)

    @property
    def contender(self) -> Contender:
        """Who is predicted."""
        return self._cells.contender

    @property
    def base(self) -> Condition:
        """The condition that the request's cost is measured under."""
        return self._cells.base

    @cached_property
    def version(self) -> str:
        """The TLS version that was agreed on."""
        return negotiated(self._cells.measured, self.contender, self.base)

    def missing(self, workload: Workload) -> tuple[str, ...]:
        """Return what would have to be measured for that workload and was not."""
        lacking = []
        if workload.new_share and self._connection(resumed=workload.resumed) is None:
            which = "resumed" if workload.resumed else "new"
            lacking.append(f"{which} connections ({which.replace('new', 'full')}-handshake)")
        if workload.slow_share and self._slow is None:
            lacking.append("slow requests (slow-io)")
        return tuple(lacking)

    def cpu(self, workload: Workload, *, source: str = "the run") -> Sum:
        """Return the CPU time of a request as a sum of cells. Raises UserError where one was not measured."""
        if missing := self.missing(workload):
            raise UserError(
                f"{source} lacks, of {self.contender.deployment}, {' and '.join(missing)}",
                hint=how_to_measure(self.contender.deployment),
            )
        total = self._request
        connection, slow = self._connection(resumed=workload.resumed), self._slow
        if workload.new_share and connection is not None:
            total += workload.new_share * connection
        if workload.slow_share and slow is not None:
            total += workload.slow_share * slow
        return total

    def cpu_interval(self, workload: Workload, *, source: str = "the run") -> Interval | None:
        """Return the same in µs; None where no block has all of its cells."""
        return self.cpu(workload, source=source).interval(self._cells.measured)

    def predict(self, workload: Workload, *, source: str = "the run") -> Prediction:
        """Predict. source names the run in errors. Raises UserError where a cell was not measured."""
        cpu_us = self.cpu_interval(workload, source=source)
        if cpu_us is None:
            raise UserError(
                f"{source} has no block that holds all trials of {self.contender.deployment} that this takes",
                hint=f"{how_to_measure(self.contender.deployment)}; the report of the run says what was set aside",
            )
        needed = scaled(cpu_us, workload.rate_per_s / 1e6)
        cores = workload.cores or self.cores_for(workload.rate_per_s, cpu_us.estimate)
        found = self.latencies(workload, cpu_us, cores, [workload.rtt_ms])
        at = None if isinstance(found, str) else found[0]
        return Prediction(
            contender=self.contender,
            workload=workload,
            version=self.version,
            setup_round_trips=self._setup_round_trips(workload),
            cpu_us=cpu_us,
            cores_needed=needed,
            cores=cores,
            mean_us=at and at[0],
            p50_us=at and at[1],
            p99_us=at and at[2],
            beyond=found if isinstance(found, str) else "",
            is_least=self.is_least,
        )

    @property
    def is_least(self) -> bool:
        """Whether latencies leave out what an answer takes beside the server's CPU: that was not measured."""
        return self._aside is None

    def capacity(self, workload: Workload) -> Capacity:
        """Return the rate that one processor could only just not serve for ever, whatever the workload's own."""
        return capacity(self._service(workload), self._traffic(workload, 1))

    @staticmethod
    def cores_for(rate_per_s: float, cpu_us: float) -> int:
        """Return how few processors are not busier than 80 % with a rate."""
        return max(1, math.ceil(rate_per_s * cpu_us / 1e6 / BUSIEST))

    def latencies(
        self, workload: Workload, cpu_us: Interval, cores: int, rtts_ms: list[float]
    ) -> list[tuple[Interval, Interval, Interval]] | str:
        """Return mean, p50 and p99 (µs) at several round-trip times, or why there is no latency to speak of."""
        traffic = self._traffic(workload, cores)
        rtts_us = [1000 * rtt_ms for rtt_ms in rtts_ms]
        service = self._service(workload)
        try:
            middle = at_distances(service, traffic, rtts_us)
        except BeyondCapacityError as error:
            return str(error)
        if workload.clients is not None:
            asked = min(workload.clients / each.mean_us * 1e6 for each in middle)
            if workload.rate_per_s >= asked:
                return (
                    f"{workload.clients} clients, each with one request at a time, "
                    f"ask at most {asked:,.0f} times a second"
                )
        ends = [self._at_end(service, traffic, cpu_us, rtts_us, high=high) for high in (False, True)]
        return [
            (
                _interval(here, low, high, "mean_us", cpu_us.n),
                _interval(here, low, high, "p50_us", cpu_us.n),
                _interval(here, low, high, "p99_us", cpu_us.n),
            )
            for here, low, high in zip(middle, *ends, strict=True)
        ]

    def _at_end(
        self, service: Service, traffic: Traffic, cpu_us: Interval, rtts_us: list[float], *, high: bool
    ) -> list[Latency | None]:
        """Return the latencies where all costs are at one end of the interval; None where that cannot be told."""
        end = cpu_us.high if high else cpu_us.low
        if not math.isfinite(end) or end <= 0:
            return [None] * len(rtts_us)
        factor = end / cpu_us.estimate
        aside = self._aside
        aside_us = 0.0 if aside is None or not aside.is_finite else aside.high if high else max(0.0, aside.low)
        there = replace(
            service,
            request_us=service.request_us * factor,
            connection_us=service.connection_us * factor,
            slow_us=service.slow_us * factor,
            aside_us=aside_us,
        )
        try:
            return list(at_distances(there, traffic, rtts_us))
        except BeyondCapacityError:
            return [None] * len(rtts_us)

    def _traffic(self, workload: Workload, cores: int) -> Traffic:
        return Traffic(
            rate_per_s=workload.rate_per_s / cores,
            new_share=max(workload.new_share, self._closed_by_server),
            slow_share=workload.slow_share,
            rtt_us=0.0,
            setup_round_trips=self._setup_round_trips(workload),
        )

    def _service(self, workload: Workload) -> Service:
        """Return what serving takes; it is asked for at each of a grid's loads, and what it depends on is little."""
        key = (workload.new_share > 0, workload.slow_share > 0, workload.resumed)
        if key not in self._services:
            self._services[key] = self._reckoned_service(workload)
        return self._services[key]

    def _reckoned_service(self, workload: Workload) -> Service:
        measured = self._cells.measured

        def level(part: Sum | None) -> float:
            interval = part.interval(measured) if part is not None else None
            return max(0.0, interval.estimate) if interval is not None else 0.0

        connection = self._connection(resumed=workload.resumed) if workload.new_share else None
        return Service(
            request_us=level(self._request),
            connection_us=level(connection),
            slow_us=level(self._slow) if workload.slow_share else 0.0,
            aside_us=max(0.0, self._aside.estimate) if self._aside is not None else 0.0,
            wait_us=SLOW_WAIT_US,
            at_once=self._at_once,
        )

    def _setup_round_trips(self, workload: Workload) -> int:
        return round_trips(self.version or None, resumed=workload.resumed).before_request

    @cached_property
    def _request(self) -> Sum:
        return Sum.cell(self.contender, self.base)

    def _connection(self, *, resumed: bool) -> Sum | None:
        """Return what a connection takes: from its parts, or else from whole requests on new and open connections."""
        tcp, handshake = self._parts.get(Part.TCP), self._parts.get(Part.RESUMED if resumed else Part.HANDSHAKE)
        if tcp is not None and handshake is not None:
            return tcp + handshake
        new = self._cells.condition(Scenario.RESUMED_HANDSHAKE if resumed else Scenario.FULL_HANDSHAKE)
        return None if new is None else Sum.cell(self.contender, new) - self._request

    @cached_property
    def _slow_condition(self) -> Condition | None:
        return self._cells.condition(Scenario.SLOW_IO)

    @cached_property
    def _slow(self) -> Sum | None:
        condition = self._slow_condition
        return None if condition is None else Sum.cell(self.contender, condition) - self._request

    @cached_property
    def _aside(self) -> Interval | None:
        """What an answer takes beside the server's CPU when its client is alone, µs; None: that was not measured."""
        measured, alone = self._cells.measured, replace(self.base, clients=1)
        cpu_us = self._request.by_block(measured)
        values = [
            histograms.mean(trial.latency_us) - cpu_us[trial.block]
            for trial in measured.trials(self.contender, alone)
            if trial.latency_us and trial.block in cpu_us
        ]
        return mean_interval(values, fixed_blocks=measured.fixed_blocks) if values else None

    @cached_property
    def _at_once(self) -> int | None:
        """How many requests a worker can have waiting: its threads, or what was seen with more clients than that."""
        if self.contender.threads is not None:
            return self.contender.threads
        condition = self._slow_condition
        trials = self._cells.measured.trials(self.contender, condition) if condition is not None else ()
        if condition is None or not trials:
            return None
        workers = self.contender.workers
        waiting = float(np.mean([trial.requests_per_s for trial in trials])) * SLOW_WAIT_US / 1e6
        is_busy = max(trial.server_cores for trial in trials) > BUSIEST * workers
        if waiting >= _BOUND_REACHED * condition.clients or is_busy:
            return None
        return max(1, round(waiting / workers))

    @cached_property
    def _closed_by_server(self) -> float:
        """Which share of the requests came on new connections though their clients wanted to keep them."""
        trials = self._cells.measured.cost_trials(self.contender, self.base)
        requests = sum(trial.requests for trial in trials)
        handshakes = sum(trial.handshakes.full + trial.handshakes.resumed for trial in trials)
        return min(1.0, handshakes / requests) if requests else 0.0


def negotiated(measured: Measured, contender: Contender, condition: Condition) -> str:
    """Return the TLS version that was agreed on in a cell: "1.3"; empty where nothing was."""
    trials = measured.cost_trials(contender, condition)
    return next((trial.tls.version.removeprefix("TLSv") for trial in trials if trial.tls), "")


def scaled(interval: Interval, factor: float) -> Interval:
    """Return the interval in another unit, factor above 0."""
    return Interval(interval.estimate * factor, interval.low * factor, interval.high * factor, interval.n)


def prediction_to_json(prediction: Prediction) -> Mapping[str, Any]:
    """Return a prediction as an object; null stands for what cannot be told."""
    workload = prediction.workload
    return {
        "deployment": prediction.contender.deployment,
        "threads": prediction.contender.threads,
        "workload": {
            "rate_per_s": workload.rate_per_s,
            "requests_per_connection": workload.requests_per_connection,
            "rtt_ms": workload.rtt_ms,
            "slow_share": workload.slow_share,
            "clients": workload.clients,
            "resumed": workload.resumed,
        },
        "tls_version": prediction.version,
        "setup_round_trips": prediction.setup_round_trips,
        "cpu_us_per_request": interval_to_json(prediction.cpu_us),
        "cores_needed": interval_to_json(prediction.cores_needed),
        "cores": prediction.cores,
        "latency_us": None
        if prediction.beyond
        else {
            "mean": interval_to_json(prediction.mean_us),
            "p50": interval_to_json(prediction.p50_us),
            "p99": interval_to_json(prediction.p99_us),
            "is_least": prediction.is_least,
        },
        "beyond_capacity": prediction.beyond or None,
    }


def interval_to_json(interval: Interval | None) -> Mapping[str, Any] | None:
    """Return an interval as an object; an end that is not known is null."""
    if interval is None:
        return None
    return {
        "estimate": interval.estimate,
        "low": interval.low if math.isfinite(interval.low) else None,
        "high": interval.high if math.isfinite(interval.high) else None,
        "blocks": interval.n,
    }


def how_to_measure(deployment: str) -> str:
    """Say which plan measures what predictions take of a deployment."""
    try:
        known = deployments.names()
    except DeploymentError:
        known = ()
    plans = [
        name
        for name in _PLANS
        if any(server.deployment == deployment for server in load_plan(name, deployments=known).servers)
    ]
    if not plans:
        return "write a plan like harness/plans/costs.toml with it, and `bench run` that"
    return " or ".join(f"`bench run {name}`" for name in plans) + " measures it"


def _interval(middle: Latency, low: Latency | None, high: Latency | None, name: str, blocks: int) -> Interval:
    estimate: float = getattr(middle, name)
    least = 0.0 if low is None else min(estimate, getattr(low, name))
    return Interval(estimate, least, math.inf if high is None else max(estimate, getattr(high, name)), blocks)
