"""A short fixed piece of work, again and again, on one processor; `harness.pace` says what for.

    python -m harness.beats DESCRIPTOR

writes each piece into memory that its parent looks at. It imports little, so that little of it is in anybody's caches.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

SHORTEST_S: Final = 0.001  # between two pieces, evenly spread: no rhythm of a server's is met again and again
LONGEST_S: Final = 0.003
LOOPS: Final = 150  # of a piece: about 20 µs
WARM_LOOPS: Final = 75

_GOLDEN: Final = (5**0.5 - 1) / 2  # its multiples, less their whole parts, fill 0 to 1 evenly and never in a rhythm
_BEAT: Final = struct.Struct("=qq")  # when it ended (monotonic, ns) and its CPU time (ns)
_COUNT: Final = struct.Struct("=q")  # at the start of the memory: how many there have been
_KEPT: Final = 1 << 15  # of them, the newest: over a minute


class Beat(NamedTuple):
    """A piece of the work that was done."""

    monotonic_ns: int  # its end
    cpu_us: float


class Memory:
    """Memory that two processes share: one writes beats, round and round, the other looks at them."""

    def __init__(self, descriptor: int | None = None) -> None:
        """Take that of a descriptor, or make it. Raises OSError."""
        self.descriptor = os.memfd_create("bench-pace") if descriptor is None else descriptor
        octets = _COUNT.size + _KEPT * _BEAT.size
        if descriptor is None:
            os.truncate(self.descriptor, octets)
        self._map = mmap.mmap(self.descriptor, octets)
        self._written = 0

    def write(self, monotonic_ns: int, cpu_ns: int) -> None:
        """Add one; it counts when it is whole."""
        _BEAT.pack_into(self._map, _COUNT.size + self._written % _KEPT * _BEAT.size, monotonic_ns, cpu_ns)
        self._written += 1
        _COUNT.pack_into(self._map, 0, self._written)

    def beats(self) -> Sequence[Beat]:
        """Return those that are kept, but for the oldest, which may just be written over."""
        (count,) = _COUNT.unpack_from(self._map)
        found = []
        for number in range(max(0, count - _KEPT + 1), count):
            monotonic_ns, cpu_ns = _BEAT.unpack_from(self._map, _COUNT.size + number % _KEPT * _BEAT.size)
            found.append(Beat(monotonic_ns, cpu_ns / 1000))
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._map.close()
        os.close(self.descriptor)


def _work(texts: dict[int, str], loops: int) -> int:
    """Do what interpreters do: look up, compare, make small objects and drop them."""
    total = 0
    for number in range(loops):
        total += len(texts[number])
        if number % 7 == 0:
            total = int(str(total)[-3:])
    return total


def beat_for_ever(memory: Memory) -> None:
    """Do it, until somebody ends this process."""
    texts = {number: str(number) for number in range(LOOPS)}
    share = 0.0
    while True:
        share = (share + _GOLDEN) % 1
        time.sleep(SHORTEST_S + share * (LONGEST_S - SHORTEST_S))
        _work(texts, WARM_LOOPS)
        before_ns = time.thread_time_ns()
        _work(texts, LOOPS)
        cpu_ns = time.thread_time_ns() - before_ns
        memory.write(time.monotonic_ns(), cpu_ns)


if __name__ == "__main__":
    beat_for_ever(Memory(int(sys.argv[1])))
