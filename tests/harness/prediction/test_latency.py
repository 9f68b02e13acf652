"""The queue behind the latencies, against formulas and a simulation of its own; and where there is no latency."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import replace

import numpy as np
import pytest

from harness.prediction.latency import BeyondCapacityError, Service, Traffic, at_distances, erlang_c, latency

PLAIN = Service(request_us=500.0, connection_us=0.0, slow_us=0.0, aside_us=0.0, wait_us=100_000.0, at_once=None)
HALF = Traffic(rate_per_s=1000.0, new_share=0.0, slow_share=0.0, rtt_us=0.0, setup_round_trips=2)


def test_nobody_waits_where_nobody_comes() -> None:
    found = latency(replace(PLAIN, aside_us=80.0), replace(HALF, rate_per_s=0.01))
    assert (found.mean_us, found.p50_us, found.p99_us) == pytest.approx((580.0, 580.0, 580.0), rel=0.01)


@pytest.mark.parametrize("busy", [0.1, 0.5, 0.8])
def test_mean_of_equal_requests_is_m_d_1(busy: float) -> None:
    found = latency(PLAIN, replace(HALF, rate_per_s=busy / 500e-6))
    assert found.mean_us == pytest.approx(500 * (1 + busy / (2 * (1 - busy))))


def test_percentiles_of_m_d_1() -> None:
    """At half load 95.1 % of M/D/1's waits are under 2 service times; erlang's formula gives the distribution.

    P(W = 0) is 1 - 0.5. P(W <= t) for t below one service time is (1 - busy) e^(busy t), so half wait for nothing, and
    the median of the latency is the service itself.
    """
    found = latency(PLAIN, HALF)
    assert found.p50_us == pytest.approx(500.0, rel=0.01)
    # P(W <= t) = (1 - a) sum over i up to t of (a (i - t))^i e^(a (t - i)) / i!, in service times (Erlang 1909).
    times = np.linspace(0, 6, 6001)
    a = 0.5
    below = [
        (1 - a)
        * sum((a * (i - t)) ** i * np.exp(a * (t - i)) / float(np.prod(range(1, i + 1))) for i in range(int(t) + 1))
        for t in times
    ]
    p99_wait = float(times[np.searchsorted(below, 0.99)]) * 500
    assert found.p99_us == pytest.approx(500 + p99_wait, rel=0.05)


def test_new_connections_pay_round_trips_and_cpu() -> None:
    service = replace(PLAIN, connection_us=1000.0)
    few = replace(HALF, rate_per_s=1.0, new_share=0.1, rtt_us=20_000.0)
    found = latency(service, few)
    assert found.p50_us == pytest.approx(20_500, rel=0.01)  # nine of ten come on an open connection
    assert found.p99_us == pytest.approx(61_500, rel=0.01)
    assert found.mean_us == pytest.approx(0.9 * 20_500 + 0.1 * 61_500, rel=0.01)


def test_distances_are_the_same_load_further_away() -> None:
    near, far = at_distances(PLAIN, HALF, [0.0, 50_000.0])
    assert far.mean_us - near.mean_us == pytest.approx(50_000)
    assert far.p99_us - near.p99_us == pytest.approx(50_000)


def test_slow_requests_wait_and_hold_no_processor() -> None:
    found = latency(PLAIN, replace(HALF, slow_share=0.1))
    assert found.mean_us == pytest.approx(latency(PLAIN, HALF).mean_us + 10_000)
    assert found.p50_us < 1000
    assert found.p99_us > 100_000


class TestThreads:
    """Slow requests hold a thread each while they wait."""

    def test_erlang_c(self) -> None:
        assert erlang_c(1, 0.6) == pytest.approx(0.6)  # one server: the share of time that it is busy
        assert erlang_c(2, 1.0) == pytest.approx(1 / 3)
        assert erlang_c(16, 0.1) < 1e-12

    @pytest.mark.parametrize("slow_per_s", [100.0, 130.0])
    def test_waits_for_threads_as_a_simulation_does(self, slow_per_s: float) -> None:
        threads, share = 16, 0.5
        service = replace(PLAIN, request_us=50.0, at_once=threads)
        found = latency(service, replace(HALF, rate_per_s=slow_per_s / share, slow_share=share))
        random = np.random.default_rng(3)
        arrivals = np.cumsum(random.exponential(share / slow_per_s, 200_000))
        held = np.where(random.random(200_000) < share, 0.1, 0.0) + 50e-6
        free = [0.0] * threads
        waited = 0.0
        for arrived, holds in zip(arrivals, held, strict=True):
            start = max(arrived, free[0])
            heapq.heapreplace(free, start + holds)
            waited += start - arrived
        simulated_us = 1e6 * (waited / len(held) + float(held.mean()))
        assert found.mean_us == pytest.approx(simulated_us, rel=0.15)

    def test_enough_threads_are_as_good_as_no_bound(self) -> None:
        traffic = replace(HALF, slow_share=0.01)
        assert latency(replace(PLAIN, at_once=200), traffic).p99_us == pytest.approx(latency(PLAIN, traffic).p99_us)


class TestBeyondCapacity:
    def test_processor(self) -> None:
        with pytest.raises(
            BeyondCapacityError, match="a processor serves 2,000 such requests a second, and 2,500 come"
        ):
            latency(PLAIN, replace(HALF, rate_per_s=2500.0))

    def test_threads(self) -> None:
        with pytest.raises(BeyondCapacityError, match="16 requests can be in service at once"):
            latency(replace(PLAIN, at_once=16), replace(HALF, slow_share=0.2))

    def test_latency_grows_up_to_there(self) -> None:
        found = [latency(PLAIN, replace(HALF, rate_per_s=rate)).p99_us for rate in (100, 500, 1000, 1500, 1900)]
        assert all(one < other for one, other in itertools.pairwise(found))
