"""A fixed piece of work, timed on the server's processor right before and after each load: how fast it is now.

Processors change their frequency, hypervisors move virtual machines to others, and neighbours behind the hypervisor
share caches that no clock of ours knows of. A trial whose processor was slower than in the rest of the run says
something of the machine and not of its server. The work is a hash of a buffer, in C: Python bytecode would be nearer to
what servers do, but its speed hangs on where a process's memory happens to lie (of 32 processes that were asked in turn
four were off by 2 to 6 % and one by 88 %; with the hash, those asked so far lay within 2.5 %). Its time is the CPU time
of the thread that does it, so that waiting for the processor does not count, and the median of several pieces.

What a run's trials have drifted by is a question about all of them, so it is asked of the finished run and stands in no
trial: `drifted`.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import Iterable

from harness.trials import Run, TrialId

PIECES = 5
HASHES = 96  # of each piece: about 4 ms on a processor of 2020 that has instructions for SHA-256
_BUFFER = bytes(1 << 16)

# Of the run's median. The figure itself scatters by about 1 % on a virtual machine with neighbours, the blocks of one
# cell by 1.3 to 1.7; a processor that is 5 % slower makes a difference that the design's blocks were not drawn against.
DRIFT_LIMIT = 0.05
LEAST_TRIALS = 6  # fewer have no median worth the name


def measure_us(processors: frozenset[int]) -> float | None:
    """Do the work on one of these processors and return its CPU time in µs; None where this thread may not run there.

    Takes about 20 ms. The thread's own processors are as before afterwards.
    """
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(processors)})
    except OSError:
        return None  # the processor was taken from us meanwhile; a trial tells it by having no reference
    try:
        return statistics.median(_piece_us() for _ in range(PIECES)) * PIECES
    finally:
        os.sched_setaffinity(0, before)


def _piece_us() -> float:
    start_ns = time.thread_time_ns()
    for _ in range(HASHES):
        hashlib.sha256(_BUFFER).digest()
    return (time.thread_time_ns() - start_ns) / 1000


def mean_us(readings: Iterable[float | None]) -> float | None:
    """Return the mean of the readings before and after a load; None if one is missing."""
    known = list(readings)
    if not known or None in known:
        return None
    return statistics.fmean(reading for reading in known if reading is not None)


def drifted(run: Run, *, limit: float = DRIFT_LIMIT) -> frozenset[TrialId]:
    """Return the trials during which the server's processor was faster or slower than in the run's middle.

    By more than `limit`, as a share of the median of all trials that have a reference. None of a run with fewer than
    LEAST_TRIALS such.
    """
    readings = {trial.id: trial.reference_us for trial in run.trials if trial.reference_us is not None}
    if len(readings) < LEAST_TRIALS:
        return frozenset()
    middle_us = statistics.median(readings.values())
    return frozenset(key for key, value in readings.items() if abs(value / middle_us - 1) > limit)
