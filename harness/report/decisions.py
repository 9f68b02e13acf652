"""The decisions: for each need, which deployment to take, by how much, how sure, and when it flips.

A need is a scenario, a load and a figure. Its contenders are ranked by that figure; the first is compared with each
other, block by block, and is a winner if it is told apart from all of them, else there is a tie.

The table promises that it as a whole names a false winner in at most 5 % of all runs in which nothing differs, however
many rows it has. A row's p-value is the largest of its comparisons (a winner must win them all, which takes no
correction of its own); the rows' p-values are corrected together by Holm's procedure. Each row's interval has the level
of its step in that procedure, so that interval and verdict always say the same. The rule for a verdict is
`harness.statistics.verdict`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, StrEnum

import numpy as np

from harness import words
from harness.measured import (
    Condition,
    Contender,
    Figure,
    Measured,
    Scenario,
    cpu_us,
    latency_us,
    throughput,
)
from harness.statistics import MIN_BLOCKS_FOR_VERDICT, Interval, Verdict, holm, holm_levels, verdict

TABLE_LEVEL = 0.95
FEW_CLIENTS = 16  # up to here "few busy clients"
MANY_CLIENTS = 32  # from here "many clients at once"


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure that decides, and how an advantage in it is said."""

    figure: Figure
    more_is_better: bool
    advantage: str  # after the ratio: "less CPU"
    say: Callable[[float], str]  # one value, with its unit


def _per_second(value: float) -> str:
    return f"{words.significant(value)}{words.THIN}/s"


CPU = Measure(cpu_us, more_is_better=False, advantage="less CPU", say=words.microseconds)
THROUGHPUT = Measure(throughput, more_is_better=True, advantage="the throughput", say=_per_second)
TAIL = Measure(latency_us(99), more_is_better=False, advantage="shorter p99", say=words.microseconds)


class Pick(StrEnum):
    """Which of a scenario's loads a need is about."""

    FEWEST = "fewest"
    MOST = "most"


@dataclass(frozen=True, slots=True)
class Need:
    """What a reader may have."""

    name: str  # "many short connections", in the plural, after "If you have"
    detail: str  # half a line: what was sent
    scenario: Scenario
    pick: Pick
    measure: Measure
    fewest_clients: int = 1  # loads outside these bounds are about another need
    most_clients: int = 1_000_000


NEEDS = (
    Need("many short connections", "new TLS connections", Scenario.FULL_HANDSHAKE, Pick.MOST, CPU),
    Need("many slow requests", "100 ms in the device", Scenario.SLOW_IO, Pick.MOST, THROUGHPUT),
    Need(
        "few busy clients",
        "connections kept open",
        Scenario.KEEP_ALIVE,
        Pick.FEWEST,
        CPU,
        most_clients=FEW_CLIENTS,
    ),
    Need(
        "many clients at once",
        "connections kept open",
        Scenario.KEEP_ALIVE,
        Pick.MOST,
        THROUGHPUT,
        fewest_clients=MANY_CLIENTS,
    ),
    Need(
        "a tight limit on latency",
        "connections kept open",
        Scenario.KEEP_ALIVE,
        Pick.MOST,
        TAIL,
        fewest_clients=MANY_CLIENTS,
    ),
    Need("clients that come back", "resumed TLS connections", Scenario.RESUMED_HANDSHAKE, Pick.MOST, CPU),
)


class Outcome(Enum):
    """What a row can say."""

    WINNER = "winner"
    TIE = "tie"
    ALONE = "alone"  # one contender only: nothing to choose
    UNMEASURED = "unmeasured"


@dataclass(frozen=True, slots=True)
class Standing:
    """One contender's figure in a need."""

    contender: Contender
    value: float  # geometric mean over its blocks


@dataclass(frozen=True, slots=True)
class Rival:
    """How much better the best is than one other."""

    standing: Standing
    advantage: Interval  # above 1: the best is better
    verdict: Verdict
    p_value: float  # of the two not differing; before correction

    @property
    def contender(self) -> Contender:
        """Who it is."""
        return self.standing.contender


@dataclass(frozen=True, slots=True)
class Decision:
    """A row of the table."""

    need: Need
    outcome: Outcome
    condition: Condition | None = None  # None only when unmeasured
    standings: tuple[Standing, ...] = ()  # best first
    rivals: tuple[Rival, ...] = ()  # every other than the best, in the same order
    set_aside: tuple[str, ...] = ()  # deployments none of whose trials under the condition can be used
    p_value: float = 1.0  # of there being no winner; after correction
    comparisons: int = 0  # rows that the correction is for: all of the table in which there is a choice

    @property
    def best(self) -> Standing:
        """The first. Only where something was measured."""
        return self.standings[0]

    @property
    def tied(self) -> tuple[Rival, ...]:
        """Return those that cannot be told apart from the best."""
        return tuple(rival for rival in self.rivals if rival.verdict is not Verdict.MORE)

    @property
    def next(self) -> Rival | None:
        """The one that the best is compared with: the first of those tied with it, else the runner-up."""
        return next(iter(self.tied or self.rivals), None)


def decide(measured: Measured) -> tuple[Decision, ...]:
    """Return one decision for each need, in the order of NEEDS."""
    rows = []
    for need in NEEDS:
        condition = condition_for(need, measured)
        rows.append(_Row(need, condition, standings(measured, need.measure, condition) if condition else ()))
    p_values = [_p_value(row, measured) for row in rows]
    choices = [index for index, row in enumerate(rows) if len(row.ranked) > 1]
    corrected = dict(zip(choices, holm([p_values[index] for index in choices]), strict=True))
    levels = dict(zip(choices, holm_levels([p_values[index] for index in choices], level=TABLE_LEVEL), strict=True))
    return tuple(
        replace(
            _decide(row, measured, levels.get(index, TABLE_LEVEL)),
            p_value=corrected.get(index, 1.0),
            comparisons=len(choices),
        )
        for index, row in enumerate(rows)
    )


def condition_for(need: Need, measured: Measured) -> Condition | None:
    """Return the condition that speaks for a need: within its bounds, with most contenders, at the load it is about."""
    fitting = [
        condition
        for condition in measured.conditions(need.scenario)
        if condition.has_tls and need.fewest_clients <= condition.clients <= need.most_clients
    ]
    if not fitting:
        return None
    most_contenders = max(len(measured.contenders_under(condition)) for condition in fitting)
    shared = [condition for condition in fitting if len(measured.contenders_under(condition)) == most_contenders]
    loads = [condition.clients for condition in shared]
    wanted = max(loads) if need.pick is Pick.MOST else min(loads)
    return measured.usual([condition for condition in shared if condition.clients == wanted])


def advantage(
    measured: Measured,
    measure: Measure,
    best: Contender,
    other: Contender,
    condition: Condition,
    *,
    level: float = TABLE_LEVEL,
) -> Interval:
    """Return how many times better best is than other: above 1 is better, whatever the measure."""
    ratio = measured.ratio(best, other, condition, measure.figure, level=level)
    return ratio if measure.more_is_better else ratio.reciprocal()


def standings(measured: Measured, measure: Measure, condition: Condition) -> tuple[Standing, ...]:
    """Rank the contenders under a condition, the best first, by geometric means over the blocks that all share.

    Contenders that share no block are ranked by the blocks they have.
    """
    figures = {
        contender: measured.figures(contender, condition, measure.figure)
        for contender in measured.contenders_under(condition)
    }
    figures = {contender: by_block for contender, by_block in figures.items() if by_block}
    if not figures:
        return ()
    shared = set.intersection(*(set(by_block) for by_block in figures.values()))
    found = [
        Standing(contender, _geometric_mean([by_block[block] for block in sorted(shared or by_block)]))
        for contender, by_block in figures.items()
    ]
    return tuple(sorted(found, key=lambda standing: standing.value, reverse=measure.more_is_better))


def _geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


@dataclass(frozen=True, slots=True)
class _Row:
    """A need, what speaks for it, and who was measured there, the best first."""

    need: Need
    condition: Condition | None
    ranked: tuple[Standing, ...]


def _p_value(row: _Row, measured: Measured) -> float:
    """Return how likely it is that the best looks so much better than each other if it is not; 1 if nobody can tell."""
    if row.condition is None or len(row.ranked) < 2:
        return 1.0
    best, *others = row.ranked
    figure = row.need.measure.figure
    blocks = [measured.figures(standing.contender, row.condition, figure).keys() for standing in row.ranked]
    if any(len(blocks[0] & other) < MIN_BLOCKS_FOR_VERDICT for other in blocks[1:]):
        return 1.0
    return max(measured.p_value(best.contender, other.contender, row.condition, figure) for other in others)


def _decide(row: _Row, measured: Measured, level: float) -> Decision:
    """Decide one need, by intervals of a level."""
    need, condition, ranked = row.need, row.condition, row.ranked
    if condition is None or not ranked:
        return Decision(need, Outcome.UNMEASURED)
    best, *others = ranked
    rivals = []
    for other in others:
        interval = advantage(measured, need.measure, best.contender, other.contender, condition, level=level)
        p_value = measured.p_value(best.contender, other.contender, condition, need.measure.figure)
        rivals.append(Rival(other, interval, verdict(interval), p_value))
    set_aside = measured.deployments_set_aside(condition, need.measure.figure)
    if not rivals:
        outcome = Outcome.ALONE
    elif all(rival.verdict is Verdict.MORE for rival in rivals):
        outcome = Outcome.WINNER
    else:
        outcome = Outcome.TIE
    return Decision(need, outcome, condition, ranked, tuple(rivals), set_aside)


def how_likely(decision: Decision) -> str:
    """Return how likely chance alone gives so much: "p = 0.003 after correction for 6 comparisons".

    Empty where there is no choice.
    """
    if decision.next is None:
        return ""
    said = "p < 0.0001" if decision.p_value < 1e-4 else f"p = {decision.p_value:.1g}"
    if decision.comparisons < 2:
        return said
    return f"{said} after correction for {decision.comparisons} comparisons"


def how_sure(decision: Decision) -> str:
    """Return what stands under the interval: its blocks, and why it is no verdict if there were too few."""
    if decision.next is None:
        return ""
    blocks = decision.next.advantage.n
    if blocks < MIN_BLOCKS_FOR_VERDICT:
        return f"{words.count(blocks, 'block')}; a verdict takes {MIN_BLOCKS_FOR_VERDICT}"
    return words.count(blocks, "block")


def effect(decision: Decision) -> float:
    """Return how large the advantage of a winner is, as a log; 0 for anything else."""
    if decision.outcome is not Outcome.WINNER or decision.next is None:
        return 0.0
    return math.log(decision.next.advantage.estimate)
