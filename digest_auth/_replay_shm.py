"""A replay table that all processes of one host share: a file of memory pages with a lock on every part of it.

A nonce's first 8 octets, which are random, choose its set, and its record is one of the set's ways; the layout and the
locks stand in `_replay_file.py`. Issue times and watermarks are kept plus one, so that a file of zeros is a table in
which nothing was used or forgotten.

A holder of a lock may be killed between any two writes. Their order is such that what it leaves behind refuses too
much rather than too little: the watermark rises before a record goes; a record goes by its first word, and comes by it,
one aligned store of 64 bits, when all else of it stands. So these writes go through a memoryview of words:
`struct.pack_into` and slices of octets promise no such thing.
"""

import asyncio
import fcntl
import time
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path
from struct import Struct
from typing import Final

from digest_auth._replay import COUNT_LIMIT, CountedUse, StoreUnavailableError
from digest_auth._replay_file import (
    BITMAP_OCTETS,
    DIRECTORY_OCTETS,
    FIRST_SET_LOCK,
    HEADER_OCTETS,
    PATIENCE_S,
    WAYS,
    TableFile,
    changing,
    leave,
    never_released,
    open_table,
    retire,
    table_path,
    unusable,
)
from digest_auth._replay_memory import CLOCK_STEP_US

LOOK_EVERY_S: Final = 1.0
"""How often a store in use looks whether its file is still the one that others open."""

_IDENTITY = Struct("@QQ")
_TIMES = Struct(f"@{WAYS}Q")
_NO_COUNTS: Final = bytes(BITMAP_OCTETS)
_TRY: Final = fcntl.LOCK_EX | fcntl.LOCK_NB
_UNLOCK: Final = fcntl.LOCK_UN

# Words of a directory, from its beginning.
_ISSUED: Final = 1
_IDENTITIES: Final = _ISSUED + WAYS

_FIRST_DIRECTORY: Final = HEADER_OCTETS // 8
_DIRECTORY: Final = DIRECTORY_OCTETS // 8


class ShmReplayStore:
    """A ReplayStore for all processes of one host, in a file `digest-replay.NAME` in /dev/shm.

    Any number of processes may open, or make, the table of a name at once, before or after a fork. It outlives them,
    until it is removed (`remove`) or the machine is started anew. Where /dev/shm does not exist it is in the temporary
    directory. Only the user who made it can open it.

    When a set is full, its record issued longest ago is forgotten and that issue time becomes the set's watermark: the
    set's nonces issued up to then are stale from then on. Expired nonces are the oldest, so they go first.

    A table that is lost under running servers (unlinked, or replaced: systemd's RemoveIPC= does that when a user logs
    out) is replaced within a second of use by the one that the name then stands for, made anew if need be. Its epoch is
    another, so clients meet stale=true, once, and no table counts a nonce of another. When that cannot be had, `use`
    and `check` raise StoreUnavailableError. So it goes as well when the clock was set back behind a watermark: else
    every nonce issued from then on would be stale until it has caught up.

    name: up to 100 letters, digits, dots, dashes and underscores, else ValueError. capacity: nonces remembered at most,
    rounded up to full sets of 32; the same for all who share it. A set may be full before the table is: when nonces
    for half of the capacity have come after a record, it was forgotten with a chance of 1 in 3,600. The file takes 544
    octets a nonce, all of them at once so that they cannot run short later: 35,655,680 with the default capacity, of
    which a container's usual /dev/shm of 64 MB holds one. folder: where the file is.

    Raises StoreUnavailableError, with a line that says what to do, when the table cannot be made or is not ours.
    """

    def __init__(self, name: str, *, capacity: int = 65_536, folder: Path | None = None) -> None:
        if capacity < 1:
            raise ValueError("a replay store must remember at least one nonce")
        self._path = table_path(name, folder)
        self._sets = -(-capacity // WAYS)
        self._look_at_s = time.monotonic() + LOOK_EVERY_S
        self._file: TableFile | None = open_table(self._path, self._sets)
        self._epoch = self._file.epoch

    @staticmethod
    def remove(name: str, *, folder: Path | None = None) -> None:
        """Remove the table of a name, if there is one, when its servers have ended. Raises ValueError, OSError."""
        table_path(name, folder).unlink(missing_ok=True)

    @property
    def epoch(self) -> bytes:
        """See ReplayTable."""
        return self._epoch

    @property
    def path(self) -> Path:
        """Of the table's file."""
        return self._path

    def use(self, claim: CountedUse) -> bool:
        """See ReplayStore. A count that is none, or beyond COUNT_LIMIT, is never unused."""
        pauses_s = None
        while (unused := self._try(claim)) is None:
            pauses_s = pauses_s or self._pauses_s()
            time.sleep(next(pauses_s))
        return unused

    async def use_async(self, claim: CountedUse) -> bool:
        """See ReplayStore. While another process has the lock, the loop goes on."""
        pauses_s = None
        while (unused := self._try(claim)) is None:
            pauses_s = pauses_s or self._pauses_s()
            await asyncio.sleep(next(pauses_s))
        return unused

    def check(self) -> None:
        """See ReplayStore. It looks at once whether the table is still there, and replaces it when it was lost."""
        try:
            self._look()
        except OSError as error:
            raise unusable(self._path, error) from error

    def close(self) -> None:
        """See ReplayStore."""
        with changing():
            file, self._file = self._file, None
            if file is not None:
                leave(file)

    def _look(self) -> None:
        with changing():
            file = self._file
            if file is None:
                raise self._closed()
            if not file.is_current():
                self._file = open_table(self._path, self._sets)
                self._epoch = self._file.epoch
                leave(file)
            self._look_at_s = time.monotonic() + LOOK_EVERY_S

    def _pauses_s(self) -> Iterator[float]:
        """Between tries for a lock, which is free in a few µs unless its holder was interrupted or stopped."""
        deadline_s = time.monotonic() + PATIENCE_S
        pause_s = 0.0
        while time.monotonic() < deadline_s:
            yield pause_s
            pause_s = min(pause_s + 20e-6, 1e-3)
        raise never_released(self._path)

    def _closed(self) -> StoreUnavailableError:
        return StoreUnavailableError(f"the replay table {self._path} was closed by this server: open it again")

    def _try(self, claim: CountedUse) -> bool | None:
        """Mark the count, unless another process is at work on the same set: then None."""
        try:
            if time.monotonic() >= self._look_at_s:
                self._look()
            file = self._file
            if file is None:
                raise self._closed()
            with file.lock:
                if not file.is_open:
                    return None  # another thread has replaced it: try again with what it put there
                return _mark(file, claim) if claim.epoch == file.epoch else False
        except _ClockSetBackError as error:
            self._begin_anew(error.file)
            return False
        except OSError as error:
            raise unusable(self._path, error) from error

    def _begin_anew(self, file: TableFile) -> None:
        try:
            retire(file)
            self._look()
        except OSError as error:
            raise unusable(self._path, error) from error


class _ClockSetBackError(Exception):
    """Nonces that are issued now are older than what a set has forgotten."""

    def __init__(self, file: TableFile) -> None:
        super().__init__()
        self.file = file


def _mark(file: TableFile, claim: CountedUse) -> bool | None:
    """Under the lock of the process's threads."""
    count = claim.count - 1
    identity = claim.identity
    first, second = _IDENTITY.unpack(identity)
    if not first or not 0 <= count < COUNT_LIMIT:
        return False  # a first word of zero marks a record that is gone; one nonce in 2**64 begins so
    number = first % file.sets
    lock = FIRST_SET_LOCK + number
    directory = _FIRST_DIRECTORY + number * _DIRECTORY
    try:
        # Locked in the same `try` as it is unlocked, lest a signal handler that raises leave it locked: to unlock
        # what is not locked does nothing.
        fcntl.lockf(file.descriptor, _TRY, 1, lock)
        octets = file.octets
        way = _way_of(octets, identity, 8 * (directory + _IDENTITIES))
        if way < 0:
            if claim.issued_us < file.words[directory]:
                if claim.now_us + CLOCK_STEP_US < file.words[directory]:
                    raise _ClockSetBackError(file)
                return False
            way = _new_record(file, number, directory, first, second, claim.issued_us + 1)
        at = file.bitmaps + (number * WAYS + way) * BITMAP_OCTETS + (count >> 3)
        used, bit = octets[at], 1 << (count & 7)
        octets[at] = used | bit
    except (BlockingIOError, PermissionError):  # POSIX leaves EAGAIN or EACCES to the system
        return None
    finally:
        fcntl.lockf(file.descriptor, _UNLOCK, 1, lock)
    return not used & bit


def _way_of(octets: mmap, identity: bytes, at: int) -> int:
    """Which way of the set has the record; -1 if none."""
    found = octets.find(identity, at, at + WAYS * len(identity))
    while found >= 0 and (found - at) % len(identity):
        found = octets.find(identity, found + 1, at + WAYS * len(identity))
    return (found - at) // len(identity) if found >= 0 else -1


def _new_record(file: TableFile, number: int, directory: int, first: int, second: int, issued: int) -> int:
    """The way of a new record without counts. It may be killed after any of its writes: their order matters."""
    words = file.words
    times = _TIMES.unpack_from(file.octets, 8 * (directory + _ISSUED))
    oldest = min(times)  # zero if a way is free
    way = times.index(oldest)
    words[directory] = oldest  # never falls: what is begun is younger than the watermark, and the oldest goes first
    name = directory + _IDENTITIES + 2 * way
    words[name] = 0
    bitmap = file.bitmaps + (number * WAYS + way) * BITMAP_OCTETS
    file.octets[bitmap : bitmap + BITMAP_OCTETS] = _NO_COUNTS
    words[directory + _ISSUED + way] = issued
    words[name + 1] = second
    words[name] = first
    return way
