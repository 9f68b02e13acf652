"""The distribution of the waits, against formulas and against Lindley's recursion over drawn requests."""

from __future__ import annotations

import numpy as np
import pytest

from harness.prediction.waits import queue_waits


def drawn_waits(rate_per_s: float, work_us: list[float], shares: list[float]) -> np.ndarray:
    """Let half a million requests come at random moments and wait in turn."""
    random = np.random.default_rng(7)
    work = random.choice(work_us, size=500_000, p=shares)
    steps = np.zeros_like(work)
    steps[1:] = work[:-1] - random.exponential(1e6 / rate_per_s, size=len(work) - 1)
    walk = np.cumsum(steps)
    return (walk - np.minimum.accumulate(walk))[1000:]


@pytest.mark.parametrize(
    ("busy", "work_us", "shares"),
    [
        (0.3, [500.0], [1.0]),
        (0.8, [500.0], [1.0]),
        (0.5, [200.0, 5000.0], [0.98, 0.02]),  # now and then a handshake with RSA-4096
        (0.7, [200.0, 600.0, 900.0], [0.6, 0.3, 0.1]),
    ],
)
def test_as_many_wait_so_long_as_do_when_drawn(busy: float, work_us: list[float], shares: list[float]) -> None:
    rate = busy * 1e6 / float(np.dot(work_us, shares))
    drawn = drawn_waits(rate, work_us, shares)
    waits = queue_waits(rate, work_us=np.array(work_us), shares=np.array(shares))
    times = np.array([0.0, 100.0, 300.0, 1000.0, 3000.0, 8000.0])
    assert waits.up_to(times) == pytest.approx([(drawn <= time + 1e-6).mean() for time in times], abs=0.01)


def test_nobody_waits_less_than_nothing() -> None:
    waits = queue_waits(1000.0, work_us=np.array([500.0]), shares=np.array([1.0]))
    assert waits.up_to(np.array([-1.0, 0.0, 1e9])) == pytest.approx([0.0, 0.5, 1.0])


def test_the_second_wait_is_exponential_for_those_who_have_it() -> None:
    """On an idle processor nothing but it is left, also far behind the last knot."""
    waits = queue_waits(0.01, work_us=np.array([100.0]), shares=np.array([1.0]), more_share=0.2, more_us=50_000.0)
    times = np.array([0.0, 10_000.0, 50_000.0, 200_000.0])
    assert waits.up_to(times) == pytest.approx(1 - 0.2 * np.exp(-times / 50_000.0), abs=1e-3)


def test_both_waits_add_up() -> None:
    random = np.random.default_rng(9)
    drawn = drawn_waits(1200.0, [500.0], [1.0])
    second = np.where(random.random(len(drawn)) < 0.3, random.exponential(800.0, len(drawn)), 0.0)
    waits = queue_waits(1200.0, work_us=np.array([500.0]), shares=np.array([1.0]), more_share=0.3, more_us=800.0)
    times = np.array([100.0, 500.0, 1500.0, 4000.0])
    assert waits.up_to(times) == pytest.approx([(drawn + second <= time).mean() for time in times], abs=0.01)
