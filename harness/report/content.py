"""What a page is made of: sections that ask a question, their plots and their tables. The template knows only these."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LONGEST_OPEN = 14  # rows


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column."""

    name: str
    numeric: bool = True  # right-aligned, tabular numerals


@dataclass(frozen=True, slots=True)
class Table:
    """Figures as text. `caption` says what they are."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    folded: bool = False  # however short it is

    @property
    def anchor(self) -> str:
        """What a link to it ends with, within its section: the caption up to its first comma or figure in brackets."""
        subject = re.split(r"[,:;(]", self.caption, maxsplit=1)[0]
        return re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-")

    @property
    def column_names(self) -> tuple[str, ...]:
        """A name for each column that no other has: the second "95 % interval" is that of the column before it."""
        names: list[str] = []
        for place, column in enumerate(self.columns):
            before = self.columns[place - 1].name if place else ""
            names.append(f"{column.name} of {before}" if column.name in names else column.name)
        return tuple(names)

    @property
    def is_folded(self) -> bool:
        """Whether it is shown only when asked for, as what is long is."""
        return self.folded or len(self.rows) > LONGEST_OPEN


def table(
    caption: str,
    words: Sequence[str],
    figures: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    remarks: Sequence[str] = (),
    folded: bool = False,
) -> Table:
    """Make a table whose first columns hold words, the next figures, and the last, if any, words again."""
    columns = (
        *(Column(name, numeric=False) for name in words),
        *(Column(name) for name in figures),
        *(Column(name, numeric=False) for name in remarks),
    )
    return Table(caption, columns, tuple(tuple(row) for row in rows), folded)


@dataclass(frozen=True, slots=True)
class Mark:
    """A legend's entry: how something is drawn, and what it is."""

    label: str
    colour: str
    shape: str = "square"
    about: str = ""
    warning: str = ""  # why one would think twice of it


@dataclass(frozen=True, slots=True)
class Plot:
    """A Vega-Lite drawing; its numbers stand in its section's tables."""

    name: str  # unique on the page, a valid HTML id
    caption: str  # says in words what is drawn
    spec: Mapping[str, Any]
    heading: str = ""  # of one of several small plots beside each other
    mark: Mark | None = None  # what the heading's name looks like
    request_steps: tuple[int, ...] = ()  # positions of a slider over requests per connection


@dataclass(frozen=True, slots=True)
class Section:
    """A question and what answers it."""

    anchor: str
    question: str
    answer: str  # one or two sentences; says so when nothing was measured
    command: str = ""  # to be typed
    legend: tuple[Mark, ...] = ()
    plots: tuple[Plot, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()  # how it was measured, and what it leaves out
    parts: tuple[Section, ...] = ()  # questions within this one

    @property
    def has_plots(self) -> bool:
        """Whether anything is drawn here or in a part."""
        return bool(self.plots) or any(part.has_plots for part in self.parts)
