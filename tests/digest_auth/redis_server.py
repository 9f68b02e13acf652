"""A real Redis server for as long as a test needs it: killed, frozen, started again as often as it likes."""

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.requirements import require_program

START_S = 20.0
ADMINISTRATOR = "admin-s-own"
"""Password of the user `administrator` on every server here, so that tests may take all rights from `default`."""


@dataclass
class RedisServer:
    """One on a port and a UNIX socket. What it saves stands in its folder, where its next start finds it."""

    program: str
    folder: Path
    port: int
    options: tuple[str, ...]
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def unix_url(self) -> str:
        return f"unix://{self.folder / 'socket'}"

    @property
    def snapshot(self) -> Path:
        """What `save()` writes and a start reads."""
        return self.folder / "dump.rdb"

    def administrator(self) -> redis.Redis:
        """A client that may do everything; close it, or use it as a context manager."""
        return redis.Redis(
            unix_socket_path=str(self.folder / "socket"),
            username="administrator",
            password=ADMINISTRATOR,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )

    def start(self) -> None:
        """Start it and wait until it serves."""
        words = [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        words += ["--unixsocket", str(self.folder / "socket"), "--save", "", "--appendonly", "no"]
        words += ["--repl-diskless-sync-delay", "0"]  # a replica gets the data at once, not in 5 s
        words += ["--hz", "100"]  # it looks for signals so often a second
        words += ["--user", "administrator", "on", f">{ADMINISTRATOR}", "~*", "&*", "+@all", *self.options]
        log = self.folder / "log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT)
        deadline_s = time.monotonic() + START_S
        with self.administrator() as administrator:
            while True:
                with contextlib.suppress(redis.ConnectionError):  # it is not there yet, or is loading
                    administrator.ping()
                    return
                assert self.process.poll() is None, log.read_text()
                assert time.monotonic() < deadline_s, f"not ready after {START_S} s: {log.read_text()}"
                time.sleep(0.01)

    def kill(self) -> None:
        """End it at once (SIGKILL): nothing is saved, no connection is closed in order."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as its administrator would. Nothing is saved either: no server here saves by itself."""
        self._end(signal.SIGTERM)

    def freeze(self) -> None:
        """It keeps its connections and answers nothing, as a host that is stuck."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.send_signal(signal.SIGCONT)  # or one that is frozen would never hear of SIGTERM
            self.process.wait(START_S)
            self.process = None


@contextlib.contextmanager
def running_redis(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Start redis-server with its files in a folder; afterwards end it. options: as on its command line.

    Skips the calling test where redis-server is not installed.
    """
    program = require_program("redis-server", "redis-server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    server = RedisServer(program, folder, port, options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
