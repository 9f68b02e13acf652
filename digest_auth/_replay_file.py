"""The file of a shared replay table: opened, made and left by any number of processes at once.

Layout, in 64-bit words of this machine's byte order; every part begins where the one before it ends:

    header       4096 octets: magic, version, sets, ways, inode, epoch, boot (2 words)
    directories  1024 octets a set: watermark | issued, a word a way | identities, 2 words a way
    bitmaps      512 octets a way

Locks are POSIX record locks on octet 0 (header) and octet 1 + set, beside a lock among this process's threads. The
kernel drops them when their holder dies, however it dies, and a forked child does not inherit them. Two habits of
theirs shape this module: they do not exclude two users in one process, so all stores of a process share one
TableFile for a file; and closing any descriptor of a file drops all of the process's locks on it, so a second
descriptor is closed under the lock among the threads, which everybody holds who holds one of the others.

A table is made once and never made again in place. What cannot be gone on with (its maker was killed, it is a copy, the
machine was started anew and the disk may have an older state) is unlinked, and another is made under its name: who
still has the old one is undisturbed, and finds out (`is_current`).
"""

import fcntl
import os
import re
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path
from struct import Struct
from typing import Final

from digest_auth._replay import COUNT_LIMIT, EPOCH_LENGTH, StoreUnavailableError

WAYS: Final = 32
"""Records of a set. The more, the nearer is the record that a set forgets to the oldest of the whole table."""

HEADER_OCTETS: Final = 4096
DIRECTORY_OCTETS: Final = 1024
BITMAP_OCTETS: Final = COUNT_LIMIT // 8

HEADER_LOCK: Final = 0
FIRST_SET_LOCK: Final = 1

PATIENCE_S: Final = 5.0
"""How long to wait for another process's lock, held for µs (the header's: some 50 ms): its holder was stopped."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_HEADER = Struct("@8s4Q8s16s")
_MAGIC: Final = b"digestRT"
_VERSION: Final = 1
_MODE: Final = 0o600
_CHUNK: Final = bytes(1 << 20)


class TableFile:
    """A table's file, open and mapped: for all stores of this process that use it."""

    def __init__(self, path: Path, descriptor: int, inode: tuple[int, int], sets: int, epoch: bytes) -> None:
        self.path = path
        self.descriptor = descriptor
        self.inode = inode
        self.sets = sets
        self.epoch = epoch
        self.octets = mmap(descriptor, size_octets(sets))
        self.words = memoryview(self.octets).cast("Q")
        self.bitmaps = HEADER_OCTETS + sets * DIRECTORY_OCTETS  # where they begin
        self.lock = threading.Lock()
        self.users = 0
        self.is_open = True

    def is_current(self) -> bool:
        """Whether others who open the path now get this file."""
        return _inode_at(self.path) == self.inode

    def close(self) -> None:
        """Let go of it; called under its lock."""
        self.is_open = False
        self.words.release()
        self.octets.close()
        os.close(self.descriptor)


class _Process:
    """What this process has open; `opening` is held by who changes it. A forked child goes on with locks of its own."""

    def __init__(self) -> None:
        self.files: dict[tuple[int, int], TableFile] = {}
        self.opening = threading.RLock()

    def after_fork(self) -> None:
        # The thread that held a lock may not exist here, and what it was writing goes on in the parent.
        self.opening = threading.RLock()
        for file in self.files.values():
            file.lock = threading.Lock()


_process = _Process()
os.register_at_fork(after_in_child=_process.after_fork)


def size_octets(sets: int) -> int:
    """Size of the file of a table of so many sets."""
    return HEADER_OCTETS + sets * (DIRECTORY_OCTETS + WAYS * BITMAP_OCTETS)


def table_path(name: str, folder: Path | None) -> Path:
    """Where the table of a name is: in /dev/shm, or the temporary directory where that does not exist."""
    if _NAME.fullmatch(name) is None:
        raise ValueError(
            f"{name!r} is no name of a replay table: give up to 100 letters, digits, dots, dashes and underscores"
        )
    if folder is None:
        folder = Path("/dev/shm")  # noqa: S108 (memory; the file's owner and mode are checked, links are not followed)
        if not folder.is_dir():
            folder = Path(tempfile.gettempdir())
    return folder / f"digest-replay.{name}"


@contextmanager
def changing() -> Iterator[None]:
    """Hold while a store changes the file that it uses: one thread of the process at a time."""
    with _process.opening:
        yield


def open_table(path: Path, sets: int) -> TableFile:
    """The table at a path, made if there is none. Raises StoreUnavailableError; `leave` it when done."""
    try:
        with changing():
            for _ in range(100):
                file = _open_once(path, sets)
                if file is not None:
                    file.users += 1
                    return file
    except OSError as error:
        raise unusable(path, error) from error
    raise StoreUnavailableError(f"the replay table {path} is replaced all the time: see what else writes there")


def leave(file: TableFile) -> None:
    """One store of this process no longer uses it; the last one closes it."""
    with changing(), file.lock:
        file.users -= 1
        if file.users == 0:
            del _process.files[file.inode]
            file.close()


def retire(file: TableFile) -> None:
    """Take its name from it, so that whoever opens the path next makes another, with another epoch."""
    with changing():
        if file.is_open:  # else another thread has done so
            with _header_locked(file.descriptor, file.path):
                if file.is_current():
                    file.path.unlink()


def try_lock(descriptor: int, octet: int) -> bool:
    """Lock an octet of a file for this process, unless another process has it."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, octet)
    except (BlockingIOError, PermissionError):  # POSIX leaves EAGAIN or EACCES to the system
        return False
    return True


def unusable(path: Path, error: OSError) -> StoreUnavailableError:
    """For what the system refused."""
    return StoreUnavailableError(
        f"the replay table {path} cannot be used ({error.strerror or error}): see to it that this user may make, open"
        " and lock files there"
    )


def never_released(path: Path) -> StoreUnavailableError:
    """For who has waited longer than PATIENCE_S."""
    return StoreUnavailableError(
        f"another process has held a lock of the replay table {path} for {PATIENCE_S:.0f} s: look for a stopped server"
        " (state T in ps), and continue or kill it"
    )


@contextmanager
def _header_locked(descriptor: int, path: Path) -> Iterator[None]:
    deadline = time.monotonic() + PATIENCE_S
    while not try_lock(descriptor, HEADER_LOCK):
        if time.monotonic() > deadline:
            raise never_released(path)
        time.sleep(0.001)
    try:
        yield
    finally:
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, HEADER_LOCK)


def _open_once(path: Path, sets: int) -> TableFile | None:
    """None when the path was given to another file meanwhile."""
    descriptor = _open(path)
    found = os.fstat(descriptor)
    inode = (found.st_dev, found.st_ino)
    known = _process.files.get(inode)
    if known is not None:
        with known.lock:
            os.close(descriptor)
        _require_sets(path, sets, known.sets)
        return known if known.is_current() else None
    try:
        _require_ours(path, found)
        with _header_locked(descriptor, path):
            is_current = _inode_at(path) == inode
            if is_current and os.fstat(descriptor).st_size == 0:
                _make(path, descriptor, sets)
            epoch = _epoch(path, descriptor, sets) if is_current else None
            if epoch is not None:
                file = _process.files[inode] = TableFile(path, descriptor, inode, sets, epoch)
                return file
            if is_current:
                path.unlink()
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
    except OSError as error:
        if path.is_symlink():
            raise _refused(path, "is a symbolic link") from error
        raise


def _inode_at(path: Path) -> tuple[int, int] | None:
    try:
        there = path.lstat()
    except FileNotFoundError:
        return None
    return there.st_dev, there.st_ino


def _refused(path: Path, what: str, advice: str = "remove it, or choose another name") -> StoreUnavailableError:
    return StoreUnavailableError(f"the replay table {path} {what}: {advice}")


def _require_ours(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _refused(path, "is no regular file")
    if found.st_uid != os.geteuid():
        raise _refused(path, f"belongs to user {found.st_uid}, not to {os.geteuid()}, who runs this server")
    if stat.S_IMODE(found.st_mode) != _MODE:
        raise _refused(
            path,
            f"has mode {stat.S_IMODE(found.st_mode):04o}, not {_MODE:04o}, so others could have changed it",
            "end the servers that use it and remove it",
        )


def _require_sets(path: Path, wanted: int, found: int) -> None:
    if wanted != found:
        raise _refused(
            path,
            f"has room for {found * WAYS} nonces, not for {wanted * WAYS}",
            "give all servers that share it the same capacity, or end them and remove it",
        )


def _make(path: Path, descriptor: int, sets: int) -> None:
    size = size_octets(sets)
    try:
        # Every page is written, so that a full file system says so here: the first touch of a page for which it
        # has no room would end the process (SIGBUS).
        written = 0
        while written < size:
            written += os.pwrite(descriptor, _CHUNK[: size - written], written)
    except OSError as error:
        path.unlink()
        raise StoreUnavailableError(
            f"the replay table {path} needs {size:,} octets that {path.parent} does not have ({error.strerror}):"
            " give it a smaller capacity, or make room (docker run --shm-size)"
        ) from error
    inode = os.fstat(descriptor).st_ino
    header = _HEADER.pack(_MAGIC, _VERSION, sets, WAYS, inode, os.urandom(EPOCH_LENGTH), _boot())
    os.pwrite(descriptor, header[len(_MAGIC) :], len(_MAGIC))
    os.pwrite(descriptor, _MAGIC, 0)  # last: without it the table is unfinished


def _epoch(path: Path, descriptor: int, sets: int) -> bytes | None:
    """The epoch of the table in the file; None when it is not to be gone on with. The header is locked."""
    header = os.pread(descriptor, _HEADER.size, 0).ljust(_HEADER.size, b"\0")
    magic, version, its_sets, ways, inode, epoch, boot = _HEADER.unpack(header)
    if magic == bytes(len(_MAGIC)):
        return None  # unfinished: its maker was killed, and nobody has used it
    if magic != _MAGIC:
        raise _refused(path, "holds something else")
    if (version, ways) != (_VERSION, WAYS):
        raise _refused(path, "was made by another version", "end the servers that use it and remove it")
    found = os.fstat(descriptor)
    if inode != found.st_ino or boot != _boot():
        return None  # a copy, or from before the machine was started: counts may have been used since
    _require_sets(path, sets, its_sets)
    if found.st_size != size_octets(sets):
        raise _refused(
            path,
            f"is damaged: it has {found.st_size:,} octets, not {size_octets(sets):,}",
            "end the servers that use it and remove it",
        )
    return bytes(epoch)


def _boot() -> bytes:
    """Names this start of the machine, 16 octets; zeros where the system has no name for it."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except FileNotFoundError:
        return bytes(16)
    return bytes.fromhex(text.strip().replace("-", ""))
