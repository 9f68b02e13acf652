"""`bench doctor`: whether this machine is fit to measure on, what it lacks, and what is to be done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.commands.explained import ExplainedCommand
from harness.doctor.examination import Examination, all_findings, examine
from harness.doctor.findings import Finding, Standing, obstacles
from harness.doctor.installed_findings import install_commands
from harness.doctor.watching import WATCHED_S

_WITHOUT_END: Final = 1000  # a file or a pipe has no width of its own: no line is folded
_IN_THE_WAY: Final = 1  # exit status
_STYLES: Final[Mapping[Standing, str]] = {
    Standing.GOOD: "green",
    Standing.MIND: "yellow",
    Standing.MISSING: "yellow",
}
_OBSTACLE_STYLE: Final = "bold red"


@click.command(
    cls=ExplainedCommand,
    examples=[
        ("bench doctor", "findings, and what to do about each"),
        ("bench doctor --json | jq .in_the_way", "for a program"),
    ],
    statuses={0: "nothing stands in the way of measuring", 1: "something does, named in the last lines"},
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every fact that was looked at.")
@click.pass_context
def doctor(context: click.Context, *, as_json: bool) -> None:
    """Say whether this machine is fit to measure on, and what it lacks: takes 5 seconds.

    Processors and who gets which, frequency, limits, clock, TLS libraries, what is missing for which deployment, and
    whether the machine is quiet: what others take, stolen time, how evenly the processors work.
    """
    click.echo(f"watching the processors for {WATCHED_S:.0f} seconds", err=True)
    examination = examine()
    findings = all_findings(examination)
    if as_json:
        click.echo(json.dumps(_to_json(examination, findings), indent=2))
    else:
        _show(examination, findings)
    context.exit(_IN_THE_WAY if obstacles(findings) else 0)


def _to_json(examination: Examination, findings: Sequence[Finding]) -> dict[str, Any]:
    in_the_way = obstacles(findings)
    return {
        "can_measure": not in_the_way,
        "in_the_way": list(in_the_way),
        "findings": [asdict(finding) for finding in findings],
        "install": dict(install_commands(examination.installed)),
        "facts": asdict(examination),
    }


def _show(examination: Examination, findings: Sequence[Finding]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WITHOUT_END
    with console.capture() as captured:
        console.print(_table(findings))
    for line in captured.get().splitlines():
        click.echo(line.rstrip(), color=True)  # the table is filled up with blanks; rich has decided on colours
    console.print()
    commands = install_commands(examination.installed)
    if commands:
        console.print("All that is missing:")
        for command in commands.values():
            console.print(Text(f"  {command}"), soft_wrap=True)  # whole, to be copied
        console.print()
    in_the_way = obstacles(findings)
    if in_the_way:
        console.print(Text(f"in the way of measuring: {'; '.join(in_the_way)}", style=_OBSTACLE_STYLE))
    else:
        console.print("nothing stands in the way of measuring: bench run")


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold", max_width=36)
    table.add_column(overflow="fold")
    for finding in findings:
        style = _OBSTACLE_STYLE if finding.in_the_way else _STYLES[finding.standing]
        said = f"{finding.seen}\n-> {finding.advice}" if finding.advice else finding.seen
        table.add_row(Text(finding.standing, style=style), Text(finding.subject), Text(said))
    return table
