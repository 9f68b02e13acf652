"""One server process and all that it starts: a process group that is ended as a whole, whatever happens.

The group's number is the first process's id. It stays ours until we reap that process, so it is reaped last,
after the group was killed: no signal of ours can reach a stranger that was given the same number.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

import psutil

from deployments import _guard
from deployments._errors import DeploymentError

_LEFTOVER_S: Final = 2.0  # for the kernel to take away what was killed


class ServerProcess:
    """A started server. Not thread-safe."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        cpus: frozenset[int] | None,
        site: Path | None = None,
        remains: Sequence[Path] = (),
    ) -> None:
        """Start it in `folder`, its output appended to `log`, on the processors `cpus` (None: on ours).

        site: the folder that belongs to it and to others that are started with it, None: `folder`. Should this process
        die before `stop`, it is removed with the server.
        remains: files elsewhere that are of no use without the server; removed when it has ended, or was not started.
        Raises DeploymentError when the log cannot be opened or the processors are not to be had.
        """
        self._remains = tuple(remains)
        try:
            self._launch(command, environment, folder, log, cpus, site or folder)
        except BaseException:
            self._remove_remains()
            raise

    def _launch(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        cpus: frozenset[int] | None,
        site: Path,
    ) -> None:
        self._status: int | None = None
        try:
            log_file = log.open("ab")
        except OSError as error:
            raise DeploymentError(f"{log}: cannot open the server's log ({error.strerror}); choose another") from error
        with log_file:
            self._guard = _Guard(site, self._remains)
            try:
                self._process = _start(command, environment, folder, log_file, cpus)
            except BaseException:
                self._guard.dismiss()
                raise
        self._descriptor = os.pidfd_open(self._process.pid)
        try:
            self._guard.watch(self._process.pid)
        except BaseException:
            self._end_group()
            raise

    @property
    def pid(self) -> int:
        """The root of the process tree, and the number of its group."""
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit status once it has ended, else None. Negative: the signal that ended it."""
        if self._status is None and self._process.returncode is None:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None:
                exited = ended.si_code == os.CLD_EXITED
                self._status = ended.si_status if exited else -ended.si_status
        return self._status if self._process.returncode is None else self._process.returncode

    def wait(self, timeout_s: float | None) -> int | None:
        """Wait until it ends, at most so long; then as `poll`."""
        if self.poll() is None:
            waiting = select.poll()
            waiting.register(self._descriptor, select.POLLIN)
            waiting.poll(None if timeout_s is None else max(0.0, timeout_s) * 1000)
        return self.poll()

    @property
    def descriptor(self) -> int:
        """A pidfd of the first process, which is readable once that has ended (pidfd_open(2))."""
        return self._descriptor

    def listens_on(self, port: int) -> bool:
        """Say whether it, or a process that it started, accepts TCP connections on a port."""
        try:
            root = psutil.Process(self.pid)
            return any(
                connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
                for process in (root, *root.children(recursive=True))
                for connection in process.net_connections(kind="tcp")
            )
        except psutil.Error:
            return False  # one of them ended while we looked

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the first process, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)  # not Popen.send_signal, which may reap

    def stop(self, grace_s: float, how: signal.Signals = signal.SIGTERM) -> int:
        """A signal to the first process, time to finish, SIGKILL to what is left of the group."""
        if self._process.returncode is not None:
            return self._process.returncode
        try:
            self.send_signal(how)
            self.wait(grace_s)
        finally:
            self._end_group()
        return self._process.wait()

    def _end_group(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)  # it exists: its first process is not reaped yet
        self._guard.dismiss()
        os.close(self._descriptor)
        self._process.wait()
        deadline_s = time.monotonic() + _LEFTOVER_S
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < deadline_s:
                os.killpg(self.pid, 0)
                time.sleep(0.005)  # grandchildren: only the kernel and their new parent know
        self._remove_remains()

    def _remove_remains(self) -> None:
        for file in self._remains:
            file.unlink(missing_ok=True)


def _start(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    log: IO[bytes],
    cpus: frozenset[int] | None,
) -> "subprocess.Popen[bytes]":
    try:
        with _on_processors(cpus):
            return subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except FileNotFoundError as error:
        raise DeploymentError(f"{command[0]}: no such program; is it installed?") from error


@contextlib.contextmanager
def _on_processors(cpus: frozenset[int] | None) -> Iterator[None]:
    """Pin this thread for a moment: a child inherits the processors of the thread that starts it.

    So it never runs anywhere else, and no code of ours runs between fork and exec.
    """
    if cpus is None:
        yield
        return
    ours = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        raise DeploymentError(
            f"processors {sorted(cpus)} cannot be given to the server; this process may use {sorted(ours)}"
        ) from error
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


class _Guard:
    """The process that ends the server, and removes its site and remains, if we die before we could."""

    def __init__(self, site: Path, remains: Sequence[Path]) -> None:
        reading, self._writing = os.pipe()  # not inherited: the end of this process closes it
        try:
            self._process = subprocess.Popen(
                (sys.executable, "-I", "-S", _guard.__file__, site.absolute(), *remains),
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the terminal is for us, who stop in good order
            )
        except BaseException:
            os.close(self._writing)
            raise
        finally:
            os.close(reading)

    def watch(self, group: int) -> None:
        """Tell it which process group to end."""
        os.write(self._writing, f"{group}\n".encode())

    def dismiss(self) -> None:
        """End it, before the group's number may pass to somebody else."""
        self._process.kill()
        self._process.wait()
        os.close(self._writing)
