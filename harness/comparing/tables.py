"""The comparison as tables of text, and these on a terminal or in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rich.console import Console
from rich.table import Table

from harness import words
from harness.comparing.compared import Compared, Row
from harness.comparing.figures import Figure, cells_of, percentile_us
from harness.comparing.judging import Judgement
from harness.comparing.said import between, headline, label, margin, notes, ratio, shared_words, tally

_WIDTH_WITHOUT_TERMINAL: Final = 160
_COLOURS: Final = {Judgement.WORSE: "bold red", Judgement.BETTER: "green"}

_CAPTIONS: Final[Mapping[Figure, str]] = {
    Figure.CPU: "Server CPU per request (less is better)",
    Figure.THROUGHPUT: "Requests per second (more is better; under an open load no more than were sent)",
    Figure.P99: "Latency (less is better)",
}
_SAY: Final[Mapping[Figure, Callable[[float], str]]] = {
    Figure.CPU: lambda value: words.microseconds(value, 3),
    Figure.THROUGHPUT: lambda value: f"{words.significant(value, 3)}{words.THIN}/s",
    Figure.P99: words.microseconds,
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of text; the first column and the last hold words, the others figures."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    decides: bool
    others: str  # than those that moved: "3 tied and 1 not to be told"


def sheets(compared: Compared) -> tuple[Sheet, ...]:
    """Return a table for each figure that was compared, those that decide first."""
    figures = [*compared.deciding, *(figure for figure in Figure if figure not in compared.deciding)]
    return tuple(_sheet(compared, figure) for figure in figures if compared.rows_of(figure))


def show(compared: Compared, names: tuple[str, str], *, everything: bool = False) -> None:
    """Print it for a person: what it comes to stands last, where the eye is.

    names: of the two runs. everything: also what decides nothing, and did not move.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    for line in _opening(compared, names):
        console.print(line, markup=False)
    for sheet in sheets(compared):
        console.print()
        if sheet.decides or everything:
            console.print(_rich(sheet))
        else:
            _show_what_moved(console, sheet)
    console.print()
    for note in notes(compared):
        console.print(f"- {note}", markup=False, soft_wrap=not console.is_terminal)
    console.print()
    console.print(words.capitalised(headline(compared)), style="bold", markup=False, soft_wrap=True)


def _show_what_moved(console: Console, sheet: Sheet) -> None:
    moved = [row for row in sheet.rows if row[-1] in {Judgement.WORSE, Judgement.BETTER}]
    if moved:
        console.print(_rich(replace(sheet, rows=tuple(moved))))
    others = f"{sheet.others} (--all shows them)" if sheet.others else ""
    console.print(f"Others: {others}" if moved else f"{sheet.caption}: {others}", markup=False)


def markdown(compared: Compared, names: tuple[str, str]) -> str:
    """Return it for a comment on a pull request: what it comes to stands first, what decides nothing is folded."""
    lines = [f"**{words.capitalised(headline(compared))}**", ""]
    lines += [*_opening(compared, names), ""]
    for sheet in sheets(compared):
        table = [_markdown_row(sheet.columns), _markdown_row(_rule(sheet)), *map(_markdown_row, sheet.rows)]
        if sheet.decides:
            lines += [f"{sheet.caption}:", "", *table, ""]
        else:
            lines += ["<details>", f"<summary>{sheet.caption}</summary>", "", *table, "", "</details>", ""]
    lines += [f"- {note}" for note in notes(compared)]
    return "\n".join(lines)


def _opening(compared: Compared, names: tuple[str, str]) -> Iterator[str]:
    yield f"A: {names[0]}, {compared.before.header.started}"
    yield f"B: {names[1]}, {compared.after.header.started}"
    if compared.rows:
        shared = shared_words(compared)
        alike = f"; every cell: {' '.join(shared)}" if shared else ""
        yield f"Worse is what is surely more than {margin(compared)} worse{alike}"


def _sheet(compared: Compared, figure: Figure) -> Sheet:
    rows, shared = compared.rows_of(figure), shared_words(compared)
    decides = figure in compared.deciding
    caption = _CAPTIONS[figure] + ("" if decides else "; decides nothing here")
    is_latency = figure is Figure.P99
    columns = ("p50 A", "p50 B", "p99 A", "p99 B", "p99 B/A") if is_latency else ("A", "B", "B/A")
    values = _percentiles(compared) if is_latency else _means
    return Sheet(
        caption,
        ("cell", *columns, "interval", "blocks", "verdict"),
        tuple(
            (
                label(row, shared),
                *values(row),
                ratio(row.interval.estimate),
                between(row.interval),
                "/".join(str(count) for count in sorted(set(row.blocks))),
                row.judgement,
            )
            for row in rows
        ),
        decides,
        tally(row for row in rows if row.judgement is not Judgement.BETTER),
    )


def _means(row: Row) -> tuple[str, ...]:
    if row.cells > 1:
        return "", ""
    say = _SAY[row.figure]
    return say(row.before), say(row.after)


def _percentiles(compared: Compared) -> Callable[[Row], tuple[str, ...]]:
    """Return what says a cell's latency before and after: of all requests of all blocks, no mean of percentiles."""
    sides = cells_of(compared.before), cells_of(compared.after)

    def values(row: Row) -> tuple[str, ...]:
        if row.cells > 1:
            return "", "", "", ""
        return tuple(_SAY[Figure.P99](percentile_us(side[row.name], share)) for share in (50, 99) for side in sides)

    return values


def _rich(sheet: Sheet) -> Table:
    table = Table(title=sheet.caption, title_justify="left", box=None, pad_edge=False, header_style="bold")
    last = len(sheet.columns) - 1
    for place, column in enumerate(sheet.columns):
        table.add_column(column, justify="left" if place in {0, last} else "right", no_wrap=place > 0, overflow="fold")
    for row in sheet.rows:
        table.add_row(*row, style=_COLOURS.get(Judgement(row[-1])))
    return table


def _rule(sheet: Sheet) -> list[str]:
    last = len(sheet.columns) - 1
    return ["---" if place in {0, last} else "---:" for place in range(len(sheet.columns))]


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
