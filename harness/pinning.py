"""Which processors the server and the generator get.

From what this process may use (`os.sched_getaffinity`), never from literal numbers: a container or a batch system
may have given us any of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError

ONE_PROCESSOR = "server and generator shared one processor"
ONE_CORE = "server and generator shared one core, each on a hardware thread of it"

Siblings = Callable[[int], frozenset[int]]


@dataclass(frozen=True, slots=True)
class Pinning:
    """The processors of each side. note: what spoils figures of such a run; None is good."""

    server: frozenset[int]
    generator: frozenset[int]
    note: str | None = None


def core_siblings(processor: int) -> frozenset[int]:
    """Return the hardware threads of a processor's core, itself included, as far as the kernel tells."""
    path = Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
    try:
        text = path.read_text(encoding="ascii")
    except OSError:
        return frozenset({processor})
    return parse_list(text)


def parse_list(text: str) -> frozenset[int]:
    """Parse the kernel's way to write processors: `0,4-6`."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def choose_pinning(
    allowed: frozenset[int] | None = None, *, server_processors: int = 1, siblings: Siblings = core_siblings
) -> Pinning:
    """Give the last processor to the generator, and to the server some that share no core with it.

    allowed: what may be used; None asks the kernel. server_processors: how many the server gets, as far as there
    are so many; a processor that is neither's stays free for the rest of the machine. Where there is only one
    processor, or one core, both share it, and `note` says so.
    """
    numbers = sorted(os.sched_getaffinity(0) if allowed is None else allowed)
    if not numbers:
        raise ValueError("no processor may be used")
    generator = numbers[-1]
    others = numbers[:-1]
    apart = [number for number in others if number not in siblings(generator)]
    # The lowest numbers serve the machine's interrupts more often than others: take the highest.
    server = (apart or others or numbers)[-server_processors:]
    note = None if apart else ONE_CORE if others else ONE_PROCESSOR
    return Pinning(frozenset(server), frozenset({generator}), note)


def stay_off(pinning: Pinning, allowed: frozenset[int] | None = None) -> frozenset[int]:
    """Keep this process away from the server's processors, and from the generator's if there is a third one.

    allowed: what may be used; None asks the kernel. Returns what was allowed before, to go back to. Raises UserError
    where the kernel does not let this process choose: then nothing of it could be measured.
    """
    before = frozenset(os.sched_getaffinity(0)) if allowed is None else allowed
    rest = before - pinning.server - pinning.generator
    try:
        os.sched_setaffinity(0, rest or pinning.generator)
    except OSError as error:
        raise UserError(
            f"the kernel does not let this process choose its processors ({error.strerror})",
            hint="server and generator need one each: allow sched_setaffinity, which some sandboxes forbid",
        ) from error
    return before
