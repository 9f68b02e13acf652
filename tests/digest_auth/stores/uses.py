"""Uses of nonces on a clock that the test sets, asked of a store through either of its two doors."""

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from digest_auth import ReplayStore

NOW_US = 1_800_000_000_000_000
LIFETIME_S = 300.0


@dataclass(frozen=True)
class Use:
    """A CountedUse."""

    epoch: bytes
    identity: bytes
    issued_us: int
    count: int
    now_us: int


def identity(name: str) -> bytes:
    """16 octets that look as random as a nonce's."""
    return hashlib.sha256(name.encode("ascii")).digest()[:16]


class Asked:
    """A store and the door by which it is asked: use() or use_async(), the latter in one event loop throughout."""

    def __init__(self, store: ReplayStore, runner: asyncio.Runner | None) -> None:
        self.store = store
        self._runner = runner

    def ask(self, use: Use) -> bool:
        if self._runner is None:
            return self.store.use(use)
        return self._runner.run(self.store.use_async(use))

    def use(self, name: str, count: int, *, issued_us: int = NOW_US, now_us: int = NOW_US, epoch: bytes = b"") -> bool:
        """Whether it is unused; the claim is of the store's epoch unless another is given."""
        return self.ask(Use(epoch or self.store.epoch, identity(name), issued_us, count, now_us))

    def accepted(self, name: str, counts: Iterable[int], *, epoch: bytes = b"") -> list[int]:
        """Those of the counts that were unused; all are asked at once through use_async()."""
        uses = [Use(epoch or self.store.epoch, identity(name), NOW_US, count, NOW_US) for count in counts]
        if self._runner is None:
            return [use.count for use in uses if self.store.use(use)]
        return self._runner.run(self._accepted_at_once(uses))

    async def _accepted_at_once(self, uses: list[Use]) -> list[int]:
        answers = await asyncio.gather(*(self.store.use_async(use) for use in uses))
        return [use.count for use, unused in zip(uses, answers, strict=True) if unused]
