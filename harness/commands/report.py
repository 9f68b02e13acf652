"""`bench report`: writes the report of a run again, from what was recorded."""

from __future__ import annotations

from pathlib import Path

import click

from harness.handshakes.comparison import Comparison
from harness.handshakes.figures import read_blocks
from harness.trials import read_run

FINDINGS_SHOWN = 5


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def report(folder: Path) -> None:
    """Write the report of a run: DIR is the folder that `bench run` printed. Measures nothing."""
    write_and_show(folder)


def write_and_show(folder: Path) -> None:
    """Write a run's report; print where it is and what it says first. Raises UserError."""
    from harness.report import findings, handshake_finding, write_report  # noqa: PLC0415 - plots take a second to import

    run = read_run(folder)
    page = write_report(folder)
    said = findings(run)[:FINDINGS_SHOWN]
    in_memory = handshake_finding(Comparison(read_blocks(folder)))
    for number, finding in enumerate([*said, *([in_memory] if in_memory else [])], start=1):
        click.echo(f"{number}. {finding}")
    click.echo(f"report: {page}")
