"""A run's ranking in words: who is cheapest, who is not told apart from it, and what a proxy in front adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from deployments import DeploymentError, DeploymentName
from harness import words
from harness.measured import Condition, Contender, Figure, Measured, cpu_us, throughput
from harness.report import matrix
from harness.report.content import Table, table
from harness.report.naming import Names
from harness.statistics import Interval

LEVEL = 0.95
NAMED = 8  # who is not told apart from the best, by name; further ones are counted


@dataclass(frozen=True, slots=True)
class Question:
    """A figure that a ranking is by."""

    what: str  # of which "X takes least" or "answers most" is said
    condition: Condition
    figure: Figure
    more_is_better: bool = False

    def say(self, interval: Interval) -> str:
        """Return one deployment's figure, with its unit."""
        return words.per_second(interval) if self.more_is_better else words.microseconds_between(interval)


def sentences(measured: Measured, names: Names) -> Iterator[str]:
    """Yield a sentence of plain text for each figure: the best, by how much of whom, and who is a tie with it."""
    failing = {row.contender for row in matrix.rows(measured) if row.is_failing}
    for question in _questions(measured):
        ranked = _ranked(measured, question, without=failing)
        if not ranked:
            continue
        (best, level), *others = ranked
        said = f"{words.capitalised(question.what)}: {names.label(best)}, {question.say(level)}"
        if not others:
            yield f"{said}; nobody else was measured."
            continue
        tied = _not_told_apart(measured, question, best, [other for other, _ in others])
        if tied:
            named = words.shortened(names.labels(tied), NAMED)
            said += f"; not told apart from it: {named}"
        last, furthest = others[-1]
        yield f"{said}. At the other end: {names.label(last)}, {question.say(furthest)}."


def proxies(measured: Measured, names: Names) -> Table | None:
    """Return what each proxy takes in front of a server that was measured without it too; None: there is no pair."""
    under = matrix.conditions(measured)
    found = []
    for contender in measured.contenders:
        plain = _without_proxy(contender)
        if plain is None or plain not in measured.contenders:
            continue
        ratios = [
            _times(measured.ratio(contender, plain, condition, cpu_us)) if condition else matrix.NOT_MEASURED
            for condition in (under.each, under.new)
        ]
        found.append((names.label(contender), names.label(plain), *ratios))
    if not found:
        return None
    return table(
        "CPU of proxy and server together, as a multiple of the server's alone",
        ["behind a proxy", "against"],
        [matrix.EACH, matrix.NEW],
        found,
    )


def _questions(measured: Measured) -> Iterator[Question]:
    under = matrix.conditions(measured)
    if under.each:
        yield Question(f"least CPU for {matrix.EACH}", under.each, cpu_us)
    if under.new:
        yield Question(f"least CPU for {matrix.NEW}", under.new, cpu_us)
    if under.slow:
        what = f"most of {under.slow.clients} slow requests at once"
        yield Question(what, under.slow, throughput, more_is_better=True)


def _ranked(measured: Measured, question: Question, *, without: set[Contender]) -> list[tuple[Contender, Interval]]:
    levels = [
        (contender, measured.level(contender, question.condition, question.figure))
        for contender in measured.contenders_under(question.condition)
        if contender not in without and measured.figures(contender, question.condition, question.figure)
    ]
    return sorted(levels, key=lambda pair: pair[1].estimate, reverse=question.more_is_better)


def _not_told_apart(
    measured: Measured, question: Question, best: Contender, others: Sequence[Contender]
) -> list[Contender]:
    """Return whose ratio to the best may be 1, block by block; Bonferroni's level, for so many are compared."""
    level = 1 - (1 - LEVEL) / len(others)
    return [
        other
        for other in others
        if not measured.ratio(other, best, question.condition, question.figure, level=level).excludes(1.0)
    ]


def _without_proxy(contender: Contender) -> Contender | None:
    try:
        name = DeploymentName.parse(contender.deployment)
    except DeploymentError:
        return None  # a run of another version, or someone's own
    if name.proxy is None:
        return None
    return replace(contender, deployment=str(replace(name, proxy=None)))


def _times(ratio: Interval) -> str:
    return words.ratio_with_range(ratio)
