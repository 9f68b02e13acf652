"""Keeps processors from falling asleep, so that what waits for a message is not charged for waking them.

A virtual processor with nothing to do is given back to the hypervisor, and takes about a tenth of a millisecond to
come back. A connection over a distance waits for a dozen messages; none of these tenths is the distance's.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from harness.generator import before_exec

# SCHED_IDLE, sched(7): it runs when nobody else wants to, and makes way at once.
_SPIN = "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nwhile True: pass"


@contextmanager
def kept_awake(processors: frozenset[int]) -> Iterator[None]:
    """Keep some processors busy with work of the lowest priority."""
    with ExitStack() as stack:
        for processor in sorted(processors):
            spinning = subprocess.Popen(
                [sys.executable, "-c", _SPIN],
                stdin=subprocess.DEVNULL,
                preexec_fn=before_exec(frozenset({processor}), os.getpid()),  # noqa: PLW1509 - two system calls
            )
            stack.callback(spinning.wait)
            stack.callback(spinning.kill)
        yield
