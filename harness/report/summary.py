"""What is said in sentences: the page's opening, the costs in one line, and the findings for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness import words
from harness.costs import Costs, costs
from harness.measured import Contender, Measured, Scenario
from harness.report.decisions import Decision, Outcome, decide, effect
from harness.report.naming import Names, caution, set_up, warning
from harness.report.trust import Trust, line_of_trust, trust
from harness.statistics import MIN_BLOCKS_FOR_VERDICT, Interval
from harness.trials import Run

FINDINGS = 5
NAMED = 3  # deployments in one sentence
HARDLY = 0.05  # a cost below this share of a request hardly matters


def findings(run: Run) -> list[str]:
    """Return the most important findings, at most five, as sentences of plain text; the same facts as on the page."""
    measured = Measured(run)
    names = Names(measured.contenders)
    decisions = decide(measured)
    chosen = [sentence for decision in decisions if (sentence := decision_sentence(decision, names))]
    found = costs(measured)
    cost = costs_sentence(found)
    room = FINDINGS - 1 - bool(cost)
    trusted = f"Trust: {'; '.join(line_of_trust(trust(measured)))}."
    whole = f"{cost.removesuffix('.')}, of a whole request's {_range([one.request for one in found])}."
    return [*chosen[:room], *([whole] if cost else []), trusted]


def decision_sentence(decision: Decision, names: Names) -> str:
    """Return a row of the decision table as a sentence; empty where nothing was measured."""
    if decision.outcome is Outcome.UNMEASURED:
        return ""
    need = words.capitalised(decision.need.name)
    choice, runner_up = decision.choice.contender, decision.runner_up
    taken = _named(decision, choice, names)
    mind = caution(choice.deployment)
    mind = f" Mind of {names.label(choice)}: {mind}." if mind else ""
    if runner_up is None:
        return f"{need}: {taken} alone can be used, {decision.need.measure.say(decision.choice.value)}.{mind}"
    interval = runner_up.advantage
    if decision.is_open:
        why = (
            f"the load generator was the limit of {words.shortened(decision.unlimited, NAMED)}"
            if decision.unlimited
            else f"a verdict takes {MIN_BLOCKS_FOR_VERDICT} blocks that hold both sides, and there are {interval.n}"
        )
        return f"{need}: cannot tell {taken} from {_named(decision, runner_up.contender, names)}, for {why}."
    if decision.outcome is Outcome.TIE:
        tied = words.shortened([_named(decision, one.contender, names) for one in decision.level], NAMED)
        return f"{need}: {tied} are a tie ({words.ratio_range(interval)}, {words.count(interval.n, 'block')}).{mind}"
    return (
        f"{need}: {taken}, {words.ratio(interval)} {decision.need.measure.advantage}"
        f"{compared(decision)}{_named(decision, runner_up.contender, names)} "
        f"(95 % interval {words.ratio_range(interval)}, {words.count(interval.n, 'block')}).{mind}"
    )


def compared(decision: Decision) -> str:
    """Return the word between an advantage and whom it is over: "less CPU than", "the throughput of"."""
    return " of " if decision.need.measure.more_is_better else " than "


def costs_sentence(found: Sequence[Costs]) -> str:
    """Return what TLS and Digest cost, from the least to the most over the contenders; empty if nothing is known."""
    said = []
    tls = [
        f"{amount} {what}"
        for amount, what in (
            (_range([cost.tls_connection for cost in found]), "a connection"),
            (_range([cost.tls_request for cost in found]), "a request"),
        )
        if amount
    ]
    if tls:
        said.append(f"TLS costs {words.listed(tls)}")
    digest = _range([cost.digest for cost in found])
    if digest:
        said.append(f"Digest costs {digest} a request")
    if not said:
        return ""
    return f"{'; '.join(said)} (server CPU)."


def opening(decisions: Sequence[Decision], found: Sequence[Costs], trusted: Trust, names: Names) -> str:
    """Return what the page opens with: what wins where, by how much, what hardly matters; or why there is nothing."""
    said = _choice(decisions, found, names)
    if trusted.aside > trusted.used:
        said += " Most of its trials were set aside: measure again when the machine is quiet."
    return said


def _choice(decisions: Sequence[Decision], found: Sequence[Costs], names: Names) -> str:
    compared_ones = [one for one in decisions if one.next is not None]
    if not compared_ones:
        alone = list(dict.fromkeys(one.best.contender for one in decisions if one.outcome is Outcome.ALONE))
        if not alone:
            return "This run holds no trial that can be used to choose by."
        only = words.shortened(names.labels(alone), NAMED)
        if any(one.failing for one in decisions):
            return f"Only {only} answered all requests: this page tells its costs, and who failed."
        return f"Only {only} was measured: this page tells its costs, not what to choose."
    winners = sorted((one for one in compared_ones if one.outcome is Outcome.WINNER), key=effect, reverse=True)
    if all(one.next.advantage.n < MIN_BLOCKS_FOR_VERDICT for one in compared_ones if one.next):
        most = max(one.next.advantage.n for one in compared_ones if one.next)
        return (
            f"Too few blocks to choose by: a verdict takes {MIN_BLOCKS_FOR_VERDICT} that hold both sides of a "
            f"comparison, this run has {most}."
        )
    if not winners:
        return "Nothing that was measured tells these deployments apart: choose by what you know."
    by_winner: dict[Contender, list[Decision]] = {}
    for decision in winners:
        by_winner.setdefault(decision.best.contender, []).append(decision)
    praised = list(by_winner.items())[:3]
    parts = [_praise(_with_care(contender, names), won) for contender, won in praised]
    last, others = praised[-1][0], praised[-1][1]
    if len(praised) > 1 and len(others) > 2 and len(winners) == len(compared_ones):
        parts[-1] = f"{_with_care(last, names)} for everything else measured here ({_up_to(others)})"
    tied = [one.need.name for one in compared_ones if one.outcome is Outcome.TIE and not one.is_open]
    still_open = [one.need.name for one in compared_ones if one.is_open]
    tails = [f"for {words.listed(tied)} the first are a tie"] if tied else []
    tails += [f"no verdict on {words.listed(still_open)}"] if still_open else []
    if small := hardly_matters(found):
        tails.append(small)
    return f"{'; '.join([f'Take {words.listed(parts)}', *tails])}."


def _with_care(contender: Contender, names: Names) -> str:
    """Return a contender's name, and that it carries a warning, which stands in the table."""
    mind = " (mind its warning)" if warning(contender.deployment) else ""
    return f"{names.label(contender)}{mind}"


def hardly_matters(found: Sequence[Costs]) -> str:
    """Return which of the costs of a request are a small share of it on every contender; empty if none is."""
    small = []
    for what, amounts in (
        ("Digest", [cost.digest for cost in found]),
        ("TLS on an open connection", [cost.tls_request for cost in found]),
    ):
        known = [
            amount.high / cost.request.estimate
            for amount, cost in zip(amounts, found, strict=True)
            if amount is not None
        ]
        if known and max(known) < HARDLY:
            small.append(what)
    if not small:
        return ""
    return f"{words.listed(small)} hardly {'matters' if len(small) == 1 else 'matter'}"


def _praise(name: str, won: Sequence[Decision]) -> str:
    best = won[0]
    others = [decision.need.name for decision in won[1:]]
    interval = best.next.advantage if best.next else Interval(math.nan, 0, math.inf, 0)
    praise = f"{name} for {best.need.name} ({words.ratio(interval)} {best.need.measure.advantage})"
    return (
        f"{praise}, {words.listed(others)}"
        if len(others) > 1
        else f"{praise}{''.join(f' and {one}' for one in others)}"
    )


def _up_to(won: Sequence[Decision]) -> str:
    """Return the smallest and the largest advantage: "1.4 to 2.0 x less CPU". The decisions are by falling effect."""
    largest, smallest = won[0], won[-1]
    ratios = [words.ratio(one.next.advantage) for one in (smallest, largest) if one.next]
    if all(one.need.measure is largest.need.measure for one in won):
        return f"{ratios[0].removesuffix(f'{words.THIN}{words.TIMES}')} to {ratios[1]} {largest.need.measure.advantage}"
    return f"{ratios[0].removesuffix(f'{words.THIN}{words.TIMES}')} to {ratios[1]} better"


def _named(decision: Decision, contender: Contender, names: Names) -> str:
    label = names.label(contender)
    if decision.need.scenario is Scenario.SLOW_IO:
        return f"{label} with {set_up(contender)}" if "(" not in label else label
    return label


def _range(intervals: Sequence[Interval | None]) -> str:
    """Return the least and the most of what several contenders pay; a cost whose interval holds 0 cannot be told."""
    measured = [interval for interval in intervals if interval is not None]
    if not measured:
        return ""
    known = [interval.estimate for interval in measured if interval.low > 0]
    if not known:
        return "too little to tell"
    if len(known) < len(measured):
        return f"up to {words.microseconds(max(known))}"
    low, high = words.microseconds(min(known)), words.microseconds(max(known))
    if low == high:
        return low
    (low_number, low_unit), (high_number, high_unit) = low.rsplit(words.THIN, 1), high.rsplit(words.THIN, 1)
    return f"{low_number} to {high_number}{words.THIN}{high_unit}" if low_unit == high_unit else f"{low} to {high}"
