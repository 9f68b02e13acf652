"""What a run says of the bench itself. Pure: trials in, figures out.

A server is held against others that differ from it in nothing, or in a known addition alone: the same deployment and
options, scenario and load, in the same block. In each block the unaltered ones (the original and its twins) are taken
together: most of what two trials differ by is their processes, and an addition is not held against one process alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from harness import histograms
from harness.measured import Condition, Contender, Figure, condition_of, contender_of, cpu_us, latency_us, throughput
from harness.reference import drifted
from harness.statistics import (
    MIN_BLOCKS_FOR_VERDICT,
    Interval,
    Verdict,
    difference_interval,
    holm_levels,
    mean_interval,
    pair_blocks,
    ratio_interval,
    ratio_p_value,
    verdict,
)
from harness.trials import GENERATOR_LIMIT, Run, Trial

TRUTH_LEVEL: Final = 0.99  # of the interval that has to hold the truth: one calibration in a hundred may miss it
CPU_SLACK_US: Final = 1.0  # how exactly the CPU time that is added is known: a call more, colder caches
CPU_SLACK_SHARE: Final = 0.1
# A sleep ends late: the kernel gathers timers over 50 µs, then the thread has to be woken and get its processor.
DELAY_LATE_US: Final = 250.0
DELAY_SLACK_SHARE: Final = 0.02  # and a processor that slept meanwhile may do the rest a little faster, or slower

MEDIAN: Final = latency_us(50)

# What twins are compared in. A tail needs more requests than a short trial has.
TWIN_FIGURES: Final[Mapping[str, Figure]] = {
    "server CPU a request": cpu_us,
    "throughput": throughput,
    "median latency": MEDIAN,
}


ASKABLE: Final = ("twin", "added_cpu_us", "added_delay_ms", "rate_per_s")  # keys of a plan's cells


class Outcome(StrEnum):
    """How a check came out."""

    GOOD = "as it should be"
    OFF = "off"
    UNKNOWN = "cannot tell"
    ABSENT = "not installed"
    NOT_ASKED = "not asked for"


class Addition(StrEnum):
    """What was added."""

    CPU = "CPU"
    DELAY = "delay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Twins:
    """A server held against one that differs from it in nothing (A against A), in one figure."""

    contender: Contender
    condition: Condition
    twin: int
    figure: str  # one of TWIN_FIGURES
    ratio: Interval  # twin to original; its level is corrected for the number of all comparisons of twins

    @property
    def outcome(self) -> Outcome:
        """A tie is good."""
        if self.ratio.n < MIN_BLOCKS_FOR_VERDICT:
            return Outcome.UNKNOWN
        return Outcome.GOOD if verdict(self.ratio) is Verdict.TIE else Outcome.OFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A server with a known addition held against the same without it. All in µs a request."""

    contender: Contender
    condition: Condition
    addition: Addition
    truth_us: float
    difference: Interval  # what was found: CPU time, or the median of the latency
    wide: Interval  # the same at TRUTH_LEVEL
    ratio: Interval  # with to without
    base_us: float  # without; NaN if there is none

    @property
    def share(self) -> float:
        """The truth as a share of what a request takes without it."""
        return self.truth_us / self.base_us

    @property
    def is_found(self) -> bool:
        """Whether the run tells the two apart, and the right way round."""
        return verdict(self.difference, neutral=0.0) is Verdict.MORE

    @property
    def holds_truth(self) -> bool:
        """Whether what was found is what was added, as exactly as that is known."""
        if self.addition is Addition.CPU:
            slack_us = max(CPU_SLACK_US, CPU_SLACK_SHARE * self.truth_us)
            least_us, most_us = self.truth_us - slack_us, self.truth_us + slack_us
        else:
            least_us, most_us = (1 - DELAY_SLACK_SHARE) * self.truth_us, self.truth_us + DELAY_LATE_US
        return self.wide.low <= most_us and self.wide.high >= least_us

    @property
    def outcome(self) -> Outcome:
        """Found, and of the right size, is good."""
        if self.difference.n < MIN_BLOCKS_FOR_VERDICT:
            return Outcome.UNKNOWN
        return Outcome.GOOD if self.is_found and self.holds_truth else Outcome.OFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far the generator was behind its schedule at a rate, over all trials of it together."""

    rate_per_s: float
    arrivals: int
    p50_us: float
    p99_us: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the machine did meanwhile."""

    trials: int
    checked: int  # trials of servers that are there for the check
    generator_limit: int  # of these, those in which the generator was the limit
    stolen: float  # share of both sides' processors that other virtual machines took; NaN without a trial
    stolen_most: float  # of one trial
    drift: float  # the most that a trial's processor was faster or slower than in the run's middle; NaN: not taken
    drifted: int  # trials in which that was more than harness.reference allows


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All that a run says of the bench."""

    twins: tuple[Twins, ...]
    found: tuple[Found, ...]
    lags: tuple[Lag, ...]
    machine: Machine
    asked: frozenset[str] = frozenset()  # which of ASKABLE the run's plan has


def evaluate(run: Run) -> Evaluation:
    """Read the bench's check of itself out of a run; what the run has nothing of is not there."""
    groups, fixed = _groups(run), run.header.fixed_blocks
    return Evaluation(
        twins=_twins(groups, fixed),
        found=_found(groups, fixed),
        lags=_lags(run),
        machine=_machine(run),
        asked=_asked(run),
    )


def _asked(run: Run) -> frozenset[str]:
    cells = run.header.plan.get("cell", [])
    return frozenset(key for cell in cells if isinstance(cell, Mapping) for key in ASKABLE if cell.get(key))


@dataclass(frozen=True, slots=True, order=True)
class _Alteration:
    """What tells the servers of a group apart."""

    added_cpu_us: float = 0.0
    added_delay_ms: float = 0.0
    twin: int = 0

    @property
    def is_unaltered(self) -> bool:
        return not (self.added_cpu_us or self.added_delay_ms)


_Group = Mapping[_Alteration, Sequence[Trial]]
_Groups = Mapping[tuple[Contender, Condition], _Group]


def _groups(run: Run) -> _Groups:
    """Return the usable trials of the blocks, by what is alike and then by what differs; only where something does."""
    groups: defaultdict[tuple[Contender, Condition], defaultdict[_Alteration, list[Trial]]]
    groups = defaultdict(lambda: defaultdict(list))
    for trial in run.cost_trials:
        if not trial.is_searched:
            options = trial.options
            alteration = _Alteration(options.added_cpu_us, options.added_delay_ms, options.twin)
            groups[contender_of(trial), condition_of(trial)][alteration].append(trial)
    return {key: dict(group) for key, group in sorted(groups.items()) if len(group) > 1}


def _twins(groups: _Groups, fixed_blocks: int) -> tuple[Twins, ...]:
    pairs = [
        (key, alteration.twin, name, _figures(group[alteration], figure), _figures(group[original], figure))
        for key, group in groups.items()
        for original in sorted(group)[:1]
        for alteration in sorted(group)[1:]
        if original.is_unaltered and alteration.is_unaltered
        for name, figure in TWIN_FIGURES.items()
    ]
    paired = [pair_blocks(twin, original) for _, _, _, twin, original in pairs]
    levels = holm_levels([ratio_p_value(*pair, fixed_blocks=fixed_blocks) for pair in paired])
    return tuple(
        Twins(
            contender=contender,
            condition=condition,
            twin=twin,
            figure=name,
            ratio=ratio_interval(*pair, level=level, fixed_blocks=fixed_blocks),
        )
        for ((contender, condition), twin, name, _, _), pair, level in zip(pairs, paired, levels, strict=True)
    )


def _found(groups: _Groups, fixed_blocks: int) -> tuple[Found, ...]:
    return tuple(
        _one_found(contender, condition, alteration, addition, group, fixed_blocks)
        for (contender, condition), group in groups.items()
        for alteration in sorted(group)
        for addition, truth in (
            (Addition.CPU, alteration.added_cpu_us),
            (Addition.DELAY, alteration.added_delay_ms),
        )
        if truth
    )


def _one_found(
    contender: Contender,
    condition: Condition,
    alteration: _Alteration,
    addition: Addition,
    group: _Group,
    fixed_blocks: int,
) -> Found:
    figure = cpu_us if addition is Addition.CPU else MEDIAN
    truth_us = alteration.added_cpu_us if addition is Addition.CPU else alteration.added_delay_ms * 1000
    plain = [trial for other, trials in group.items() if other.is_unaltered for trial in trials]
    with_it, without = pair_blocks(_figures(group[alteration], figure), _figures(plain, figure))
    return Found(
        contender=contender,
        condition=condition,
        addition=addition,
        truth_us=truth_us,
        difference=difference_interval(with_it, without, fixed_blocks=fixed_blocks),
        wide=difference_interval(with_it, without, level=TRUTH_LEVEL, fixed_blocks=fixed_blocks),
        ratio=ratio_interval(with_it, without, fixed_blocks=fixed_blocks),
        base_us=mean_interval(without).estimate,
    )


def _figures(trials: Iterable[Trial], figure: Figure) -> dict[int, float]:
    """Return a figure of each block, of several trials their geometric mean; all but CPU of sound trials alone."""
    by_block: defaultdict[int, list[float]] = defaultdict(list)
    for trial in trials:
        if trial.is_sound or figure is cpu_us:
            value = figure(trial)
            if math.isfinite(value) and value > 0:
                by_block[trial.block].append(value)
    return {block: float(np.exp(np.mean(np.log(values)))) for block, values in by_block.items()}


def _lags(run: Run) -> tuple[Lag, ...]:
    """Return the lag at each rate of the blocks; a search pushes until something breaks, and is left out."""
    by_rate: defaultdict[float, list[Mapping[int, int]]] = defaultdict(list)
    for trial in run.trials:
        if trial.load.is_open and trial.lateness_us and not trial.is_searched:
            by_rate[trial.load.rate_per_s].append(trial.lateness_us)
    found = []
    for rate_per_s, lateness in sorted(by_rate.items()):
        merged = histograms.merge(lateness)
        p50_us, p99_us = histograms.percentiles(merged, [50, 99])
        found.append(Lag(rate_per_s=rate_per_s, arrivals=histograms.total(merged), p50_us=p50_us, p99_us=p99_us))
    return tuple(found)


def _machine(run: Run) -> Machine:
    measured = [trial for trial in run.trials if trial.requests]
    checking = [trial for trial in run.trials if trial.options.is_calibration]
    environment = run.header.environment
    processors = len({*(environment.get("server_cpus") or [0]), *(environment.get("generator_cpus") or [1])})
    shares = [trial.stolen_us / (trial.window_s * 1e6 * processors) for trial in measured]
    references = np.array([trial.reference_us for trial in measured if trial.reference_us])
    return Machine(
        trials=len(run.trials),
        checked=len(checking),
        generator_limit=sum(any(doubt.startswith(GENERATOR_LIMIT) for doubt in trial.doubts) for trial in checking),
        stolen=float(np.average(shares, weights=[trial.window_s for trial in measured])) if shares else math.nan,
        stolen_most=max(shares, default=math.nan),
        drift=float(np.max(np.abs(references / np.median(references) - 1))) if len(references) else math.nan,
        drifted=len(drifted(run)),
    )
