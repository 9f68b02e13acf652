"""Several runs as sections: what differs between them, what each chooses, by how much figures moved, and how far to go.

The same sections are the page's, the text's and the Markdown's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from harness import words
from harness.comparing import said
from harness.comparing.judging import Judgement
from harness.report import first_screen, provenance
from harness.report.content import LONGEST_OPEN, Section, Table, table
from harness.report.decisions import TAIL, THROUGHPUT, Outcome
from harness.report.formats.told import taken
from harness.report.naming import Names
from harness.report.side_by_side.changes import Change, CostRow, NeedRow, Pair, Seen, SideBySide
from harness.report.side_by_side.sides import Side
from harness.statistics import Interval

NOT_MEASURED = "not measured"
NOT_COMPARED = "not compared"

_SAME, _COMPATIBLE, _ANOTHER, _ALONE, _NONE = "the same", "compatible", "another", "in one run", "nothing to choose"
_AGREEMENTS = {
    _SAME: "the same choice",
    _COMPATIBLE: "compatible choices",
    _ANOTHER: "another choice",
    _ALONE: "a choice in one run alone",
    _NONE: "nothing to choose",
}
_TALLIED = {  # as `harness.comparing.said` counts them
    Judgement.WORSE: "worse",
    Judgement.BETTER: "better",
    Judgement.NO_WORSE: "no worse",
    Judgement.TIE: "tied",
    Judgement.CANNOT_TELL: "not to be told",
}


def title(beside: SideBySide) -> str:
    """Return what the whole is called."""
    return f"{words.count(len(beside.sides), 'run')} side by side"


def context(beside: SideBySide) -> tuple[str, ...]:
    """Return which run each letter is."""
    return tuple(
        f"{side.letter}: {side.name}, {provenance.when(side.found.run.header.started)}" for side in beside.sides
    )


def opening(beside: SideBySide) -> str:
    """Return what it comes to: each run beside the first."""
    return " ".join(f"{_ended(_headline(pair))}" for pair in beside.pairs)


def lacks(beside: SideBySide) -> tuple[str, ...]:
    """Return what is not whole about any of the runs."""
    return tuple(f"{side.letter}: {lack}" for side in beside.sides for lack in side.found.lacks)


def sections(beside: SideBySide) -> tuple[Section, ...]:
    """Return the sections in the order in which questions come up."""
    contenders = {row.contender for row in beside.needs} | {row.contender for row in beside.costs}
    names = Names(sorted(contenders, key=lambda one: one.deployment))
    return (
        _differences(beside),
        _choices(beside),
        _needs(beside, names),
        _costs(beside, names),
        _comparison(beside),
        _again(beside),
    )


def letters(beside: SideBySide) -> list[str]:
    """Return the runs' letters, as headings of columns."""
    return [side.letter for side in beside.sides]


def _headline(pair: Pair) -> str:
    return f"{pair.other.letter} beside {pair.first.letter}: {said.headline(pair.compared)}"


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith(".") else f"{sentence}."


def _differences(beside: SideBySide) -> Section:
    by_side = [_facts(side) for side in beside.sides]
    keys = list(dict.fromkeys(key for facts in by_side for key in facts))
    rows = [(key, *(facts.get(key, "not recorded") for facts in by_side)) for key in keys]
    differing = [row for row in rows if len(set(row[1:])) > 1]
    alike = [row[:2] for row in rows if len(set(row[1:])) == 1]
    named = [row[0] for row in differing if row[0] != "started"]
    answer = f"They differ in {words.shortened(named, 6)}." if named else "In nothing that was recorded, but the date."
    tables = (
        _words_table("What differs", ["what", *letters(beside)], differing),
        _words_table("The same in all of them", ["what", "value"], alike),
    )
    shown = tuple(each for each in tables if each.rows)
    return Section("differences", "What differs between the runs?", answer, tables=shown)


def _words_table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    return table(caption, columns, [], rows)


def _facts(side: Side) -> dict[str, str]:
    run = side.found.run
    facts = {row[0]: row[1] for each in provenance.environment_tables(run) for row in each.rows}
    aside = len(side.measured.aside)
    return {
        **facts,
        "trials": f"{len(run.trials):,}" + (f", {aside:,} of them set aside" if aside else ""),
        "blocks used": f"{len({trial.block for trial in run.cost_trials}):,}",
    }


def _choices(beside: SideBySide) -> Section:
    by_side = [
        {row.need: row for row in first_screen.rows(side.decisions, side.measured, side.names)} for side in beside.sides
    ]
    needs = list(dict.fromkeys(need for rows in by_side for need in rows))
    rows = [(need, _agreement(need, beside.sides), *(_choice(own.get(need)) for own in by_side)) for need in needs]
    if not rows:
        return Section("choices", "What does each run choose?", "Nothing: no run has a trial that can be chosen by.")
    agreements = Counter(row[1] for row in rows)
    counted = words.listed([f"{_AGREEMENTS[each]} for {count}" for each, count in agreements.most_common()])
    return Section(
        "choices",
        "What does each run choose?",
        f"Of {words.count(len(rows), 'need')}: {counted}.",
        tables=(
            _words_table(
                "For each need: what to take, by how much over the next, with the interval of that",
                ["need", "choice", *letters(beside)],
                rows,
            ),
        ),
        notes=(
            "Each run's choice is its own report's; no comparison between runs is in it.",
            "Compatible: some deployment may be taken by all of them, for where it is not the choice it ties with it.",
        ),
    )


def _choice(row: first_screen.Row | None) -> str:
    if row is None:
        return NOT_MEASURED
    interval = f", {row.interval}" if row.interval else ""
    return f"{taken(row)}: {row.result}{interval}"


def _agreement(need: str, sides: Sequence[Side]) -> str:
    """Say whether the runs that have a need choose alike; a tie goes with what is among those tied."""
    found = [one for side in sides for one in side.decisions if one.need.name == need]
    chosen = [
        {one.best.contender.deployment, *(rival.contender.deployment for rival in one.tied)}
        for one in found
        if one.outcome in {Outcome.WINNER, Outcome.TIE}
    ]
    if len(chosen) < 2:
        return _ALONE if chosen else _NONE
    if all(each == chosen[0] for each in chosen):
        return _SAME
    return _COMPATIBLE if set.intersection(*chosen) else _ANOTHER


def _needs(beside: SideBySide, names: Names) -> Section:
    anchor, question = "needs", "How do the needs' figures compare?"
    if not beside.needs:
        return Section(anchor, question, "No run has a trial that tells one.")
    groups: dict[tuple[str, str], list[NeedRow]] = {}
    for row in beside.needs:
        groups.setdefault(_need_key(row), []).append(row)
    tables = []
    for (name, detail), rows in groups.items():
        cells = [
            (
                names.label(row.contender),
                *_changes(beside, row.changes),
                *(_seen(row, side, seen) for side, seen in zip(beside.sides, row.seen, strict=True)),
            )
            for row in rows
        ]
        tables.append(
            table(f"{words.capitalised(name)}: {detail}", ["deployment", *_ratio_names(beside)], letters(beside), cells)
        )
    return Section(
        anchor,
        question,
        _moved(beside, beside.needs),
        tables=tuple(tables),
        notes=(
            (
                "Values are as measured, with 95 % intervals of the mean over the blocks; of a p99, that of all "
                "requests of all blocks, with the lowest and the highest block's."
            ),
            *_ratio_notes(beside),
        ),
    )


def _need_key(row: NeedRow) -> tuple[str, str]:
    measure = {THROUGHPUT: "requests a second, at which p99", TAIL: "p99"}.get(row.need.measure, "server CPU a request")
    rate = row.condition.rate_per_s
    load = (
        f"{words.significant(rate, 3)} requests/s at random" if rate else words.count(row.condition.clients, "client")
    )
    return row.need.name, f"{row.need.detail}, {load}; {measure}"


def _seen(row: NeedRow, side: Side, seen: Seen | None) -> str:
    measure = row.need.measure
    if seen is None:
        aside = side.measured.deployments_set_aside(row.condition, measure.figure)
        return "set aside" if row.contender.deployment in aside else NOT_MEASURED
    if measure is TAIL:
        p99 = seen.p99_us
        around = words.microseconds_range(p99.lowest, p99.highest)
        text = f"{words.microseconds(p99.whole)} ({around})"
        return words.Said(text, p99.whole, low=around.low, high=around.high, unit=around.unit)
    if measure is THROUGHPUT:
        return _rate(seen.level).noting(f" at {words.microseconds(seen.p99_us.whole)}")
    return words.microseconds_between(seen.level)


def _rate(level: Interval) -> words.Said:
    said_alone = words.per_second(level)
    text = f"{said_alone} ({words.between(level)})" if level.is_finite else f"{said_alone}, no interval"
    return words.Said.of(level, text, "/s")


def _costs(beside: SideBySide, names: Names) -> Section:
    anchor, question = "costs", "How do the costs compare?"
    if not beside.costs:
        return Section(anchor, question, "No run measured them: that takes requests on open connections over TLS.")
    ratios = _ratio_names(beside)
    rows = [(row, (names.label(row.contender), *_cost_cells(beside, row))) for row in beside.costs]
    if len(rows) <= LONGEST_OPEN:
        whole = [(row.cost, *cells) for row, cells in rows]
        tables = [table("Server CPU", ["cost", "deployment", *ratios], letters(beside), whole)]
    else:
        kinds = dict.fromkeys(row.cost for row, _ in rows)
        tables = [
            table(
                f"Server CPU: {kind}",
                ["deployment", *ratios],
                letters(beside),
                [cells for row, cells in rows if row.cost == kind],
            )
            for kind in kinds
        ]
    return Section(
        anchor,
        question,
        _moved(beside, beside.costs),
        tables=tuple(tables),
        notes=(
            (
                "A cost is what some trials take more than others, block by block. A ratio of two takes costs that are "
                "surely more than nothing in both runs, and made of the same trials; else nothing can be told of it."
            ),
            *_ratio_notes(beside),
        ),
    )


def _cost_cells(beside: SideBySide, row: CostRow) -> Iterator[str]:
    yield from _changes(beside, row.changes)
    yield from (words.microseconds_between(one) if one else NOT_MEASURED for one in row.seen)


def _ratio_names(beside: SideBySide) -> list[str]:
    return [pair.ratio_name for pair in beside.pairs]


def _changes(beside: SideBySide, changes: Sequence[Change | None]) -> Iterator[str]:
    for pair, change in zip(beside.pairs, changes, strict=True):
        if pair.why_not:
            yield NOT_COMPARED
        elif change is None:
            yield Judgement.CANNOT_TELL
        else:
            yield change_words(change)


def change_words(change: Change) -> words.Said:
    """Return "worse: 1.046 (1.031 - 1.061)"."""
    if not change.interval.is_finite:
        known = math.isfinite(change.interval.estimate)
        text = f"too few blocks: {said.ratio(change.interval.estimate)}" if known else str(Judgement.CANNOT_TELL)
    else:
        text = f"{change.judgement}: {said.ratio(change.interval.estimate)} ({said.between(change.interval)})"
    return words.Said.of(change.interval, text)


def _moved(beside: SideBySide, rows: Sequence[NeedRow] | Sequence[CostRow]) -> str:
    """Count the verdicts of each pair, or say that nothing was compared."""
    parts = []
    for place, pair in enumerate(beside.pairs):
        if not pair.why_not:
            changes = [row.changes[place] for row in rows]
            counts = Counter(change.judgement if change else Judgement.CANNOT_TELL for change in changes)
            counted = [f"{counts[each]} {said_so}" for each, said_so in _TALLIED.items() if counts[each]]
            parts.append(f"{pair.other.letter} beside {pair.first.letter}: {words.listed(counted)}.")
    return " ".join(parts) or "They stand beside each other and are not compared: below it says why."


def _ratio_notes(beside: SideBySide) -> Iterator[str]:
    compared = [pair for pair in beside.pairs if not pair.why_not]
    if compared:
        margin = said.margin(compared[0].compared)
        yield (
            f"Worse and better: surely by more than {margin}, corrected for how many are compared; a tie: surely by "
            "less. Where the processor's own speed is known, it is taken off ratios of CPU, so that they are not those "
            "of the values beside them."
        )


def _comparison(beside: SideBySide) -> Section:
    refused = [pair for pair in beside.pairs if pair.why_not]
    if not refused:
        answer = "They may: the same plan on the same machine, as far as was recorded. What came of it:"
    elif len(refused) == len(beside.pairs):
        answer = "No: their figures stand beside each other, and no ratio is made of them."
    else:
        named = words.listed([pair.other.letter for pair in refused])
        answer = f"Not all: {named} cannot be held against {beside.sides[0].letter}."
    return Section(
        "comparable",
        "May they be compared, and how far?",
        answer,
        parts=tuple(
            Section(
                f"pair-{pair.other.letter.lower()}",
                f"{pair.other.letter} beside {pair.first.letter}",
                _ended(words.capitalised(said.headline(pair.compared))),
                notes=said.notes(pair.compared),
            )
            for pair in beside.pairs
        ),
    )


def _again(beside: SideBySide) -> Section:
    rows = [
        (side.letter, str(side.found.folder), side.found.run.header.started, provenance.command(side.found.run.header))
        for side in beside.sides
    ]
    folders = " ".join(str(side.found.folder) for side in beside.sides)
    return Section(
        "again",
        "Where do the figures come from?",
        "Each run has a report of its own: `bench report DIR`. All of them side by side again:",
        command=f"bench report {folders}",
        tables=(_words_table("The runs", ["run", "folder", "started", "measured by"], rows),),
    )
