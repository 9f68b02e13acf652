"""How long answers take, from what they cost: a queue for the processor, threads that wait, round trips.

Requests come at random moments (Poisson) and are served one after the other, each to its end, by one processor: the
queue M/G/1. So do event loops, and so in effect do Python's threads, which the interpreter lets run for 5 ms at a time
while a request takes a fraction of one. The mean wait is Pollaczek and Khinchine's; its percentiles are drawn by
Lindley's recursion, always with the same numbers, so that what is compared differs in its costs alone.

Slow requests leave the processor while they wait. Where threads wait with them, all threads may be taken: a queue for
threads, M/G/T, by Erlang's formula with Allen and Cunneen's correction for times that are not exponential.

What the model does not know: garbage collection and other pauses, neighbours, loss and bandwidth of the network, what
the client computes. It says nothing of a load beyond capacity, where latency grows for as long as the load lasts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

_DRAWN = 1 << 16  # requests; their 99th percentile lies within a few per cent of the model's
_SETTLING = _DRAWN // 8  # of them, while the queue fills; not looked at

Floats = NDArray[np.float64]


class BeyondCapacityError(Exception):
    """The load is more than can be served for ever; the message says by what it is limited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What serving takes. CPU times on one processor, µs."""

    request_us: float
    connection_us: float  # a new connection, beside its request
    slow_us: float  # what a slow request takes more
    aside_us: float  # of an answer's time, beside the server's CPU, when nobody waits: wake-ups, kernel, client
    wait_us: float  # how long a slow request waits in the device
    at_once: int | None  # requests that can be waited for at the same time; None: there is no bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What comes to one processor."""

    rate_per_s: float
    new_share: float  # of the requests, on new connections
    slow_share: float
    rtt_us: float
    setup_round_trips: int  # of a new connection, before its request


@dataclass(frozen=True, slots=True)
class Latency:
    """How long answers take, from the moment at which a client has something to ask, its connection included; µs."""

    mean_us: float
    p50_us: float
    p99_us: float


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The random numbers of all predictions."""

    gaps: Floats  # between arrivals, as multiples of their mean
    new: Floats  # uniform: compared with a share
    slow: Floats
    queued: Floats
    thread_waits: Floats  # as multiples of their mean


def latency(service: Service, traffic: Traffic) -> Latency:
    """Return how long answers take. Raises BeyondCapacityError."""
    return at_distances(service, traffic, [traffic.rtt_us])[0]


def at_distances(service: Service, traffic: Traffic, rtts_us: list[float]) -> list[Latency]:
    """Return the same at several round-trip times, whatever the traffic's own. Raises BeyondCapacityError."""
    drawn = _draw()
    new, slow = drawn.new < traffic.new_share, drawn.slow < traffic.slow_share
    work_us = service.request_us + new * service.connection_us + slow * service.slow_us
    wait_us = _processor_waits(service, traffic, work_us, drawn.gaps)
    here_us = service.aside_us + work_us + wait_us + _thread_waits(service, traffic, drawn) + slow * service.wait_us
    counted, trips = here_us[_SETTLING:], 1 + new[_SETTLING:] * traffic.setup_round_trips
    mean_us = _mean_us(service, traffic)
    mean_trips = 1 + traffic.new_share * traffic.setup_round_trips
    found = []
    for rtt_us in rtts_us:
        p50_us, p99_us = np.percentile(counted + trips * rtt_us, [50, 99])
        found.append(Latency(mean_us + mean_trips * rtt_us, float(p50_us), float(p99_us)))
    return found


def _moments(service: Service, traffic: Traffic) -> tuple[float, float]:
    """Return mean and mean square of a request's CPU time, µs and µs²."""
    mean = square = 0.0
    for is_new, new_share in ((1, traffic.new_share), (0, 1 - traffic.new_share)):
        for is_slow, slow_share in ((1, traffic.slow_share), (0, 1 - traffic.slow_share)):
            cost = service.request_us + is_new * service.connection_us + is_slow * service.slow_us
            mean += new_share * slow_share * cost
            square += new_share * slow_share * cost * cost
    return mean, square


def _mean_processor_wait_us(service: Service, traffic: Traffic) -> float:
    mean, square = _moments(service, traffic)
    busy = traffic.rate_per_s * mean / 1e6
    if busy >= 1:
        raise BeyondCapacityError(
            f"a processor serves {1e6 / mean:,.0f} such requests a second, and {traffic.rate_per_s:,.0f} come to it"
        )
    return traffic.rate_per_s / 1e6 * square / (2 * (1 - busy))


def _processor_waits(service: Service, traffic: Traffic, work_us: Floats, gaps: Floats) -> Floats:
    """Return each request's wait for the processor: drawn, and put right so that its mean is the exact one."""
    exact = _mean_processor_wait_us(service, traffic)
    steps = np.empty_like(work_us)
    steps[0] = 0.0
    steps[1:] = work_us[:-1] - gaps[1:] * (1e6 / traffic.rate_per_s)
    walk = np.cumsum(steps)
    waits: Floats = walk - np.minimum.accumulate(walk)
    mean = float(waits[_SETTLING:].mean())
    return waits * (exact / mean) if mean > 0 else waits


def _threads_taken(service: Service, traffic: Traffic) -> tuple[float, float, float]:
    """Return how many threads are taken on average, for how long each (µs), and its squared variation."""
    mean, square = _moments(service, traffic)
    busy_us = mean + _mean_processor_wait_us(service, traffic)
    share = traffic.slow_share
    held_us = busy_us + share * service.wait_us
    variance = square - mean * mean + share * (1 - share) * service.wait_us**2
    return traffic.rate_per_s * held_us / 1e6, held_us, variance / held_us**2


def _thread_queue(service: Service, traffic: Traffic) -> tuple[float, float]:
    """Return which share of the requests finds every thread taken, and how long those wait on average, µs."""
    if service.at_once is None or not traffic.slow_share:
        return 0.0, 0.0
    taken, held_us, variation = _threads_taken(service, traffic)
    if taken >= service.at_once:
        raise BeyondCapacityError(
            f"{service.at_once} requests can be in service at once on a processor, and {taken:,.0f} would have to be, "
            f"for {traffic.slow_share * traffic.rate_per_s:,.0f} slow requests a second; threads or workers are too few"
        )
    return erlang_c(service.at_once, taken), held_us / (service.at_once - taken) * (1 + variation) / 2


def erlang_c(servers: int, offered: float) -> float:
    """Return which share of arrivals finds all servers busy. offered: how many would be if there were enough."""
    blocked = 1.0  # Erlang B, by its recursion
    for number in range(1, servers + 1):
        blocked = offered * blocked / (number + offered * blocked)
    busy = offered / servers
    return blocked / (1 - busy * (1 - blocked))


def _thread_waits(service: Service, traffic: Traffic, drawn: _Drawn) -> Floats:
    share, mean_us = _thread_queue(service, traffic)
    return np.where(drawn.queued < share, drawn.thread_waits * mean_us, 0.0)


def _mean_us(service: Service, traffic: Traffic) -> float:
    """Return the mean with no distance."""
    mean, _ = _moments(service, traffic)
    share, queue_us = _thread_queue(service, traffic)
    waits = _mean_processor_wait_us(service, traffic) + share * queue_us + traffic.slow_share * service.wait_us
    return math.fsum((service.aside_us, mean, waits))


@cache
def _draw() -> _Drawn:
    random = np.random.default_rng(20251126)
    return _Drawn(
        gaps=random.exponential(size=_DRAWN),
        new=random.random(_DRAWN),
        slow=random.random(_DRAWN),
        queued=random.random(_DRAWN),
        thread_waits=random.exponential(size=_DRAWN),
    )
