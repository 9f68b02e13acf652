"""Finds out that several worker processes serve one socket, each with its own memory of used nonces.

Each of them would issue nonces of its own table: a client whose connections reach now one, now another, would be told
that its nonce is stale for ever. Settings refuse that where the number of workers is set; here it is found where nobody
said it. Servers differ in how they start workers, but these always accept from one socket. So a process that opens the
memory store puts down a file, locked for as long as it lives, and looks for others that

- put one down in the same state folder and live,
- hold a listening socket that this process holds too, so that one client can reach both, and
- were started together with this one: who is older may be going. Told to reload, gunicorn starts the new worker before
  the old one has finished; Granian stops the old one 3.5 s later.

A false alarm would stop a sound server, so whatever cannot be found out counts as harmless: another host or container,
a system without /proc, workers with sockets of their own (SO_REUSEPORT), a worker that is added later.
"""

import contextlib
import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from device_api._files import locked
from device_api.settings import problem
from device_api.state import StateError

_FOLDER: Final = "memory-stores"
_GUARD: Final = "lock"
_TOGETHER_S: Final = 0.5  # masters start theirs one after the other without waiting; after a reload the gap is larger
_PROC: Final = Path("/proc")
_STARTED: Final = 22 - 3  # field of /proc/PID/stat (proc(5)), counted from the one after the name in brackets


class MemoryClaim:
    """That this process has a memory of used nonces. Close it with the store; it ends with the process anyway."""

    def __init__(self, path: Path, descriptor: int | None) -> None:
        """descriptor: of the locked file; None when there is nothing to hold."""
        self._path = path
        self._descriptor = descriptor
        self._owner = os.getpid()

    def close(self) -> None:
        """Take the file away. A second call changes nothing."""
        if self._descriptor is None:
            return
        if os.getpid() == self._owner:  # not a fork of it
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def claim_memory_store(state_folder: Path) -> MemoryClaim:
    """Say that this process keeps used nonces in its own memory, and make sure that no sibling does.

    Raises SettingsError, which names the replay store; StateError when the folder cannot be written.
    """
    folder = state_folder / _FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with contextlib.ExitStack() as stack:
            claim = stack.enter_context(_put_down(folder))
            sibling = _sibling(folder)
            if sibling is None:
                stack.pop_all()
                return claim
    except OSError as error:
        raise StateError(f"state folder {folder}: {error.strerror}; make it writable") from error
    raise problem(
        "replay_store",
        f"several worker processes ({os.getpid()}, {sibling}) serve the state folder {state_folder}, each with its own"
        " memory of used nonces; set it to shm:NAME (workers of one host) or redis://HOST (several hosts), or serve"
        " with one worker",
    )


def _put_down(folder: Path) -> MemoryClaim:
    path = folder / f"{_namespace()}-{os.getpid()}"
    with locked(folder / _GUARD):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _lock(descriptor):  # this process did already, or one of that number on another host
            os.close(descriptor)
            return MemoryClaim(path, None)
    return MemoryClaim(path, descriptor)


def _sibling(folder: Path) -> int | None:
    """Return the process that has a memory of its own and shares our clients; remove what dead ones left."""
    ours = _accepting_sockets()
    if not ours:
        return None
    started_s = _started_s(os.getpid())
    for process in _others(folder):
        with contextlib.suppress(OSError):  # it has just ended, or belongs to another user
            if ours & _sockets(process) and abs(_started_s(process) - started_s) < _TOGETHER_S:
                return process
    return None


def _others(folder: Path) -> Iterator[int]:
    namespace, own = _namespace(), os.getpid()
    with locked(folder / _GUARD):
        for path in folder.iterdir():
            where, _, process = path.name.partition("-")
            if where == namespace and process.isdecimal() and int(process) != own and _is_held(path):
                yield int(process)


def _is_held(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        if not _lock(descriptor):
            return True
        path.unlink()
    finally:
        os.close(descriptor)
    return False


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _namespace() -> str:
    """Name what process numbers mean here: another container has its own."""
    with contextlib.suppress(OSError):
        return str((_PROC / "self" / "ns" / "pid").stat().st_ino)
    return "0"


def _started_s(process: int) -> float:
    """Return when a process was started, in seconds since boot. Raises OSError."""
    fields = (_PROC / str(process) / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    return int(fields[_STARTED]) / os.sysconf("SC_CLK_TCK")


def _accepting_sockets() -> frozenset[str]:
    """Return the sockets of this process that accept connections, or will: bound and without a peer."""
    return frozenset(link for number, link in _descriptors("self") if link.startswith("socket:") and _accepts(number))


def _sockets(process: int) -> frozenset[str]:
    """Return all sockets of another process. Raises OSError."""
    return frozenset(link for _, link in _descriptors(str(process)) if link.startswith("socket:"))


def _descriptors(process: str) -> Iterator[tuple[int, str]]:
    folder = _PROC / process / "fd"
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed, as that of the list itself
            yield int(path.name), str(path.readlink())


def _accepts(descriptor: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            if copy.type == socket.SOCK_STREAM and _is_bound(copy):
                copy.getpeername()
    except OSError as error:
        return error.errno == errno.ENOTCONN  # otherwise closed since it was listed
    return False


def _is_bound(candidate: socket.socket) -> bool:
    name = candidate.getsockname()
    return bool(name[1]) if isinstance(name, tuple) else bool(name)
