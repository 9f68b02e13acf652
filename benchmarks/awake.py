"""Keeps processors from falling asleep, so that what waits for a message is not charged for waking them.

A virtual processor with nothing to do is given back to the hypervisor, and takes about a tenth of a millisecond to
come back. A connection over a distance waits for a dozen messages; none of these tenths is the distance's.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

# SCHED_IDLE, sched(7): it runs when nobody else wants to, and makes way at once. It ends with whoever started it.
_SPIN = """
import os, sys
processor, parent = map(int, sys.argv[1:])
os.sched_setaffinity(0, {processor})
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
while os.getppid() == parent:
    pass
"""


@contextmanager
def kept_awake(processors: frozenset[int]) -> Iterator[None]:
    """Keep some processors busy with work of the lowest priority."""
    with ExitStack() as stack:
        for processor in sorted(processors):
            spinning = subprocess.Popen(
                [sys.executable, "-c", _SPIN, str(processor), str(os.getpid())], stdin=subprocess.DEVNULL
            )
            stack.callback(spinning.wait)
            stack.callback(spinning.kill)
        yield
