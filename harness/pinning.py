"""Which processors the server and the generator get.

From what this process may use (`os.sched_getaffinity`), never from literal numbers: a container or a batch system
may have given us any of them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

ONE_PROCESSOR = "server and generator shared one processor"


@dataclass(frozen=True, slots=True)
class Pinning:
    """The processors of each side."""

    server: frozenset[int]
    generator: frozenset[int]

    @property
    def doubt(self) -> str | None:
        """Why no figure of such a run is the server's alone; None if it is."""
        return ONE_PROCESSOR if self.server & self.generator else None


def choose_pinning(allowed: frozenset[int] | None = None, *, server_processors: int = 1) -> Pinning:
    """Give the last processor to the generator and the ones before it to the server.

    allowed: what may be used; None asks the kernel. server_processors: how many the server gets, as far as there
    are so many; a processor that is neither's stays free for the rest of the machine. With one processor in all,
    both share it, and `doubt` says so.
    """
    numbers = sorted(os.sched_getaffinity(0) if allowed is None else allowed)
    if not numbers:
        raise ValueError("no processor may be used")
    generator = numbers[-1]
    # The lowest number serves the machine's interrupts more often than others: leave it out if there is a choice.
    rest = numbers[:-1] or numbers
    return Pinning(frozenset(rest[-server_processors:]), frozenset({generator}))


def stay_off(pinning: Pinning, allowed: frozenset[int] | None = None) -> frozenset[int]:
    """Keep this process away from the server's processors, and from the generator's if there is a third one.

    allowed: what may be used; None asks the kernel. Returns what was allowed before, to go back to.
    """
    before = frozenset(os.sched_getaffinity(0)) if allowed is None else allowed
    rest = before - pinning.server - pinning.generator
    os.sched_setaffinity(0, rest or pinning.generator)
    return before
