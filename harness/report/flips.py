"""When a decision flips: read off the other loads and kinds of connection that were measured, never guessed.

For a winner three things are looked at: whether the loser's threads were all waiting; the same two, and whoever is the
best there, with connections kept open, or not; and those under fewer or more clients. That is done for winners alone,
with intervals that hold together, so that a table without false winners has no false flips either. A tie flips where
another row has a winner. And whoever minds what the choice is warned of may have one that is as good, or nearly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from harness import words
from harness.costs import Term, combine
from harness.measured import Condition, Contender, Measured, Scenario
from harness.report.decisions import CPU, TABLE_LEVEL, Decision, Outcome, Rival, Standing, advantage, failing, standings
from harness.report.naming import Names, warning
from harness.statistics import MIN_BLOCKS_FOR_VERDICT, Verdict, verdict

SLOW_WAIT_S = 0.1  # the slow-io scenario asks the device for one echo of 100 ms
THREADS_FULL = 0.85  # from this share of what its threads can carry, threads were a server's limit
NEARLY = 1.5  # a loser by up to this much is worth naming where the winner carries a warning

NEVER = "not in what was measured"
OPPOSITE = {
    Scenario.FULL_HANDSHAKE: Scenario.KEEP_ALIVE,
    Scenario.RESUMED_HANDSHAKE: Scenario.KEEP_ALIVE,
    Scenario.KEEP_ALIVE: Scenario.FULL_HANDSHAKE,
}
CONNECTIONS = {Scenario.FULL_HANDSHAKE: "new connections", Scenario.KEEP_ALIVE: "open connections"}


def flips(decision: Decision, decisions: Sequence[Decision], measured: Measured, names: Names) -> str:
    """Return when another choice would be right, in a few words; empty where there is no choice."""
    if decision.condition is None or decision.next is None:
        return ""
    if decision.next.advantage.n < MIN_BLOCKS_FOR_VERDICT:
        return "cannot tell"
    if decision.unlimited:
        return "cannot tell"
    if decision.outcome is Outcome.TIE:
        found = [*_other_rows(decision, decisions, names)]
    else:
        found = [
            *_threads(decision.next, decision.condition),
            *_elsewhere(decision, decision.next, decision.condition, measured, names),
        ]
    return "; ".join([*found, *_without_warning(decision, names)]) or NEVER


def _without_warning(decision: Decision, names: Names) -> Iterator[str]:
    """Name the first that carries no warning, where the choice carries one and that one is as good, or nearly."""
    if not warning(decision.choice.contender.deployment):
        return
    near: list[Standing] = [*decision.level[1:]]
    near += [rival.standing for rival in decision.rivals if 1 < rival.advantage.estimate <= NEARLY]
    for standing in near:
        if not warning(standing.contender.deployment):
            yield f"if its warning counts: {names.label(standing.contender)}"
            return


def break_even(measured: Measured, first: Contender, other: Contender, new: Condition, kept: Condition) -> float:
    """Return at how many requests a connection two contenders cost the same CPU; NaN if they never do.

    A request costs what it does on an open connection, and a k-th of the connection. Means over the blocks.
    """
    connection, request = [
        [combine(measured, contender, terms) for contender in (first, other)]
        for terms in ([Term(1, new), Term(-1, kept)], [Term(1, kept)])
    ]
    if not (connection[0] and connection[1] and request[0] and request[1]):
        return math.nan
    saved = request[1].estimate - request[0].estimate
    requests = (connection[0].estimate - connection[1].estimate) / saved if saved else math.nan
    return requests if requests > 1 else math.nan


def _other_rows(decision: Decision, decisions: Sequence[Decision], names: Names) -> Iterator[str]:
    """Say which of those tied win on the other kind of connection."""
    wanted = OPPOSITE.get(decision.need.scenario)
    tied = {decision.best.contender, *(rival.contender for rival in decision.tied)}
    for other in decisions:
        if (
            wanted is not None
            and other.need.scenario is wanted
            and other.need.measure is decision.need.measure
            and other.outcome is Outcome.WINNER
            and other.best.contender in tied
        ):
            yield f"on {CONNECTIONS[wanted]}: {names.label(other.best.contender)}"


def _threads(rival: Rival, condition: Condition) -> Iterator[str]:
    """Slow requests hold a thread each: say so when the server that lost had all of its threads waiting."""
    threads = rival.contender.threads
    if condition.scenario != Scenario.SLOW_IO or threads is None:
        return
    can_carry = threads * rival.contender.workers / SLOW_WAIT_S
    if condition.clients > threads and rival.standing.value >= THREADS_FULL * can_carry:
        yield f"up to {threads} clients, or with more threads: all {threads} waited"


def _elsewhere(
    decision: Decision, rival: Rival, condition: Condition, measured: Measured, names: Names
) -> Iterator[str]:
    """Compare the winner on the other kind of connection, and under the other loads."""
    opposite = _opposite(decision, rival, condition, measured)
    loads = [
        load
        for load in _loads(condition, measured)
        if load != condition and _kind(load) == _kind(condition) and _have(measured, decision, rival, load)
    ]
    wrong = (1 - TABLE_LEVEL) / max(1, len(loads) + (opposite is not None))
    best, other = decision.best.contender, rival.contender
    if opposite is not None:
        where = f"on {CONNECTIONS[Scenario(opposite.scenario)]}"
        found, against = _changed(decision, other, opposite, measured, wrong)
        if found is Verdict.TIE:
            yield f"a tie {where}"
        elif found is Verdict.LESS:
            turn = _broken_even(measured, best, against, condition, opposite)
            if turn and against != other:
                turn += f": {names.label(against)}"
            yield turn or f"{where}: {names.label(against)}"
    for load in loads:
        found, against = _changed(decision, other, load, measured, wrong)
        if found is Verdict.TIE:
            yield f"a tie at {_load_words(load)}"
        elif found is Verdict.LESS:
            yield f"at {_load_words(load)}: {names.label(against)}"


def _changed(
    decision: Decision, other: Contender, under: Condition, measured: Measured, wrong: float
) -> tuple[Verdict | None, Contender]:
    """Return what another condition says of the winner, if it is anything else, and against whom.

    That is the best there where it beats the winner, else the runner-up. wrong: how likely it may be that this says
    something false. The best there is the best of many, so its interval is as wide as so many comparisons ask for.
    """
    measure, winner = decision.need.measure, decision.best.contender
    there = standings(measured, measure, under, without=failing(measured).keys())
    strange = bool(there) and there[0].contender not in {winner, other}
    if strange:
        level = 1 - wrong / 2 / (len(there) - 1)
        if verdict(advantage(measured, measure, winner, there[0].contender, under, level=level)) is Verdict.LESS:
            return Verdict.LESS, there[0].contender
    level = 1 - (wrong / 2 if strange else wrong)
    interval = advantage(measured, measure, winner, other, under, level=level)
    if interval.n < MIN_BLOCKS_FOR_VERDICT:
        return None, other  # cannot be known
    found = verdict(interval)
    return None if found is Verdict.MORE else found, other


def _loads(condition: Condition, measured: Measured) -> Sequence[Condition]:
    """Return the loads of the same kind: closed ones, or open ones."""
    found = measured.open_conditions if condition.rate_per_s else measured.conditions
    return found(condition.scenario)


def _load_words(load: Condition) -> str:
    if load.rate_per_s:
        return f"{words.significant(load.rate_per_s, 3)} requests/s"
    return words.count(load.clients, "client")


def _broken_even(
    measured: Measured, best: Contender, other: Contender, condition: Condition, opposite: Condition
) -> str:
    kept_open = condition.scenario == Scenario.KEEP_ALIVE
    new, kept = (opposite, condition) if kept_open else (condition, opposite)
    requests = break_even(measured, best, other, new, kept)
    if not math.isfinite(requests):
        return ""
    return f"{'under' if kept_open else 'over'} about {words.significant(requests)} requests a connection"


def _opposite(decision: Decision, rival: Rival, condition: Condition, measured: Measured) -> Condition | None:
    """Return the other kind of connection at the nearest load, if CPU decides and both were measured there."""
    wanted = OPPOSITE.get(decision.need.scenario)
    if wanted is None or decision.need.measure is not CPU:
        return None
    fitting = [
        other
        for other in measured.conditions(wanted)
        if _kind(other) == _kind(condition) and _have(measured, decision, rival, other)
    ]
    return min(fitting, key=lambda other: abs(math.log(other.clients / condition.clients)), default=None)


def _have(measured: Measured, decision: Decision, rival: Rival, condition: Condition) -> bool:
    return all((one, condition) in measured.cells for one in (decision.best.contender, rival.contender))


def _kind(condition: Condition) -> tuple[str, str, str | None]:
    return condition.tls, condition.auth, condition.certificate_kind
