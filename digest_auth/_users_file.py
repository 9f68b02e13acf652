"""Changing a users file on the disk: whole or not at all, one after another, and never readable by more than before.

A reader sees the old content or the new, never a part. A process that is killed, or runs out of room, leaves the old
content and at most a hidden file `.users-…` beside it, with permissions 0600. Writers wait for each other by a lock on
the file itself, so that no other file is left lying about; Apache's htdigest takes no lock, and writes in place.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from digest_auth._users import UsersFileError, decoded

_PRIVATE: Final = 0o600
_OTHERS: Final = 0o007  # permissions of everybody else on the machine
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_Edit: TypeAlias = Callable[[str], str]


def change_users_file(path: Path, edit: _Edit, *, may_create: bool = False) -> int | None:
    """Put `edit(text)` in the place of a users file's text, while no other writer changes it.

    A link is followed. A new file has permissions 0600; another keeps its owner, its group and its permissions, but
    for those of everybody else, which are taken away: what they were is then returned. may_create: a file that is not
    there counts as an empty one. Raises UsersFileError, and what `edit` raises; nothing is changed then.
    """
    target = Path(os.path.realpath(path))
    try:
        while True:
            with _locked(target) as opened:
                if opened is not None:
                    return _rewrite(target, opened, edit)
            if not may_create:
                raise UsersFileError(f"no users file at {path}; name another, or make one with the command `add`")
            if _create(target, edit("")):
                return None
    except OSError as error:
        raise UsersFileError(_fault(path, error)) from error


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[int | None]:
    """Hold the lock of the file that is at `target` now, and give a descriptor of it; None when there is none."""
    while True:
        try:
            descriptor = _open(target)
        except FileNotFoundError:
            yield None
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Who held it before has put another file there, as a rule: that one counts, and its lock.
            if _is_still_at(target, descriptor):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _open(target: Path) -> int:
    """Open for a lock, which some file systems (NFS) give to those alone who may write."""
    flags = os.O_CLOEXEC | os.O_NONBLOCK  # a pipe must not keep us waiting
    try:
        return os.open(target, os.O_RDWR | flags)
    except PermissionError:
        return os.open(target, os.O_RDONLY | flags)


def _is_still_at(target: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(target.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _rewrite(target: Path, opened: int, edit: _Edit) -> int | None:
    before = os.fstat(opened)
    if not stat.S_ISREG(before.st_mode):
        raise UsersFileError(f"cannot change the users file {target}: not a regular file; name one")
    with os.fdopen(os.dup(opened), "rb") as file:
        text = decoded(file.read(), target)
    changed = edit(text)
    if changed != text:
        with _written(target, changed) as (temporary, descriptor):
            _give_to_the_same(target, before, descriptor)
            temporary.replace(target)
        _sync_folder(target.parent)
        if before.st_mode & _OTHERS:
            return stat.S_IMODE(before.st_mode)
    return None


def _create(target: Path, text: str) -> bool:
    """Make the file, at once with its content; False when another process was faster."""
    with _written(target, text) as (temporary, _):
        try:
            target.hardlink_to(temporary)
        except FileExistsError:
            return False
    _sync_folder(target.parent)
    return True


@contextlib.contextmanager
def _written(target: Path, text: str) -> Iterator[tuple[Path, int]]:
    """A temporary file beside the target that holds the text, on the disk, for its owner alone."""
    temporary = target.with_name(f".users-{secrets.token_hex(8)}")
    # O_EXCL: never through a link that somebody else has put there.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(descriptor)
            yield temporary, descriptor
    finally:
        temporary.unlink(missing_ok=True)


def _give_to_the_same(target: Path, before: os.stat_result, descriptor: int) -> None:
    mode = stat.S_IMODE(before.st_mode) & ~_OTHERS & 0o666
    new = os.fstat(descriptor)
    if new.st_uid != before.st_uid:
        try:
            os.fchown(descriptor, before.st_uid, -1)
        except PermissionError:
            raise UsersFileError(
                f"cannot change the users file {target}: it belongs to another user, who could not read it any more;"
                " run as that user"
            ) from None
    if new.st_gid != before.st_gid:
        try:
            os.fchown(descriptor, -1, before.st_gid)
        except PermissionError:  # it stays with a group of ours, for which it never was
            mode &= ~0o070
    os.fchmod(descriptor, mode)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut: it is the folder that holds a file's name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fault(path: Path, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"cannot make the users file {path}: there is no folder {path.parent}; make it first"
    if error.errno in _NO_ROOM:
        advice = "make room there; nothing was changed"
    elif error.errno == errno.EISDIR:
        advice = "name a file in it"
    else:
        advice = "run as the user that it belongs to, who may write in its folder"
    return f"cannot change the users file {path}: {error.strerror}; {advice}"
