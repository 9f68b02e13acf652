"""Generators that need no time to be imported: forks of one process in which Locust is imported already.

What a generator does is what `locust` does with the same words (`bench._prefork` calls its main function); what is
saved is two thirds of a second a trial.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from harness.line_process import LineProcess

_ANSWER_LIMIT_S: Final = 30.0  # importing Locust on a busy processor comes before the first answer


class Nursery:
    """The process that forks; a context manager. Generators that still run when it ends are killed."""

    def __init__(self) -> None:
        """Start it; it imports while the caller goes on. Raises OSError."""
        self._process = _prefork()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def start(self, arguments: Sequence[str], *, log: Path, cpus: frozenset[int]) -> Fork:
        """Start `locust` with these arguments in the log's folder. Raises ProcessFailedError.

        If the process that forks is gone, another one takes its place: one accident is not to void all further trials.
        """
        if self._process.has_ended:
            self._process.close()
            self._process = _prefork()
        question = {"arguments": list(arguments), "folder": str(log.parent), "log": str(log), "cpus": sorted(cpus)}
        return Fork(self._process, int(self._process.ask(question)["pid"]))

    def close(self) -> None:
        """End it."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _prefork() -> LineProcess:
    return LineProcess("bench._prefork", name="the process that starts generators", answer_limit_s=_ANSWER_LIMIT_S)


class Fork:
    """One generator: as much of `subprocess.Popen` as `harness.generator` needs."""

    def __init__(self, parent: LineProcess, pid: int) -> None:
        self.pid = pid
        self._parent = parent
        self._descriptor = os.pidfd_open(pid)  # it cannot be reaped, and its number not be reused, before we ask
        self._status: int | None = None

    def poll(self) -> int | None:
        """Return its exit status once it has ended, negative for a signal. Raises ProcessFailedError."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired, ProcessFailedError."""
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("locust", timeout or 0.0)
        return status

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._status is None:
            signal.pidfd_send_signal(self._descriptor, number)

    def _ended(self, timeout_s: float | None) -> int | None:
        """A process descriptor can be read when its process has ended, pidfd_open(2)."""
        if self._status is None and select.select([self._descriptor], [], [], timeout_s)[0]:
            self._status = int(self._parent.ask({"ended": self.pid})["status"])
            os.close(self._descriptor)
        return self._status
