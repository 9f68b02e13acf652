"""The replay table of one process."""

import heapq
import os
import weakref
from threading import Lock
from typing import Final

from digest_auth._replay import COUNT_LIMIT, EPOCH_LENGTH, CountedUse

CLOCK_STEP_US: Final = 1_000_000
"""How far behind what was forgotten the clock must be for the store to take it as set back, and begin anew."""

# What is no count is used from the start: 0, and what the last octet has beyond the limit.
_SPARSE: Final = b"\x01" + bytes(7)  # a record begins so: who takes a nonce for a few requests needs no more
_REST: Final = bytes(COUNT_LIMIT // 8 - len(_SPARSE)) + b"\xfe"

_BITS: Final = tuple(1 << number for number in range(8))


class MemoryReplayStore:
    """A ReplayStore in this process's memory; it is gone with the process, and its nonces with it.

    A record is a bitmap of the used counts, at first of 63 of them, then of all. When there are `capacity` records, the
    one whose nonce was issued longest ago is forgotten and its issue time becomes the watermark: nonces issued up to
    then are stale from then on, since their used counts can no longer be told. Never "up to now", or one busy client
    would make everybody's nonces stale.

    When the clock was set back behind the watermark, every nonce issued from now on would be stale until it has caught
    up: the store then begins anew, with another epoch, and clients meet stale=true once.

    capacity: nonces remembered at most, about 350 octets each with few counts and 850 with many. lifetime_s: after it
    the check refuses a nonce anyway, and its record may go.
    """

    def __init__(self, capacity: int = 65_536, lifetime_s: float = 300.0) -> None:
        if capacity < 1:
            raise ValueError("a replay store must remember at least one nonce")
        self._capacity = capacity
        self._lifetime_us = int(lifetime_s * 1e6)
        self._lock = Lock()
        self._begin_anew()
        _stores.add(self)

    def __len__(self) -> int:
        """How many nonces it remembers now."""
        return len(self._used)

    def use(self, claim: CountedUse) -> bool:
        """See ReplayStore. A count that is none, or beyond COUNT_LIMIT, is never unused."""
        count = claim.count
        octet, bit = count >> 3, _BITS[count & 7]
        with self._lock:
            if claim.epoch != self.epoch:
                return False
            try:
                record = self._used[claim.identity]
            except KeyError:
                made = self._new_record(claim)
                if made is None:
                    return False
                record = made
            try:
                used = record[octet]
            except IndexError:
                if count > COUNT_LIMIT:
                    return False
                record.extend(_REST)
                used = record[octet]
            if used & bit:
                return False
            record[octet] = used | bit
            return True

    async def use_async(self, claim: CountedUse) -> bool:
        """See ReplayStore."""
        return self.use(claim)

    def check(self) -> None:
        """See ReplayStore: memory is always there."""

    def close(self) -> None:
        """See ReplayStore: there is nothing to let go of."""

    def after_fork(self) -> None:
        """A child has a copy of the table, in which it does not see what its parent counts: it begins anew."""
        self._lock = Lock()  # another thread of the parent may have held it
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.epoch = os.urandom(EPOCH_LENGTH)
        self._used: dict[bytes, bytearray] = {}
        self._oldest: list[tuple[int, bytes]] = []  # heap of (issued_us, identity), one entry a record
        self._watermark_us = -1

    def _new_record(self, claim: CountedUse) -> bytearray | None:
        """A record for a nonce that has none; None when it may have had one."""
        issued_us, identity = claim.issued_us, claim.identity
        if issued_us <= self._watermark_us:
            if claim.now_us + CLOCK_STEP_US < self._watermark_us:
                self._begin_anew()
            return None
        # The watermark moves with every record that goes, whatever the reason: a clock that is set back
        # must not make the used counts of an expired nonce fresh again.
        expired_us = claim.now_us - self._lifetime_us
        while self._oldest and (self._oldest[0][0] < expired_us or len(self._used) >= self._capacity):
            forgotten_us, forgotten = heapq.heappop(self._oldest)
            del self._used[forgotten]
            self._watermark_us = max(self._watermark_us, forgotten_us)
        record = self._used[identity] = bytearray(_SPARSE)
        heapq.heappush(self._oldest, (issued_us, identity))
        return record


_stores: "weakref.WeakSet[MemoryReplayStore]" = weakref.WeakSet()


def _after_fork() -> None:
    for store in list(_stores):
        store.after_fork()


os.register_at_fork(after_in_child=_after_fork)
