"""How fast a processor is while a load runs: a short fixed piece of work, again and again, beside the server.

A virtual processor is a hardware thread of a core whose other thread may be somebody else's. While that one works, ours
does the same in more time: on the machine that this was written on a piece of Python took 1.8 times as long and a
request to Flask 1.5 times, for moments of milliseconds to seconds, a third of all the time. No clock tells of it: it is
no stolen time, no neighbour of ours, and the processor's frequency is as before.

So a process of our own, pinned to the server's processor, does a piece of Python every few milliseconds and notes what
CPU time that took. It is measured warm, behind an unmeasured part of the same work, so that what the server left in the
caches is not in it. It takes about 2 % of the processor, of all servers alike, and is done by one process for a whole
run: how fast one process does it hangs on where its memory happens to lie. `harness.evening` makes use of it.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from harness.beats import Beat, Memory
from harness.child import start_child

WORST: Final = 4.0  # times the median: an interrupt in the middle of a piece is not the processor's pace


def mean_us(beats: Iterable[Beat], start_ns: int, end_ns: int) -> float | None:
    """Return what a piece took in the mean in this time; None if there was none."""
    taken_us = [beat.cpu_us for beat in beats if start_ns < beat.monotonic_ns <= end_ns]
    if not taken_us:
        return None
    worst_us = WORST * statistics.median(taken_us)
    return statistics.fmean(min(each_us, worst_us) for each_us in taken_us)


class PaceProbe:
    """The processes that do it, one on each of some processors; a context manager.

    Where one has ended there is nothing of it: a trial has no pace then, and is measured all the same.
    """

    def __init__(self, processors: frozenset[int]) -> None:
        """Start them. Raises OSError, subprocess.SubprocessError."""
        with ExitStack() as opening:
            self._memories = [opening.enter_context(Memory()) for _ in processors]
            for memory, processor in zip(self._memories, sorted(processors), strict=True):
                process = start_child(
                    [sys.executable, "-m", "harness.beats", str(memory.descriptor)],
                    cpus=frozenset({processor}),
                    pass_fds=[memory.descriptor],
                )
                opening.callback(process.wait)
                opening.callback(process.kill)
            self._exit = opening.pop_all()

    def since(self, start_ns: int) -> tuple[Beat, ...]:
        """Return the pieces that were done from then on, all processors' together."""
        return tuple(beat for memory in self._memories for beat in memory.beats() if beat.monotonic_ns > start_ns)

    def close(self) -> None:
        """End them."""
        self._exit.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
