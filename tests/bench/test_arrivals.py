"""An open load: when requests are due, who takes them, how late they are handed out, and that none is lost."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import replace

import gevent
import numpy as np
import pytest
from locust.exception import StopUser
from scipy import stats

from bench._arrivals import CONSTANT, POISSON, Arrivals, Schedule, Timer, begin_ns
from bench._client import Client
from bench._deadlines import Deadlines
from bench._tally import Tally
from bench._target import find_target
from harness.recording import Histogram, bin_of
from tests.bench.conftest import Authority
from tests.bench.peers import ANSWER, PASSWORD, USER, Peer, ScriptedServer, answering, refused_port

POISSON_1000 = Schedule(rate_per_s=1000, kind=POISSON, seed=1)
CONSTANT_1000 = Schedule(rate_per_s=1000, kind=CONSTANT, seed=1)


def first(count: int, schedule: Schedule) -> list[int]:
    return list(itertools.islice(schedule.times_ns(), count))


class TestConstant:
    """At every whole multiple of the period, whatever the seed."""

    def test_times(self) -> None:
        assert first(4, CONSTANT_1000) == first(4, replace(CONSTANT_1000, seed=2)) == [0, 10**6, 2 * 10**6, 3 * 10**6]

    def test_no_error_adds_up(self) -> None:
        """A third of a nanosecond each time would be 0.33 ms late after a million."""
        times = first(1_000_001, replace(CONSTANT_1000, rate_per_s=3e6))
        assert times[-1] == pytest.approx(1e9 / 3, abs=1)

    def test_workers_interleave(self) -> None:
        shares = [first(5, replace(CONSTANT_1000, index=index, workers=3)) for index in range(3)]
        assert sorted(itertools.chain(*shares)) == first(15, CONSTANT_1000)


class TestPoisson:
    """Exponential gaps, each regardless of the others."""

    def test_same_seed_same_times(self) -> None:
        assert first(1000, POISSON_1000) == first(1000, POISSON_1000)
        assert first(1000, POISSON_1000) != first(1000, replace(POISSON_1000, seed=2))

    def test_rate(self) -> None:
        """Of n gaps the mean is off by 1/sqrt(n) of itself, as standard error."""
        assert first(100_000, POISSON_1000)[-1] / 1e9 == pytest.approx(100, rel=4 / np.sqrt(100_000))

    def test_gaps_are_exponential(self) -> None:
        gaps_s = np.diff(first(20_000, POISSON_1000)) / 1e9
        assert stats.kstest(gaps_s, "expon", args=(0, 0.001)).pvalue > 0.01

    def test_gaps_are_independent(self) -> None:
        gaps = np.diff(first(20_000, POISSON_1000))
        assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 4 / np.sqrt(20_000)

    def test_workers_together_are_one_poisson_process_of_the_whole_rate(self) -> None:
        shares = [first(10_000, replace(POISSON_1000, index=index, workers=3)) for index in range(3)]
        assert len(set(itertools.chain(*shares))) > 29_900
        together = sorted(itertools.chain(*shares))[:20_000]
        assert stats.kstest(np.diff(together) / 1e9, "expon", args=(0, 0.001)).pvalue > 0.01


@pytest.mark.parametrize(("ready_ns", "begins_ns"), [(-5, 100), (100, 100), (101, 200), (200, 200), (250, 300)])
def test_who_is_late_begins_whole_periods_later(ready_ns: int, begins_ns: int) -> None:
    every_100_ns = replace(CONSTANT_1000, rate_per_s=2e7, workers=2)
    assert begin_ns(every_100_ns, 100, ready_ns) == begins_ns


class TestTimer:
    """Never early, and again and again."""

    def test_not_early(self) -> None:
        timer, seen = Timer(), list[int]()
        wanted = [time.monotonic_ns() + number * 1_000_000 for number in range(1, 6)]

        def due() -> None:
            seen.append(time.monotonic_ns())
            timer.set(wanted[len(seen)] if len(seen) < len(wanted) else 2**62)

        timer.start(due)
        timer.set(wanted[0])
        await_that(lambda: len(seen) == len(wanted))
        timer.close()
        assert all(was >= set_to for was, set_to in zip(seen, wanted, strict=True))

    def test_what_is_over_comes_at_once(self) -> None:
        timer, seen = Timer(), list[int]()

        def due() -> None:
            seen.append(1)
            timer.set(2**62)

        timer.start(due)
        timer.set(1)
        await_that(lambda: seen)
        timer.close()


def await_that(condition: Callable[[], object], limit_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s
        gevent.sleep(0.002)


class Pool:
    """Users that take what is due and hold each for some time."""

    def __init__(self, users: int, hold_s: float = 0.0) -> None:
        self.lateness = Histogram()
        self.arrivals = Arrivals(self.lateness)
        self.due_ns: list[int] = []
        self.by_user: Counter[int] = Counter()
        self.counted = 0
        self._hold_s = hold_s
        self.users = [gevent.spawn(self._use, number) for number in range(users)]

    def _use(self, number: int) -> None:
        try:
            while True:
                self.due_ns.append(self.arrivals.take())
                self.by_user[number] += 1
                gevent.sleep(self._hold_s)
                self.counted += self.arrivals.finish()
        except StopUser:
            pass


class TestArrivals:
    """Users take what is due, in order, as it is due; the rest waits, and is accounted for at the end."""

    def test_every_request_once_and_in_order(self) -> None:
        pool = Pool(3)
        pool.arrivals.begin(POISSON_1000, users=3)
        await_that(lambda: len(pool.due_ns) > 100)
        assert pool.arrivals.settle() == 0
        offsets = first(len(pool.due_ns), POISSON_1000)
        assert [due_ns - pool.due_ns[0] for due_ns in pool.due_ns] == [offset - offsets[0] for offset in offsets]
        assert pool.counted == len(pool.due_ns) == len(pool.lateness)

    def test_in_turn(self) -> None:
        pool = Pool(4)
        pool.arrivals.begin(replace(CONSTANT_1000, rate_per_s=200), users=4)
        await_that(lambda: len(pool.due_ns) > 40)
        pool.arrivals.settle()
        assert set(pool.by_user) == {0, 1, 2, 3}
        assert min(pool.by_user.values()) > 0

    def test_nothing_is_due_before_all_are_there(self) -> None:
        pool = Pool(2)
        pool.arrivals.begin(CONSTANT_1000, users=3)
        await_that(lambda: pool.arrivals.users_there(3) == 2)
        gevent.sleep(0.02)
        assert (pool.due_ns, pool.arrivals.waiting, len(pool.lateness)) == ([], 0, 0)
        third = gevent.spawn(pool._use, 2)
        await_that(lambda: len(pool.due_ns) > 5)
        assert pool.arrivals.users_there(3) == 3
        pool.arrivals.settle()
        third.join(5)

    def test_begins_without_those_that_never_come(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("bench._arrivals.READY_LIMIT_S", 0.02)
        pool = Pool(1)
        pool.arrivals.begin(CONSTANT_1000, users=2)
        await_that(lambda: pool.due_ns)
        pool.arrivals.settle()
        assert "1 of 2 users are ready" in caplog.text

    def test_together_with_others(self) -> None:
        """A worker's first request is due when its master said, plus its phase."""
        pool = Pool(1)
        planned_ns = time.monotonic_ns() + 20_000_000
        pool.arrivals.begin(replace(CONSTANT_1000, index=1, workers=2), users=1, planned_ns=planned_ns)
        await_that(lambda: pool.due_ns)
        pool.arrivals.settle()
        assert (pool.due_ns[0] - planned_ns) % 2_000_000 == 1_000_000  # later by whole periods on a busy machine

    def test_backlog_is_taken_in_order_and_not_stored(self) -> None:
        pool = Pool(1, hold_s=0.01)
        pool.arrivals.begin(replace(CONSTANT_1000, rate_per_s=100_000), users=1)
        await_that(lambda: pool.arrivals.waiting > 10_000)
        taken = len(pool.due_ns)
        unanswered = pool.arrivals.settle(0)
        assert [due_ns - pool.due_ns[0] for due_ns in pool.due_ns] == [10_000 * number for number in range(taken)]
        due_by_the_end = (int(pool.arrivals._until_ns) - pool.due_ns[0]) // 10_000 + 1
        assert unanswered + pool.counted == due_by_the_end
        assert not any(
            isinstance(held, list | dict | deque) and len(held) > 100 for held in vars(pool.arrivals).values()
        )
        await_that(lambda: all(user.dead for user in pool.users))

    def test_what_is_in_flight_at_the_end_is_waited_for(self) -> None:
        pool = Pool(50, hold_s=0.05)
        pool.arrivals.begin(CONSTANT_1000, users=50)
        await_that(lambda: len(pool.due_ns) > 20)
        assert pool.arrivals.unanswered > 0
        assert pool.arrivals.settle(10) == 0
        assert pool.counted == len(pool.due_ns)

    def test_what_is_answered_after_the_end_is_not_counted_twice(self) -> None:
        pool = Pool(5, hold_s=0.2)
        pool.arrivals.begin(CONSTANT_1000, users=5)
        await_that(lambda: len(pool.due_ns) == 5)
        unanswered = pool.arrivals.settle(0)
        gevent.joinall(pool.users, timeout=5)
        assert all(user.dead for user in pool.users)
        assert unanswered >= 5
        assert pool.counted == 0

    def test_idle_users_may_go_at_the_end(self) -> None:
        pool = Pool(3)
        await_that(lambda: pool.arrivals.users_there(3) == 3)
        assert pool.arrivals.settle() == 0
        gevent.joinall(pool.users, timeout=5)
        assert all(user.dead and user.exception is None for user in pool.users)

    def test_a_user_that_is_ended_while_idle_is_given_nothing(self) -> None:
        pool = Pool(2)
        await_that(lambda: pool.arrivals.users_there(2) == 2)
        pool.users[0].kill()
        pool.arrivals.begin(CONSTANT_1000, users=1)
        await_that(lambda: len(pool.due_ns) > 5)
        assert pool.arrivals.settle() == 0
        assert set(pool.by_user) == {1}

    def test_a_second_end_waits_for_the_first(self) -> None:
        pool = Pool(1, hold_s=0.1)
        pool.arrivals.begin(CONSTANT_1000, users=1)
        await_that(lambda: pool.due_ns)
        ends = [gevent.spawn(pool.arrivals.settle, 0.05) for _ in range(2)]
        gevent.joinall(ends, timeout=5)
        assert [end.value > 0 for end in ends] == [True, False]

    def test_lateness_shows_a_generator_that_stood_still(self) -> None:
        pool = Pool(2)
        pool.arrivals.begin(CONSTANT_1000, users=2)
        await_that(lambda: len(pool.due_ns) > 5)
        pool.lateness.drain()
        time.sleep(0.1)  # the whole process, as if it had no processor
        await_that(lambda: len(pool.lateness) >= 50)
        pool.arrivals.settle()
        late = sum(count for number, count in pool.lateness.sparse().items() if number > bin_of(2000))
        assert late >= 90


class Load:
    """Clients under an open load of one server."""

    def __init__(self, url: str, authority: Authority, users: int) -> None:
        self.tally = Tally()
        self.arrivals = Arrivals(self.tally.lateness)
        self._deadlines = Deadlines(5.0)
        self._authority, self._url = authority, url
        self.users = [gevent.spawn(self._use) for _ in range(users)]

    def _use(self) -> None:
        target = find_target(self._url, self._authority.ca_file)
        client = Client(target, (USER, PASSWORD), self.tally, self._deadlines, arrivals=self.arrivals)
        request = client.prepare("state", "GET", "/state")
        client.warm_up(request)
        try:
            while True:
                client.perform(request)
        except StopUser:
            client.close()

    def run(self, schedule: Schedule, seconds: float) -> int:
        """Returns how many were unanswered."""
        self.tally.take()
        self.arrivals.begin(schedule, users=len(self.users))
        await_that(lambda: self.arrivals.users_there(len(self.users)) == len(self.users))
        gevent.sleep(seconds)
        unanswered = self.arrivals.settle(5)
        gevent.joinall(self.users, timeout=5)
        return unanswered


@pytest.fixture
def stalling() -> Iterator[tuple[ScriptedServer, threading.Event]]:
    """Answers only while the event is set."""
    goes_on = threading.Event()
    goes_on.set()

    def script(peer: Peer) -> None:
        while True:
            peer.request()
            assert goes_on.wait(10)
            peer.send(ANSWER)

    with ScriptedServer(script) as server:
        yield server, goes_on


class TestClient:
    """A latency runs from when its request was due, whatever kept it from being sent."""

    def test_a_stall_shows_in_all_that_were_due_meanwhile(
        self, stalling: tuple[ScriptedServer, threading.Event], authority: Authority
    ) -> None:
        """A closed loop would have 4 slow requests, one a client; due are 100 a second."""
        server, goes_on = stalling
        load = Load(server.url, authority, users=4)

        def stall() -> None:
            gevent.sleep(0.1)
            goes_on.clear()
            gevent.sleep(0.5)
            goes_on.set()

        gevent.spawn(stall)
        assert load.run(replace(CONSTANT_1000, rate_per_s=100), 0.8) == 0
        (row,) = load.tally.take().rows
        slow = sum(count for number, count in row.latency_us.items() if number > bin_of(100_000))
        assert row.failed == 0
        assert slow >= 30  # 50 were due in the stall, the last 10 of them less than 100 ms before its end
        assert slow < row.answered

    def test_a_server_slower_than_the_rate_has_latencies_that_grow(self, authority: Authority) -> None:
        pause = threading.Event()

        def slow(peer: Peer) -> None:
            while True:
                peer.request()
                pause.wait(0.01)
                peer.send(ANSWER)

        with ScriptedServer(slow) as server:
            load = Load(server.url, authority, users=1)
            load.arrivals.begin(CONSTANT_1000, users=1)
            await_that(lambda: load.arrivals.waiting > 200)
            before = load.tally.take()
            await_that(lambda: load.arrivals.waiting > 400)
            after = load.tally.take()
            unanswered = load.arrivals.settle(0)
            gevent.joinall(load.users, timeout=5)
        assert max(before.rows[0].latency_us) < max(after.rows[0].latency_us)
        assert unanswered >= 400

    def test_failures_are_due_requests_too(self, authority: Authority) -> None:
        """A server that is gone: each request that is due fails, without a pause that would keep the next waiting."""
        with refused_port() as port:
            load = Load(f"http://127.0.0.1:{port}", authority, users=2)
            assert load.run(replace(CONSTANT_1000, rate_per_s=200), 0.5) == 0
        counts = load.tally.take()
        (row,) = counts.rows
        warm_ups = 2
        assert row.failed - warm_ups == sum(counts.lateness_us.values()) > 50

    def test_what_fails_at_once_leaves_others_their_turn(self, authority: Authority) -> None:
        """A backlog of refusals, each of which needs no waiting."""
        turns: list[int] = []

        def other() -> None:
            while True:
                turns.append(1)
                gevent.sleep(0)

        with refused_port() as port:
            load = Load(f"http://127.0.0.1:{port}", authority, users=1)
            load.arrivals.begin(replace(CONSTANT_1000, rate_per_s=50_000), users=1)
            await_that(lambda: load.arrivals.waiting > 1000)
            turns.clear()
            another = gevent.spawn(other)
            await_that(lambda: len(turns) > 10)
            another.kill()
            load.arrivals.settle(0)
            gevent.joinall(load.users, timeout=5)

    @pytest.mark.parametrize("way", ["perform", "perform_anew", "perform_resumed", "perform_reconnecting"])
    def test_every_way_of_asking(self, way: str, authority: Authority) -> None:
        """One request each time it is due, connections and all: nothing is due before, nothing sent twice."""
        with ScriptedServer(answering(ANSWER), context=authority.context) as server:
            tally = Tally()
            arrivals = Arrivals(tally.lateness)
            target = find_target(server.url, authority.ca_file)
            client = Client(target, (USER, PASSWORD), tally, Deadlines(5.0), arrivals=arrivals)
            request = client.prepare("state", "GET", "/state")

            def use() -> None:
                try:
                    while True:
                        getattr(client, way)(request)
                except StopUser:
                    client.close()

            user = gevent.spawn(use)
            arrivals.begin(replace(CONSTANT_1000, rate_per_s=50), users=1)
            gevent.sleep(0.3)
            unanswered = arrivals.settle(5)
            user.join(5)
        counts = tally.take()
        answered = sum(row.answered for row in counts.rows)
        failed = sum(row.failed for row in counts.rows)
        assert unanswered == 0
        assert 0 < answered + failed == sum(counts.lateness_us.values())
        assert failed == 0 or way == "perform_resumed"  # a server of one connection each resumes none


def test_the_timer_is_closed() -> None:
    """Many runs from the web UI leave no file open."""
    with socket.socket() as sock:
        lowest = sock.fileno()
    for _ in range(3):
        pool = Pool(1)
        pool.arrivals.begin(CONSTANT_1000, users=1)
        await_that(lambda pool=pool: pool.due_ns)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        pool.arrivals.settle()
        gevent.joinall(pool.users, timeout=5)
    with socket.socket() as sock:
        assert sock.fileno() == lowest
