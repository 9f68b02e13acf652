"""`bench calibrate`: the bench has to find what is known to be there, and nothing where there is nothing."""

from __future__ import annotations

import json
import os
import shlex
import signal
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.calibration.ceiling import CeilingFailedError, installed_peer, measure_ceiling
from harness.calibration.checks import FAULTS, Check, all_good, checks
from harness.calibration.evaluation import Outcome, evaluate
from harness.calibration.folder import Kept, read_kept, write_kept
from harness.calibration.servers import installed_nginx
from harness.calibration.stall import StallFailedError, measure_stall
from harness.commands import options
from harness.commands.explained import KEPT_WHEN_STOPPED, ExplainedCommand
from harness.commands.run import GUESSED_OVERHEAD_S, TerminatedError, begin, go_on, sigterm_as_interrupt
from harness.lab import RealLab
from harness.pinning import Pinning, choose_pinning, stay_off
from harness.plan import Plan
from harness.progress import choose_display, standard_error
from harness.run import Runner
from harness.trial_log import TrialLog

PLAN: Final = "calibrate"
STALLS: Final = 2
_WIDTH_WITHOUT_TERMINAL: Final = 160
_OFF: Final = 1  # exit status
_STYLES: Final = {
    Outcome.GOOD: "green",
    Outcome.OFF: "bold red",
    Outcome.UNKNOWN: "yellow",
    Outcome.ABSENT: "dim",
    Outcome.NOT_ASKED: "dim",
}


@click.command(
    cls=ExplainedCommand,
    examples=[
        ("bench calibrate", "all checks, about 6 minutes"),
        ("bench calibrate --resume results/RUN", "go on where one was stopped"),
        ("bench calibrate --json > checks.json", "for a program"),
    ],
    statuses={
        0: "all as it should be",
        1: "something is off",
        **KEPT_WHEN_STOPPED,
    },
)
@click.option(
    "--plan", "plan_name", default=PLAN, show_default=True, metavar="PLAN", help="Another one's name, or a .toml file."
)
@click.option("--stalls", type=click.IntRange(0, 100), default=STALLS, show_default=True, help="How often; 14 s each.")
@options.out
@options.resume
@options.state
@click.option("--json", "as_json", is_flag=True, help="Print the checks, and what they were made of, as JSON.")
@click.pass_context
def calibrate(
    context: click.Context,
    *,
    plan_name: str,
    stalls: int,
    out: Path,
    resume: Path | None,
    state: Path,
    as_json: bool,
) -> None:
    """Check the bench itself, on this machine: about 6 minutes.

    A against A must tie, an added 3 % of CPU and an added millisecond must be found, a server that stands still for a
    second must show in the percentiles as theory says; and what the load generator can do.
    """
    pinning = choose_pinning()
    lab = context.with_resource(RealLab(state, pinning))
    if resume is None:
        plan, folder, log = begin(plan_name, out, state, lab, pinning)
    else:
        plan, folder, log = go_on(resume, state, lab, pinning)
    with log:
        before = stay_off(pinning)
        try:
            with sigterm_as_interrupt():
                _measure(plan, folder, log, lab, pinning)
                kept, failures = _measure_the_rest(folder, state, pinning, plan.seed, stalls)
        except KeyboardInterrupt as error:
            again = ["bench", "calibrate", "--resume", str(folder), "--state", str(state)]
            click.echo(f"stopped; what finished is kept. Go on with: {shlex.join(again)}", err=True)
            context.exit(128 + (signal.SIGTERM if isinstance(error, TerminatedError) else signal.SIGINT))
        finally:
            os.sched_setaffinity(0, before)
    found = checks(evaluate(log.run), kept.stalls, kept.ceiling, failures, stalls_asked=stalls > 0)
    if as_json:
        click.echo(json.dumps(_to_json(folder, found, kept), indent=2))
    else:
        _show(found, folder)
    context.exit(0 if all_good(found) else _OFF)


def _measure(plan: Plan, folder: Path, log: TrialLog, lab: RealLab, pinning: Pinning) -> None:
    """Measure the trials that are missing."""
    display = choose_display(standard_error(), plan.window_s + GUESSED_OVERHEAD_S)
    lab.on_tick(display.tick)
    display.start(done=len(log.run.trials), total=plan.trials, folder=str(folder))
    try:
        Runner(plan, log, lab, display, pinning).run()
    finally:
        display.close()


def _measure_the_rest(
    folder: Path, state: Path, pinning: Pinning, seed: int, stalls: int
) -> tuple[Kept, tuple[str, ...]]:
    """Measure what is no trial and missing; each is on disk before the next one. Return it, and what failed."""
    kept = read_kept(folder)
    failures: list[str] = []
    for number in range(len(kept.stalls), stalls):
        click.echo(f"a server is stopped for a second, {number + 1} of {stalls}: about 15 s", err=True)
        try:
            kept = kept.with_stall(measure_stall(state, pinning, seed=seed + number))
        except StallFailedError as error:
            failures.append(f"a stopped server: {error}")
        write_kept(folder, kept)
    if kept.ceiling is None:
        nginx, peer = installed_nginx(), installed_peer()
        against = "nginx" if nginx else "a server of our own (nginx is not installed)"
        beside = f"beside {peer.name}" if peer else "alone (wrk and h2load are not installed)"
        click.echo(f"the generator's ceiling, against {against}, {beside}: about 20 s", err=True)
        try:
            ceiling = measure_ceiling(state, pinning, seed=seed, nginx=nginx, peer=peer)
            kept = replace(kept, ceiling=ceiling)
        except CeilingFailedError as error:
            failures.append(f"the generator's ceiling: {error}")
        write_kept(folder, kept)
    return kept, tuple(failures)


def _to_json(folder: Path, found: tuple[Check, ...], kept: Kept) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "good": all_good(found),
        "checks": [asdict(check) for check in found],
        **{key: value for key, value in kept.to_json().items() if key != "format"},
    }


def _show(found: tuple[Check, ...], folder: Path) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("check", "expected", "seen", ""):
        table.add_column(name, overflow="fold", no_wrap=not name)
    for check in found:
        table.add_row(
            Text(check.subject),
            Text(check.expected),
            Text(check.seen),
            Text(check.outcome, style=_STYLES[check.outcome]),
        )
    console.print(table)
    off = [check.subject for check in found if check.outcome in FAULTS]
    console.print()
    console.print(Text(f"not as it should be: {'; '.join(off)}" if off else "all as it should be"))
    console.print(Text(f"kept in {folder}"))
