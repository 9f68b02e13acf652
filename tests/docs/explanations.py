"""What docs/report.md explains: its chapters, and in them tables whose first column names things as the report does.

A name stands between backquotes. An ellipsis in it stands for whatever the report has there: a caption's end, a number
of clients, a version.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEADING: Final = re.compile(r"^(#{1,3}) (.+)$", re.MULTILINE)
_NAME: Final = re.compile(r"`([^`]+)`")
_SPACES: Final = re.compile(r"\s+")
_ELLIPSIS: Final = "…"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table of explanations."""

    names: tuple[str, ...]
    cells: tuple[str, ...]  # the others

    def explains(self, shown: str) -> bool:
        return any(stands_for(name, shown) for name in self.names)


@dataclass(frozen=True, slots=True)
class Explained:
    """A table of explanations."""

    kind: str  # its first column's title without the names in it: "column of", "plot"
    of: tuple[str, ...]  # the names in that title: the captions of the report's tables that it explains
    titles: tuple[str, ...]  # of the other columns
    rows: tuple[Row, ...]

    @property
    def names(self) -> list[str]:
        return [name for row in self.rows for name in row.names]

    def row(self, shown: str) -> Row | None:
        return next((row for row in self.rows if row.explains(shown)), None)

    def is_about(self, caption: str) -> bool:
        return any(stands_for(name, caption) for name in self.of)


@dataclass(frozen=True, slots=True)
class Chapter:
    """A heading and what stands under it, up to the next heading of any level."""

    heading: str
    text: str
    tables: tuple[Explained, ...]

    def kind(self, kind: str) -> list[Explained]:
        return [table for table in self.tables if table.kind == kind]


def chapters(page: Path) -> dict[str, Chapter]:
    """The chapters by their heading, in the page's order."""
    text = page.read_text(encoding="utf-8")
    found = list(_HEADING.finditer(text))
    ends = [*(each.start() for each in found[1:]), len(text)]
    bodies = {each[2]: text[each.end() : end] for each, end in zip(found, ends, strict=True)}
    return {heading: Chapter(heading, body, tuple(_tables(body))) for heading, body in bodies.items()}


def plain(text: str) -> str:
    """Text with every kind of space as a common one."""
    return _SPACES.sub(" ", text).strip()


def stands_for(name: str, shown: str) -> bool:
    """Whether a name of the page is what the report shows."""
    parts = [re.escape(part) for part in plain(name).split(_ELLIPSIS)]
    # "… slow requests" is "64 slow requests", and "slow requests" where the report knows no number.
    pattern = ".*".join(parts).removeprefix(".*\\ ")
    optional = "(?:.* )?" if name.startswith(f"{_ELLIPSIS} ") else ""
    return re.fullmatch(optional + pattern, plain(shown)) is not None


def _tables(text: str) -> Iterator[Explained]:
    for block in re.findall(r"(?:^\|.*\|$\n?)+", text, re.MULTILINE):
        title, _, *lines = [_cells(line) for line in block.splitlines()]
        assert all(len(cells) == len(title) for cells in lines), title
        yield Explained(
            kind=plain(_NAME.sub("", title[0]).replace(",", "")),
            of=tuple(_NAME.findall(title[0])),
            titles=tuple(title[1:]),
            rows=tuple(Row(tuple(_NAME.findall(cells[0])), tuple(cells[1:])) for cells in lines),
        )


def _cells(line: str) -> Sequence[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
