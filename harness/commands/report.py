"""`bench report`: the report of a run, or of several side by side, from what was recorded."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands import completing
from harness.commands.explained import ExplainedCommand

FORMATS = ("html", "text", "markdown", "json")


@click.command(
    cls=ExplainedCommand,
    examples=[
        ("bench report results/RUN", "its page, report.html in it"),
        ("bench report results/RUN --format text", "in short, for this terminal"),
        ("bench report BEFORE AFTER --output diff.html", "two runs side by side"),
    ],
    statuses={0: "written, whatever it says"},
)
@click.argument(
    "folders",
    metavar="DIR...",
    type=click.Path(path_type=Path),
    nargs=-1,
    required=True,
    shell_complete=completing.run_folders,
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="html",
    show_default=True,
    help="html: a page; text: for a terminal; markdown: for a pull request; json: for programs.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write to this file, whole or not at all. A page goes to DIR/report.html otherwise, one of several runs to"
    " comparison.html in this folder, and everything else to standard output.",
)
def report(folders: tuple[Path, ...], form: str, output: Path | None) -> None:
    """Write the report of a run, or of several side by side.

    Nothing is measured. DIR is a folder that `bench run` printed. With several, each is held against the first, where
    that may be done.
    """
    # Its plots take a second to import, which `bench --help` and `bench run` need not wait for.
    from harness.report.delivering import Format, deliver  # noqa: PLC0415 - see above

    deliver(folders, Format(form), output)


def write_and_show(folder: Path, *, as_json: bool = False) -> None:
    """Write a run's page; print what it says first, and where it is, as lines or as JSON. Raises UserError."""
    from harness.report.delivering import deliver_page  # noqa: PLC0415 - as above

    deliver_page(folder, as_json=as_json)
