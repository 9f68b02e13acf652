"""Servers whose capacity is known, as queues in NumPy: no server, no clock, the same for the same seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.capacity.search import Capacity, Step, next_step, trial_id
from harness.plan import Search, ServerKey
from harness.trials import GENERATOR_LIMIT, Options, Trial

SEARCH = Search(server=ServerKey(deployment="flask-threaded"), scenario="keep-alive", clients=64)
WARM_UP_S = 1.0
LONGEST_US = 59_000_000

Floats = NDArray[np.float64]


@dataclass(kw_only=True)
class Server:
    """Requests that come at random (Poisson) are served in turn, at once by so many, each in the same time.

    saturation_per_s: the rate over which it cannot serve, whatever the latency. noise: how much this differs from trial
    to trial (standard deviation of its logarithm), as a machine with neighbours makes it.
    """

    saturation_per_s: float
    random: np.random.Generator
    at_once: int = 1
    noise: float = 0.0
    fails_over_per_s: float = math.inf  # then a tenth of the requests fail
    generator_per_s: float = math.inf  # what the generator can do
    rates: list[float] = field(default_factory=list)  # that were tried

    def trial(self, search: Search, step: Step) -> Trial:
        """Serve a step of a search, from an empty queue on."""
        self.rates.append(step.rate_per_s)
        slowdown = math.exp(self.random.normal(0, self.noise)) if self.noise else 1.0
        service_s = self.at_once / self.saturation_per_s * slowdown
        come = self._arrivals(step.rate_per_s, WARM_UP_S + step.window_s)
        gone = served(come, service_s, self.at_once)
        counted = (gone >= WARM_UP_S) & (gone < WARM_UP_S + step.window_s)
        answered = int(counted.sum())
        failed = answered // 10 if step.rate_per_s > self.fails_over_per_s else 0
        limited = step.rate_per_s > self.generator_per_s
        return Trial(
            id=trial_id(search, step),
            order=step.number,
            deployment=search.server.deployment,
            scenario=search.scenario,
            load=search.cell(step.rate_per_s).load,
            options=Options(tls="1.3", auth="digest", certificate_kind="ecdsa-p256", threads=16, workers=1),
            window_s=step.window_s,
            requests=answered - failed,
            errors={"status 503": failed} if failed else {},
            latency_us=histogram((gone - come)[counted]),
            lateness_us={50: int((come >= WARM_UP_S).sum())},
            server_cpu_us=answered * service_s * 1e6,
            doubts=(GENERATOR_LIMIT,) if limited else (f"{failed} of {answered} failed",) if failed else (),
        )

    def _arrivals(self, rate_per_s: float, until_s: float) -> Floats:
        return np.sort(self.random.uniform(0, until_s, self.random.poisson(rate_per_s * until_s)))


def served(come: Floats, service_s: float, at_once: int) -> Floats:
    """Return when each request is answered.

    Where all take the same time they end in the order in which they come, so that each takes the place of the one that
    came `at_once` before it: as many queues with one server each.
    """
    gone = np.empty_like(come)
    for place in range(at_once):
        own = come[place::at_once]
        turns = np.arange(len(own)) * service_s
        # Lindley: the start is the latest of all the moments from which on the server was never idle.
        gone[place::at_once] = np.maximum.accumulate(own - turns) + turns + service_s
    return gone


def histogram(seconds: Floats) -> Mapping[int, int]:
    """Return the sparse histogram of some latencies: `harness.recording.bin_of`, for many values at once."""
    values = np.clip(seconds * 1e6, 0, LONGEST_US).astype(np.int64)
    shifts = np.maximum(0, np.frexp(values)[1].astype(np.int64) - 11)
    bins, counts = np.unique((shifts << 10) + (values >> shifts), return_counts=True)
    return dict(zip(bins.tolist(), counts.tolist(), strict=True))


def searched(
    server: Server, search: Search = SEARCH, *, guess_per_s: float | None = None
) -> tuple[Capacity, list[Trial]]:
    """Search a simulated server's capacity from start to end."""
    results: list[Trial] = []
    while True:
        step = next_step(search, results, guess_per_s=guess_per_s)
        if isinstance(step, Capacity):
            return step, results
        results.append(server.trial(search, step))
