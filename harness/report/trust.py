"""Sections: can I believe it, what was not measured, and what can each do? And the first screen's line of trust."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from deployments import DeploymentError, DeploymentName
from deployments import names as known_deployments
from harness import words
from harness.calibration.checks import run_checks
from harness.calibration.evaluation import Addition, Evaluation, Found, evaluate
from harness.calibration.evaluation import Outcome as Calibrated
from harness.measured import (
    SCENARIO_WORDS,
    Condition,
    Contender,
    Figure,
    Measured,
    condition_of,
    cpu_us,
    throughput,
)
from harness.report import charts
from harness.report.content import Plot, Section, Table, table
from harness.report.decisions import Decision, Outcome, how_likely
from harness.report.naming import Names, legend, series
from harness.statistics import MIN_BLOCKS_FOR_VERDICT
from harness.trials import GENERATOR_LIMIT, Trial


@dataclass(frozen=True, slots=True)
class Trust:
    """How far the run may be believed."""

    trials: int
    used: int
    for_cost_alone: int  # of those used: contended, so that only the server's CPU time is taken of them
    generator_limit: int  # trials whose doubt is that the load was not the server's limit
    other_reasons: tuple[str, ...]  # why else trials were set aside
    busiest_generator: float  # share of a processor, over the trials used; NaN without one
    worst_neighbour: float  # share of the server's processors that others took
    slowest: float  # how many times longer than in the fastest trial the processor took for the same; NaN: not known
    exponent: float | None  # by which costs followed that, `harness.evening`; None: they were not evened
    typical_noise: float  # median over the cells of the blocks' coefficient of variation of CPU per request
    blocks: int
    notes: tuple[str, ...]  # what the run says against itself: "server and generator share a processor"
    calibration: Evaluation  # what the run tells of the bench itself

    @property
    def aside(self) -> int:
        """How many trials were set aside."""
        return self.trials - self.used


@dataclass(frozen=True, slots=True)
class Noise:
    """How far the blocks of one cell lie apart."""

    contender: Contender
    condition: Condition
    blocks: int
    cpu: float  # coefficient of variation of server CPU per request; NaN under two blocks
    throughput: float  # the same of requests/s
    deviations: tuple[tuple[int, float], ...]  # block, its CPU per request over the cell's mean


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was not measured: in a few words, and with its detail."""

    what: str
    detail: str
    has_row: bool = False  # the decision table says it already, where the need would stand


def trust(measured: Measured) -> Trust:
    """Return the figures of the line of trust."""
    run = measured.run
    reasons = [reason for trial in measured.aside for reason in reasons_of(trial) if GENERATOR_LIMIT not in reason]
    windows = [trial for trial in measured.sound if trial.window_s > 0]
    cpus = max(len(run.header.environment.get("server_cpus") or [0]), 1)
    rows = [noise.cpu for noise in noises(measured) if math.isfinite(noise.cpu)]
    return Trust(
        trials=len(run.trials),
        used=len(run.cost_trials),
        for_cost_alone=len(measured.for_cost_alone),
        generator_limit=sum(any(GENERATOR_LIMIT in doubt for doubt in trial.doubts) for trial in run.doubtful_trials),
        other_reasons=tuple(reasons),
        busiest_generator=_largest(trial.generator_cpu_us / (trial.window_s * 1e6) for trial in windows),
        worst_neighbour=_largest(trial.neighbour_cpu_us / (trial.window_s * 1e6 * cpus) for trial in windows),
        slowest=_slowest(run.cost_trials),
        exponent=run.exponent,
        typical_noise=float(np.median(rows)) if rows else math.nan,
        blocks=len({trial.block for trial in run.cost_trials}),
        notes=_texts(run.header.environment.get("notes")),
        calibration=evaluate(run),
    )


def _slowest(trials: Sequence[Trial]) -> float:
    paces_us = [trial.pace_us for trial in trials if trial.pace_us]
    return max(paces_us) / min(paces_us) if len(paces_us) > 1 else math.nan


def line_of_trust(found: Trust) -> tuple[str, ...]:
    """Return what stands on the first screen about trust, one fact each."""
    facts = list(calibration_facts(found.calibration))
    facts.append(
        f"{found.used:,} of {words.count(found.trials, 'trial')} used, in {words.count(found.blocks, 'block')}"
    )
    if found.aside:
        why = f" (such as: {found.other_reasons[0]})" if found.other_reasons else ""
        facts.append(f"{found.aside:,} set aside{why}")
    elif found.trials:
        facts.append("none set aside")
    limit = f"the generator was the limit in {found.generator_limit:,}"
    facts.append(f"{limit} (only CPU is taken of those)" if found.generator_limit else limit)
    facts += found.notes
    if math.isfinite(found.typical_noise):
        facts.append(f"blocks differ by {words.percent(found.typical_noise)} in CPU a request")
    return tuple(facts)


def calibration_facts(calibration: Evaluation) -> Iterator[str]:
    """Yield what the run tells of the bench itself, one fact each; one that says so if it tells nothing."""
    outcomes = Counter(twins.outcome for twins in calibration.twins)
    if outcomes[Calibrated.OFF]:
        yield f"A/A: {outcomes[Calibrated.OFF]} of {outcomes.total()} differ, and nothing does"
    elif outcomes[Calibrated.GOOD]:
        untold = outcomes[Calibrated.UNKNOWN]
        unsaid = f", {untold} could not be told" if untold else ""
        yield f"A/A tied ({outcomes[Calibrated.GOOD]} of {outcomes.total() - untold}{unsaid})"
    elif calibration.twins:
        yield "A/A: too few blocks to tell"
    for found in calibration.found:
        yield f"{_added(found)} {_how_found(found)}"
    if not calibration.twins and not calibration.found:
        yield "the bench was not checked against itself"


def noises(measured: Measured) -> tuple[Noise, ...]:
    """Return the noise of each cell."""
    found = []
    for contender, condition in sorted(measured.cells):
        cpu = measured.figures(contender, condition, cpu_us)
        if not cpu:
            continue
        mean = float(np.mean(list(cpu.values())))
        found.append(
            Noise(
                contender,
                condition,
                len(cpu),
                _variation(measured, contender, condition, cpu_us),
                _variation(measured, contender, condition, throughput),
                tuple((block, value / mean - 1) for block, value in sorted(cpu.items())),
            )
        )
    return tuple(found)


def section(measured: Measured, found: Trust, decisions: Sequence[Decision], names: Names) -> Section:
    """Answer with how sure each choice is, noise, doubts and what the method cannot tell."""
    anchor, question = "trust", "Can I believe it?"
    cells = noises(measured)
    tables = [_calibration_table(found.calibration)]
    if choices := [decision for decision in decisions if decision.next is not None]:
        tables.append(_choices_table(choices, names))
    if measured.aside or measured.for_cost_alone:
        tables.append(_doubts_table(measured, names))
    plots: tuple[Plot, ...] = ()
    if any(noise.blocks > 1 for noise in cells):
        plots = (_plot(cells, names),)
    if cells:
        tables.append(_noise_table(cells, names))
    used = measured.contenders if plots else []
    return Section(
        anchor,
        question,
        _answer(found),
        legend=legend(used, names),
        plots=plots,
        tables=tuple(tables),
        notes=(
            (
                "Each block holds every trial once, servers in an order drawn at random, so that the machine's drift "
                "falls on all alike; comparisons are made within blocks, which takes the drift out. Intervals are "
                f"Student's t over the blocks. A verdict takes {MIN_BLOCKS_FOR_VERDICT} blocks and an interval "
                "that excludes no difference; the intervals of the first table hold all together, so that a run "
                "in which nothing differs names a winner anywhere in it in at most 5 of 100 cases."
            ),
            _calibration_note(found.calibration),
        ),
    )


def unmeasured(measured: Measured, decisions: Sequence[Decision]) -> tuple[Gap, ...]:
    """Return what a reader might look for and not find, the nearest to this run first."""
    missing = [decision.need.name for decision in decisions if decision.outcome is Outcome.UNMEASURED]
    deployments = {contender.deployment for contender in measured.contenders}
    others = [name for name in known_deployments() if name not in deployments]
    gaps = []
    if missing:
        detail = "the needs named so in this bench: the run has no sound trials of them"
        gaps.append(Gap(words.listed(missing), detail, has_row=True))
    if others:
        gaps.append(Gap(f"{words.count(len(others), 'other deployment')} of this bench", words.listed(others)))
    if not any(_proxy(name) for name in deployments):
        gaps.append(Gap("proxies such as nginx", "every client spoke to the application's own server"))
    if all(contender.workers == 1 for contender in measured.contenders):
        gaps.append(Gap("several workers", "each server was one process on its own processor"))
    gaps += [
        Gap("a real network", "client and server spoke over the loopback: no round trips, no losses"),
        Gap("HTTP/2 and HTTP/3", "all requests were HTTP/1.1"),
        Gap(
            "large bodies, event streams",
            "quick requests read a few hundred bytes that need no datastore",
            has_row=True,
        ),
        Gap("client certificates", "clients proved themselves by Digest alone"),
    ]
    return tuple(gaps)


def unmeasured_section(gaps: Sequence[Gap]) -> Section:
    """Say what was not measured, where a reader would look for it."""
    return Section(
        "not-measured",
        "What was not measured here?",
        "Nothing on this page speaks about the following.",
        notes=tuple(f"{words.capitalised(gap.what)}: {gap.detail}." for gap in gaps),
    )


def _added(found: Found) -> str:
    if found.addition is Addition.CPU and math.isfinite(found.share):
        return f"an added {words.percent(found.share)}"
    return f"an added {words.microseconds(found.truth_us)}"


def _how_found(found: Found) -> str:
    if found.outcome is Calibrated.UNKNOWN:
        return "could not be looked for: too few blocks"
    if not found.is_found:
        return f"was not found ({words.ratio_range(found.ratio)})"
    return "was found" if found.holds_truth else f"was found as {words.microseconds_between(found.difference)}"


def _calibration_table(calibration: Evaluation) -> Table:
    return table(
        "The bench's check of itself, from this run's own trials",
        ["check", "expected", "seen", "outcome"],
        [],
        [(check.subject, check.expected, check.seen, check.outcome) for check in run_checks(calibration)],
    )


def _choices_table(decisions: Sequence[Decision], names: Names) -> Table:
    rows = [
        (
            decision.need.name,
            names.label(decision.best.contender),
            names.label(decision.next.contender),
            words.ratio_range(decision.next.advantage),
            f"{decision.next.advantage.n}",
            how_likely(decision),
        )
        for decision in decisions
        if decision.next is not None
    ]
    return table(
        "How sure each choice is: the first beside the next, and how likely chance alone gives so much",
        ["need", "first", "next"],
        ["interval of the ratio", "blocks"],
        rows,
        remarks=["chance"],
    )


def _calibration_note(calibration: Evaluation) -> str:
    if not calibration.twins and not calibration.found:
        said = (
            "The bench was not checked against itself in this run: it holds no comparison of a deployment "
            "with itself and no known addition that had to be found; `bench calibrate` measures both."
        )
    else:
        said = (
            "The bench was checked against itself: a server started twice must not differ (A against A), and CPU time "
            "or a delay that was added to every request must be found. `bench calibrate` checks more: a server that "
            "stands still for a second, and what the load generator can do."
        )
    return (
        f"{said} Blocks are minutes apart, not days; another day, another machine or another kernel is not in the "
        "intervals."
    )


def _answer(found: Trust) -> str:
    if not found.used:
        return f"There is nothing to believe: none of {words.count(found.trials, 'trial')} can be used."
    said = [f"{found.used:,} of {words.count(found.trials, 'trial')} were used"]
    if found.for_cost_alone:
        said.append(f"{found.for_cost_alone:,} of them for the server's CPU time alone")
    if found.aside:
        said.append(f"{found.aside:,} set aside for the reasons below")
    parts = [", ".join(said) + "."]
    if math.isfinite(found.typical_noise):
        parts.append(
            "Repeated in another block, the same trial's server CPU per request differs by "
            f"{words.percent(found.typical_noise)} (coefficient of variation, median over all kinds of trial)."
        )
    if math.isfinite(found.busiest_generator):
        parts.append(
            f"The load generator used at most {words.percent(found.busiest_generator)} of a processor of its own, "
            f"and others took at most {words.percent(found.worst_neighbour)} of the server's."
        )
    if math.isfinite(found.slowest):
        parts.append(
            "Beside each trial a small piece of work is timed on the server's processor: in one trial it took up to "
            f"{words.significant(found.slowest)} times as long as in another, which is the machine and no server."
        )
        if found.exponent is not None:
            parts.append(
                "Server CPU is given as at the run's mean pace; the run's own trials told how costs follow it (by the "
                f"power of {words.significant(found.exponent)})."
            )
    return " ".join(parts)


def _plot(cells: Sequence[Noise], names: Names) -> Plot:
    rows = [
        charts.Strip(
            line=SCENARIO_WORDS.get(noise.condition.scenario, noise.condition.scenario),
            series=names.label(noise.contender),
            about=f"{names.label(noise.contender)}, {_condition_words(noise.condition)}",
            blocks=tuple(block + 1 for block, _ in noise.deviations),
            values=tuple(round(100 * deviation, 2) for _, deviation in noise.deviations),
        )
        for noise in cells
        if noise.blocks > 1
    ]
    contenders = list(dict.fromkeys(noise.contender for noise in cells))
    return Plot(
        name="plot-trust",
        caption="Every trial's server CPU per request against the mean of its kind, %",
        spec=charts.strips(rows, series(contenders, names), title="off the mean of its kind, %"),
    )


def _noise_table(cells: Sequence[Noise], names: Names) -> Table:
    return table(
        "How far the blocks lie apart: coefficient of variation",
        ["deployment", "under"],
        ["server CPU a request", "throughput", "blocks"],
        [
            (
                names.label(noise.contender),
                _condition_words(noise.condition),
                words.percent(noise.cpu),
                words.percent(noise.throughput),
                f"{noise.blocks}",
            )
            for noise in cells
        ],
    )


def _doubts_table(measured: Measured, names: Names) -> Table:
    del names  # a contender without a usable trial has no look
    doubtful = [(trial, "nothing") for trial in measured.aside]
    doubtful += [(trial, "server CPU alone") for trial in measured.for_cost_alone]
    return table(
        "Trials with a doubt, and what this page uses of them",
        ["deployment", "under", "block", "used for", "why"],
        [],
        [
            (
                trial.deployment,
                _condition_words(condition_of(trial)),
                f"{trial.block + 1}",
                used_for,
                "; ".join(reasons_of(trial)),
            )
            for trial, used_for in doubtful
        ],
    )


def _condition_words(condition: Condition) -> str:
    over = f"TLS {condition.tls}, {condition.certificate_kind}" if condition.has_tls else "no TLS"
    auth = {"digest": "Digest", "none": "no authentication"}.get(condition.auth, condition.auth)
    return f"{condition.scenario}, {words.count(condition.clients, 'client')}, {over}, {auth}"


def reasons_of(trial: Trial) -> tuple[str, ...]:
    """Return why a trial is set aside, or used for its CPU time alone."""
    return trial.doubts or ("no request was answered",)


def _variation(measured: Measured, contender: Contender, condition: Condition, figure: Figure) -> float:
    values = np.array(list(measured.figures(contender, condition, figure).values()))
    return float(values.std(ddof=1) / values.mean()) if len(values) > 1 else math.nan


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()


def _largest(values: Iterable[float]) -> float:
    return max((value for value in values if math.isfinite(value)), default=math.nan)


def _proxy(deployment: str) -> str | None:
    try:
        return DeploymentName.parse(deployment).proxy
    except DeploymentError:
        return None
