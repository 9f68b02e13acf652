"""Replay control: each (nonce, nc) is good for one request, exactly, in whatever order the counts arrive.

Not "larger than the last", which refuses 194 of 200 parallel requests of an honest client. One bit a count, up to
`COUNT_LIMIT`; above that the server answers stale=true and the client goes on with a new nonce.

A store may forget, as long as what it forgot never counts as unused again. Two means: the epoch, the random identity
of the table, which each nonce carries, so that the nonces of a table that is gone are too old by construction; and
the watermark, the issue time up to which records were forgotten, under which no nonce begins a record.
"""

from typing import Final, Protocol

EPOCH_LENGTH: Final = 8
"""Octets of an epoch."""

COUNT_LIMIT: Final = 4096
"""The highest nc of one nonce: a record then takes at most about 550 bytes."""


class StoreUnavailableError(Exception):
    """A replay store that cannot be asked now. Nobody may come in meanwhile (503); the message is one line."""


class CountedUse(Protocol):
    """What a store must know of a request: a use of a nonce under one count."""

    @property
    def epoch(self) -> bytes:
        """The epoch of the table that the nonce was issued under. Where it is not the store's, `use` answers False."""

    @property
    def identity(self) -> bytes:
        """Names the nonce among those of its epoch, 16 octets."""

    @property
    def issued_us(self) -> int:
        """When the nonce was issued, µs since 1970."""

    @property
    def count(self) -> int:
        """The nonce count, 1 to COUNT_LIMIT."""

    @property
    def now_us(self) -> int:
        """The clock of the check, µs since 1970."""


class ReplayTable(Protocol):
    """That part of a store which nonces are made with."""

    @property
    def epoch(self) -> bytes:
        """The table's identity, 8 random octets drawn when it was made. It changes when the table was lost."""


class ReplayStore(ReplayTable, Protocol):
    """Remembers which counts of which nonces were used. Safe to share between threads."""

    def use(self, claim: CountedUse) -> bool:
        """Mark the count as used. True once for each (nonce, count); False when it was, or may have been, used.

        Raises StoreUnavailableError.
        """

    async def use_async(self, claim: CountedUse) -> bool:
        """As `use`, in an event loop, which it does not hold up for longer than a lock in memory is held."""

    def check(self) -> None:
        """Raise StoreUnavailableError when the store cannot be asked: for health checks. It may block."""

    def close(self) -> None:
        """Let go of connections and files. What was used stays used wherever the table outlives this process."""
