"""What the benchmarks of servers have in common: a processor for each side, and saying that a figure cannot be had."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


class NotMeasuredError(Exception):
    """This machine or this run cannot give the figure; str() says what is missing."""


@contextmanager
def pinned(processor: int) -> Iterator[None]:
    """What is started in here runs on one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
