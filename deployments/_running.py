"""A deployment that is up."""

import contextlib
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from deployments._errors import DeploymentError
from deployments._name import DeploymentName
from deployments._together import Together
from deployments._types import Front, Reload
from device_api.ready import ReadyFile
from device_api.ready import ServerProcess as Role


class RunningServer:
    """A started deployment that has answered; leaving it as a context manager stops it.

    ca_file: None without TLS. threads: None where there is no such number. log: what the server writes; gone
    after `stop`, unless the caller chose the place.
    """

    def __init__(
        self,
        name: DeploymentName,
        together: Together,
        *,
        url: str,
        ca_file: Path | None,
        credentials_file: Path,
        threads: int | None,
        workers: int,
        reload: Reload,
        front: Front | None,
        log: Path,
        folder: "tempfile.TemporaryDirectory[str]",
    ) -> None:
        self.name = name
        self.url = url
        self.ca_file = ca_file
        self.credentials_file = credentials_file
        self.threads = threads
        self.workers = workers
        self.log = log
        self._reload = reload
        self._front = front
        self._together = together
        self._folder = folder

    @property
    def pid(self) -> int:
        """The root of the server's process tree."""
        return self._together.pid

    @property
    def processes(self) -> tuple[Role, ...]:
        """The root of each process tree, with its part in the deployment."""
        return self._together.roles

    @property
    def folder(self) -> Path:
        """Where the files are that the server was started with; gone after `stop`."""
        return Path(self._folder.name)

    @property
    def ready_file(self) -> ReadyFile:
        """What to tell a client or an observer that waits for this server."""
        return ReadyFile(
            url=self.url,
            pid=self.pid,
            processes=self.processes,
            ca_file=self.ca_file,
            credentials_file=self.credentials_file,
        )

    def poll(self) -> int | None:
        """Return the exit status if the server has ended by itself, else None."""
        return self._together.poll()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait until the server ends by itself, at most so long; then as `poll`."""
        return self._together.wait(timeout_s)

    def log_tail(self, lines: int = 10) -> tuple[str, ...]:
        """Return the last lines that the server wrote."""
        return log_tail(self.log, lines)

    def reload(self) -> None:
        """Serve the certificate that its files now hold: new connections see it within a second.

        Nobody's connection or request is lost. Only with Reload.SIGHUP it takes until new workers have followed the old
        ones; these, as a proxy's, close connections that are idle, and cut those that are just being made; and with
        Reload.SIGUSR1 requests that come meanwhile may get 503. Raises DeploymentError where only a restart does it.
        """
        if self._reload is Reload.RESTART:
            raise DeploymentError(f"{self.name} reads its certificate only when it starts; stop it, and start it again")
        if self._front is not None and self._front.renew is not None:
            self._renew(self._front.renew)
        elif self._reload in (Reload.SIGHUP, Reload.WATCHED_OR_SIGHUP):
            self._together.facing.send_signal(signal.SIGHUP)
        elif self._reload is Reload.SIGUSR1:
            self._together.facing.send_signal(signal.SIGUSR1)

    def _renew(self, how: signal.Signals | tuple[str, ...]) -> None:
        if isinstance(how, signal.Signals):
            self._together.facing.send_signal(how)
            return
        done = subprocess.run(how, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it wrote nothing"])[-1]
            raise DeploymentError(f"{self.name}: {' '.join(how)} ended with status {done.returncode}; {last}")

    def stop(self, grace_s: float = 10.0) -> int:
        """End it and whatever it started; return its exit status, negative for a signal.

        SIGTERM, or the signal that its deployment or proxy names, then after `grace_s` SIGKILL. What status a good stop
        has depends on the server (`abilities.stop_status`). A second call changes nothing.
        """
        try:
            return self._together.stop(grace_s)
        finally:
            self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def log_tail(log: Path, lines: int = 10) -> tuple[str, ...]:
    """Return the last lines of a log that are not empty; none when it cannot be read."""
    with contextlib.suppress(OSError):
        text = log.read_text(encoding="utf-8", errors="replace")
        return tuple(line for line in text.splitlines() if line.strip())[-lines:]
    return ()
