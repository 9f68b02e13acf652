"""An open load made by several workers: who makes which share, and from when."""

from __future__ import annotations

import time
from dataclasses import asdict

import pytest
from locust.rpc import Message
from locust.runners import WorkerNode

from bench._arrivals import CONSTANT, Arrivals, Schedule
from bench._options import OptionError
from bench._shares import MESSAGE, Share, begin, divide, say_that_shares_stay
from harness.recording import Histogram

SCHEDULE = Schedule(rate_per_s=100, kind=CONSTANT, seed=1)


def worker(name: str, users: int) -> WorkerNode:
    node = WorkerNode(name)
    node.user_classes_count = {"KeepAliveUser": users}
    return node


class TestDivide:
    """Each worker that has users is one of them, all begin at the same time."""

    def test_shares(self) -> None:
        shares = divide([worker("b", 3), worker("a", 2), worker("c", 0)], 5, now_s=1000.0)
        assert {name: (share.index, share.workers) for name, share in shares.items()} == {"a": (0, 2), "b": (1, 2)}
        (begin_s,) = {share.begin_s for share in shares.values()}
        assert begin_s > 1000.0

    def test_nobody_knows(self) -> None:
        with pytest.raises(OptionError, match="4 of 5 users were reported"):
            divide([worker("a", 4), worker("b", 0)], 5, now_s=1000.0)

    def test_another_worker_later(self, caplog: pytest.LogCaptureFixture) -> None:
        shares = divide([worker("a", 5)], 5, now_s=1000.0)
        say_that_shares_stay(shares, [worker("a", 6)])
        assert caplog.text == ""
        say_that_shares_stay(shares, [worker("a", 3), worker("b", 3)])
        assert "still made by those workers that began with it: 1" in caplog.text


class TestBegin:
    """A worker begins when it was told to, unless its clock is another one."""

    @pytest.mark.parametrize("off_s", [-60, 60])
    def test_clocks_that_differ(self, off_s: float) -> None:
        share = Share(index=0, workers=2, begin_s=time.time() + off_s)
        with pytest.raises(OptionError, match="clocks of master and worker differ"):
            begin(Message(MESSAGE, asdict(share), None), SCHEDULE, Arrivals(Histogram()), users=1)

    def test_share_is_its_own(self) -> None:
        given: list[tuple[Schedule, int, int | None]] = []

        class Taking(Arrivals):
            def begin(self, schedule: Schedule, users: int, planned_ns: int | None = None) -> None:
                given.append((schedule, users, planned_ns))

        share = Share(index=1, workers=3, begin_s=time.time() + 0.3)
        before_ns = time.monotonic_ns()
        begin(Message(MESSAGE, asdict(share), None), SCHEDULE, Taking(Histogram()), users=4)
        ((schedule, users, planned_ns),) = given
        assert (schedule.index, schedule.workers, schedule.rate_per_s, users) == (1, 3, 100, 4)
        assert planned_ns is not None
        assert before_ns < planned_ns < time.monotonic_ns() + 400_000_000
