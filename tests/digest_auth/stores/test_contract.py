"""What every ReplayStore keeps, whichever kind it is and by whichever door it is asked."""

import contextlib
import itertools
import random
import sys
import threading
import time

import pytest

from digest_auth._replay import COUNT_LIMIT, EPOCH_LENGTH, StoreUnavailableError
from tests.digest_auth.stores.conftest import Table
from tests.digest_auth.stores.uses import LIFETIME_S, NOW_US, Asked, Use, identity

S = 1_000_000  # µs


class TestOnce:
    """Each count of each nonce is good for one request, in whatever order they come."""

    def test_a_count_is_good_once(self, table: Table) -> None:
        store = table.open()
        assert [store.use("n", 1), store.use("n", 1), store.use("n", 2)] == [True, False, True]

    def test_nonces_do_not_share_counts(self, table: Table) -> None:
        store = table.open()
        assert store.use("n", 1)
        assert store.use("m", 1)

    def test_nonces_of_one_instant_do_not_share_counts(self, table: Table) -> None:
        store = table.open()
        names = [f"{n:03}" for n in range(256)]
        assert all(store.use(name, 7) for name in names)
        assert not any(store.use(name, 7) for name in names)

    def test_400_at_once_in_random_order_meet_no_needless_refusal(self, table: Table) -> None:
        counts = list(range(1, 401))
        random.Random(7616).shuffle(counts)
        store = table.open()
        assert sorted(store.accepted("n", counts)) == sorted(counts)
        assert store.accepted("n", counts) == []

    def test_every_count_up_to_the_limit_is_counted_by_itself(self, table: Table) -> None:
        counts = list(range(1, COUNT_LIMIT + 1))
        random.Random(2617).shuffle(counts)
        store = table.open()
        assert len(store.accepted("n", counts)) == COUNT_LIMIT
        assert store.accepted("n", counts) == []

    def test_racing_threads_get_each_count_exactly_once(self, table: Table) -> None:
        store = table.open().store
        nonces = [identity(f"{n}") for n in range(250)]  # a record that is begun twice is a race as well
        uses = [Use(store.epoch, nonce, NOW_US, count, NOW_US) for nonce in nonces for count in (1, 2)]
        won: list[Use] = []
        start = threading.Barrier(4)

        def race() -> None:
            start.wait()
            won.extend([use for use in uses if store.use(use)])

        threads = [threading.Thread(target=race) for _ in range(4)]
        before = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)  # between any two steps of a use, not every 5 ms
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(before)
        assert len(won) == len(uses)
        assert set(won) == set(uses)

    @pytest.mark.parametrize("count", [0, COUNT_LIMIT + 1, COUNT_LIMIT + 8, 2**32 - 1])
    def test_what_is_no_count_is_never_unused(self, table: Table, count: int) -> None:
        store = table.open()
        assert not store.use("n", count)
        assert store.use("n", COUNT_LIMIT)
        assert not store.use("n", count)


class TestEpoch:
    """Nonces of another table are not this one's to count: what it knows of their use may be nothing."""

    def test_each_table_has_an_epoch_of_its_own(self, table: Table) -> None:
        first = table.open()
        table.name += "-other"
        assert first.store.epoch != table.open().store.epoch
        assert len(first.store.epoch) == EPOCH_LENGTH

    def test_it_stays_while_the_table_does(self, table: Table) -> None:
        store = table.open()
        before = store.store.epoch
        assert store.use("n", 1)
        store.store.check()
        assert store.store.epoch == before

    def test_a_nonce_of_another_epoch_is_not_unused(self, table: Table) -> None:
        store = table.open()
        assert not store.use("n", 1, epoch=b"another.")
        assert store.use("n", 1)


class TestForgetting:
    """What was forgotten never counts as unused again."""

    def test_an_expired_record_stays_used_when_the_clock_is_set_back(self, table: Table) -> None:
        store = table.open()
        later = int(LIFETIME_S * S) + S
        assert store.use("old", 1)
        assert store.use("new", 1, issued_us=NOW_US + later, now_us=NOW_US + later)
        assert not store.use("old", 1)

    def test_the_record_issued_longest_ago_goes_whatever_the_order_of_use(self, bounded_table: Table) -> None:
        store = bounded_table.open()
        order = list(range(32))
        random.Random(7616).shuffle(order)
        assert all(store.use(f"{n:02}", 1, issued_us=NOW_US + n) for n in order)
        assert store.use("new", 1, issued_us=NOW_US + 32)
        assert not store.use("00", 1, issued_us=NOW_US)
        assert not store.use("00", 2, issued_us=NOW_US)
        assert all(store.use(f"{n:02}", 2, issued_us=NOW_US + n) for n in range(1, 32))

    def test_nonces_issued_up_to_what_was_forgotten_are_stale_and_no_others(self, bounded_table: Table) -> None:
        store = bounded_table.open()
        assert all(store.use(f"{n:02}", 1, issued_us=NOW_US + 10 * n) for n in range(33))  # forgets 00
        assert not store.use("unseen and older", 1, issued_us=NOW_US - 1)
        assert not store.use("unseen, as old", 1, issued_us=NOW_US)
        assert store.use("unseen, younger", 1, issued_us=NOW_US + 1)

    def test_a_nonce_older_than_all_that_are_remembered_is_good_once(self, bounded_table: Table) -> None:
        store = bounded_table.open()
        assert all(store.use(f"{n:02}", 1, issued_us=NOW_US + n) for n in range(32))
        assert store.use("waited", 1, issued_us=NOW_US - 1)
        assert not store.use("waited", 1, issued_us=NOW_US - 1)

    def test_a_client_that_takes_a_nonce_a_request_makes_nobody_elses_stale(self, table: Table) -> None:
        store = table.open()
        assert store.use("mine", 1)
        assert all(store.use(f"busy {n}", 1, issued_us=NOW_US + 1 + n) for n in range(table.capacity // 4))
        assert store.use("mine", 2)

    def test_whatever_is_forgotten_nothing_is_unused_twice(self, bounded_table: Table) -> None:
        random_numbers = random.Random(7616)
        store = bounded_table.open()
        seen = set()
        for step in range(2000):
            n, count = random_numbers.randrange(max(0, step // 20 - 30), step // 20 + 2), random_numbers.randint(1, 4)
            if store.use(f"{n}", count, issued_us=NOW_US + n % 37 + n, now_us=NOW_US + step):
                assert (n, count) not in seen
                seen.add((n, count))
        assert len(seen) > 100


class TestClockSetBack:
    """A clock that is set back far makes nonces stale once, not until it has caught up."""

    def test_nonces_issued_after_it_are_good(self, bounded_table: Table) -> None:
        store = bounded_table.open()
        assert all(store.use(f"{n:02}", 1, issued_us=NOW_US + n) for n in range(40))
        before, hour_ago = store.store.epoch, NOW_US - 3600 * S
        _until_another_epoch(store, Use(before, identity("stale once"), hour_ago, 1, hour_ago))
        assert store.store.epoch != before
        assert store.use("good", 1, issued_us=hour_ago, now_us=hour_ago)
        assert not store.use("00", 1, epoch=before)


class TestSharing:
    """All servers that open a table of one name see one table; it outlives them."""

    def test_they_have_one_epoch(self, shared_table: Table) -> None:
        assert shared_table.open().store.epoch == shared_table.open().store.epoch

    def test_what_one_marked_is_used_for_the_others(self, shared_table: Table) -> None:
        one, other = shared_table.open(), shared_table.open()
        assert one.use("n", 1)
        assert not other.use("n", 1)
        assert other.use("n", 2)
        assert not one.use("n", 2)

    def test_racing_processes_get_each_count_exactly_once(self, shared_table: Table) -> None:
        counts = list(range(1, 801))
        racers = [shared_table.start_racer("n", counts) for _ in range(4)]
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("\n")
            racer.stdin.flush()
        won = [[int(line) for line in racer.communicate()[0].split()] for racer in racers]
        assert sorted(itertools.chain.from_iterable(won)) == counts

    def test_what_was_used_stays_used_when_all_servers_have_ended(self, shared_table: Table) -> None:
        store = shared_table.open()
        epoch = store.store.epoch
        assert store.use("n", 1)
        store.store.close()
        restarted = shared_table.open()
        assert not restarted.use("n", 1, epoch=epoch)

    def test_what_was_used_stays_used_when_a_server_is_killed(self, shared_table: Table) -> None:
        store = shared_table.open()
        racer = shared_table.start_racer("n", range(1, COUNT_LIMIT + 1))
        assert racer.stdin is not None
        assert racer.stdout is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
        seen = [int(racer.stdout.readline()) for _ in range(100)]
        racer.kill()
        seen += [int(line) for line in racer.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]
        assert store.accepted("n", seen) == []
        assert store.accepted("n", [COUNT_LIMIT]) == [COUNT_LIMIT] or COUNT_LIMIT in seen


class TestLosingTheTable:
    """A table that is lost under a running server is replaced by another; what the old one counted is too old."""

    def test_no_used_count_comes_back_and_clients_go_on_by_themselves(self, losable_table: Table) -> None:
        store = losable_table.open()
        before = store.store.epoch
        used = Use(before, identity("n"), NOW_US, 1, NOW_US)
        assert store.ask(used)
        losable_table.lose()
        _until_another_epoch(store, used)
        assert store.use("n", 1)
        assert not store.ask(used)
        store.store.check()

    def test_servers_that_noticed_agree(self, losable_table: Table) -> None:
        one, other = losable_table.open(), losable_table.open()
        used = Use(one.store.epoch, identity("n"), NOW_US, 1, NOW_US)
        assert one.ask(used)
        losable_table.lose()
        _until_another_epoch(one, used)
        _until_another_epoch(other, used)
        assert one.store.epoch == other.store.epoch
        assert one.use("n", 1)
        assert not other.use("n", 1)


class TestEnds:
    """Health is asked by check(); close() lets go, and a second time does no harm."""

    def test_a_store_that_works_passes_its_check(self, table: Table) -> None:
        table.open().store.check()

    def test_closing_twice_does_no_harm(self, table: Table) -> None:
        store = table.open().store
        store.close()
        store.close()

    def test_closing_one_leaves_another_at_work(self, table: Table) -> None:
        one, other = table.open(), table.open()
        assert other.use("n", 1)
        one.store.close()
        assert not other.use("n", 1)
        assert other.use("n", 2)


def _until_another_epoch(asked: Asked, used: Use) -> None:
    """Ask until the store is another table's, which it may take a second to notice; `used` is never unused then."""
    deadline = time.monotonic() + 10
    while asked.store.epoch == used.epoch:
        with contextlib.suppress(StoreUnavailableError):  # down for a while is no answer either
            assert not asked.ask(used)
        if time.monotonic() > deadline:
            pytest.fail("the store kept the epoch of a table that is gone")
