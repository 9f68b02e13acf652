"""The recording of a load generator: what `locust -f bench/ … --record FILE` writes and a trial is cut from.

JSON lines. The first says who writes; then a slice four times a second, holding what happened since the slice before
it; the last is written by a clean end alone, so that a generator that died shows. All clocks are CLOCK_MONOTONIC, which
is the same in every process of a machine: the window that counts is chosen afterwards, from this and the samples of the
server's clocks.

Latencies are counts in the bins of an HDR histogram with 11 bits: below 2,048 µs a bin is one microsecond wide, above
that it is less than 0.1 % of its value. Adding two histograms bin by bin gives exactly the histogram of both.

Imports the standard library only, and nothing that gevent would have to patch: Locust's process uses it too.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

FORMAT: Final = 1
SLICES_PER_SECOND: Final = 4
LONGEST_US: Final = 60_000_000  # a minute; beyond it a value is counted but has no bin
_BITS: Final = 11
_EXACT: Final = 1 << _BITS  # below this a bin is one microsecond wide
_HALF_BITS: Final = _BITS - 1  # each further doubling has this many bits of bins


def bin_of(us: int) -> int:
    """Return the bin of a whole number of microseconds, 0 to LONGEST_US."""
    if us < _EXACT:
        return us
    shift = us.bit_length() - _BITS
    return (shift << _HALF_BITS) + (us >> shift)


def value_of(number: int) -> int:
    """Return the middle of a bin in µs, which stands for every value in it: at most 0.05 % off."""
    if number < _EXACT:
        return number
    shift = (number >> _HALF_BITS) - 1
    lowest = (number - (shift << _HALF_BITS)) << shift
    return lowest + (1 << shift >> 1)


class Histogram:
    """Counts of microseconds by bin.

    A dictionary and not a list of 17,000 bins: a record takes 0.03 µs more, but emptying it four times a second takes
    nothing, where a list's half a millisecond would be a pause that the requests in flight are blamed for.
    """

    __slots__ = ("_counts", "out_of_range")

    def __init__(self) -> None:
        self._counts: defaultdict[int, int] = defaultdict(int)
        self.out_of_range = 0  # values above LONGEST_US, or below 0: counted here and in no bin

    def record(self, us: int) -> None:
        """Count one value. The bin is that of `bin_of`, repeated here because a call costs as much as the rest."""
        if 0 <= us < _EXACT:
            self._counts[us] += 1
        elif _EXACT <= us <= LONGEST_US:
            shift = us.bit_length() - _BITS
            self._counts[(shift << _HALF_BITS) + (us >> shift)] += 1
        else:
            self.out_of_range += 1

    def sparse(self) -> dict[int, int]:
        """Return the counts by bin, without the bins that are empty."""
        return dict(self._counts)

    def drain(self) -> dict[int, int]:
        """Return the counts by bin and start again from nothing."""
        counts, self._counts = self._counts, defaultdict(int)
        return counts

    def drain_out_of_range(self) -> int:
        """Return how many values had no bin, and start again from none."""
        count, self.out_of_range = self.out_of_range, 0
        return count

    def add(self, other: Mapping[int, int]) -> None:
        """Add the counts of another histogram, bin by bin."""
        for number, count in other.items():
            self._counts[number] += count

    def __len__(self) -> int:
        """Return how many values are in the bins."""
        return sum(self._counts.values())


SparseCounts = Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshakes:
    """Something about each of the two kinds of TLS handshake, counted as what really happened."""

    full: int = 0
    resumed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeTimes:
    """Sparse histograms of the handshake alone, after TCP connected, in µs."""

    full: SparseCounts = field(default_factory=dict)
    resumed: SparseCounts = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    """Bytes on the wire above TCP, as the client counts them: TLS records included."""

    sent: int = 0
    received: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Negotiated:
    """What the newest TLS connection negotiated."""

    version: str  # "TLSv1.3"
    cipher: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What one generator did since its slice before this one. An answered request has a latency; a failed one does not.

    requests: answered and failed ones together, without the 401 that only brought a challenge.
    """

    monotonic_ns: int
    requests: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)  # by reason
    lateness_us: SparseCounts = field(default_factory=dict)  # behind the intended start; empty in a closed load
    latency_us: Mapping[str, SparseCounts] = field(default_factory=dict)  # by name of the request
    out_of_range: Mapping[str, int] = field(default_factory=dict)  # answers later than LONGEST_US, by name
    handshakes: Handshakes = field(default_factory=Handshakes)
    handshake_us: HandshakeTimes = field(default_factory=HandshakeTimes)
    challenges: int = 0
    bytes: Bytes = field(default_factory=Bytes)
    generator_cpu_us: int = 0
    users: int = 0  # at this moment; of an open load whose first request is not due yet, those that are ready for it
    waiting: int = 0  # at this moment: requests of an open load that are due and found all users busy
    tls: Negotiated | None = None  # None: no TLS connection yet


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording as it was read. complete: it was closed, by a generator that ended with status `exit_status`."""

    pid: int
    started_monotonic_ns: int
    slices: tuple[Slice, ...]
    complete: bool
    exit_status: int | None


class RecordingError(ValueError):
    """A file that is no recording; the message is one whole line."""


class Recorder:
    """Writes a recording, a line at a time and flushed, so that what a killed generator did is there.

    Raises OSError when the file cannot be made.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        cpu_clock_ns: Callable[[], int] = time.process_time_ns,  # CLOCK_PROCESS_CPUTIME_ID
    ) -> None:
        self._clock_ns = clock_ns
        self._cpu_clock_ns = cpu_clock_ns
        self._cpu_ns = cpu_clock_ns()
        self._file: TextIO = path.open("w", encoding="ascii")
        self._line({"format": FORMAT, "pid": os.getpid(), "started_monotonic_ns": clock_ns()})

    def clocks(self) -> tuple[int, int]:
        """Return the time now in ns, and the CPU time of this process since the call before this one, in whole µs.

        Fractions of a microsecond are left for the next call, so that the sum stays right.
        """
        now_ns = self._clock_ns()
        spent_us = (self._cpu_clock_ns() - self._cpu_ns) // 1000
        self._cpu_ns += spent_us * 1000
        return now_ns, spent_us

    def write(self, piece: Slice) -> None:
        """Append a slice."""
        self._line(_slice_to_json(piece))

    def close(self, exit_status: int | None = None) -> None:
        """Write the line that says that all is there, and close. A second call does nothing."""
        if self._file.closed:
            return
        self._line({"end": True, "exit": exit_status})
        self._file.close()

    def _line(self, content: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(content, separators=(",", ":")) + "\n")
        self._file.flush()


def read_recording(path: Path) -> Recording:
    """Read a recording, also an unfinished one; a torn last line is left out, unknown fields are ignored.

    Raises RecordingError when the file is absent or is not a recording.
    """
    try:
        lines = path.read_text(encoding="ascii").split("\n")[:-1]  # what follows the last newline is torn
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not ASCII"
        raise RecordingError(f"{path}: no recording ({reason}); see what Locust said on its standard error") from error
    try:
        head, *rest = [json.loads(line) for line in lines]
        version = head["format"]
        end = rest.pop() if rest and rest[-1].get("end") else None
        recording = Recording(
            pid=head["pid"],
            started_monotonic_ns=head["started_monotonic_ns"],
            slices=tuple(_slice_from_json(line) for line in rest),
            complete=end is not None,
            exit_status=None if end is None else end["exit"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordingError(f"{path}: not a recording ({error!r}); record again") from error
    if version != FORMAT:
        raise RecordingError(f"{path}: format {version!r}, not {FORMAT}; made by another version, record again")
    return recording


def _slice_to_json(piece: Slice) -> dict[str, Any]:
    return {
        "monotonic_ns": piece.monotonic_ns,
        "requests": piece.requests,
        "errors": dict(piece.errors),
        "lateness_us": dict(piece.lateness_us),  # json writes whole-number keys as text
        "latency_us": {name: dict(counts) for name, counts in piece.latency_us.items()},
        "out_of_range": dict(piece.out_of_range),
        "handshakes": {"full": piece.handshakes.full, "resumed": piece.handshakes.resumed},
        "handshake_us": {"full": dict(piece.handshake_us.full), "resumed": dict(piece.handshake_us.resumed)},
        "challenges": piece.challenges,
        "bytes": {"sent": piece.bytes.sent, "received": piece.bytes.received},
        "generator_cpu_us": piece.generator_cpu_us,
        "users": piece.users,
        "waiting": piece.waiting,
        "tls": None if piece.tls is None else {"version": piece.tls.version, "cipher": piece.tls.cipher},
    }


def _slice_from_json(line: Mapping[str, Any]) -> Slice:
    times = line["handshake_us"]
    tls = line["tls"]
    return Slice(
        monotonic_ns=line["monotonic_ns"],
        requests=line["requests"],
        errors=line["errors"],
        lateness_us=_counts(line["lateness_us"]),
        latency_us={name: _counts(counts) for name, counts in line["latency_us"].items()},
        out_of_range=line["out_of_range"],
        handshakes=Handshakes(full=line["handshakes"]["full"], resumed=line["handshakes"]["resumed"]),
        handshake_us=HandshakeTimes(full=_counts(times["full"]), resumed=_counts(times["resumed"])),
        challenges=line["challenges"],
        bytes=Bytes(sent=line["bytes"]["sent"], received=line["bytes"]["received"]),
        generator_cpu_us=line["generator_cpu_us"],
        users=line["users"],
        waiting=line.get("waiting", 0),  # recordings from before open loads lack it
        tls=None if tls is None else Negotiated(version=tls["version"], cipher=tls["cipher"]),
    )


def _counts(text_keys: Mapping[str, int]) -> dict[int, int]:
    return {int(number): count for number, count in text_keys.items()}
