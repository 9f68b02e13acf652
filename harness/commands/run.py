"""`bench run`: measures a plan and writes the report."""

from __future__ import annotations

import os
import resource
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import click

import deployments
from certs import KeyKind
from device_api.state import open_state
from harness.adaptive import goes_on, most_trials, standings
from harness.capacity.conducting import search_all
from harness.commands import completing, options
from harness.commands.explained import KEPT_WHEN_STOPPED, ExplainedCommand
from harness.commands.report import write_and_show
from harness.environment import check_same, describe_environment
from harness.errors import UserError
from harness.handshakes.figures import append_block, missing_blocks
from harness.handshakes.measuring import BLOCK_S, certificates_in, measure_blocks
from harness.lab import RealLab
from harness.leading import Leading
from harness.pinning import Pinning, choose_pinning, stay_off
from harness.plan import Plan
from harness.plan_files import find_plan, parse
from harness.progress import Display, choose_display, standard_error
from harness.run import Runner, Session
from harness.trial_log import TrialLog
from harness.trials import RunHeader, read_run

GUESSED_OVERHEAD_S: Final = 1.5  # of a trial: starting the generator, warm-up, its share of a server start


class TerminatedError(KeyboardInterrupt):
    """SIGTERM: the same as Ctrl-C, but for the exit status."""


@click.command(
    cls=ExplainedCommand,
    examples=[
        ("bench run", "the plan quick, about 9 minutes"),
        ("bench run my-plan.toml --json > result.json", "your own question, as JSON"),
        ("bench run --resume results/RUN", "go on where a run was stopped"),
    ],
    statuses={
        0: "measured, and the report is written",
        **KEPT_WHEN_STOPPED,
    },
)
@click.argument("plan_name", metavar="[PLAN]", required=False, shell_complete=completing.plans)
@options.out
@options.resume
@options.state
@click.option("--json", "as_json", is_flag=True, help="Print folder, report, findings and decisions as JSON.")
@click.pass_context
def run(
    context: click.Context, *, plan_name: str | None, out: Path, resume: Path | None, state: Path, as_json: bool
) -> None:
    """Measure a plan and write its report.

    PLAN is quick (the default, about 9 minutes), full (3½ hours), matrix (40 minutes), costs (20), capacity (12), smoke
    or a .toml file of your own. Every finished trial is kept at once: a run that was stopped goes on with --resume.
    Standard output is the result alone: what was found, then where the report is. Progress goes to standard error.
    """
    if resume is not None and plan_name is not None:
        raise click.UsageError("a run that goes on has its plan already; leave PLAN out")
    pinning = choose_pinning()
    lab = context.with_resource(RealLab(state, pinning))
    if resume is None:
        plan, folder, log = begin(plan_name or "quick", out, state, lab, pinning)
    else:
        plan, folder, log = go_on(resume, state, lab, pinning)
    with log:
        status = _measure(plan, folder, log, lab, pinning, state)
    if status == 0:
        write_and_show(folder, as_json=as_json)
    context.exit(status)


def begin(plan_name: str, out: Path, state: Path, lab: RealLab, pinning: Pinning) -> tuple[Plan, Path, TrialLog]:
    """Check everything that can be checked beforehand, then make the run's folder."""
    text = find_plan(plan_name)
    plan = text.parse(deployments=deployments.names())
    _check(plan, state, lab)
    started = datetime.now(UTC).astimezone()
    folder = out / f"{started:%Y-%m-%dT%H%M%S}-{plan.name}"
    header = RunHeader(
        plan=plan.to_json(),
        plan_hash=plan.hash,
        seed=plan.seed,
        started=started.isoformat(timespec="seconds"),
        environment=describe_environment(pinning),
    )
    log = TrialLog.create(folder, header)
    try:
        (folder / "plan.toml").write_text(text.text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror})", hint="make room; then --resume") from error
    return plan, folder, log


def go_on(folder: Path, state: Path, lab: RealLab, pinning: Pinning) -> tuple[Plan, Path, TrialLog]:
    """Go on with what is in a folder, on the same machine as before. Raises UserError."""
    header = read_run(folder).header
    plan = parse(header.plan, source=f"the run in {folder}", deployments=deployments.names())
    check_same(header.environment, describe_environment(pinning))
    _check(plan, state, lab)
    return plan, folder, TrialLog.resume(folder)


def _check(plan: Plan, state: Path, lab: RealLab) -> None:
    """Refuse what would fail later. Raises UserError, DeploymentError, StateError, CertificateError."""
    servers = {*plan.servers, *(search.server for search in plan.searches)}
    for server in sorted(servers):
        lab.check(server)
    device = open_state(state)
    kinds = {KeyKind(server.certificate_kind) for server in servers if server.uses_tls}
    for kind in KeyKind if plan.handshake_blocks else kinds:
        device.certificate(kind)
    _allow_open_files(plan.open_files)


def _allow_open_files(needed: int) -> None:
    """Raise this process's limit, which its children inherit. Raises UserError when that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise UserError(
                f"the plan needs {needed} open files in a process, and {hard} are allowed",
                hint="raise the hard limit (ulimit -Hn, or nofile in limits.conf), or plan for fewer clients",
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _measure(plan: Plan, folder: Path, log: TrialLog, lab: RealLab, pinning: Pinning, state: Path) -> int:
    """Measure what is missing; return the exit status."""
    display = choose_display(standard_error(), plan.window_s + GUESSED_OVERHEAD_S, Leading(lambda: log.run))
    lab.on_tick(display.tick)
    done = sum(not trial.is_searched for trial in log.run.trials)
    if pinning.note:
        click.echo(f"note: {pinning.note}; its figures are good for a try, and the report says so", err=True)
    display.start(done=done, total=most_trials(plan), folder=str(folder), at_most=goes_on(plan))
    before = stay_off(pinning)
    try:
        with sigterm_as_interrupt():
            runner = Runner(plan, log, lab, display, pinning)
            runner.run()
            search_all(plan, log, runner, display)
            session = runner.session()
            display.close()
            _measure_handshakes(plan, folder, pinning, state)
    except KeyboardInterrupt as error:
        _say_how_to_go_on(display, log, plan, folder, state)
        return 128 + (signal.SIGTERM if isinstance(error, TerminatedError) else signal.SIGINT)
    except BaseException:
        display.close()
        raise
    finally:
        os.sched_setaffinity(0, before)
    _sum_up(session, log, plan)
    return 0


def _measure_handshakes(plan: Plan, folder: Path, pinning: Pinning, state: Path) -> None:
    """Measure the blocks of handshakes in memory that are missing; each is on disk before the next one."""
    missing = missing_blocks(folder, plan.handshake_blocks)
    if missing:
        said = f"{len(missing)} {'block' if len(missing) == 1 else 'blocks'}, about {len(missing) * BLOCK_S:.0f} s"
        click.echo(f"handshakes in memory: {said}", err=True)
    for block in measure_blocks(certificates_in(state), missing, seed=plan.seed, cpus=pinning.server):
        append_block(folder, block)


def _say_how_to_go_on(display: Display, log: TrialLog, plan: Plan, folder: Path, state: Path) -> None:
    display.close()
    kept = sum(not trial.is_searched for trial in log.run.trials)
    most = "at most " if goes_on(plan) else ""
    again = ["bench", "run", "--resume", str(folder), "--state", str(state)]
    click.echo(
        f"stopped; {kept} of {most}{most_trials(plan)} trials are kept. Go on with: {shlex.join(again)}", err=True
    )


def _sum_up(session: Session, log: TrialLog, plan: Plan) -> None:
    if session.trials:
        click.echo(
            f"measured {session.measured_s:.0f} s of {session.wall_s:.0f} s ({session.measured_share:.0%})",
            err=True,
        )
    if goes_on(plan):
        _say_what_stayed_open(log, plan)
    # What failed in a search is its result: the search has said what it came to.
    run = replace(log.run, trials=tuple(trial for trial in log.run.trials if not trial.is_searched))
    aside, contended = len(run.trials) - len(run.cost_trials), len(run.cost_trials) - len(run.sound_trials)
    if aside or contended:
        click.echo(
            f"of {len(run.trials)} trials {aside} are set aside and {contended} used for the server's CPU time alone;"
            " the report says why",
            err=True,
        )


def _say_what_stayed_open(log: TrialLog, plan: Plan) -> None:
    """Say which comparisons the time was not enough for."""
    compared = standings(plan, [trial for trial in log.run.trials if not trial.is_searched])
    left = sum(standing.is_open for standing in compared)
    if left:
        click.echo(
            f"{left} of {len(compared)} comparisons stayed wider than the plan wanted; the report gives the intervals",
            err=True,
        )


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Let SIGTERM stop servers and keep what finished, just as Ctrl-C does."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise TerminatedError

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
