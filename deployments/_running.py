"""A deployment that is up."""

import contextlib
import signal
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from deployments._errors import DeploymentError
from deployments._name import DeploymentName
from deployments._process import ServerProcess
from deployments._types import Reload
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
        process: ServerProcess,
        *,
        url: str,
        ca_file: Path | None,
        credentials_file: Path,
        threads: int | None,
        workers: int,
        reload: Reload,
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
        self._process = process
        self._folder = folder

    @property
    def pid(self) -> int:
        """The root of the server's process tree."""
        return self._process.pid

    @property
    def processes(self) -> tuple[Role, ...]:
        """The root of each process tree, with its part in the deployment."""
        return (Role("app", self.pid),)

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
        return self._process.poll()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait until the server ends by itself, at most so long; then as `poll`."""
        return self._process.wait(timeout_s)

    def log_tail(self, lines: int = 10) -> tuple[str, ...]:
        """Return the last lines that the server wrote."""
        return log_tail(self.log, lines)

    def reload(self) -> None:
        """Serve the certificate that its files now hold: new connections see it within a second.

        Nobody's connection or request is lost. Raises DeploymentError where only a restart does it.
        """
        if self._reload is Reload.RESTART:
            raise DeploymentError(f"{self.name} reads its certificate only when it starts; stop it, and start it again")
        if self._reload in (Reload.SIGHUP, Reload.WATCHED_OR_SIGHUP):
            self._process.send_signal(signal.SIGHUP)

    def stop(self, grace_s: float = 10.0) -> int:
        """End it and whatever it started; return its exit status, negative for a signal.

        SIGTERM, then after `grace_s` SIGKILL. What status a good stop has depends on the server
        (`abilities.stop_status`). A second call changes nothing.
        """
        try:
            return self._process.stop(grace_s)
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
