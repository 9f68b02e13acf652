"""The first screen's table, as text: for each need what to take, over whom, by how much, how sure, and when it flips.

Its rows are `harness.report.decisions`' decisions, said. A need that this run did not measure, and one for which this
bench has no scenario, stand at the table's end, where a reader who looks for them comes to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from harness import words
from harness.costs import Costs
from harness.measured import Measured, Scenario
from harness.report.content import Mark
from harness.report.decisions import (
    NEEDS_WITHOUT_SCENARIO,
    THROUGHPUT,
    Decision,
    Failing,
    Outcome,
    Pick,
    Rival,
    Standing,
    how_sure,
)
from harness.report.flips import flips
from harness.report.naming import Names, about, caution, mark, set_up
from harness.report.summary import compared
from harness.statistics import Interval

COSTS_SHOWN = 3  # the others stand in their section
NARROWEST = 1.15  # the strip of intervals reaches at least this far from 1 on both sides
PER_REQUEST = " a request"
PER_CONNECTION = " a connection"  # with the one request on it
NEW_CONNECTIONS = frozenset({Scenario.FULL_HANDSHAKE, Scenario.RESUMED_HANDSHAKE})
NAMED_ASIDE = 2  # deployments without a figure, by name; the others are counted
NAMED_FAILING = 4


@dataclass(frozen=True, slots=True)
class Strip:
    """An interval drawn on a log scale that all rows share; positions in percent of the width."""

    one: float
    low: float
    high: float
    estimate: float


@dataclass(frozen=True, slots=True)
class Row:
    """A need that was measured."""

    anchor: str
    need: str
    detail: str  # what was sent, under which load, to how many
    take: Mark
    figure: str  # of the one to take
    about: str  # what it is, where its name appears first
    caution: str  # what it is warned of
    others: str  # how many tie with it
    result: str  # how many times better, or "a tie"
    over: Mark | None  # the runner-up
    word: str  # between result and runner-up: "than"
    against: str  # the runner-up's figure
    aside: tuple[str, ...]  # who has no figure, and why
    failing: str  # who would be here, and fails requests
    interval: str
    sure: str
    strip: Strip | None
    flips: str
    outcome: str
    tied: int  # how many are as good as the one to take

    @property
    def takes(self) -> tuple[Mark, ...]:
        """Return the one to take, and in a tie also the one that it is compared with: both may be taken."""
        return (self.take, self.over) if self.tied and self.over else (self.take,)

    @property
    def takes_left_out(self) -> int:
        """How many more may be taken as well."""
        return 1 + self.tied - len(self.takes)

    @property
    def take_note(self) -> str:
        """What stands under the one to take."""
        return "; ".join(part for part in (self.others, self.about, self.caution and f"mind: {self.caution}") if part)

    @property
    def evidence(self) -> str:
        """The figures that the result was made of, and who has none."""
        other = f"{self.over.label}: {self.against}" if self.over else ""
        failing = f"no choice: {self.failing}" if self.failing else ""
        return "; ".join(part for part in (self.figure, other, *self.aside, failing) if part)


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """Needs of which the page knows nothing, and why."""

    needs: tuple[str, ...]
    why: str
    command: str = ""  # that would measure them


@dataclass(frozen=True, slots=True)
class CostRow:
    """One contender's costs, as text."""

    mark: Mark
    figures: tuple[str, ...]


COST_COLUMNS: tuple[tuple[str, Callable[[Costs], Interval | None]], ...] = (
    ("a request, all included", lambda cost: cost.request),
    ("TLS, a connection", lambda cost: cost.tls_connection),
    ("TLS, a resumed one", lambda cost: cost.tls_resumed),
    ("TLS, a request", lambda cost: cost.tls_request),
    ("Digest, a request", lambda cost: cost.digest),
    ("a 401 challenge", lambda cost: cost.challenge),
)


def title(names: Names) -> str:
    """Return the question that the page answers."""
    both = {"flask", "quart"} <= names.families
    return "Flask or Quart, and served by what?" if both else "How should this API be served?"


def rows(decisions: Sequence[Decision], measured: Measured, names: Names) -> tuple[Row, ...]:
    """Return the rows of the decision table: every need that was measured."""
    shown = [decision for decision in decisions if decision.outcome is not Outcome.UNMEASURED]
    scale = _scale([decision.runner_up.advantage for decision in shown if decision.runner_up])
    introduced: set[str] = set()
    found = []
    for decision in shown:
        turns = flips(decision, decisions, measured, names)
        found.append(_row(decision, measured, names, scale, introduced, turns))
        introduced.add(decision.choice.contender.deployment)
    return tuple(found)


def unmeasured(decisions: Sequence[Decision]) -> tuple[Unmeasured, ...]:
    """Return the needs that have no row."""
    found = []
    if missing := tuple(one.need.name for one in decisions if one.outcome is Outcome.UNMEASURED):
        found.append(Unmeasured(missing, "this run has no trial of it that can be used", "bench run full"))
    found.append(Unmeasured(NEEDS_WITHOUT_SCENARIO, "this bench has no scenario that sends them yet"))
    return tuple(found)


def failing(decisions: Sequence[Decision]) -> str:
    """Return the deployments that are in no row because requests of theirs failed, the worst first; or nothing."""
    return _failed(list({each.contender: each for one in decisions for each in one.failing}.values()))


def cost_rows(found: Sequence[Costs], decisions: Sequence[Decision], names: Names) -> tuple[CostRow, ...]:
    """Return the costs of the contenders that the decision table speaks of most."""
    spoken = [one.choice.contender for one in decisions if one.standings]
    spoken += [one.runner_up.contender for one in decisions if one.runner_up]
    order = {contender: position for position, contender in reversed(list(enumerate(spoken)))}
    nearest = sorted(found, key=lambda cost: order.get(cost.contender, len(order)))
    return tuple(
        CostRow(
            mark(cost.contender, names),
            tuple(
                words.microseconds_between(interval) if (interval := read(cost)) else "not measured"
                for _, read in cost_columns(found)
            ),
        )
        for cost in nearest[:COSTS_SHOWN]
    )


def cost_columns(found: Sequence[Costs]) -> tuple[tuple[str, Callable[[Costs], Interval | None]], ...]:
    """Return the costs that any contender has."""
    return tuple((name, read) for name, read in COST_COLUMNS if any(read(cost) is not None for cost in found))


def _row(
    decision: Decision, measured: Measured, names: Names, scale: float, introduced: Collection[str], turns: str
) -> Row:
    need, choice, runner_up = decision.need, decision.choice, decision.runner_up
    deployment = choice.contender.deployment
    notes = [about(deployment) if deployment not in introduced else ""]
    notes += [set_up(choice.contender) if need.scenario is Scenario.SLOW_IO else ""]
    interval = runner_up.advantage if runner_up else None
    return Row(
        anchor=f"need-{need.name.replace(' ', '-').lower()}",
        need=need.name,
        detail=_detail(decision, measured),
        take=mark(choice.contender, names),
        figure=_figure(decision, choice, measured),
        about="; ".join(note for note in notes if note),
        caution=caution(deployment),
        others=_others(decision),
        result=_result(decision, interval),
        over=mark(runner_up.contender, names) if runner_up else None,
        word=_word(decision),
        against=_against(decision, runner_up, measured),
        aside=tuple(_aside(decision)),
        failing=_failed(decision.failing),
        interval=words.ratio_range(interval) if interval else "",
        sure=how_sure(decision),
        strip=_strip(interval, scale) if interval and interval.is_finite else None,
        flips=turns,
        outcome=decision.outcome.value,
        tied=0 if decision.is_open else len(decision.level) - 1,
    )


def _result(decision: Decision, interval: Interval | None) -> str:
    if interval is None:
        return "nothing to compare with"
    if decision.is_open:
        if decision.unlimited or not interval.is_finite:
            return "cannot tell"
        return f"no verdict yet ({words.ratio(interval)})"
    if decision.outcome is Outcome.TIE:
        return "a tie"
    return f"{words.ratio(interval)} {decision.need.measure.advantage}"


def _word(decision: Decision) -> str:
    if decision.outcome is Outcome.WINNER:
        return compared(decision).strip()
    return "over" if decision.is_open else "with"


def _others(decision: Decision) -> str:
    """Return among how many the one to take is the cheapest."""
    return "" if decision.is_open or len(decision.level) < 2 else f"cheapest of {len(decision.level)} that tie"


def _detail(decision: Decision, measured: Measured) -> str:
    condition = decision.condition
    if condition is None:
        return ""
    clients = words.count(condition.clients, "client")
    if condition.rate_per_s:
        said = f"{words.significant(condition.rate_per_s, 3)} requests/s at random moments"
    elif decision.need.prefers_open:
        said = f"{clients} (no open load)"
    elif decision.need.pick is Pick.EXTREME:
        said = f"{clients}, {decision.need.detail}"
    else:
        said = f"{decision.need.detail}; {clients}"
    few = len(decision.standings) + len(decision.failing) + len(decision.set_aside) + len(decision.unlimited)
    every = len(measured.contenders)
    return said if few >= every else f"{said}; {few} of {every} deployments"


def _against(decision: Decision, runner_up: Rival | None, measured: Measured) -> str:
    if runner_up is None:
        return ""
    figure = _figure(decision, runner_up.standing, measured).removesuffix(PER_REQUEST).removesuffix(PER_CONNECTION)
    if decision.need.scenario is Scenario.SLOW_IO:
        return f"{set_up(runner_up.contender)}; {figure}"
    return figure


def _figure(decision: Decision, standing: Standing, measured: Measured) -> str:
    """Return one contender's figure; throughput never without the latency that it came at."""
    measure, condition = decision.need.measure, decision.condition
    said = measure.say(standing.value)
    if condition is None:
        return said
    if measure is THROUGHPUT:
        return f"{said}, p99 {words.microseconds(measured.latency(standing.contender, condition, 99).whole)}"
    if measure.advantage.endswith("p99"):
        return f"p99 {said}"
    return f"{said}{PER_CONNECTION if decision.need.scenario in NEW_CONNECTIONS else PER_REQUEST}"


def _aside(decision: Decision) -> Iterator[str]:
    """Yield who has no figure that could be ranked, and why; who fails is told once for all rows."""
    if decision.unlimited:
        yield f"not ranked, for the load generator was its limit: {words.shortened(decision.unlimited, NAMED_ASIDE)}"
    if decision.set_aside:
        yield f"set aside: {words.shortened(decision.set_aside, NAMED_ASIDE)}"


def _failed(failing: Sequence[Failing]) -> str:
    """Return "NAME (3 of 1,000 failed)", the worst first."""
    worst = sorted(failing, key=lambda one: one.failed / one.requests, reverse=True)
    said = [f"{one.contender.deployment} ({one.failed:,} of {one.requests:,} failed)" for one in worst]
    return words.shortened(said, NAMED_FAILING)


def _scale(intervals: Sequence[Interval]) -> float:
    """Return how far from 1, as a log, the strips of all rows reach on both sides."""
    finite = [interval for interval in intervals if interval.is_finite and interval.low > 0]
    ends = [abs(math.log(end)) for interval in finite for end in (interval.low, interval.high)]
    return max([*ends, math.log(NARROWEST)])


def _strip(interval: Interval, scale: float) -> Strip | None:
    # The right side, where the choice is better, gets three quarters of the width: the left is for ties alone.
    def position(value: float) -> float:
        return round(25 + 75 * max(-1 / 3, math.log(value) / scale), 2) if value > 0 else 0.0

    return Strip(position(1.0), position(interval.low), position(interval.high), position(interval.estimate))
