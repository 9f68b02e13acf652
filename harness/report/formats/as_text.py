"""A report for terminals: 80 columns, colours where a terminal shows them (rich: NO_COLOR and TERM=dumb are heeded).

Text that comes from a run's files may hold anything; what would move the cursor or hide text is shown as U+FFFD.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from harness import words
from harness.report.content import Section, Table
from harness.report.formats.told import Told, compared, how_sure, is_told, taken

WIDTH: Final = 80

_GAP: Final = 2  # between columns
_WARNING: Final = "yellow"
_QUIET: Final = "dim"

Writer = Callable[[Console], None]


def written(write: Writer) -> str:
    """Return what a writer prints, in 80 columns and without colours."""
    file = io.StringIO()
    write(Console(file=file, width=WIDTH, highlight=False, color_system=None))
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def run_report(told: Told) -> Writer:
    """Write the report of one run."""

    def write(console: Console) -> None:
        _head(console, told.title, told.context, told.opening, told.lacks)
        if told.decisions:
            _heading(console, "What to take")
        for row in told.decisions:
            _print(console, f"{row.need}", style="bold", more=f" ({row.detail})")
            lines = [
                ("take", taken(row) + (f": {row.take_note}" if row.take_note else "")),
                ("by", compared(row)),
                ("sure", how_sure(row)),
                ("seen", row.evidence),
                ("flips", row.flips),
            ]
            for name, said in lines:
                if said:
                    _line(console, name, said, style="bold" if name == "take" and is_told(row) else "")
        if told.costs is not None:
            _heading(console, "What TLS and Digest cost")
            if told.costs_sentence:
                _print(console, told.costs_sentence)
            _table(console, told.costs)
            if told.costs_left_out:
                _print(console, f"{words.count(told.costs_left_out, 'more deployment')} on the page", style=_QUIET)
        _heading(console, "Trust")
        _items(console, told.trust)
        if told.set_aside is not None:
            _table(console, told.set_aside)
        _heading(console, "Not measured")
        _items(console, [*told.unmeasured, *told.missing])
        _heading(console, "On what, and how again")
        _table(console, told.environment, headless=True)
        _print(console, f"again: {told.command}")

    return write


def sections_report(
    title: str, context: Sequence[str], opening: str, lacks: Sequence[str], sections: Sequence[Section]
) -> Writer:
    """Write sections with their tables, as a page has them; plots are not drawn."""

    def write(console: Console) -> None:
        _head(console, title, context, opening, lacks)
        for section in sections:
            _heading(console, section.question)
            _section(console, section)

    return write


def _section(console: Console, section: Section) -> None:
    _print(console, section.answer)
    if section.command:
        _print(console, section.command)
    for table in section.tables:
        console.print()
        _print(console, table.caption, style="bold")
        _table(console, table)
    if section.notes:
        console.print()
        _items(console, section.notes)
    for part in section.parts:
        console.print()
        _print(console, part.question, style="bold")
        _section(console, part)


def plain(text: str) -> str:
    """Return text in which nothing steers a terminal: no escape sequence, no other direction of writing."""
    return "".join(
        character if character.isprintable() or unicodedata.category(character) == "Zs" else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def _head(console: Console, title: str, context: Sequence[str], opening: str, lacks: Sequence[str]) -> None:
    _print(console, title, style="bold")
    _print(console, " · ".join(context), style=_QUIET)
    console.print()
    _print(console, opening)
    _items(console, [f"{words.capitalised(lack)}." for lack in lacks], mark="!", style=_WARNING)


def _heading(console: Console, text: str) -> None:
    console.print()
    _print(console, text.upper(), style="bold")


def _print(console: Console, text: str, *, style: str = "", more: str = "") -> None:
    console.print(Text.assemble((plain(text), style), plain(more)))


def _line(console: Console, name: str, said: str, *, style: str = "") -> None:
    grid = Grid.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(width=6, style=_QUIET)
    grid.add_column()
    grid.add_row(name, Text(plain(said), style))
    console.print(Padding(grid, (0, 0, 0, 2)))


def _items(console: Console, items: Sequence[str], *, mark: str = "-", style: str = "") -> None:
    if not items:
        return
    grid = Grid.grid(padding=(0, 1, 0, 0))
    for item in items:
        grid.add_row(mark, Text(plain(item), style))
    console.print(grid)


def _table(console: Console, table: Table, *, headless: bool = False) -> None:
    """Print it as a table where that fits, else each row as a heading with its figures below."""
    if not table.rows:
        return
    if _natural_width(table) > console.width and len(table.columns) > 2:
        _cards(console, table)
        return
    grid = Grid(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), show_header=not headless, header_style=_QUIET)
    for column in table.columns:
        grid.add_column(Text(plain(column.name)), justify="right" if column.numeric else "left", overflow="fold")
    for row in table.rows:
        grid.add_row(*(Text(plain(cell)) for cell in row))
    console.print(grid)


def _natural_width(table: Table) -> int:
    columns = zip(*([column.name for column in table.columns], *table.rows), strict=True)
    return sum(max(map(len, column)) + _GAP for column in columns) - _GAP


def _cards(console: Console, table: Table) -> None:
    widest = max(len(column.name) for column in table.columns[1:])
    for row in table.rows:
        _print(console, row[0])
        figures = [(column.name, cell) for column, cell in zip(table.columns, row, strict=True)][1:]
        in_one = "   ".join(f"{name} {cell}" for name, cell in figures if cell)
        if len(in_one) + _GAP <= console.width:
            _print(console, f"  {in_one}")
            continue
        grid = Grid.grid(padding=(0, _GAP, 0, 0))
        grid.add_column(width=min(widest, console.width // 2), style=_QUIET, overflow="fold")
        grid.add_column()
        for name, cell in figures:
            if cell:
                grid.add_row(Text(plain(name)), Text(plain(cell)))
        console.print(Padding(grid, (0, 0, 0, 2)))
