"""The comparison in sentences: what it comes to, and what one must know to believe it."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from harness import words
from harness.comparing.compared import Compared, Row, Status
from harness.comparing.figures import MEASURES, Figure
from harness.comparing.judging import Judgement
from harness.comparing.yardstick import NONE, Yardstick
from harness.statistics import Interval

_NAMED: Final = 3  # in a sentence, before "and so many others"
_MOST: Final = 0.75  # of the cells: so many must agree before a shift is called common

_PLURALS: Final = {
    Judgement.BETTER: "better",
    Judgement.NO_WORSE: "no worse",
    Judgement.TIE: "tied",
    Judgement.CANNOT_TELL: "not to be told",
}


def headline(compared: Compared) -> str:
    """Say in one line what it comes to."""
    if compared.status is Status.NOT_COMPARABLE:
        return f"not comparable: {compared.reason}"
    if compared.status is Status.WORSE:
        return f"worse: {words.shortened([_moved(compared, row) for row in _worst(compared)], _NAMED)}"
    what = words.listed([MEASURES[figure].name for figure in compared.deciding], last="or")
    shown = f"nothing is shown to be more than {margin(compared)} worse in {what}"
    return f"no worse: {shown}; cells: {tally(compared.deciding_rows)}"


def tally(rows: Iterable[Row]) -> str:
    """Return "1 better and 7 tied", of the cells alone; what is worse is named elsewhere."""
    counts = Counter(row.judgement for row in rows if row.cells == 1)
    return words.listed([f"{counts[judgement]} {name}" for judgement, name in _PLURALS.items() if counts[judgement]])


def margin(compared: Compared) -> str:
    """Return how much worse counts: "3 %"."""
    return f"{100 * compared.margin:g}{words.THIN}%"


def notes(compared: Compared) -> tuple[str, ...]:
    """Say what else there is to know, a sentence each."""
    return tuple(words.capitalised(note) + "." for note in _notes(compared))


def shared_words(compared: Compared) -> tuple[str, ...]:
    """Return what all cells' names say alike after deployment and scenario, such as `tls1.3`; of one cell: nothing."""
    names = sorted({row.name for row in compared.rows if row.cells == 1})
    if len(names) < 2:
        return ()
    first, *others = (name.split(" ")[2:] for name in names)
    return tuple(word for word in first if all(word in other for other in others))


def label(row: Row, shared: tuple[str, ...]) -> str:
    """Return a row's name without the words that all cells share."""
    if row.cells > 1:
        return row.name
    deployment, scenario, *rest = row.name.split(" ")
    return " ".join([deployment, scenario, *(word for word in rest if word not in shared)])


def percent(share: float) -> str:
    """Return "5.2 %" for a share of 1."""
    return f"{words.significant(100 * share)}{words.THIN}%"


def ratio(value: float) -> str:
    """Return a ratio to a tenth of a per cent, so that it can be held against the margin."""
    return words.at_decimals(value, 3 if value < 2 else 2)


def between(interval: Interval) -> str:
    """Return the ends of a ratio's interval; nothing where there are too few blocks."""
    return f"{ratio(interval.low)} {words.DASH} {ratio(interval.high)}" if interval.is_finite else ""


def _worst(compared: Compared) -> list[Row]:
    """Return what is worse, the largest change first; cells only where their deployment as a whole is not named."""
    worse = [row for row in compared.deciding_rows if row.judgement is Judgement.WORSE]
    whole = {(row.deployment, row.figure) for row in worse if row.cells > 1}
    named = [row for row in worse if row.cells > 1 or (row.deployment, row.figure) not in whole]
    if any(row.deployment is not None for row in named):
        named = [row for row in named if row.deployment is not None]
    return sorted(named, key=lambda row: abs(row.shift.estimate), reverse=True)


def _moved(compared: Compared, row: Row) -> str:
    """Return "flask-threaded keep-alive c4: 5.2 % more CPU (4.1 % to 6.4 %)"."""
    return f"{label(row, shared_words(compared))}: {_size(row.interval, row.figure)}"


def _size(interval: Interval, figure: Figure) -> str:
    measure = MEASURES[figure]
    rises = interval.estimate > 1
    shares = [abs(end - 1) for end in (interval.estimate, interval.low, interval.high)]
    low, high = sorted(shares[1:])
    return f"{percent(shares[0])} {measure.up if rises else measure.down} ({percent(low)} to {percent(high)})"


def _notes(compared: Compared) -> Iterator[str]:
    if compared.yardstick is not None:
        yield _of_yardstick(compared.yardstick, compared.names[1])
        yield from _common(compared, compared.yardstick)
    changes = [str(change) for change in compared.changes]
    yield f"changed between the runs: {words.listed(changes)}" if changes else "no recorded version changed"
    if compared.plan_changes:
        yield f"the plans differ in how long they measure ({words.listed([str(one) for one in compared.plan_changes])})"
    first, second = compared.names
    if compared.after.header.started < compared.before.header.started:
        yield f"{second} was measured before {first}; the ratios are {second} to {first} all the same"
    yield from _of_trials(compared)
    yield from (
        f"{lost.cell!r} gives no figure in {second if lost.in_after else first} ({lost.why})" for lost in compared.lost
    )


def _of_yardstick(yardstick: Yardstick, after: str) -> str:
    if yardstick.name == NONE:
        why = f" ({yardstick.why_none})" if yardstick.why_none else ""
        return f"the processor's own speed is not taken off{why}: a slower machine looks like slower servers"
    interval = yardstick.shift.interval()
    took = f"took {ratio(interval.estimate)} times the CPU in {after} ({between(interval)})"
    off = "is taken off the ratios of CPU, and not off those of rates and latencies"
    if yardstick.is_deployment:
        return f"the cells of {yardstick.name}, which you say did not change, {took}: that {off}"
    if yardstick.is_used:
        return f"a fixed piece of work {took}: that is the processor's speed; it {off}"
    if_so = f"everything is by so much {'worse' if interval.estimate < 1 else 'better'} than shown"
    return (
        f"a fixed piece of work {took}, and the cells did not follow, so nothing is taken off; if that was the"
        f" processor's speed after all, {if_so}"
    )


def _common(compared: Compared, yardstick: Yardstick) -> Iterator[str]:
    """Say so where all that was measured moved alike, which no single server can have done."""
    everything = compared.all_together(Figure.CPU)
    if everything is None or everything.judgement not in {Judgement.WORSE, Judgement.BETTER}:
        return
    cells = [row for row in compared.rows_of(Figure.CPU) if row.cells == 1]
    middle = statistics.median(row.shift.ratio for row in cells)
    alike = [row for row in cells if not _over(row.interval, middle).beyond(compared.margin)]
    if len(alike) < _MOST * len(cells):
        return
    many = f"all {len(cells)} cells" if len(alike) == len(cells) else f"{len(alike)} of {len(cells)} cells"
    what = f"{many} changed by about the same, {_size(everything.interval, Figure.CPU)}"
    if yardstick.is_used:
        yield f"{what}, beside what is taken off: something that they have in common, or the machine in another way"
    else:
        again = "measure both again within the hour to know"
        yield f"{what}: the machine, or something that they have in common; these runs cannot tell which ({again})"


def _over(interval: Interval, ratio: float) -> Interval:
    return Interval(interval.estimate / ratio, interval.low / ratio, interval.high / ratio, interval.n)


def _of_trials(compared: Compared) -> Iterator[str]:
    for name, run, only in zip(compared.names, (compared.before, compared.after), compared.only_in, strict=True):
        planned = run.header.planned_trials
        blocks = [trial for trial in run.trials if not trial.is_searched]
        if len(blocks) < planned:
            yield f"{name} is not finished: it has {len(blocks)} of {words.count(planned, 'trial')}"
        aside = sum(not trial.costs_are_sound for trial in blocks)
        if aside:
            yield f"of {name} {aside} of {words.count(len(blocks), 'trial')} are set aside"
        contended = sum(trial.costs_are_sound and not trial.is_sound for trial in blocks)
        if contended:
            why = "because the generator or a neighbour was the limit"
            yield f"of {name} {contended} of {words.count(len(blocks), 'trial')} are used for their CPU alone, {why}"
        if only:
            yield f"only {name} has {words.shortened([repr(cell) for cell in only], _NAMED)}"
