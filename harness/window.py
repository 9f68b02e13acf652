"""Which part of a trial counts, and whether it can be believed: decided afterwards, from what was recorded.

Pure: a recording of the generator and samples of the server's clocks go in, figures and doubts come out. Both were
taken on the same monotonic clock; the window's edges are slice times of the generator, and the server's clocks are
interpolated there. `harness.stationarity` chooses it.

A request counts where it was answered. Of a closed load nothing else is possible. Of an open one those that arrived in
the window would be the better set, and it is the same but for the edges: what arrived before and was answered in the
window stands for what was answered behind it, as long as as many were unanswered at the window's end as at its start.
So the growth of that number is what could be missing at the upper end of the latencies; beyond `BACKLOG_LIMIT` it is a
doubt, for then the server does not keep up, and its latencies are those of a queue, longer in every longer window.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness import pace
from harness.beats import Beat
from harness.clocks import Sample, interpolate
from harness.histograms import merge, percentiles, total
from harness.pinning import Pinning
from harness.plan import SLICE_S, Cell
from harness.recording import Bytes, Handshakes, HandshakeTimes, Negotiated, Recording, Slice
from harness.stationarity import Progress, Values, Window, choose_window
from harness.trials import BACKLOG, GENERATOR_LIMIT, LAGGED, NEIGHBOURS, STOLEN, UNSTEADY_RATE

GENERATOR_BUSY = 0.9  # of its processor: a closed loop that is busier waits for itself, not for the server
SERVER_BUSY = 0.9  # of its processors, by itself: then the server was the limit, if it was busier than the generator
NEIGHBOUR_LIMIT = 0.2  # of the server's processors: shared caches then cost several per cent
STARVED_IDLE = 0.05  # a generator's processor without this much idle time had none to spare,
STARVED_OTHERS = 0.1  # if it was others who took it; the harness itself takes up to 0.03 where there is no third one
RESUMED_SHARE = 0.95  # of the handshakes of that scenario: a client's first is full
PAUSE_LIMIT_S = 4 * SLICE_S  # a generator that did not get to write for so long stood still

# A dispatcher with a processor of its own is late by at most 0.2 ms in 99 of 100 cases, at 1 to 2,000 arrivals a
# second. Five times that is no chance any more; nor does it matter below a twentieth of the latency that it is part of.
LATENESS_LIMIT_US = 1000.0  # 99th percentile
LATENESS_SHARE = 0.05  # of the median latency
BACKLOG_LIMIT = 0.05  # of the arrivals in the window,
BACKLOG_LEAST = 20  # and more than chance leaves in flight

# In ticks of 10 ms: two of them in a window of a second, on two processors, are still chance.
STOLEN_LIMIT = 0.02  # of both sides' processors: rates and latencies have lost as much
STOLEN_COST_LIMIT = 0.1  # process clocks may contain what was stolen, by how the kernel was built: no cost is left then
SUSPENDED_LIMIT_S = 0.01  # the two clocks are read a microsecond apart


class VoidTrialError(Exception):
    """No figure can be taken of a trial; the message is its doubt."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that was seen of one trial."""

    recording: Recording | None  # None: there is none, see `failure`
    samples: tuple[Sample, ...]
    failure: str | None = None  # what went wrong with the generator
    server_status: int | None = None  # of a server that ended by itself
    clocks_failure: str | None = None  # why the server's clocks could not be read to the end
    reference_us: float | None = None  # as in harness.trials.Trial
    beats: tuple[Beat, ...] = ()  # of harness.pace


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What happened in the window that counts."""

    window_s: float
    requests: int
    errors: dict[str, int]
    latency_us: dict[int, int]
    lateness_us: dict[int, int]
    handshake_us: HandshakeTimes
    handshakes: Handshakes
    challenges: int
    bytes: Bytes
    server_cpu_us: float
    generator_cpu_us: float
    neighbour_cpu_us: float
    stolen_us: float
    reference_us: float | None
    pace_us: float | None
    warm_up_s: float
    rss_bytes: int
    tls: Negotiated | None
    doubts: tuple[str, ...]


def progress_of(piece: Slice, *, is_open: bool) -> Progress:
    """Return what the choice of a window looks at."""
    answered = piece.requests - sum(piece.errors.values())
    (median_us,) = percentiles(merge(piece.latency_us.values()), [50]) if is_open else (math.nan,)
    return Progress(monotonic_ns=piece.monotonic_ns, clients=piece.users, answered=answered, latency_us_p50=median_us)


class WindowSearch:
    """Looks for the window in a recording that is still being written, and at nothing twice.

    It works on the generator's processor where there is no third one, so it must cost next to nothing.
    """

    def __init__(self, cell: Cell, window_s: float) -> None:
        self._cell = cell
        self._window_s = window_s
        self._progress: list[Progress] = []

    def finds(self, slices: Iterable[Slice], samples: Sequence[Sample]) -> Window | None:
        """Take further slices; return the window that the whole recording will have, or None as long as it has none.

        samples: all so far; they must reach beyond the last slice.
        """
        # Every window that ends with a slice of before was refused then.
        earliest = len(self._progress) - round(self._window_s / SLICE_S)
        self._progress += (progress_of(piece, is_open=self._cell.load.is_open) for piece in slices)
        return choose_window(
            self._progress,
            _server_cpu_us([piece.monotonic_ns for piece in self._progress], samples),
            clients=self._cell.load.clients,
            window_s=self._window_s,
            is_open=self._cell.load.is_open,
            earliest=max(0, earliest),
        )


def _server_cpu_us(times_ns: Sequence[int], samples: Sequence[Sample]) -> Values:
    """Return the server's CPU clock at each time; NaN outside the samples. As `interpolate`, for many times at once."""
    if not samples:
        return np.full(len(times_ns), math.nan)
    start_ns = samples[0].monotonic_ns
    return np.interp(
        [at_ns - start_ns for at_ns in times_ns],
        [sample.monotonic_ns - start_ns for sample in samples],
        [sample.server_cpu_us for sample in samples],
        left=math.nan,
        right=math.nan,
    )


def figures(observation: Observation, *, cell: Cell, window_s: float, pinning: Pinning) -> Figures:
    """Cut the window out and add it up. Raises VoidTrialError if there is nothing to be had."""
    recording = observation.recording
    if observation.server_status is not None:
        raise VoidTrialError(f"the server ended by itself with status {observation.server_status}")
    if observation.clocks_failure is not None:
        raise VoidTrialError(f"the server's clocks were not read: {observation.clocks_failure}")
    if observation.failure is not None:
        raise VoidTrialError(f"the generator failed: {observation.failure}")
    if recording is None or not recording.complete:
        raise VoidTrialError("the generator failed: it did not close its recording")
    window = WindowSearch(cell, window_s).finds(recording.slices, observation.samples)
    if window is None:
        raise VoidTrialError(_too_short(recording.slices, cell.load.clients, window_s))
    try:
        return _add_up(recording.slices, window, observation, cell, pinning)
    except ValueError as error:
        raise VoidTrialError(f"the server's clocks were not read: {error}") from error


def _too_short(slices: Sequence[Slice], clients: int, window_s: float) -> str:
    most = max((piece.users for piece in slices), default=0)
    if most < clients:
        return f"the generator failed: it started {most} of {clients} clients"
    return f"the generator failed: it recorded less than the warm-up and {window_s:g} s"


def _add_up(slices: Sequence[Slice], window: Window, observation: Observation, cell: Cell, pinning: Pinning) -> Figures:
    samples = observation.samples
    counted = slices[window.first + 1 : window.last + 1]
    start_ns, end_ns = slices[window.first].monotonic_ns, slices[window.last].monotonic_ns
    window_us = (end_ns - start_ns) / 1000
    server_cpu_us = _between(start_ns, end_ns, samples, "server_cpu_us")
    generator_cpu_us = float(sum(piece.generator_cpu_us for piece in counted))
    busy_us = _between(start_ns, end_ns, samples, "server_processors_busy_us")
    shared = pinning.server & pinning.generator
    neighbour_us = max(0.0, busy_us - server_cpu_us - (generator_cpu_us if shared else 0.0))
    generator_busy_us = _between(start_ns, end_ns, samples, "generator_processors_busy_us")
    failed = sum(sum(piece.errors.values()) for piece in counted)
    requests = sum(piece.requests for piece in counted) - failed
    errors: Counter[str] = Counter()
    for piece in counted:
        errors.update(piece.errors)
    out_of_range = sum(sum(piece.out_of_range.values()) for piece in counted)
    times = [start_ns, *(piece.monotonic_ns for piece in counted)]
    pause_s = max(later - earlier for earlier, later in itertools.pairwise(times)) / 1e9
    server_us = window_us * len(pinning.server)
    handshakes = Handshakes(
        full=sum(piece.handshakes.full for piece in counted),
        resumed=sum(piece.handshakes.resumed for piece in counted),
    )
    latency_us = merge(counts for piece in counted for counts in piece.latency_us.values())
    lateness_us = merge(piece.lateness_us for piece in counted)
    stolen_us = _between(start_ns, end_ns, samples, "stolen_us")
    suspended_s = _between(start_ns, end_ns, samples, "suspended_ns") / 1e9
    doubts = (
        _errors_doubt(errors, requests + failed),
        "no request was answered" if not requests else None,
        f"{out_of_range} answers took over a minute" if out_of_range else None,
        None
        if shared
        else _limit_doubt(
            generator=generator_cpu_us / window_us,
            busy=generator_busy_us / window_us,
            server=server_cpu_us / server_us,
        ),
        f"{NEIGHBOURS} {neighbour_us / server_us:.0%} of the server's processor"
        if neighbour_us > NEIGHBOUR_LIMIT * server_us
        else None,
        *_load_doubts(lateness_us, latency_us, requests + failed),
        _stolen_doubt(stolen_us / (window_us * len(pinning.server | pinning.generator))),
        _handshake_doubt(cell, handshakes),
        f"the generator stood still for {pause_s:.1f} s" if pause_s > PAUSE_LIMIT_S else None,
        f"the machine slept for {suspended_s:.1f} s" if suspended_s > SUSPENDED_LIMIT_S else None,
        *_drift_doubts(window, cell),
    )
    return Figures(
        window_s=window_us / 1e6,
        requests=requests,
        errors=dict(errors),
        latency_us=latency_us,
        lateness_us=lateness_us,
        handshake_us=HandshakeTimes(
            full=merge(piece.handshake_us.full for piece in counted),
            resumed=merge(piece.handshake_us.resumed for piece in counted),
        ),
        handshakes=handshakes,
        challenges=sum(piece.challenges for piece in counted),
        bytes=Bytes(
            sent=sum(piece.bytes.sent for piece in counted),
            received=sum(piece.bytes.received for piece in counted),
        ),
        server_cpu_us=server_cpu_us,
        generator_cpu_us=generator_cpu_us,
        neighbour_cpu_us=neighbour_us,
        stolen_us=stolen_us,
        reference_us=observation.reference_us,
        pace_us=pace.mean_us(observation.beats, start_ns, end_ns),
        warm_up_s=window.warm_up_s,
        rss_bytes=max(sample.server_rss_bytes for sample in samples),
        tls=counted[-1].tls,
        doubts=tuple(doubt for doubt in doubts if doubt),
    )


def _between(start_ns: int, end_ns: int, samples: Sequence[Sample], figure: str) -> float:
    def read(sample: Sample) -> float:
        return float(getattr(sample, figure))

    return interpolate(end_ns, samples, read) - interpolate(start_ns, samples, read)


def _errors_doubt(errors: Counter[str], asked: int) -> str | None:
    if not errors:
        return None
    (reason, _), *others = errors.most_common()
    more = f" and {len(others)} other reasons" if others else ""
    return f"{errors.total()} of {asked} requests failed: {reason}{more}"


def _handshake_doubt(cell: Cell, seen: Handshakes) -> str | None:
    """Say whether a scenario about handshakes made others than it is called after."""
    if not cell.server.uses_tls:
        return None
    total = seen.full + seen.resumed
    if cell.scenario == "resumed-handshake" and seen.resumed < RESUMED_SHARE * total:
        return f"only {seen.resumed} of {total} handshakes were resumed"
    if cell.scenario == "full-handshake" and seen.resumed:
        return f"{seen.resumed} of {total} handshakes were resumed"
    return None


def _limit_doubt(*, generator: float, busy: float, server: float) -> str | None:
    """Say whether the load was not the server's limit.

    All are shares: of the generator's processor what itself and what all together took, of the server's what it took.
    A server that is busy is the limit of a generator that is less so. But whoever has to wait for a processor that
    others keep busy sees its answers late, whatever the server does.
    """
    others = busy - generator
    if busy > 1 - STARVED_IDLE and others > STARVED_OTHERS:
        return f"{GENERATOR_LIMIT}: neighbours took {others:.0%} of its processor"
    if generator > GENERATOR_BUSY and not (server > SERVER_BUSY and server >= generator):
        return GENERATOR_LIMIT
    return None


def _load_doubts(
    lateness_us: Mapping[int, int], latency_us: Mapping[int, int], ended: int
) -> tuple[str | None, str | None]:
    """Say whether an open load was late, and whether it was too much. ended: requests that were answered or failed."""
    arrived = total(lateness_us)
    if not arrived:
        return None, None
    (late_us,), (median_us,) = percentiles(lateness_us, [99]), percentiles(latency_us, [50])
    limit_us = max(LATENESS_LIMIT_US, LATENESS_SHARE * median_us if latency_us else 0.0)
    grown = arrived - ended
    return (
        f"{LAGGED} by {late_us / 1000:.1f} ms and more in one of 100 requests" if late_us > limit_us else None,
        f"{BACKLOG}: {grown} of {arrived} were not answered in the window"
        if grown > max(BACKLOG_LEAST, BACKLOG_LIMIT * arrived)
        else None,
    )


def _stolen_doubt(share: float) -> str | None:
    if share > STOLEN_COST_LIMIT:
        return f"so much was stolen that no figure is left: {STOLEN} {share:.0%} of the processors"
    return f"{STOLEN} {share:.0%} of the processors" if share > STOLEN_LIMIT else None


def _drift_doubts(window: Window, cell: Cell) -> tuple[str | None, str | None]:
    """Say what drifts in a window that was taken for want of a better one.

    Not the latency of an open load: near its capacity a server's queue wanders for seconds, which is how such a server
    answers; where it only grows, the backlog tells.
    """
    seen = f"in the window, after {window.warm_up_s:.1f} s of warm-up"
    return (
        f"the server's CPU time for a request had not settled: it drifts by {window.cost_drift:+.0%} {seen}"
        if window.cost_drift
        else None,
        f"{UNSTEADY_RATE}: it drifts by {window.load_drift:+.0%} {seen}"
        if window.load_drift and not cell.load.is_open
        else None,
    )
