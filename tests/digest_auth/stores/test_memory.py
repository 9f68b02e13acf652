"""What the memory store has beyond the contract: a bound that can be counted."""

import os
import tracemalloc

import pytest

from digest_auth import MemoryReplayStore
from digest_auth._replay import COUNT_LIMIT
from tests.digest_auth.stores.uses import NOW_US, Use


def use(store: MemoryReplayStore, n: int, count: int = 1, *, now_us: int = NOW_US) -> bool:
    return store.use(Use(store.epoch, n.to_bytes(16, "big"), NOW_US + n, count, now_us))


class TestBound:
    """However many nonces come, it remembers no more than its capacity, and takes no more memory."""

    def test_it_remembers_no_more_than_its_capacity(self) -> None:
        store = MemoryReplayStore(capacity=100)
        assert all(use(store, n) for n in range(1000))
        assert len(store) == 100

    @pytest.mark.parametrize(("count", "octets"), [(1, 400), (COUNT_LIMIT, 900)])
    def test_memory_does_not_grow_beyond_what_the_capacity_takes(self, count: int, octets: int) -> None:
        capacity = 1000
        store = MemoryReplayStore(capacity)
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            for n in range(20 * capacity):
                assert use(store, n, count)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert (peak - before) / capacity < octets

    def test_expired_records_go(self) -> None:
        store = MemoryReplayStore(lifetime_s=1.0)
        assert use(store, 1)
        assert use(store, 5_000_000, now_us=NOW_US + 5_000_000)
        assert len(store) == 1

    def test_it_must_remember_something(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            MemoryReplayStore(capacity=0)


class TestFork:
    """A child has a copy of the table: were its nonces its parent's, each would grant a used count once more."""

    def test_a_child_begins_anew(self) -> None:
        store = MemoryReplayStore()
        epoch = store.epoch
        child = os.fork()
        if child == 0:
            os._exit(0 if store.epoch != epoch and len(store) == 0 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert store.epoch == epoch
