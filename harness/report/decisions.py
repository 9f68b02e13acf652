"""The decisions: for each need, which deployment to take, by how much, how sure, and when it flips.

A need is a scenario, a load and a figure. Its contenders are ranked by that figure; the first is compared with each
other, block by block, and is a winner if it is told apart from all of them, else there is a tie. Of a tie the one to
take is the one that takes least CPU for it, for that is what the tie leaves to choose by.

Not everybody who was measured can be chosen. Who left a request unanswered anywhere in the run is failing, and is
neither a choice nor a runner-up. Where rates or latencies decide and the load generator was the limit of a contender
throughout, nobody is a winner: that one may be better than all that were ranked.

The table promises that it as a whole names a false winner in at most 5 % of all runs in which nothing differs, however
many rows it has. A row's p-value is the largest of its comparisons (a winner must win them all, which takes no
correction of its own); the rows' p-values are corrected together by Holm's procedure. Each row's interval has the level
of its step in that procedure, so that interval and verdict always say the same. The rule for a verdict is
`harness.statistics.verdict`; only who is not the runner-up may have lost with fewer blocks, as few as an interval
takes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
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
    condition_of,
    contender_of,
    cpu_us,
    latency_us,
    throughput,
)
from harness.statistics import (
    MIN_BLOCKS_FOR_INTERVAL,
    MIN_BLOCKS_FOR_VERDICT,
    Interval,
    Verdict,
    holm,
    holm_levels,
    verdict,
)
from harness.trials import GENERATOR_LIMIT, LAGGED

TABLE_LEVEL = 0.95
FEW_CLIENTS = 16  # up to here "few busy clients"
MANY_CLIENTS = 32  # from here "many clients"

# What readers also ask for, and no scenario of this bench sends.
NEEDS_WITHOUT_SCENARIO = ("event streams", "big transfers")


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

    FEWEST = "fewest"  # clients, of the loads that most contenders were put under
    MOST = "most"  # of the same
    EXTREME = "extreme"  # the most clients that any two were put under


@dataclass(frozen=True, slots=True)
class Need:
    """What a reader may have."""

    name: str  # "many short connections": after "If you have (or want)", and after "for"
    detail: str  # half a line: what was sent
    scenario: Scenario
    pick: Pick
    measure: Measure
    fewest_clients: int = 1  # loads outside these bounds are about another need
    most_clients: int = 1_000_000
    prefers_open: bool = False  # a load that comes at its own rate, where two contenders were put under one


NEEDS = (
    Need("many short connections", "new TLS connections", Scenario.FULL_HANDSHAKE, Pick.MOST, CPU),
    Need("many slow requests", "100 ms in the device", Scenario.SLOW_IO, Pick.MOST, THROUGHPUT),
    Need(
        "few busy clients",
        "connections kept open",
        Scenario.KEEP_ALIVE,
        Pick.FEWEST,
        THROUGHPUT,
        most_clients=FEW_CLIENTS,
    ),
    Need("the least CPU", "connections kept open", Scenario.KEEP_ALIVE, Pick.MOST, CPU),
    Need(
        "steady latency under load",
        "connections kept open",
        Scenario.KEEP_ALIVE,
        Pick.MOST,
        TAIL,
        fewest_clients=MANY_CLIENTS,
        prefers_open=True,
    ),
    Need(
        "the most clients at once",
        "the most tried",
        Scenario.KEEP_ALIVE,
        Pick.EXTREME,
        THROUGHPUT,
        fewest_clients=MANY_CLIENTS,
    ),
    Need("clients that come back", "resumed connections", Scenario.RESUMED_HANDSHAKE, Pick.MOST, CPU),
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
    """How much better one contender is than another."""

    standing: Standing  # the other
    advantage: Interval  # above 1: the one is better
    verdict: Verdict
    p_value: float  # of the two not differing; before correction

    @property
    def contender(self) -> Contender:
        """Who the other is."""
        return self.standing.contender


@dataclass(frozen=True, slots=True)
class Failing:
    """A contender that left requests unanswered, or answered them wrongly."""

    contender: Contender
    failed: int
    requests: int  # the failed ones included; of the scenarios in which any failed
    scenario: str  # the one in which most failed


@dataclass(frozen=True, slots=True)
class Decision:
    """A row of the table."""

    need: Need
    outcome: Outcome
    condition: Condition | None = None  # None only when unmeasured
    standings: tuple[Standing, ...] = ()  # best first; of those who can be chosen
    rivals: tuple[Rival, ...] = ()  # every other than the best, in the same order
    cheapest: tuple[Contender, ...] = ()  # the same as standings, by CPU a request
    set_aside: tuple[str, ...] = ()  # deployments too few of whose trials under the condition can be used
    failing: tuple[Failing, ...] = ()  # who was put through the condition, and failed anywhere in the run
    unlimited: tuple[str, ...] = ()  # deployments whose limit was the load generator
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

    @property
    def level(self) -> tuple[Standing, ...]:
        """Return the best and who may be as good as it, the cheapest first.

        Those are fewer than cannot be told apart where blocks are too few for a verdict, but not for an interval.
        """
        as_good = [one.standing for one in self.tied if one.advantage.is_finite and one.advantage.low <= 1]
        order = {contender: place for place, contender in enumerate(self.cheapest)}
        return tuple(sorted([self.best, *as_good], key=lambda one: order.get(one.contender, len(order))))

    @property
    def is_open(self) -> bool:
        """Whether nothing can be said: the best is no winner, and nobody is known to be about as good."""
        return self.outcome is Outcome.TIE and (bool(self.unlimited) or len(self.level) < 2)

    @property
    def choice(self) -> Standing:
        """The one to take: the best; of a tie, the cheapest in it."""
        return self.level[0]

    @property
    def runner_up(self) -> Rival | None:
        """Return whom the choice is compared with, and how much better the choice is.

        In a tie that is the best, unless the best is the choice: only from the best is it known that it ties with all.
        """
        if self.next is None:
            return None
        if self.choice == self.best:
            second = self.level[1].contender if len(self.level) > 1 else self.next.contender
            return next(rival for rival in self.rivals if rival.contender == second)
        own = next(rival for rival in self.rivals if rival.contender == self.choice.contender)
        return Rival(self.best, own.advantage.reciprocal(), Verdict.TIE, own.p_value)


def decide(measured: Measured) -> tuple[Decision, ...]:
    """Return one decision for each need, in the order of NEEDS."""
    failed = failing(measured)
    tried: defaultdict[Condition, set[Contender]] = defaultdict(set)
    for trial in measured.run.trials:
        if not trial.options.is_calibration:
            tried[condition_of(trial)].add(contender_of(trial))
    rows = [_row(need, measured, failed.keys(), tried) for need in NEEDS]
    p_values = [_p_value(row, measured) for row in rows]
    choices = [index for index, row in enumerate(rows) if len(row.ranked) > 1]
    corrected = dict(zip(choices, holm([p_values[index] for index in choices]), strict=True))
    levels = dict(zip(choices, holm_levels([p_values[index] for index in choices], level=TABLE_LEVEL), strict=True))
    return tuple(
        replace(
            _decide(row, measured, failed, levels.get(index, TABLE_LEVEL)),
            p_value=corrected.get(index, 1.0),
            comparisons=len(choices),
        )
        for index, row in enumerate(rows)
    )


def failing(measured: Measured) -> Mapping[Contender, Failing]:
    """Return every contender some of whose requests failed, anywhere in the run but in a search for its limit."""
    asked: dict[tuple[Contender, str], list[int]] = {}
    for trial in measured.run.trials:
        if not trial.options.is_calibration:
            failed = sum(trial.errors.values())
            sums = asked.setdefault((contender_of(trial), trial.scenario), [0, 0])
            sums[0] += failed
            sums[1] += failed + trial.requests
    found: dict[Contender, Failing] = {}
    for (contender, scenario), (failed, requests) in sorted(asked.items(), key=lambda each: -each[1][0]):
        if not failed:
            continue
        before = found.get(contender)
        found[contender] = (
            Failing(contender, before.failed + failed, before.requests + requests, before.scenario)
            if before
            else Failing(contender, failed, requests, scenario)
        )
    return found


def condition_for(need: Need, measured: Measured) -> Condition | None:
    """Return the condition that speaks for a need: within its bounds, with most contenders, at the load it is about."""
    if need.prefers_open:
        at_a_rate = [
            condition
            for condition in measured.open_conditions(need.scenario)
            if condition.has_tls and len(measured.contenders_under(condition)) > 1
        ]
        if at_a_rate:
            highest = max(at_a_rate, key=lambda one: (len(measured.contenders_under(one)), one.rate_per_s))
            return measured.usual([one for one in at_a_rate if one.rate_per_s == highest.rate_per_s])
    fitting = [
        condition
        for condition in measured.conditions(need.scenario)
        if condition.has_tls and need.fewest_clients <= condition.clients <= need.most_clients
    ]
    if not fitting:
        return None
    most_contenders = max(len(measured.contenders_under(condition)) for condition in fitting)
    wanted = min(2, most_contenders) if need.pick is Pick.EXTREME else most_contenders
    shared = [condition for condition in fitting if len(measured.contenders_under(condition)) >= wanted]
    loads = [condition.clients for condition in shared]
    load = min(loads) if need.pick is Pick.FEWEST else max(loads)
    return measured.usual([condition for condition in shared if condition.clients == load])


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


def standings(
    measured: Measured, measure: Measure, condition: Condition, *, without: AbstractSet[Contender] = frozenset()
) -> tuple[Standing, ...]:
    """Rank the contenders under a condition, the best first, by geometric means over the blocks that all share.

    Contenders that share hardly a block are ranked by the blocks they have.
    """
    figures = {
        contender: measured.figures(contender, condition, measure.figure)
        for contender in measured.contenders_under(condition)
        if contender not in without
    }
    figures = {contender: by_block for contender, by_block in figures.items() if by_block}
    if sum(len(by_block) >= MIN_BLOCKS_FOR_VERDICT for by_block in figures.values()) > 1:
        # A comparison is possible, and who has too few blocks even for an interval would only hide it.
        figures = {who: by_block for who, by_block in figures.items() if len(by_block) >= MIN_BLOCKS_FOR_INTERVAL}
    if not figures:
        return ()
    shared = set.intersection(*(set(by_block) for by_block in figures.values()))
    if 2 * len(shared) < max(len(by_block) for by_block in figures.values()):
        shared = set()
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
    tried: AbstractSet[Contender]  # who was put through it, whatever came of that
    unlimited: tuple[str, ...]


def _row(
    need: Need,
    measured: Measured,
    failed: AbstractSet[Contender],
    tried: Mapping[Condition, AbstractSet[Contender]],
) -> _Row:
    condition = condition_for(need, measured)
    if condition is None:
        return _Row(need, None, (), frozenset(), ())
    ranked = standings(measured, need.measure, condition, without=failed)
    return _Row(need, condition, ranked, tried[condition], _unlimited(measured, need.measure, condition, ranked))


def _unlimited(
    measured: Measured, measure: Measure, condition: Condition, ranked: Sequence[Standing]
) -> tuple[str, ...]:
    """Return the deployments that could not be ranked because they were faster than the load generator."""
    if measure is CPU:
        return ()  # what a request costs is known all the same
    known = {standing.contender for standing in ranked}
    return tuple(
        sorted(
            {
                trial.deployment
                for trial in measured.run.doubtful_trials
                if not trial.options.is_calibration
                and condition_of(trial) == condition
                and contender_of(trial) not in known
                and any(doubt.startswith((GENERATOR_LIMIT, LAGGED)) for doubt in trial.doubts)
            }
        )
    )


def _p_value(row: _Row, measured: Measured) -> float:
    """Return how likely it is that the best looks so much better than each other if it is not; 1 if nobody can tell."""
    if row.condition is None or len(row.ranked) < 2 or row.unlimited:
        return 1.0
    best, *others = row.ranked
    figure = row.need.measure.figure
    blocks = [measured.figures(standing.contender, row.condition, figure).keys() for standing in row.ranked]
    shared = [len(blocks[0] & other) for other in blocks[1:]]
    if shared[0] < MIN_BLOCKS_FOR_VERDICT or min(shared) < MIN_BLOCKS_FOR_INTERVAL:
        return 1.0
    return max(measured.p_value(best.contender, other.contender, row.condition, figure) for other in others)


def _decide(row: _Row, measured: Measured, failed: Mapping[Contender, Failing], level: float) -> Decision:
    """Decide one need, by intervals of a level."""
    need, condition, ranked = row.need, row.condition, row.ranked
    if condition is None:
        return Decision(need, Outcome.UNMEASURED)
    failed_here = tuple(failed[one] for one in sorted(row.tried & failed.keys(), key=lambda one: one.deployment))
    if not ranked:
        return Decision(need, Outcome.UNMEASURED, failing=failed_here)
    best, *others = ranked
    rivals = []
    for place, other in enumerate(others):
        interval = advantage(measured, need.measure, best.contender, other.contender, condition, level=level)
        p_value = measured.p_value(best.contender, other.contender, condition, need.measure.figure)
        rivals.append(Rival(other, interval, _verdict(interval, is_runner_up=place == 0), p_value))
    return Decision(
        need,
        _outcome(rivals, row.unlimited),
        condition,
        ranked,
        tuple(rivals),
        tuple(standing.contender for standing in standings(measured, CPU, condition)),
        _set_aside(row, failed.keys()),
        failed_here,
        row.unlimited,
    )


def _verdict(interval: Interval, *, is_runner_up: bool) -> Verdict:
    """Say whether the best is better. One odd block must not carry it against the runner-up; others lost to more."""
    if is_runner_up or interval.n < MIN_BLOCKS_FOR_INTERVAL:
        return verdict(interval)
    return Verdict.MORE if interval.low > 1 else Verdict.TIE


def _outcome(rivals: Sequence[Rival], unlimited: Sequence[str]) -> Outcome:
    if not rivals:
        return Outcome.ALONE
    told_apart = all(rival.verdict is Verdict.MORE for rival in rivals)
    return Outcome.WINNER if told_apart and not unlimited else Outcome.TIE


def _set_aside(row: _Row, failed: AbstractSet[Contender]) -> tuple[str, ...]:
    """Return the deployments that were put through the condition and are not ranked, for no fault of their own."""
    ranked = {standing.contender for standing in row.ranked}
    unranked = {contender.deployment for contender in row.tried - ranked - failed}
    return tuple(sorted(unranked - set(row.unlimited)))


def how_likely(decision: Decision) -> str:
    """Return how likely chance alone gives so much: "p = 0.003 after correction for 6 comparisons".

    Empty where there is no choice.
    """
    if decision.next is None:
        return ""
    if decision.next.advantage.n < MIN_BLOCKS_FOR_VERDICT:
        return "too few blocks to tell"
    said = "p < 0.0001" if decision.p_value < 1e-4 else f"p = {decision.p_value:.1g}"
    if decision.comparisons < 2:
        return said
    return f"{said} after correction for {decision.comparisons} comparisons"


def how_sure(decision: Decision) -> str:
    """Return what stands beside the interval: on how many blocks it rests."""
    return words.count(decision.runner_up.advantage.n, "block") if decision.runner_up else ""


def effect(decision: Decision) -> float:
    """Return how large the advantage of a winner is, as a log; 0 for anything else."""
    if decision.outcome is not Outcome.WINNER or decision.next is None:
        return 0.0
    return math.log(decision.next.advantage.estimate)
