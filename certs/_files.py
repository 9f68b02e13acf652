"""Files that several processes make, read and replace at the same time, and one of which is secret.

A reader sees the old content or the new, never a part; a key's permissions are right from its first byte on; a
process that is killed leaves at most a hidden temporary file, and no lock.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from certs._errors import CertificateError

PRIVATE: Final = 0o600  # keys: their owner alone
PUBLIC: Final = 0o644  # certificates: clients read them


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """A certificate and its key, both PEM."""

    chain: Path  # the server's certificate, then those that lead to the CA
    key: Path  # not encrypted: a server starts without anybody to type a passphrase


@dataclass(frozen=True, slots=True)
class NewContent:
    """What a file is to hold from now on; `mode` is its permissions from before the first byte."""

    path: Path
    content: bytes
    mode: int


def read_bytes(path: Path) -> bytes:
    """Return a file's content. Raises CertificateError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CertificateError(f"{path}: no such file; check the path, or run `python -m certs issue`") from None
    except PermissionError:
        raise CertificateError(
            f"{path}: not readable for this user; change its owner or run as the user that it belongs to"
        ) from None
    except OSError as error:
        raise CertificateError(f"{path}: cannot be read ({error.strerror}); name a PEM file") from error


def write_atomically(path: Path, content: bytes, *, mode: int) -> None:
    """Replace a file as a whole and make that last. Raises OSError."""
    write_together([NewContent(path, content, mode)])


def write_together(files: Sequence[NewContent]) -> None:
    """Replace several files, each as a whole, one right after the other in the order given. Raises OSError.

    Everything that takes time or can fail comes first: all content is on the disk before the first file is replaced.
    What is left is a rename for each, 0.1 ms apart (seen); whoever reads all of them in between sees some as they were.
    """
    waiting: list[tuple[Path, Path]] = []
    try:
        for file in files:
            temporary = file.path.with_name(f".{file.path.name}.{secrets.token_hex(8)}")
            waiting.append((temporary, file.path))
            _write(temporary, file)
        while waiting:
            temporary, path = waiting[0]
            temporary.replace(path)
            del waiting[0]
    except BaseException:
        for temporary, _ in waiting:
            temporary.unlink(missing_ok=True)
        raise
    for folder in dict.fromkeys(file.path.parent for file in files):
        _sync_folder(folder)


def _write(temporary: Path, file: NewContent) -> None:
    # O_EXCL: never through a link that somebody else has put there. The umask can only take permissions away.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, file.mode)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(file.content)
        opened.flush()
        os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut: it is the folder that holds a file's name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def writable(folder: Path, *, mode: int = 0o777) -> Iterator[None]:
    """Make a folder if need be, to write in it; what the system refuses meanwhile becomes a CertificateError."""
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise CertificateError(
            f"{error.filename or folder}: cannot be written ({error.strerror}); "
            f"make {folder} a folder that this user may write in, or choose another one"
        ) from error


@contextlib.contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Hold a lock on a file, made if need be; other processes and threads wait. Raises OSError.

    The lock goes with its process (flock), so that a killed one leaves nothing to clean up.
    """
    lock.parent.mkdir(exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
