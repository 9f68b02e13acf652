"""Where trials happen: starts real servers and real generators, and watches both while a load runs.

`harness.run` decides what is measured and when; it knows only the two protocols here, so that its tests need
neither a server nor a generator.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from certs import KeyKind
from deployments import DeploymentError, RunningServer, ServeOptions, describe, start
from harness import reference
from harness.clocks import Clocks, ClocksError, Sample, TreeClocks, check_readable
from harness.errors import UserError
from harness.generator import Generator, GeneratorFailedError, locust_arguments
from harness.line_process import ProcessFailedError
from harness.nursery import Nursery
from harness.pace import PaceProbe
from harness.pinning import Pinning
from harness.plan import Cell, ServerKey
from harness.probes.handshake import negotiate
from harness.probes.target import parse_target
from harness.recording import Recording, RecordingError, Slice, read_recording
from harness.stationarity import LONGEST_WARM_UP_S
from harness.trials import NegotiatedTls
from harness.window import Observation, WindowSearch

_LOOK_EVERY_S = 0.05  # at the recording's size; the clocks are read when it has grown
_ROOM_BYTES = 1 << 20  # a recording has a few hundred kB
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
    """Starts real deployments; a context manager."""

    def __init__(self, state: Path, pinning: Pinning) -> None:
        self._state = state
        self._pinning = pinning
        self._tick: Callable[[], None] = lambda: None
        self._probe: PaceProbe | None = None  # one for all its servers

    def close(self) -> None:
        """End what it has started for all its servers."""
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
        check_readable(self._pinning)
        options = self.serve_options(server)
        (described,) = describe(server.deployment)
        deployment = described.deployment
        deployment.threads.chosen(deployment.name, options.threads)
        deployment.workers.check(deployment.name, options.workers)
        deployment.check_tls(options.tls)
        if described.missing:
            missing = " and ".join(described.missing)
            raise UserError(f"{deployment.name} needs {missing}, not installed here", hint=deployment.install)

    @contextmanager
    def serve(self, server: ServerKey) -> Iterator[Served]:
        """Start a fresh server; it is stopped at the end. Raises ServerFailedError, or UserError for want of room."""
        with ExitStack() as stack:
            try:
                # First, so that Locust is imported on one processor while the server starts on another.
                nursery = stack.enter_context(Nursery())
                running = start(server.deployment, self.serve_options(server), cpus=self._pinning.server)
            except DeploymentError as error:
                raise ServerFailedError(str(error)) from error
            except OSError as error:
                raise _out_of(f"{server.deployment} cannot be started", error) from error
            probe = self._pace_probe()
            # Nobody is waiting for an answer, and a good farewell takes a third of a second. But a killed master leaves
            # what its workers shared: Hypercorn's five semaphores in /dev/shm.
            stack.callback(running.stop, grace_s=0.0 if server.workers == 1 else _FAREWELL_S)
            try:
                tls = negotiate(parse_target(running.url), running.ca_file) if server.uses_tls else None
            except UserError as error:
                raise ServerFailedError(str(error)) from error
            yield _RealServed(running, tls, nursery, probe, self._state, self._pinning, self._tick)

    def _pace_probe(self) -> PaceProbe:
        if self._probe is None:
            try:
                self._probe = PaceProbe(self._pinning.server)
            except (OSError, subprocess.SubprocessError) as error:
                raise ServerFailedError(f"the server's processor cannot be watched ({error})") from error
        return self._probe


class _RealServed:
    def __init__(
        self,
        running: RunningServer,
        tls: NegotiatedTls | None,
        nursery: Nursery,
        probe: PaceProbe,
        state: Path,
        pinning: Pinning,
        tick: Callable[[], None],
    ) -> None:
        self._running = running
        self._tls = tls
        self._nursery = nursery
        self._probe = probe
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
        watch = _Watch(cell, window_s, TreeClocks((each.pid for each in self._running.processes), self._pinning))
        failure: str | None = None
        recording: Recording | None = None
        readings: list[float | None] = []
        start_ns = time.monotonic_ns()
        with _folder() as folder:
            record = folder / "recording.jsonl"
            arguments = locust_arguments(
                cell,
                url=self._running.url,
                state=self._state,
                limit_s=_limit_s(window_s),
                record=record,
                seed=seed,
            )
            try:
                watch.read_clocks()
                with Generator.born(
                    self._nursery, arguments, record=record, cpus=self._pinning.generator, log=folder / "locust.log"
                ) as generator:
                    # While the generator reads its words, an eighth of a second on the other processor.
                    readings.append(reference.measure_us(self._pinning.server))
                    self._wait(generator, watch)
                    generator.stop()
                readings.append(reference.measure_us(self._pinning.server))
                recording = read_recording(record)
            except ClocksError as error:
                watch.failure = str(error)
            except (GeneratorFailedError, RecordingError, ProcessFailedError) as error:
                _check_room(folder)
                failure = str(error)
            except OSError as error:
                raise _out_of("a trial cannot be made", error) from error
        return Observation(
            recording=recording,
            samples=tuple(watch.samples),
            failure=failure,
            server_status=self.status(),
            clocks_failure=watch.failure,
            reference_us=reference.mean_us(readings),
            beats=self._probe.since(start_ns),
        )

    def _wait(self, generator: Generator, watch: _Watch) -> None:
        """Look until there is a window, or the server is gone."""
        while self.status() is None and not watch.is_over(generator.new_slices()):
            self._tick()
            time.sleep(_LOOK_EVERY_S)


class _Watch:
    """Reads the server's clocks whenever the generator has written a slice, and says when there is a window."""

    def __init__(self, cell: Cell, window_s: float, clocks: Clocks) -> None:
        self._search = WindowSearch(cell, window_s)
        self._clocks = clocks
        self.samples: list[Sample] = []
        self.failure: str | None = None

    def read_clocks(self) -> None:
        """Raise ClocksError where that is not allowed."""
        self.samples.append(self._clocks.sample())

    def is_over(self, slices: Sequence[Slice]) -> bool:
        """Take the slices that were written since the last call."""
        if not slices:
            return False
        self.read_clocks()  # behind the last slice, so that its end lies between two readings
        return self._search.finds(slices, self.samples) is not None


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder for what the generator writes. Raises UserError where there is no room."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="bench-trial-")
    except OSError as error:
        raise _out_of("no folder can be made", error) from error
    with folder as name:
        yield Path(name)


def _check_room(folder: Path) -> None:
    """Tell a full disk from a generator that failed by itself: all further trials would too. Raises UserError."""
    if shutil.disk_usage(folder).free < _ROOM_BYTES:
        raise _out_of("the generator failed", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


def _out_of(what: str, error: OSError) -> UserError:
    """Make the error for a machine that has no more room, files or processes for us."""
    return UserError(
        f"{what} ({error.strerror or error}; files go to {tempfile.gettempdir()})",
        hint="make room or set TMPDIR, and go on with --resume; what finished is kept",
    )


def _limit_s(window_s: float) -> int:
    return round(LONGEST_WARM_UP_S + window_s + _SPARE_S)
