"""Time limits that cost the hot path nothing.

A gevent.Timeout for each request would be a timer started and stopped for each. Here one timer for all looks four
times within the limit at everybody who waits, and throws DeadlineError into those that have waited too long.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import gevent

from bench._errors import DeadlineError

_LOOKS_PER_LIMIT = 4


class Waiter(Protocol):
    """A greenlet that waits."""

    def throw(self, error: Exception) -> object:
        """Wake it with an exception."""


class Waiting(Protocol):
    """Something that has a deadline while somebody waits for it."""

    waiter: Waiter | None  # who waits; None: nobody, and then there is no deadline
    since_ns: int  # since when (CLOCK_MONOTONIC)
    phase: str  # and what for, as it is to be told


class Deadlines:
    """Watches over everything that is open in one process. A limit is kept to within a quarter more."""

    def __init__(self, limit_s: float) -> None:
        self._limit_ns = int(limit_s * 1e9)
        self._interval_s = limit_s / _LOOKS_PER_LIMIT
        self._open: set[Waiting] = set()
        self._timer: Any = None

    def watch(self, one: Waiting) -> None:
        """Begin to watch. The timer is made here, not earlier, because Locust forks after importing."""
        if self._timer is None:
            self._timer = gevent.get_hub().loop.timer(self._interval_s, self._interval_s, ref=False)
            self._timer.start(self._look)
        self._open.add(one)

    def forget(self, one: Waiting) -> None:
        """Stop watching; the timer goes with the last."""
        self._open.discard(one)
        if not self._open and self._timer is not None:
            self._timer.close()
            self._timer = None

    def _look(self) -> None:
        too_long_ago_ns = time.monotonic_ns() - self._limit_ns
        for one in [one for one in self._open if one.waiter is not None and one.since_ns < too_long_ago_ns]:
            if one.waiter is not None:  # whoever an earlier throw woke may have ended this one too
                one.waiter.throw(DeadlineError(one.phase))
