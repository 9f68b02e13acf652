"""Which part of a trial counts, and whether it can be believed: decided afterwards, from what was recorded.

Pure: a recording of the generator and samples of the server's clocks go in, figures and doubts come out. Both were
taken on the same monotonic clock; the window's edges are slice times of the generator, and the server's clocks are
interpolated there.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness.clocks import Sample, interpolate
from harness.histograms import merge
from harness.pinning import Pinning
from harness.plan import SLICE_S, Cell
from harness.recording import Bytes, Handshakes, HandshakeTimes, Negotiated, Recording, Slice
from harness.trials import GENERATOR_LIMIT, NEIGHBOURS

WARM_UP_S = 0.25  # after a slice that ended with all clients there, so half a second of load is left out
GENERATOR_BUSY = 0.9  # of its processor: a closed loop that is busier waits for itself, not for the server
SERVER_BUSY = 0.9  # of its processors, by itself: then the server was the limit, however busy the generator
NEIGHBOUR_LIMIT = 0.2  # of the server's processors: shared caches then cost several per cent
STARVED_IDLE = 0.05  # a generator's processor without this much idle time had none to spare
RESUMED_SHARE = 0.95  # of the handshakes of that scenario: a client's first is full
PAUSE_LIMIT_S = 4 * SLICE_S  # a generator that did not get to write for so long stood still


class VoidTrialError(Exception):
    """No figure can be taken of a trial; the message is its doubt."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Everything that was seen of one trial."""

    recording: Recording | None  # None: there is none, see `failure`
    samples: tuple[Sample, ...]
    failure: str | None = None  # what went wrong with the generator
    server_status: int | None = None  # of a server that ended by itself


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
    rss_bytes: int
    tls: Negotiated | None
    doubts: tuple[str, ...]


def window_is_full(times_ns: Sequence[int], users: Sequence[int], *, clients: int, window_s: float) -> bool:
    """Say whether a recording that is still being written holds a whole window."""
    return _window(times_ns, users, clients=clients, window_s=window_s) is not None


def _window(times_ns: Sequence[int], users: Sequence[int], *, clients: int, window_s: float) -> tuple[int, int] | None:
    """Return the indices of the slices at whose ends the window starts and ends; None if it does not fit."""
    try:
        all_there = next(index for index, count in enumerate(users) if count >= clients)
    except StopIteration:
        return None
    warm_ns = times_ns[all_there] + round((WARM_UP_S - SLICE_S / 2) * 1e9)  # slices are not exactly even
    for first in range(all_there, len(times_ns)):
        if times_ns[first] >= warm_ns:
            last = first + round(window_s / SLICE_S)
            return (first, last) if last < len(times_ns) else None
    return None


def figures(observation: Observation, *, cell: Cell, window_s: float, pinning: Pinning) -> Figures:
    """Cut the window out and add it up. Raises VoidTrialError if there is nothing to be had."""
    recording = observation.recording
    if observation.server_status is not None:
        raise VoidTrialError(f"the server ended by itself with status {observation.server_status}")
    if observation.failure is not None:
        raise VoidTrialError(f"the generator failed: {observation.failure}")
    if recording is None or not recording.complete:
        raise VoidTrialError("the generator failed: it did not close its recording")
    slices = recording.slices
    edges = _window(
        [piece.monotonic_ns for piece in slices],
        [piece.users for piece in slices],
        clients=cell.load.clients,
        window_s=window_s,
    )
    if edges is None:
        raise VoidTrialError(_too_short(slices, cell.load.clients, window_s))
    counted = slices[edges[0] + 1 : edges[1] + 1]
    start_ns, end_ns = slices[edges[0]].monotonic_ns, slices[edges[1]].monotonic_ns
    try:
        return _add_up(counted, start_ns, end_ns, observation.samples, cell, pinning)
    except ValueError as error:
        raise VoidTrialError(f"the server's clocks were not read: {error}") from error


def _too_short(slices: Sequence[Slice], clients: int, window_s: float) -> str:
    most = max((piece.users for piece in slices), default=0)
    if most < clients:
        return f"the generator failed: it started {most} of {clients} clients"
    return f"the generator failed: it recorded less than the warm-up and {window_s:g} s"


def _add_up(
    counted: Sequence[Slice], start_ns: int, end_ns: int, samples: Sequence[Sample], cell: Cell, pinning: Pinning
) -> Figures:
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
    doubts = (
        _errors_doubt(errors, requests + failed),
        "no request was answered" if not requests else None,
        f"{out_of_range} answers took over a minute" if out_of_range else None,
        None
        if shared or server_cpu_us > SERVER_BUSY * server_us
        else _limit_doubt(generator_cpu_us / window_us, generator_busy_us / window_us),
        f"{NEIGHBOURS} {neighbour_us / server_us:.0%} of the server's processor"
        if neighbour_us > NEIGHBOUR_LIMIT * server_us
        else None,
        _handshake_doubt(cell, handshakes),
        f"the generator stood still for {pause_s:.1f} s" if pause_s > PAUSE_LIMIT_S else None,
    )
    return Figures(
        window_s=window_us / 1e6,
        requests=requests,
        errors=dict(errors),
        latency_us=merge(counts for piece in counted for counts in piece.latency_us.values()),
        lateness_us=merge(piece.lateness_us for piece in counted),
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


def _limit_doubt(generator_share: float, busy_share: float) -> str | None:
    if generator_share > GENERATOR_BUSY:
        return GENERATOR_LIMIT
    if busy_share > 1 - STARVED_IDLE:
        return f"{GENERATOR_LIMIT}: neighbours took {busy_share - generator_share:.0%} of its processor"
    return None
