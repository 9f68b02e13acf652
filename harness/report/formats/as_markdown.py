"""A report for a comment on a pull request: GitHub-flavoured Markdown, what to choose first, the rest folded.

Text that comes from a run's files may hold anything: it is escaped, so that it stays text.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from typing import Final

from harness import words
from harness.report.content import Section, Table
from harness.report.formats.as_text import plain
from harness.report.formats.told import Told, compared, how_sure, is_told, taken

LONGEST: Final = 65_536  # characters in a comment on GitHub

_MARKUP: Final = re.compile(r"([\\`*_{}\[\]<>|~#!&$])")


def run_report(told: Told) -> str:
    """Return the report of one run."""
    return "\n".join([*_head(told.title, told.context, told.opening, told.lacks), *_of_run(told)]).rstrip() + "\n"


def sections_report(
    title: str, context: Sequence[str], opening: str, lacks: Sequence[str], sections: Sequence[Section]
) -> str:
    """Return sections with their tables, as a page has them; notes are folded, and so are long tables."""
    lines = _head(title, context, opening, lacks)
    for section in sections:
        lines += _section(section, level=3)
    return "\n".join(lines).rstrip() + "\n"


def _section(section: Section, *, level: int) -> Iterator[str]:
    yield from (f"{'#' * level} {escaped(section.question)}", "", escaped(section.answer), "")
    if section.command:
        yield from (code(section.command), "")
    for table in section.tables:
        yield from _folded(table.caption, _table(table)) if table.is_folded else _captioned(table)
    if section.notes:
        yield from _folded("Notes", [f"- {escaped(note)}" for note in section.notes])
    for part in section.parts:
        yield from _section(part, level=level + 1)


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line, and that calls nobody."""
    # A mention is an @ that follows no word: "flask-waitress@nginx" is none.
    return re.sub(r"(?<!\w)@", "@\N{ZERO WIDTH NON-JOINER}", _MARKUP.sub(r"\\\1", plain(text)))


def code(text: str) -> str:
    """Return text as code; not for tables."""
    return f"`{plain(text).replace('`', chr(0x2019))}`"


def _head(title: str, context: Sequence[str], opening: str, lacks: Sequence[str]) -> list[str]:
    lines = [f"## {escaped(title)}", "", f"**{escaped(opening)}**", "", escaped(" · ".join(context)), ""]
    if lacks:
        lines += ["> [!WARNING]", *(f"> - {escaped(words.capitalised(lack))}." for lack in lacks), ""]
    return lines


def _of_run(told: Told) -> Iterator[str]:
    if told.decisions:
        yield from _rows(
            ["If you have …", "take", "over the next", "how sure (95 %)", "flips when"],
            [
                (
                    f"**{escaped(row.need)}** ({escaped(row.detail)})",
                    f"**{escaped(taken(row))}**" if is_told(row) else escaped(taken(row)),
                    f"{escaped(compared(row))} ({escaped(row.evidence)})" if row.evidence else escaped(compared(row)),
                    escaped(how_sure(row)),
                    escaped(row.flips),
                )
                for row in told.decisions
            ],
        )
        yield ""
    if told.costs_sentence:
        yield from (escaped(told.costs_sentence), "")
    if told.costs is not None:
        yield from (*_table(told.costs), "")
    yield from (f"Trust: {escaped('; '.join(told.trust))}.", "")
    yield from (f"Not measured: {escaped('; '.join([*told.unmeasured, *told.missing]))}.", "")
    if told.set_aside is not None:
        yield from _folded(told.set_aside.caption, _table(told.set_aside))
    yield from _folded(told.environment.caption, [*_table(told.environment), "", f"Again: {code(told.command)}"])


def _captioned(table: Table) -> list[str]:
    return [f"{escaped(table.caption)}:", "", *_table(table), ""]


def _folded(caption: str, lines: Sequence[str]) -> list[str]:
    # Markdown is not read within an HTML line.
    return ["<details>", f"<summary>{html.escape(plain(caption))}</summary>", "", *lines, "", "</details>", ""]


def _table(table: Table) -> list[str]:
    names = [escaped(column.name) for column in table.columns]
    rows = [tuple(escaped(cell) for cell in row) for row in table.rows]
    return _rows(names, rows, numeric=[column.numeric for column in table.columns])


def _rows(names: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool] = ()) -> list[str]:
    rule = ["---:" if place < len(numeric) and numeric[place] else "---" for place in range(len(names))]
    return [f"| {' | '.join(line)} |" for line in (names, rule, *rows)]
