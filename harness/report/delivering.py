"""Reports brought to where they are wanted: a page to a file, everything else to standard output or to a file.

The only part of this package that prints, and beside `writing` the only one that writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from harness import words
from harness.handshakes.comparison import Comparison
from harness.outlines import REPORT_NAME
from harness.report import in_memory, page, side_by_side, summary
from harness.report.formats import as_json as run_as_json
from harness.report.formats import as_markdown, as_text
from harness.report.formats.told import tell
from harness.report.reading import read_folder
from harness.report.side_by_side import as_json as several_as_json
from harness.report.side_by_side import sections
from harness.report.side_by_side.page import FILE_NAME as COMPARISON
from harness.report.writing import write_whole


class Format(StrEnum):
    """What a report can be."""

    HTML = "html"
    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"


def deliver(folders: Sequence[Path], form: Format, output: Path | None) -> None:
    """Make the report of one run, or of several side by side. output: None is the usual place. Raises UserError."""
    if len(folders) > 1:
        _deliver_several(folders, form, output)
    elif form is Format.HTML:
        deliver_page(folders[0], output)
    else:
        _deliver_one(folders[0], form, output)


def deliver_page(folder: Path, output: Path | None = None, *, as_json: bool = False) -> None:
    """Write a run's page; print what it says first, and where it is, as lines or as JSON. Raises UserError."""
    found = read_folder(folder)
    target = output or found.folder / REPORT_NAME
    write_whole(target, page.render(found.run, found.blocks, found.lacks))
    alone = in_memory.finding(Comparison(found.blocks))
    findings = [as_text.plain(finding) for finding in [*summary.findings(found.run), *([alone] if alone else [])]]
    _warn(found.lacks)
    if as_json:
        click.echo(_dumped(run_as_json.outcome(found, findings, target)), nl=False)
        return
    for number, finding in enumerate(findings, start=1):
        click.echo(f"{number}. {finding}")
    click.echo(f"report: {target}")


def _deliver_one(folder: Path, form: Format, output: Path | None) -> None:
    found = read_folder(folder)
    if form is Format.JSON:
        _put(_dumped(run_as_json.run_report(found)), output)
    elif form is Format.MARKDOWN:
        _put(as_markdown.run_report(tell(found)), output)
    else:
        _put_text(as_text.run_report(tell(found)), output)


def _deliver_several(folders: Sequence[Path], form: Format, output: Path | None) -> None:
    beside = side_by_side.put_side_by_side([read_folder(folder) for folder in folders])
    opening, lacks = sections.opening(beside), sections.lacks(beside)
    head = sections.title(beside), sections.context(beside), opening, lacks
    if form is Format.HTML:
        target = write_whole(output or Path(COMPARISON), side_by_side.render(beside))
        click.echo(as_text.plain(opening))
        _warn(lacks)
        click.echo(f"report: {target}")
    elif form is Format.JSON:
        _put(_dumped(several_as_json.report(beside)), output)
    elif form is Format.MARKDOWN:
        _put(as_markdown.sections_report(*head, sections.sections(beside)), output)
    else:
        _put_text(as_text.sections_report(*head, sections.sections(beside)), output)


def _warn(lacks: Sequence[str]) -> None:
    for lack in lacks:
        click.echo(f"note: {as_text.plain(words.capitalised(lack))}.", err=True)


def _dumped(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _put(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
    else:
        write_whole(output, text)


def _put_text(write: as_text.Writer, output: Path | None) -> None:
    console = Console(highlight=False)
    if output is not None or not console.is_terminal:
        _put(as_text.written(write), output)
        return
    console.width = min(console.width, as_text.WIDTH)
    write(console)
