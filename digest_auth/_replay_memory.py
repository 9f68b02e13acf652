"""The replay table of one process."""

import heapq
import os
from threading import Lock

from digest_auth._replay import EPOCH_LENGTH, CountedUse


class MemoryReplayStore:
    """A ReplayStore in this process's memory; it is gone with the process, and its nonces with it.

    A record is an integer whose bits are the used counts, so it is as long as the highest count asks. When there are
    more than `capacity` records, the one whose nonce was issued longest ago is forgotten and its issue time becomes the
    watermark: nonces issued up to then are stale from then on, since their used counts can no longer be told. Never
    "up to now", or one busy client would make everybody's nonces stale.

    capacity: nonces remembered at most. lifetime_s: after it the check refuses a nonce anyway, and its record may go.
    """

    def __init__(self, capacity: int = 65_536, lifetime_s: float = 300.0) -> None:
        if capacity < 1:
            raise ValueError("a replay store must remember at least one nonce")
        self.epoch = os.urandom(EPOCH_LENGTH)
        self._capacity = capacity
        self._lifetime_us = int(lifetime_s * 1e6)
        self._lock = Lock()
        self._used: dict[bytes, int] = {}
        self._oldest: list[tuple[int, bytes]] = []  # heap of (issued_us, identity), one entry a record
        self._watermark_us = -1

    def __len__(self) -> int:
        """How many nonces it remembers now."""
        return len(self._used)

    def use(self, claim: CountedUse) -> bool:
        """See ReplayStore."""
        identity = claim.identity
        bit = 1 << claim.count
        with self._lock:
            used = self._used.get(identity)
            if used is not None:
                self._used[identity] = used | bit
                return not used & bit
            if claim.issued_us <= self._watermark_us:
                return False
            self._used[identity] = bit
            heapq.heappush(self._oldest, (claim.issued_us, identity))
            self._forget(claim.now_us - self._lifetime_us)
        return True

    async def use_async(self, claim: CountedUse) -> bool:
        """See ReplayStore."""
        return self.use(claim)

    def check(self) -> None:
        """See ReplayStore: memory is always there."""

    def close(self) -> None:
        """See ReplayStore: there is nothing to let go of."""

    def _forget(self, expired_us: int) -> None:
        # The watermark moves with every record that goes, whatever the reason: a clock that is set back
        # must not make the used counts of an expired nonce fresh again.
        while len(self._used) > self._capacity or (self._oldest and self._oldest[0][0] < expired_us):
            issued_us, identity = heapq.heappop(self._oldest)
            del self._used[identity]
            self._watermark_us = max(self._watermark_us, issued_us)
