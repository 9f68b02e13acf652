"""Interleaved timing of small functions: what drifts on the machine falls on all of them alike."""

import os
import statistics
import time
from collections.abc import Callable, Mapping

BLOCKS = 15


def pin_to_one_processor() -> int:
    """Keep this process on the last processor that it may use; gives its number."""
    processor = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processor})
    return processor


def interleaved_us(
    functions: Mapping[str, Callable[[], object]], *, calls: int, blocks: int = BLOCKS
) -> dict[str, list[float]]:
    """CPU µs a call of each function, one figure a block; the order turns from block to block."""
    names = list(functions)
    times: dict[str, list[float]] = {name: [] for name in names}
    for function in functions.values():
        _cpu_us(function, calls // 10 + 1)
    for block in range(blocks):
        shift = block % len(names)
        for name in names[shift:] + names[:shift]:
            times[name].append(_cpu_us(functions[name], calls))
    return times


def ratio(times: Mapping[str, list[float]], name: str, base: str) -> float:
    """Median over the blocks of name's time as a multiple of base's in the same block."""
    return statistics.median(a / b for a, b in zip(times[name], times[base], strict=True))


def _cpu_us(function: Callable[[], object], calls: int) -> float:
    start = time.process_time_ns()
    for _ in range(calls):
        function()
    return (time.process_time_ns() - start) / calls / 1000
