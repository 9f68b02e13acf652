"""Open load: when requests are due, and who takes them.

The schedule is pure: seeded, absolute, the same each time it is asked. The dispatcher hands due requests to idle users;
one that finds no idle user waits until one is, and its latency counts from when it was due. Nothing is dropped: what is
not answered at the end of the run is counted as failed (`Arrivals.settle`).

What waits is never stored. It is the next part of the schedule, which a second walk through it gives again, so that a
server that carries a hundredth of the rate costs no memory, however long it goes on.

Time comes from a timerfd, because gevent's timers are late by a millisecond, which is more than most answers take.
Knows nothing of requests, nor of Locust but how a user is told that it may go.
"""

from __future__ import annotations

import ctypes
import itertools
import logging
import math
import os
import random
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import gevent
from locust.exception import StopUser

from bench._deadlines import Waiter
from harness.recording import LONGEST_US, Histogram

POISSON: Final = "poisson"  # each regardless of the others: exponential gaps
CONSTANT: Final = "constant"  # evenly
KINDS: Final = (POISSON, CONSTANT)

READY_LIMIT_S: Final = 10.0  # for all users to be there; then those that are begin
SETTLE_S: Final = 1.0  # at the end, for what was due and is not answered

_LOOK_S: Final = 0.005  # how often is looked, at the end, whether all is answered
_READ: Final = 1  # libev's EV_READ


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When requests are due. index, workers: which of how many generators this is, each of which makes its share."""

    rate_per_s: float  # of all workers together
    kind: str
    seed: int
    index: int = 0
    workers: int = 1

    @property
    def period_ns(self) -> float:
        """Mean time between two requests of this worker."""
        return self.workers / self.rate_per_s * 1e9

    def times_ns(self) -> Iterator[int]:
        """Yield when requests are due, in ns from the start, without end; each call yields the same.

        Constant ones of several workers interleave. Poisson ones are drawn independently, which together is again a
        Poisson process, of the whole rate.
        """
        return self._evenly() if self.kind == CONSTANT else self._at_random()

    def _evenly(self) -> Iterator[int]:
        between_ns = 1e9 / self.rate_per_s
        for number in itertools.count(self.index, self.workers):
            yield round(number * between_ns)  # a product, not a sum: no error adds up

    def _at_random(self) -> Iterator[int]:
        draw = random.Random(f"{self.seed} of worker {self.index}").random  # noqa: S311 - no secret: it can be repeated
        period_ns, log = self.period_ns, math.log
        due_ns = 0.0
        while True:
            due_ns -= log(1.0 - draw()) * period_ns
            yield round(due_ns)


def begin_ns(schedule: Schedule, planned_ns: int, ready_ns: int) -> int:
    """Return when a schedule begins that was to begin together with others but became ready at another time.

    Later by whole periods, so that workers with constant arrivals still interleave.
    """
    late_ns = max(0, ready_ns - planned_ns)
    return planned_ns + round(math.ceil(late_ns / schedule.period_ns) * schedule.period_ns)


class Timer:
    """Calls back at an absolute time of CLOCK_MONOTONIC: a timerfd under gevent's loop, late by 0.03 to 0.2 ms."""

    def __init__(self) -> None:
        # os.timerfd_create came with Python 3.13. PyDLL: both calls are shorter than giving the GIL away.
        libc = ctypes.PyDLL(None, use_errno=True)
        self._set = libc.timerfd_settime
        self._set.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.POINTER(_Itimerspec), ctypes.c_void_p)
        self._fd = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "no timer to be had from the kernel (timerfd_create)")
        self._spec = _Itimerspec()
        self._pointer = ctypes.pointer(self._spec)
        self._watcher: Any = gevent.get_hub().loop.io(self._fd, _READ)

    def start(self, callback: object) -> None:
        """Call it, in the hub, whenever the time set has come."""
        self._watcher.start(callback)

    def set(self, monotonic_ns: int) -> None:
        """Set the time, in place of one set before; one that is over comes at once. Takes back a call that is due."""
        spec = self._spec
        spec.s, spec.ns = divmod(monotonic_ns, 1_000_000_000)
        if self._set(self._fd, _TFD_TIMER_ABSTIME, self._pointer, None):
            raise OSError(ctypes.get_errno(), "the kernel's timer cannot be set (timerfd_settime)")

    def close(self) -> None:
        """No call after this."""
        self._watcher.close()
        os.close(self._fd)


_TFD_TIMER_ABSTIME: Final = 1  # linux/timerfd.h


class _Itimerspec(ctypes.Structure):
    """struct itimerspec: an interval, of which we need none, and the first time."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("s", ctypes.c_long),
        ("ns", ctypes.c_long),
    )


class Arrivals:
    """Hands the requests of one process's schedule to its users, from when all of them are there until the end."""

    def __init__(self, lateness: Histogram) -> None:
        """Make one. lateness: filled with how late each request was handed out, in µs behind the schedule.

        Whether or not there was a user to take it: a generator that had no processor time shows there.
        """
        self._lateness = lateness
        self._hub: Any = gevent.get_hub()
        self._idle: deque[Any] = deque()  # greenlets, the longest idle first
        self._waiting = 0  # due, but with no user yet; then nobody is idle
        self._taken = 0
        self._finished = 0
        self._over = False  # what is answered from now on was already counted as not answered
        self._begun_ns: int | None = None
        self._ending = False
        self._timer: Timer | None = None
        self._due: Iterator[int] = iter(())  # each is due at the begin plus this
        self._next_ns: float = math.inf
        self._until_ns: float = math.inf
        self._to_take: Iterator[int] = iter(())  # the same again, as users take them
        self._wanted: tuple[Schedule, int, int | None] | None = None

    @property
    def waiting(self) -> int:
        """Requests that are due and have found no user."""
        return self._waiting

    @property
    def unanswered(self) -> int:
        """Requests that are due: waiting, or with a user that has no answer yet."""
        return self._waiting + self._taken - self._finished

    def users_there(self, user_count: int) -> int:
        """Return how many of Locust's users take part: before the first request is due, those that wait for it."""
        return user_count if self._begun_ns is not None else min(user_count, len(self._idle))

    def begin(self, schedule: Schedule, users: int, planned_ns: int | None = None) -> None:
        """Begin once so many users are there; not before planned_ns, where other workers begin then as well.

        Whoever is not there after READY_LIMIT_S comes later. A second call does nothing: new users join.
        """
        if self._wanted is None and not self._ending:
            self._wanted = schedule, users, planned_ns
            gevent.spawn_later(READY_LIMIT_S, self._begin_anyway)
            self._begin_if_all_are_there()

    def take(self) -> int:
        """Wait until a request is due and this user's turn; return when it was due. Raises StopUser at the end."""
        if self._waiting:
            self._waiting -= 1
        elif self._ending:
            raise StopUser
        else:
            me = gevent.getcurrent()
            self._idle.append(me)
            self._begin_if_all_are_there()
            try:
                self._hub.switch()
            except BaseException:  # GreenletExit and StopUser
                self._idle.remove(me)
                raise
        self._taken += 1
        return (self._begun_ns or 0) + next(self._to_take)

    def finish(self) -> bool:
        """Say that what was taken is answered or failed. False: not to be counted, `settle` has done so already."""
        self._finished += 1
        return not self._over

    def settle(self, limit_s: float = SETTLE_S) -> int:
        """Let nothing more become due, wait for what is unanswered, and let idle users go.

        Returns how many were still unanswered at the limit: they are to be counted as failed. A second call returns 0.
        """
        if self._ending:
            while not self._over:  # a signal while it was already ending
                gevent.sleep(_LOOK_S)
            return 0
        self._ending, self._until_ns = True, time.monotonic_ns()
        deadline_s = time.monotonic() + limit_s
        while (self.unanswered or self._next_ns <= self._until_ns) and time.monotonic() < deadline_s:
            gevent.sleep(_LOOK_S)
        self._over = True
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        while self._next_ns <= self._until_ns:  # was due, but there was no time even to say so
            self._next_ns = (self._begun_ns or 0) + next(self._due)
            self._waiting += 1
        for idle in self._idle:
            self._hub.loop.run_callback(self._let_go, idle)
        unanswered, self._waiting = self.unanswered, 0
        return unanswered

    def _let_go(self, idle: Waiter) -> None:
        if idle in self._idle:  # else Locust has ended it in between
            idle.throw(StopUser())

    def _begin_anyway(self) -> None:
        if self._begun_ns is None and not self._ending and self._wanted is not None:
            schedule, users, planned_ns = self._wanted
            there = f"{len(self._idle)} of {users} users are ready after {READY_LIMIT_S:g} s"
            logging.getLogger(__name__).warning("%s: requests are due from now on", there)
            self._begin(schedule, planned_ns)

    def _begin_if_all_are_there(self) -> None:
        if self._begun_ns is None and self._wanted is not None:
            schedule, users, planned_ns = self._wanted
            if len(self._idle) >= users:
                self._begin(schedule, planned_ns)

    def _begin(self, schedule: Schedule, planned_ns: int | None) -> None:
        now_ns = time.monotonic_ns()
        self._begun_ns = now_ns if planned_ns is None else begin_ns(schedule, planned_ns, now_ns)
        self._due, self._to_take = schedule.times_ns(), schedule.times_ns()
        self._next_ns = first_ns = self._begun_ns + next(self._due)
        self._timer = Timer()
        self._timer.start(self._release)
        self._timer.set(first_ns)

    def _release(self) -> None:
        """Called in the hub: hand out what is due by now. A user runs in here up to where it waits for its answer."""
        begun_ns, next_ns, due, idle = self._begun_ns or 0, int(self._next_ns), self._due, self._idle
        while (late_ns := time.monotonic_ns() - next_ns) >= 0 and next_ns <= self._until_ns:
            self._lateness.record(min(late_ns // 1000, LONGEST_US))
            next_ns = begun_ns + next(due)
            if idle:
                idle.popleft().switch()
            else:
                self._waiting += 1
        self._next_ns = next_ns
        if self._timer is not None:
            self._timer.set(next_ns)
