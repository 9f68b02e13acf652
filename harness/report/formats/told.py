"""What a report of one run says first, whatever it is written in: the page's first screen, as text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from harness import words
from harness.costs import Costs, costs
from harness.measured import Measured
from harness.report import first_screen, provenance, summary, trust
from harness.report.content import Table, table
from harness.report.decisions import Decision, Outcome, decide
from harness.report.naming import Names
from harness.report.reading import RunFolder


@dataclass(frozen=True, slots=True)
class Told:
    """A run's report as short texts."""

    title: str
    context: tuple[str, ...]  # date, cores, OpenSSL, trials
    opening: str
    lacks: tuple[str, ...]
    decisions: tuple[first_screen.Row, ...]
    costs_sentence: str
    costs: Table | None  # a row a kind of cost; None: no cost was measured
    costs_left_out: int  # contenders whose costs the page alone has
    trust: tuple[str, ...]
    set_aside: Table | None  # a row a reason
    unmeasured: tuple[str, ...]  # needs of which nothing is known, and why
    missing: tuple[str, ...]  # what else was not measured
    environment: Table
    command: str  # that measures it again


def tell(found: RunFolder) -> Told:
    """Say what the page of the run says first."""
    run = found.run
    measured = Measured(run)
    names = Names(measured.contenders)
    decisions = decide(measured)
    costed = costs(measured)
    trusted = trust.trust(measured)
    return Told(
        title=first_screen.title(names),
        context=provenance.context(run),
        opening=summary.opening(decisions, costed, trusted, names),
        lacks=found.lacks,
        decisions=first_screen.rows(decisions, measured, names),
        costs_sentence=summary.costs_sentence(costed),
        costs=_costs(costed, decisions, names),
        costs_left_out=max(0, len(costed) - first_screen.COSTS_SHOWN),
        trust=trust.line_of_trust(trusted),
        set_aside=_set_aside(measured),
        unmeasured=tuple(map(_unmeasured, first_screen.unmeasured(decisions))),
        missing=tuple(gap.what for gap in trust.unmeasured(measured, decisions) if not gap.has_row),
        environment=_environment(found),
        command=provenance.command(run.header),
    )


def taken(row: first_screen.Row) -> str:
    """Return which deployment to take, or which of those that are tied."""
    labels = [mark.label for mark in row.takes]
    if row.takes_left_out > 0:
        labels.append(words.count(row.takes_left_out, "other"))
    return words.listed(labels, last="or")


def compared(row: first_screen.Row) -> str:
    """Return "1.8 x less CPU than NAME", or "a tie with NAME"."""
    return f"{row.result} {row.word} {row.over.label}" if row.over else row.result


def how_sure(row: first_screen.Row) -> str:
    """Return "1.7 - 1.9 (6 blocks)": the interval and what it rests on."""
    return f"{row.interval} ({row.sure})" if row.interval and row.sure else row.interval or row.sure


def is_told(row: first_screen.Row) -> bool:
    """Whether the row names a winner."""
    return row.outcome == Outcome.WINNER.value


def _unmeasured(one: first_screen.Unmeasured) -> str:
    measures = f" (`{one.command}` measures it)" if one.command else ""
    return f"{words.listed(one.needs)}: {one.why}{measures}"


def _costs(found: Sequence[Costs], decisions: Sequence[Decision], names: Names) -> Table | None:
    columns = [name for name, _ in first_screen.cost_columns(found)]
    shown = first_screen.cost_rows(found, decisions, names)
    if not shown:
        return None
    rows = [(name, *(each.figures[place] for each in shown)) for place, name in enumerate(columns)]
    return table("Server CPU, ± 95 %", ["cost"], [each.mark.label for each in shown], rows)


def _set_aside(measured: Measured) -> Table | None:
    """Count the doubts of each kind, with the first of them as an example."""
    rows = []
    for trials, used in ((measured.aside, "nothing"), (measured.for_cost_alone, "server CPU alone")):
        reasons = [reason for trial in trials for reason in trust.reasons_of(trial)]
        examples = {_kind(reason): reason for reason in reversed(reasons)}
        counts = Counter(map(_kind, reasons))
        rows += [(examples[kind], f"{count:,}", used) for kind, count in counts.most_common()]
    return table("Trials with a doubt", ["doubt, such as"], ["trials"], rows, remarks=["used"]) if rows else None


def _kind(reason: str) -> str:
    """Return a doubt without its figures: "neighbours took"."""
    return re.split(r"[\d:(]", reason, maxsplit=1)[0].strip() or reason


def _environment(found: RunFolder) -> Table:
    tables = provenance.environment_tables(found.run)
    rows = [row for each in tables for row in each.rows]
    return table("The run and its machine", ["what", "value"], [], rows)
