"""A users file that is read again when it changes, so that who is added, changed or removed is so without a restart.

Nothing runs in the background: the file is looked at when somebody asks for the table, and not more often than
`watch_s`. What cannot be used changes nothing: the table from before goes on being used. Files that are just being
written look broken for a moment (Apache's htdigest writes in place), so a warning comes only when they still do at the
next look, and then once for each fault.

A file's times have a granularity (4 ms here, seconds elsewhere), in which it can change again without looking
different: until it has been at rest for longer than that, it is read at every look.
"""

import logging
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeAlias

from digest_auth._users import UsersFileError, UserTable, decoded, read_octets

WATCH_S: Final = 0.25
"""How often the file is looked at, at most. A look takes some microseconds, reading it about 6 µs a line."""

_AT_REST_NS: Final = 2_000_000_000  # no file system in use has coarser times

_log = logging.getLogger("digest_auth")

_Stamp: TypeAlias = tuple[int, ...] | None


class WatchedUsers:
    """The newest good table of a users file. Any thread may ask."""

    def __init__(self, path: Path, *, watch_s: float = WATCH_S, clock: Callable[[], float] = time.monotonic) -> None:
        """Read the file. Raises UsersFileError. clock: seconds from any start."""
        self._path = path.absolute()  # a server may change its working directory afterwards
        self._watch_s = watch_s
        self._clock = clock
        self._reading = threading.Lock()
        self._failing: str | None = None  # what was wrong at the last look
        self._told: str | None = None  # what of it the log says
        self._stamp: _Stamp = None
        self._at_rest = False
        self._digest = b""
        self._table = UserTable({})
        self._note(_stamp_of(self._path))
        self._read()
        self._look_again_s = clock() + watch_s

    def current(self) -> UserTable:
        """Return the newest table that could be read. At most once in `watch_s` it looks at the file, which may block.

        Never raises because of the file.
        """
        # Nobody waits for another one's reading: meanwhile the table is the one from before.
        if self._clock() >= self._look_again_s and self._reading.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._look_again_s = self._clock() + self._watch_s
                self._reading.release()
        return self._table

    def _look(self) -> None:
        stamp = _stamp_of(self._path)
        if stamp == self._stamp and self._at_rest and self._failing == self._told:
            return
        self._note(stamp)
        try:
            self._read()
        except UsersFileError as error:
            fault = str(error)
            if self._failing is not None and self._told != fault:
                _log.warning("%s (until then those may come in who could before)", fault)
                self._told = fault
            self._failing = fault
        else:
            self._failing = self._told = None

    def _note(self, stamp: _Stamp) -> None:
        """Remember what the file looks like: before the reading, so that what changes meanwhile is read again."""
        self._stamp = stamp
        self._at_rest = stamp is None or time.time_ns() - stamp[-1] > _AT_REST_NS

    def _read(self) -> None:
        octets = read_octets(self._path)
        digest = sha256(octets).digest()
        if digest != self._digest:
            self._table = UserTable.parse(decoded(octets, self._path), str(self._path))
            if self._digest:  # a first reading is no news
                _log.info("%s read again: %d hashes", self._path, len(self._table))
            self._digest = digest


def _stamp_of(path: Path) -> _Stamp:
    """Tell a file from what it was: a link counts as what it leads to. None when it cannot be seen."""
    try:
        found = path.stat()
    except OSError:
        return None
    # The time of change comes last; unlike that of modification, nobody can set it back.
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
