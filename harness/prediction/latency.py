"""How long answers take, from what they cost: a queue for the processor, threads that wait, round trips.

Requests come at random moments (Poisson) and are served one after the other, each to its end, by one processor: the
queue M/G/1. So do event loops, and so in effect do Python's threads, which the interpreter lets run for 5 ms at a time
while a request takes a fraction of one. Waits are Pollaczek and Khinchine's, mean and distribution (`waits`).

Slow requests leave the processor while they wait. Where threads wait with them, all threads may be taken: a queue for
threads, M/G/T, by Erlang's formula with Allen and Cunneen's correction for times that are not exponential.

What the model does not know: garbage collection and other pauses, neighbours, loss and bandwidth of the network, what
the client computes. It says nothing of a load beyond capacity, where latency grows for as long as the load lasts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.prediction.waits import Waits, queue_waits

_PARTS, _CUTS = 8, 9  # of the span in which a percentile is looked for: to a hundred-millionth of it
_HALVINGS = 30  # of the rates among which capacity is looked for

Floats = NDArray[np.float64]


PROCESSOR, THREADS = "processor", "threads"  # that a load can be too much for


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """Requests that take the same."""

    share: float  # of all
    new: int  # 1: on a new connection
    slow: int  # 1: waits in the device
    work_us: float


@dataclass(frozen=True, slots=True)
class Latency:
    """How long answers take, from the moment at which a client has something to ask, its connection included; µs."""

    mean_us: float
    p50_us: float
    p99_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The rate that one processor can only just not serve for ever."""

    rate_per_s: float
    limit: str  # what is too little: PROCESSOR or THREADS


def capacity(service: Service, traffic: Traffic) -> Capacity:
    """Return the rate up to which there is a latency, whatever the traffic's own."""
    mean, _ = _moments(service, traffic)
    processor = 1e6 / mean
    if service.at_once is None or not traffic.slow_share:
        return Capacity(rate_per_s=processor, limit=PROCESSOR)
    low, high = 0.0, processor
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        taken, _, _ = _threads_taken(service, replace(traffic, rate_per_s=middle))
        low, high = (middle, high) if taken < service.at_once else (low, middle)
    # Near the processor's capacity requests in its queue hold the threads: the processor is what is too little.
    return Capacity(rate_per_s=low, limit=PROCESSOR if low > 0.9 * processor else THREADS)


def latency(service: Service, traffic: Traffic) -> Latency:
    """Return how long answers take. Raises BeyondCapacityError."""
    return at_distances(service, traffic, [traffic.rtt_us])[0]


def at_distances(service: Service, traffic: Traffic, rtts_us: list[float]) -> list[Latency]:
    """Return the same at several round-trip times, whatever the traffic's own. Raises BeyondCapacityError."""
    kinds = _kinds(service, traffic)
    waits = _waits(service, traffic, kinds)
    shares = np.array([kind.share for kind in kinds])
    alone_us = np.array([service.aside_us + kind.work_us + kind.slow * service.wait_us for kind in kinds])
    trips = np.array([1 + kind.new * traffic.setup_round_trips for kind in kinds])
    at_least_us = alone_us + np.outer(rtts_us, trips)  # by distance and kind: a request that waits for nobody
    percentiles_us = _percentiles(at_least_us, shares, waits, np.array([0.5, 0.99]))
    mean_us = _mean_us(service, traffic)
    mean_trips = 1 + traffic.new_share * traffic.setup_round_trips
    return [
        Latency(mean_us + mean_trips * rtt_us, float(p50_us), float(p99_us))
        for rtt_us, (p50_us, p99_us) in zip(rtts_us, percentiles_us, strict=True)
    ]


def _percentiles(at_least_us: Floats, shares: Floats, waits: Waits, wanted: Floats) -> Floats:
    """Return, by distance, the least times within which the wanted shares of the answers come.

    Each time is looked for in a span that is cut into parts, again and again.
    """
    low = np.repeat(at_least_us.min(axis=1)[:, None], len(wanted), axis=1)
    width = at_least_us.max(axis=1)[:, None] + waits.longest_us - low
    parts = np.arange(1, _PARTS + 1)
    for _ in range(_CUTS):
        width = width / _PARTS
        tried = low[..., None] + width[..., None] * parts
        is_enough = waits.up_to(tried[..., None] - at_least_us[:, None, None, :]) @ shares >= wanted[:, None]
        is_enough[..., -1] = True  # whatever rounding makes of the span's end
        low = low + is_enough.argmax(axis=-1) * width
    found: Floats = low + width
    return found


def _kinds(service: Service, traffic: Traffic) -> list[_Kind]:
    return [
        _Kind(
            share=new_share * slow_share,
            new=new,
            slow=slow,
            work_us=service.request_us + new * service.connection_us + slow * service.slow_us,
        )
        for new, new_share in ((0, 1 - traffic.new_share), (1, traffic.new_share))
        for slow, slow_share in ((0, 1 - traffic.slow_share), (1, traffic.slow_share))
        if new_share * slow_share > 0
    ]


def _waits(service: Service, traffic: Traffic, kinds: list[_Kind]) -> Waits:
    """Return how long requests wait, for the processor and for a thread. Raises BeyondCapacityError."""
    _mean_processor_wait_us(service, traffic)  # raises where there is no end to it
    taken_share, taken_us = _thread_queue(service, traffic)
    return queue_waits(
        traffic.rate_per_s,
        work_us=np.array([kind.work_us for kind in kinds]),
        shares=np.array([kind.share for kind in kinds]),
        more_share=taken_share,
        more_us=taken_us,
    )


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


def _mean_us(service: Service, traffic: Traffic) -> float:
    """Return the mean with no distance."""
    mean, _ = _moments(service, traffic)
    share, queue_us = _thread_queue(service, traffic)
    waits = _mean_processor_wait_us(service, traffic) + share * queue_us + traffic.slow_share * service.wait_us
    return math.fsum((service.aside_us, mean, waits))
