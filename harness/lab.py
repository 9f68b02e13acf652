"""Where trials happen: starts real servers and real generators, and watches both while a load runs.

`harness.run` decides what is measured and when; it knows only the two protocols here, so that its tests need
neither a server nor a generator.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from certs import KeyKind
from deployments import DeploymentError, RunningServer, ServeOptions, describe, start
from harness.clocks import Sample, TreeClocks
from harness.errors import UserError
from harness.generator import Generator, GeneratorFailedError, command
from harness.pinning import Pinning
from harness.plan import SLICE_S, Cell, ServerKey
from harness.probes.handshake import negotiate
from harness.probes.target import parse_target
from harness.recording import RecordingError, read_recording
from harness.trials import NegotiatedTls
from harness.window import WARM_UP_S, Observation

_LOOK_EVERY_S = 0.05  # at the recording's size; the clocks are read once a slice
_FAREWELL_S = 5.0  # of several workers
_SPARE_S = 60  # Locust's own time limit, beyond what it should need: for a generator that nobody stops


class ServerFailedError(Exception):
    """A server that did not come up; the message is one line."""


class Served(Protocol):
    """A server that runs."""

    @property
    def threads(self) -> int | None:
        """How many it has; None where there is no such number."""

    @property
    def tls(self) -> NegotiatedTls | None:
        """What it negotiates; None without TLS."""

    def status(self) -> int | None:
        """Its exit status if it has ended by itself."""

    def measure(self, cell: Cell, window_s: float, *, seed: int) -> Observation:
        """Put a load on it until a whole window has been seen, or it is clear that none will be.

        seed: of the arrivals of an open load.
        """


class Lab(Protocol):
    """Starts servers."""

    def serve(self, server: ServerKey) -> AbstractContextManager[Served]:
        """Start a fresh server; it is stopped at the end. Raises ServerFailedError."""


class RealLab:
    """Starts real deployments."""

    def __init__(self, state: Path, pinning: Pinning) -> None:
        self._state = state
        self._pinning = pinning
        self._tick: Callable[[], None] = lambda: None

    def on_tick(self, tick: Callable[[], None]) -> None:
        """Have a function called about every 50 ms while a load runs, so that a display can move on."""
        self._tick = tick

    def serve_options(self, server: ServerKey) -> ServeOptions:
        """Return the options of a server start. Raises DeploymentError for what no deployment takes."""
        return ServeOptions(
            state=self._state,
            workers=server.workers,
            threads=server.threads or None,
            tls=server.tls,
            auth=server.auth,
            certificate_kind=KeyKind(server.certificate_kind),
            added_cpu_us=server.added_cpu_us,
            added_delay_ms=server.added_delay_ms,
        )

    def check(self, server: ServerKey) -> None:
        """Refuse a start that cannot succeed, before anything is measured. Raises DeploymentError, UserError."""
        options = self.serve_options(server)
        (described,) = describe(server.deployment)
        deployment = described.deployment
        deployment.threads.chosen(deployment.name, options.threads)
        deployment.workers.check(deployment.name, options.workers)
        if described.missing:
            missing = " and ".join(described.missing)
            raise UserError(f"{deployment.name} needs {missing}, not installed here", hint=deployment.install)

    @contextmanager
    def serve(self, server: ServerKey) -> Iterator[Served]:
        """Start a fresh server; it is stopped at the end. Raises ServerFailedError."""
        try:
            running = start(server.deployment, self.serve_options(server), cpus=self._pinning.server)
        except DeploymentError as error:
            raise ServerFailedError(str(error)) from error
        try:
            try:
                tls = negotiate(parse_target(running.url), running.ca_file) if server.uses_tls else None
            except UserError as error:
                raise ServerFailedError(str(error)) from error
            yield _RealServed(running, tls, self._state, self._pinning, self._tick)
        finally:
            # Nobody is waiting for an answer, and a good farewell takes a third of a second. But a killed master leaves
            # what its workers shared: Hypercorn's five semaphores in /dev/shm.
            running.stop(grace_s=0.0 if server.workers == 1 else _FAREWELL_S)


class _RealServed:
    def __init__(
        self,
        running: RunningServer,
        tls: NegotiatedTls | None,
        state: Path,
        pinning: Pinning,
        tick: Callable[[], None],
    ) -> None:
        self._running = running
        self._tls = tls
        self._state = state
        self._pinning = pinning
        self._tick = tick

    @property
    def threads(self) -> int | None:
        return self._running.threads

    @property
    def tls(self) -> NegotiatedTls | None:
        return self._tls

    def status(self) -> int | None:
        return self._running.poll()

    def measure(self, cell: Cell, window_s: float, *, seed: int) -> Observation:
        clocks = TreeClocks((process.pid for process in self._running.processes), self._pinning)
        samples = [clocks.sample()]
        failure: str | None = None
        with tempfile.TemporaryDirectory(prefix="bench-trial-") as name:
            folder = Path(name)
            record = folder / "recording.jsonl"
            argv = command(
                cell,
                url=self._running.url,
                state=self._state,
                limit_s=_limit_s(window_s),
                record=record,
                seed=seed,
            )
            try:
                with Generator(
                    argv, record=record, cpus=self._pinning.generator, log=folder / "locust.log"
                ) as generator:
                    self._watch(generator, clocks, samples, cell.load.clients, window_s)
                    generator.stop()
                recording = read_recording(record)
            except (GeneratorFailedError, RecordingError) as error:
                failure, recording = str(error), None
        return Observation(recording=recording, samples=tuple(samples), failure=failure, server_status=self.status())

    def _watch(
        self, generator: Generator, clocks: TreeClocks, samples: list[Sample], clients: int, window_s: float
    ) -> None:
        """Read the clocks once a slice until there is a window; the last sample lies after its last slice."""
        next_s = time.monotonic() + SLICE_S
        while self.status() is None:
            enough = generator.has_enough(clients=clients, window_s=window_s)
            if enough or time.monotonic() >= next_s:
                samples.append(clocks.sample())
                next_s += SLICE_S
            if enough:
                return
            self._tick()
            time.sleep(_LOOK_EVERY_S)


def _limit_s(window_s: float) -> int:
    return round(WARM_UP_S + window_s + _SPARE_S)
