"""`bench run` with a made-up laboratory, in a process that ends in a way of its own: a program for test_bad_luck.py.

    python -m tests.harness.sitting OUTCOME ARGUMENT ...     OUTCOME: finish, MOMENT:N or full:BYTES

MOMENT:N ends the process by SIGKILL at the N-th trial that it writes (1 first): `before` its line, in the middle of it
(`torn`), when it is `written` but not yet on disk, or when it is `synced`. full:BYTES lets no file grow beyond BYTES,
as a full disk would. The rest are the arguments of `bench run`. Each trial that is on disk is said on standard output.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, NoReturn, Self, cast
from unittest import mock

from harness.cli import run_command
from harness.commands import run as command
from harness.lab import Served
from harness.plan import ServerKey
from harness.schedule import Turn
from harness.trial_log import TrialLog
from harness.trials import Run, Trial
from tests.harness.test_run import FakeLab

MOMENTS = ("before", "torn", "written", "synced")


class Laboratory(FakeLab):
    """Has the rest of what `bench run` asks of a real one."""

    def __init__(self, most_bytes: int | None) -> None:
        super().__init__()
        self._most_bytes = most_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        del raised

    def check(self, server: ServerKey) -> None:
        del server

    def on_tick(self, tick: Callable[[], None]) -> None:
        del tick

    @contextmanager
    def serve(self, server: ServerKey) -> Iterator[Served]:
        if self._most_bytes is not None:  # now, because the state folder is made by now
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._most_bytes, resource.RLIM_INFINITY))
        with super().serve(server) as served:
            yield served


class Teller:
    """A display that says which trials are on disk."""

    def start(self, *, done: int, total: int, folder: str, at_most: bool = False) -> None:
        del done, total, folder, at_most

    def turn(self, turn: Turn) -> None:
        del turn

    def finished(self, trial: Trial) -> None:
        print(f"{trial.id.block} {trial.id.cell}", flush=True)  # noqa: T201 - that is its purpose

    def tick(self) -> None:
        pass

    def close(self) -> None:
        pass


class DoomedFile:
    """A file of which the N-th line that is written ends the process."""

    def __init__(self, file: BinaryIO, number: int, moment: str) -> None:
        self._file = file
        self._left = number
        self._moment = moment

    @property
    def name(self) -> str:
        return self._file.name

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()

    def write(self, data: memoryview) -> int:
        self._left -= 1
        if self._left == 0:
            if self._moment != "before":
                self._file.write(data[: len(data) // 2] if self._moment == "torn" else data)
            if self._moment == "synced":
                os.fsync(self.fileno())
            die()
        return self._file.write(data)


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


def main(outcome: str, arguments: list[str]) -> int:
    kind, _, number = outcome.partition(":")
    lab = Laboratory(int(number) if kind == "full" else None)
    init = TrialLog.__init__

    def doomed(self: TrialLog, file: BinaryIO, run: Run) -> None:
        header = 0 if "--resume" in arguments else 1
        init(self, cast("BinaryIO", DoomedFile(file, int(number) + header, kind)), run)

    with ExitStack() as stack:
        stack.enter_context(
            mock.patch.multiple(
                command,
                RealLab=lambda _state, _pinning: lab,
                choose_display=lambda *_: Teller(),
                write_and_show=lambda _folder, **_: None,
            )
        )
        if kind in MOMENTS:
            stack.enter_context(mock.patch.object(TrialLog, "__init__", doomed))
        return run_command(["run", *arguments, "--state", str(Path("state").absolute())])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
