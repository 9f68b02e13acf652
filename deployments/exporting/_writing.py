"""An export, written into a folder: whole or not at all."""

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from deployments._errors import DeploymentError
from deployments.exporting._export import Export

_READABLE = 0o644  # also for the services' users, whatever the umask of who exports: no file is secret
_RUNNABLE = 0o755


def write(export: Export, folder: Path) -> None:
    """Write into a new or empty folder. Raises DeploymentError, and leaves nothing behind then."""
    try:
        with _made(folder):
            if any(folder.iterdir()):
                raise DeploymentError(f"{folder}: is not empty; name a new folder, or empty this one")
            with _beside(folder) as temporary:
                _write_all(export, temporary)
                _move_all(temporary, folder)
    except OSError as error:
        raise DeploymentError(
            f"{error.filename or folder}: {error.strerror}; name a folder that can be made, or is yours and empty"
        ) from error


def _write_all(export: Export, folder: Path) -> None:
    for name, content in export.files.items():
        path = folder / name
        path.parent.mkdir(mode=_RUNNABLE, parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(_RUNNABLE if name in export.runnable else _READABLE)
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(_RUNNABLE)


def _move_all(temporary: Path, folder: Path) -> None:
    """Move what has been written to where it was wanted; back to nothing if that fails half-way."""
    with contextlib.ExitStack() as undone:
        for entry in sorted(temporary.iterdir()):
            target = folder / entry.name
            entry.rename(target)
            undone.callback(_remove, target)
        undone.pop_all()


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, and those that lead to it, if need be; remove what was made if it comes to nothing."""
    lacking = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for each in lacking:
            with contextlib.suppress(OSError):  # somebody else has put something there meanwhile
                each.rmdir()
        raise


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A hidden folder within the other: on the same file system, so that moving is all or nothing."""
    temporary = folder / f".export-{secrets.token_hex(4)}"
    temporary.mkdir(mode=0o700)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
