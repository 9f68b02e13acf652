"""A server that stands still for a second under an open load, which the percentiles have to show.

A closed load hides it: each client is late with one request. Under an open load the requests that were to be sent
meanwhile are late, each by the rest of the second, and theory says by how much the percentiles are.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from certs import KeyKind
from deployments import DeploymentError, ServeOptions, start
from harness import histograms
from harness.calibration.recorded import slices_so_far
from harness.clocks import Sample, TreeClocks, interpolate, process_tree
from harness.errors import UserError
from harness.generator import Generator, GeneratorFailedError, command, locust_arguments
from harness.load import Arrivals, Load
from harness.pinning import Pinning
from harness.plan import SLICE_S, Cell, ServerKey
from harness.recording import Recording, RecordingError, Slice, read_recording

RATE_PER_S: Final = 100.0
WINDOW_S: Final = 10.0
STALL_S: Final = 1.0
PERCENTS: Final = (95.0, 99.0)
TOLERANCE: Final = 0.05  # of a percentile, of its theory
MOST_SHARE: Final = 0.2  # of the server's processor: a server that is busier takes longer to work off what waited

# More than arrive while it stands still, so that none waits for a connection either.
_CELL: Final = Cell(
    server=ServerKey(deployment="flask-threaded"),
    scenario="keep-alive",
    load=Load(clients=128, rate_per_s=RATE_PER_S, arrivals=Arrivals.CONSTANT),
)
_SETTLE_S: Final = 1.0  # with all clients, before the window
_STALL_AFTER_S: Final = 4.0  # in the window
_LOOK_EVERY_S: Final = 0.1
_LIMIT_S: Final = 60.0


class StallFailedError(Exception):
    """There is no figure; the message is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """One try."""

    stalled_s: float
    window_s: float
    requests: int
    server_share: float  # of its processors, over the window
    p95_us: float
    p99_us: float

    def seen_us(self, percent: float) -> float:
        """Return one of PERCENTS as it was measured."""
        return {95.0: self.p95_us, 99.0: self.p99_us}[percent]

    def theory_us(self, percent: float) -> float:
        """Return what it must be."""
        return theory_us(percent, stall_s=self.stalled_s, window_s=self.window_s)

    def deviation(self, percent: float) -> float:
        """Return how far off it is, as a share of the theory."""
        return self.seen_us(percent) / self.theory_us(percent) - 1

    @property
    def is_as_theory_says(self) -> bool:
        """Whether all percentiles are, on a server that was not too busy for the theory."""
        return self.server_share <= MOST_SHARE and all(abs(self.deviation(one)) <= TOLERANCE for one in PERCENTS)


def theory_us(percent: float, *, stall_s: float, window_s: float, share: float = 0.0) -> float:
    """Return a percentile of the latency of constant arrivals, in µs, when the server stands still once in a window.

    An arrival t after the stall began waits for the rest of it, stall_s - t: the latencies of these arrivals are spread
    evenly over 0 … stall_s. All others take nothing beside that. Of all arrivals of the window, the share that takes
    longer than x is so (stall_s - x) / window_s, and the percentile q is the x at which that is 1 - q:

        x = stall_s - (1 - q) window_s        with 1 s in 10 s: 0.50 s for the 95th, 0.90 s for the 99th; 0 for the 90th

    share: how busy the server is without the stall. What came t after its beginning has then waiting requests of
    share * t before it as well and takes stall_s - t (1 - share), also for a while after the stall has ended:

        x = stall_s - (1 - q) window_s (1 - share)
    """
    return max(0.0, stall_s - (1 - percent / 100) * window_s * (1 - share)) * 1e6


def stop_for(pids: Sequence[int], seconds: float) -> float:
    """Stop processes by SIGSTOP and let them go on, whatever happens meanwhile; return for how long they stood.

    Parents first: nothing is forked by whom has been stopped. One that is gone is left out.
    """
    began_s = time.monotonic()
    try:
        _signal_all(pids, signal.SIGSTOP)
        time.sleep(max(0.0, began_s + seconds - time.monotonic()))
    finally:
        _signal_all(pids, signal.SIGCONT)
        ended_s = time.monotonic()
    return ended_s - began_s


def _signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def measure_stall(state: Path, pinning: Pinning, *, seed: int, tick: Callable[[], None] = lambda: None) -> Stall:
    """Serve, load, stop the server for a second, and see. About 14 s. Raises StallFailedError."""
    options = ServeOptions(state=state, tls=_CELL.server.tls, certificate_kind=KeyKind(_CELL.server.certificate_kind))
    try:
        with (
            start(_CELL.server.deployment, options, cpus=pinning.server) as running,
            tempfile.TemporaryDirectory(prefix="bench-stall-") as name,
        ):
            folder = Path(name)
            record = folder / "recording.jsonl"
            arguments = locust_arguments(
                _CELL, url=running.url, state=state, limit_s=round(_LIMIT_S), record=record, seed=seed
            )
            roots = [process.pid for process in running.processes]
            with Generator.start(
                command(arguments), record=record, cpus=pinning.generator, log=folder / "locust.log"
            ) as generator:
                watch = _Watch(generator, record, TreeClocks(roots, pinning), tick)
                began_ns = watch.until_settled()
                watch.until(began_ns + round(_STALL_AFTER_S * 1e9))
                stalled_s = stop_for([pid for root in roots for pid in process_tree(root)], STALL_S)
                watch.until(began_ns + round((WINDOW_S + SLICE_S) * 1e9))
                generator.stop()
            return read_stall(read_recording(record), watch.samples, began_ns, stalled_s, len(pinning.server))
    except (DeploymentError, GeneratorFailedError, RecordingError, UserError) as error:
        raise StallFailedError(str(error)) from error


def read_stall(
    recording: Recording, samples: Sequence[Sample], began_ns: int, stalled_s: float, processors: int
) -> Stall:
    """Cut the window out. began_ns: the end of the slice that it follows. Raises StallFailedError."""
    end_ns = began_ns + round((WINDOW_S - SLICE_S / 2) * 1e9)
    counted = []
    for piece in recording.slices:
        if piece.monotonic_ns > began_ns:
            counted.append(piece)
            if piece.monotonic_ns >= end_ns:
                break
    failed = sum(sum(piece.errors.values()) for piece in counted)
    if not counted or counted[-1].monotonic_ns < end_ns:
        raise StallFailedError("the generator recorded less than the window")
    if failed:
        raise StallFailedError(f"{failed} requests failed: {next(reason for one in counted for reason in one.errors)}")
    last_ns = counted[-1].monotonic_ns
    window_s = (last_ns - began_ns) / 1e9
    cpu_us = [interpolate(at_ns, samples, lambda sample: sample.server_cpu_us) for at_ns in (began_ns, last_ns)]
    latency_us = histograms.merge(counts for piece in counted for counts in piece.latency_us.values())
    p95_us, p99_us = histograms.percentiles(latency_us, PERCENTS)
    return Stall(
        stalled_s=stalled_s,
        window_s=window_s,
        requests=histograms.total(latency_us),
        server_share=(cpu_us[1] - cpu_us[0]) / (window_s * 1e6 * processors),
        p95_us=p95_us,
        p99_us=p99_us,
    )


class _Watch:
    """Reads the server's clocks while it waits for the generator to have recorded until some time."""

    def __init__(self, generator: Generator, record: Path, clocks: TreeClocks, tick: Callable[[], None]) -> None:
        self.samples: list[Sample] = []
        self._generator = generator
        self._record = record
        self._clocks = clocks
        self._tick = tick
        self._give_up_s = time.monotonic() + _LIMIT_S

    def until_settled(self) -> int:
        """Wait until all clients have been there for a while; return when the slice ended that says so."""
        while True:
            there = [piece.monotonic_ns for piece in self._look() if piece.users >= _CELL.load.clients]
            if there and there[-1] - there[0] >= _SETTLE_S * 1e9:
                return there[-1]

    def until(self, time_ns: int) -> None:
        """Wait until a slice ends at that time or later."""
        while not any(piece.monotonic_ns >= time_ns for piece in self._look()):
            pass

    def _look(self) -> tuple[Slice, ...]:
        """Return all slices so far, after a while; the clocks are read behind them. Raises StallFailedError."""
        if self._generator.has_ended:
            raise StallFailedError("the generator ended too early")
        if time.monotonic() > self._give_up_s:
            raise StallFailedError(f"the generator did not get there within {_LIMIT_S:g} s")
        self._tick()
        time.sleep(_LOOK_EVERY_S)
        seen = slices_so_far(self._record)
        self.samples.append(self._clocks.sample())
        return seen
