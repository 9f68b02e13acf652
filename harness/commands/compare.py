"""`bench compare`: two runs of one plan, before and after a change, held against each other."""

from __future__ import annotations

import json
import math
from pathlib import Path

import click

from harness.commands import completing
from harness.commands.explained import ExplainedCommand
from harness.comparing import compare as compare_runs
from harness.comparing.as_json import to_json
from harness.comparing.figures import Figure
from harness.comparing.tables import markdown, show
from harness.comparing.yardstick import AUTO
from harness.errors import UserError
from harness.trials import Run, read_run


def _finite(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Refuse what is not a number: a range takes it for one."""
    if math.isnan(value):
        raise click.BadParameter("nan is no number", ctx=context, param=parameter)
    return value


@click.command(
    cls=ExplainedCommand,
    examples=[
        ("bench compare BEFORE AFTER", "server CPU of each cell, and the verdict"),
        ("bench compare BEFORE AFTER --figure p99 --threshold 10", "by the slowest hundredth, 10 % allowed"),
        ("bench compare BEFORE AFTER --markdown > comment.md", "for a pull request"),
    ],
    statuses={0: "no worse", 1: "worse", 3: "not comparable, or with --strict: it cannot be told"},
)
@click.argument("before", metavar="DIR_A", type=click.Path(path_type=Path), shell_complete=completing.run_folders)
@click.argument("after", metavar="DIR_B", type=click.Path(path_type=Path), shell_complete=completing.run_folders)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 100),
    callback=_finite,
    default=3.0,
    show_default=True,
    metavar="PERCENT",
    help="How much worse counts.",
)
@click.option(
    "--figure",
    "figures",
    type=click.Choice([str(figure) for figure in Figure]),
    multiple=True,
    default=[str(Figure.CPU)],
    show_default=True,
    help="What the exit status depends on; may be given several times.",
)
@click.option(
    "--yardstick",
    metavar="WHAT",
    default=AUTO,
    show_default=True,
    help="What tells how fast the machine was: reference, none, or a deployment that did not change; auto is the"
    " reference where both runs have it.",
)
@click.option("--strict", is_flag=True, help="Exit with 3 if it cannot be told of every cell that it is no worse.")
@click.option("--all", "everything", is_flag=True, help="Show all cells of the figures that decide nothing, too.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown, for a comment on a pull request.")
@click.pass_context
def compare(
    context: click.Context,
    *,
    before: Path,
    after: Path,
    threshold: float,
    figures: tuple[str, ...],
    yardstick: str,
    strict: bool,
    everything: bool,
    as_json: bool,
    as_markdown: bool,
) -> None:
    """Say whether the second of two runs of a plan is worse than the first.

    DIR_A and DIR_B are folders that `bench run` printed, such as one before and one after an upgrade.
    """
    if as_json and as_markdown:
        raise click.UsageError("--json and --markdown cannot both be printed")
    names = str(before), str(after)
    compared = compare_runs(
        *_two_runs(before, after),
        margin=threshold / 100,
        deciding=[Figure(figure) for figure in figures],
        yardstick=yardstick,
        strict=strict,
    )
    if as_json:
        click.echo(json.dumps(to_json(compared, names), indent=2, ensure_ascii=False, allow_nan=False))
    elif as_markdown:
        click.echo(markdown(compared, names))
    else:
        show(compared, names, everything=everything)
    context.exit(compared.status)


def _two_runs(before: Path, after: Path) -> tuple[Run, Run]:
    first, second = read_run(before), read_run(after)
    if first == second:
        raise UserError(f"{before} and {after} hold the same run", hint="give two runs, the earlier one first")
    return first, second
