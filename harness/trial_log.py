"""Writes `trials.jsonl` so that what was once written is never lost: a whole line at a time, on disk before the next.

A run that was killed may leave a torn last line; going on cuts it off. Two runs never write to one file.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from harness.errors import UserError
from harness.trials import FILE_NAME, Run, RunHeader, Trial, header_to_json, parse_run, trial_to_json


class TrialLog:
    """The open file of a run. Made by `create` or `resume`; a context manager."""

    def __init__(self, file: BinaryIO, run: Run) -> None:
        self._file = file
        self._run = run

    @property
    def run(self) -> Run:
        """What has been written so far."""
        return self._run

    @classmethod
    def create(cls, folder: Path, header: RunHeader) -> TrialLog:
        """Start a run in a folder, made if need be. Raises UserError if there is one already."""
        path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = path.open("xb", buffering=0)
        except FileExistsError as error:
            raise UserError(f"{path} exists already", hint=f"go on with `bench run --resume {folder}`") from error
        except OSError as error:
            raise _cannot_write(path, error) from error
        _lock(file, path)
        log = cls(file, Run(header, ()))
        log._append(header_to_json(header))
        _sync_folder(folder)
        return log

    @classmethod
    def resume(cls, folder: Path) -> TrialLog:
        """Go on with the run in a folder: a torn last line is cut off. Raises UserError."""
        path = folder / FILE_NAME
        try:
            file = path.open("r+b", buffering=0)
        except OSError as error:
            raise UserError(
                f"{folder} holds no run that could go on ({FILE_NAME}: {error.strerror})",
                hint="give the folder that `bench run` printed",
            ) from error
        _lock(file, path)
        data = file.read()
        run = parse_run(data, source=str(path))
        file.truncate(data.rfind(b"\n") + 1)
        file.seek(0, os.SEEK_END)
        return cls(file, run)

    def append(self, trial: Trial) -> None:
        """Write a trial; when this returns it is on disk. Raises UserError if the disk is full."""
        self._append(trial_to_json(trial))
        self._run = Run(self._run.header, (*self._run.trials, trial))

    def _append(self, content: Mapping[str, Any]) -> None:
        line = memoryview(json.dumps(content, separators=(",", ":")).encode() + b"\n")
        try:
            while line:  # an unbuffered file may take a part only
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _cannot_write(Path(str(self._file.name)), error) from error

    def close(self) -> None:
        """Close the file, which lets another run have it."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise UserError(f"another bench run is writing to {path}", hint="wait for it, or stop it first") from error


def _sync_folder(folder: Path) -> None:
    """Make the new file's name durable, as fsync(2) asks for."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path} cannot be written ({error.strerror})",
        hint="make room or choose another folder with --out; what finished is kept",
    )
