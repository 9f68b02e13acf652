import random
import threading
from dataclasses import dataclass

import pytest

from digest_auth import MemoryReplayStore
from digest_auth._replay import COUNT_LIMIT


@dataclass(frozen=True)
class Use:
    identity: bytes
    count: int
    issued_us: int = 1_000_000
    now_us: int = 1_000_000
    epoch: bytes = b""


class TestMemoryReplayStore:
    """Exact: each count of each nonce once, in whatever order they come."""

    def test_a_count_is_good_once(self) -> None:
        store = MemoryReplayStore()
        assert [store.use(Use(b"n", 1)), store.use(Use(b"n", 1)), store.use(Use(b"n", 2))] == [True, False, True]

    def test_nonces_do_not_share_counts(self) -> None:
        store = MemoryReplayStore()
        assert store.use(Use(b"n", 1))
        assert store.use(Use(b"m", 1))

    def test_any_order_is_right(self) -> None:
        counts = list(range(1, COUNT_LIMIT + 1))
        random.Random(7616).shuffle(counts)
        store = MemoryReplayStore()
        assert all(store.use(Use(b"n", count)) for count in counts)
        assert not any(store.use(Use(b"n", count)) for count in counts)

    def test_racing_threads_get_each_count_exactly_once(self) -> None:
        store = MemoryReplayStore()
        wins: list[int] = []
        start = threading.Barrier(4)

        def race() -> None:
            start.wait()
            wins.extend(count for count in range(1, 2001) if store.use(Use(b"n", count)))

        threads = [threading.Thread(target=race) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(wins) == list(range(1, 2001))

    def test_each_table_has_an_epoch_of_its_own(self) -> None:
        assert MemoryReplayStore().epoch != MemoryReplayStore().epoch


class TestEviction:
    """Forgetting a record must never make a used count good again."""

    def test_the_record_issued_longest_ago_goes_whatever_the_order_of_use(self) -> None:
        store = MemoryReplayStore(capacity=2)
        for identity, issued_us in ((b"new", 30), (b"old", 10), (b"mid", 20)):
            assert store.use(Use(identity, 1, issued_us))
        assert len(store) == 2
        assert not store.use(Use(b"old", 2, 10))
        assert store.use(Use(b"mid", 2, 20))
        assert store.use(Use(b"new", 2, 30))

    def test_nonces_issued_up_to_the_watermark_are_stale_and_no_others(self) -> None:
        store = MemoryReplayStore(capacity=1)
        assert store.use(Use(b"a", 1, 10))
        assert store.use(Use(b"b", 1, 20))  # forgets a
        assert not store.use(Use(b"unseen and older", 1, 5))
        assert not store.use(Use(b"as old", 1, 10))
        assert store.use(Use(b"unseen and younger", 1, 11))

    def test_a_client_that_takes_a_nonce_a_request_does_not_make_others_stale(self) -> None:
        store = MemoryReplayStore(capacity=100)
        assert store.use(Use(b"mine", 1, issued_us=1000))
        for n in range(99):
            assert store.use(Use(b"%d" % n, 1, issued_us=1001 + n))
        assert store.use(Use(b"mine", 2, issued_us=1000))

    def test_expired_records_go_and_stay_used_when_the_clock_is_set_back(self) -> None:
        store = MemoryReplayStore(lifetime_s=1.0)
        assert store.use(Use(b"a", 1, issued_us=0, now_us=0))
        assert store.use(Use(b"b", 1, issued_us=5_000_000, now_us=5_000_000))
        assert len(store) == 1
        assert not store.use(Use(b"a", 1, issued_us=0, now_us=0))

    def test_it_must_remember_something(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            MemoryReplayStore(capacity=0)
