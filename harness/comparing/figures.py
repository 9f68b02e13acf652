"""The figures of a run that are compared: one a block for each cell.

As in the report, a trial in which the generator or a neighbour was the limit still tells the server's CPU time for one
request, and nothing else (`harness.trials.Trial.costs_are_sound`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from harness import histograms
from harness.measured import cpu_us, latency_us, throughput
from harness.trials import Run, Trial

ByBlock = Mapping[int, float]  # one figure a block
Cells = Mapping[str, Sequence[Trial]]  # the trials of each cell, by its name, in the order of their blocks


class Figure(StrEnum):
    """What is compared, by the names that the command line has for it."""

    CPU = "cpu"
    THROUGHPUT = "throughput"
    P99 = "p99"


@dataclass(frozen=True, slots=True)
class Measure:
    """How a figure is read off a trial, and said."""

    name: str
    value: Callable[[Trial], float]
    usable: Callable[[Trial], bool]
    more_is_better: bool
    up: str  # what it is when the figure rises, after "by 5 %": "more CPU a request"
    down: str


def _costs_are_sound(trial: Trial) -> bool:
    return trial.costs_are_sound


def _is_sound(trial: Trial) -> bool:
    return trial.is_sound


MEASURES: Mapping[Figure, Measure] = {
    Figure.CPU: Measure(
        "server CPU per request", cpu_us, _costs_are_sound, more_is_better=False, up="more CPU", down="less CPU"
    ),
    Figure.THROUGHPUT: Measure(
        "requests per second",
        throughput,
        _is_sound,
        more_is_better=True,
        up="more requests/s",
        down="fewer requests/s",
    ),
    Figure.P99: Measure(
        "p99 latency", latency_us(99), _is_sound, more_is_better=False, up="longer p99", down="shorter p99"
    ),
}


def cells_of(run: Run) -> Cells:
    """Sort a run's trials by cell. Not those of searches for capacity, nor those by which the bench checks itself."""
    cells: defaultdict[str, list[Trial]] = defaultdict(list)
    for trial in run.trials:
        if not trial.is_searched and not trial.options.is_calibration:
            cells[trial.cell].append(trial)
    return {name: sorted(trials, key=lambda trial: trial.block) for name, trials in cells.items()}


def by_block(trials: Sequence[Trial], figure: Figure) -> dict[int, float]:
    """Return a figure of one cell for each block that has it: positive and finite."""
    measure = MEASURES[figure]
    found = {trial.block: measure.value(trial) for trial in trials if measure.usable(trial)}
    return {block: value for block, value in found.items() if math.isfinite(value) and value > 0}


def percentile_us(trials: Sequence[Trial], percent: float) -> float:
    """Return a percentile of the latency over all requests of a cell's sound trials, in µs; NaN without one."""
    merged = histograms.merge(trial.latency_us for trial in trials if trial.is_sound)
    return histograms.percentiles(merged, [percent])[0]


def geometric_mean(values: Sequence[float]) -> float:
    """Return the mean that goes with ratios; NaN of nothing."""
    return float(np.exp(np.mean(np.log(values)))) if values else math.nan


def together(cells: Sequence[tuple[ByBlock, ByBlock]]) -> tuple[dict[int, float], dict[int, float]]:
    """Put several cells, each with its figures before and after, into one figure a block that moves as they do.

    Each cell counts the same, whatever its size: its figures are taken as multiples of its own mean (of the means of
    the two runs, so that neither run weighs more), and a block's figure is the geometric mean of the cells that it has.
    A cell that is missing in some blocks so shifts nothing. Cells that either run lacks are left out.
    """
    sides: tuple[defaultdict[int, list[float]], defaultdict[int, list[float]]] = (defaultdict(list), defaultdict(list))
    for before, after in cells:
        if not before or not after:
            continue
        own = math.sqrt(geometric_mean([*before.values()]) * geometric_mean([*after.values()]))
        for side, figures in zip(sides, (before, after), strict=True):
            for block, value in figures.items():
                side[block].append(value / own)
    first, second = ({block: geometric_mean(values) for block, values in side.items()} for side in sides)
    return first, second
