"""The kinds of replay store that the contract of this folder holds for: a new one is a line in STORES."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import redis

from digest_auth import MemoryReplayStore, ReplayStore
from digest_auth._replay_shm import ShmReplayStore
from digest_auth.redis import RedisReplayStore
from tests.digest_auth.redis_server import running_redis


class Open(Protocol):
    """Opens the table of a name, made if it is not there. A kind that is not bounded ignores the capacity."""

    def __call__(self, where: str, table: str, *, capacity: int, lifetime_s: float) -> ReplayStore: ...


@dataclass(frozen=True)
class Kind:
    """What the contract must know of a kind of store.

    house: what must run or exist for its tables, once a test run; is given an empty folder and gives `where`, a text
    that another process can open tables with. shared: other processes see the same table, and it outlives them all.
    bounded: it holds no more than `capacity` records. lose: what may befall the table under a running server.
    """

    name: str
    house: Callable[[Path], AbstractContextManager[str]]
    open: Open
    shared: bool
    bounded: bool
    lose: Callable[[str, str], None] | None = None


@contextlib.contextmanager
def _nowhere(folder: Path) -> Iterator[str]:
    yield str(folder)


def _open_memory(where: str, table: str, *, capacity: int, lifetime_s: float) -> ReplayStore:
    del where, table  # each is a table of its own
    return MemoryReplayStore(capacity, lifetime_s)


def _open_shm(where: str, table: str, *, capacity: int, lifetime_s: float) -> ReplayStore:
    del lifetime_s  # it forgets nothing before it must
    return ShmReplayStore(table, capacity=capacity, folder=Path(where))


def _remove_shm(where: str, table: str) -> None:
    ShmReplayStore.remove(table, folder=Path(where))


@contextlib.contextmanager
def _redis(folder: Path) -> Iterator[str]:
    with running_redis(folder) as server:
        yield server.unix_url


def _open_redis(where: str, table: str, *, capacity: int, lifetime_s: float) -> ReplayStore:
    del capacity  # records go when they have expired, and not before
    return RedisReplayStore(where, lifetime_s=lifetime_s, prefix=table)


def _flush_redis(where: str, table: str) -> None:
    del table  # all of them
    with redis.Redis.from_url(where) as client:
        client.flushall()


STORES = (
    Kind("memory", _nowhere, _open_memory, shared=False, bounded=True),
    Kind("shm", _nowhere, _open_shm, shared=True, bounded=True, lose=_remove_shm),
    Kind("redis", _redis, _open_redis, shared=True, bounded=False, lose=_flush_redis),
)
