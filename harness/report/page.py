"""The page: findings put into a template, with the plots' library inlined once.

The page asks nothing of any network, and its content security policy forbids it to: scripts are admitted by their
hashes, so that no text from a trial can become one, and expressions in plots are interpreted (no `eval`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from harness import words
from harness.costs import Costs, costs
from harness.handshakes.comparison import Comparison
from harness.handshakes.figures import Block, read_blocks
from harness.measured import Contender, Measured, Scenario
from harness.report import (
    abilities,
    bending,
    breakdown,
    handshakes,
    in_memory,
    provenance,
    summary,
    trust,
    under_load,
)
from harness.report.content import Mark
from harness.report.decisions import Decision, Measure, Outcome, decide, how_sure
from harness.report.flips import flips
from harness.report.naming import SYMBOLS, Names, about, mark, set_up
from harness.statistics import Interval
from harness.trials import Run, read_run

FILE_NAME = "report.html"
COSTS_SHOWN = 3  # on the first screen; the others stand in their section
TIED_SHOWN = 3
NARROWEST = 1.15  # the strip of intervals reaches at least this far from 1 on both sides


@dataclass(frozen=True, slots=True)
class Strip:
    """An interval drawn on a log scale that all rows share; positions in percent of the width."""

    one: float
    low: float
    high: float
    estimate: float


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the decision table, as text."""

    need: str
    detail: str
    takes: tuple[Mark, ...]
    takes_left_out: int  # more that are tied
    take_note: str
    result: str  # how many times better, or "a tie"
    evidence: str
    interval: str
    sure: str
    strip: Strip | None
    flips: str
    outcome: str


@dataclass(frozen=True, slots=True)
class CostRow:
    """One contender's costs, as text."""

    mark: Mark
    figures: tuple[str, ...]


COST_COLUMNS: tuple[tuple[str, Callable[[Costs], Interval | None]], ...] = (
    ("a request, all included", lambda cost: cost.request),
    ("TLS, a connection", lambda cost: cost.tls_connection),
    ("TLS, a resumed one", lambda cost: cost.tls_resumed),
    ("TLS, a request", lambda cost: cost.tls_request),
    ("Digest, a request", lambda cost: cost.digest),
    ("a 401 challenge", lambda cost: cost.challenge),
)


def write_report(folder: Path) -> Path:
    """Write folder/report.html from folder/trials.jsonl, whole or not at all. UserError if that cannot be read."""
    text = render(read_run(folder), read_blocks(folder))
    target = folder / FILE_NAME
    handle, draft = tempfile.mkstemp(dir=folder, prefix=f".{FILE_NAME}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(draft).chmod(0o644)
        Path(draft).replace(target)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    return target


def render(run: Run, blocks: Sequence[Block] = ()) -> str:
    """Return the page of a run. blocks: of handshakes in memory."""
    measured = Measured(run)
    names = Names(list(dict.fromkeys([*measured.contenders, *bending.contenders(run)])))
    decisions = decide(measured)
    found = costs(measured)
    trusted = trust.trust(measured)
    missing = trust.unmeasured(measured, decisions)
    sections = (
        breakdown.section(measured, found, names),
        handshakes.section(measured, names, in_memory.section(Comparison(blocks))),
        bending.section(run, names),
        under_load.clients_section(measured, names),
        abilities.section(measured.contenders),
        trust.section(measured, trusted, decisions, names),
        trust.unmeasured_section(missing),
        provenance.section(run),
    )
    style, script = _asset("page.css"), _asset("page.js")
    library = plot_library() if any(section.has_plots for section in sections) else ""
    scripts = [text for text in (library, script) if text]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title(names),
            context=provenance.context(run),
            opening=summary.opening(decisions, found, trusted, names),
            rows=rows(decisions, measured, names),
            missing=[gap.what for gap in missing],
            costs_sentence=summary.costs_sentence(found),
            cost_columns=[name for name, _ in cost_columns(found)],
            costs=cost_rows(found, decisions, names),
            costs_left_out=max(0, len(found) - COSTS_SHOWN),
            trust=trust.line_of_trust(trusted),
            sections=sections,
            downloads=provenance.downloads(run, blocks),
            style=Markup(style),  # noqa: S704 - our own file
            scripts=[Markup(text) for text in scripts],  # noqa: S704 - our own file and the pinned library
            policy=policy(scripts),
            symbols=SYMBOLS,
        )
    )


def title(names: Names) -> str:
    """Return the question that the page answers."""
    both = {"flask", "quart"} <= names.families
    return "Flask or Quart, and served by what?" if both else "How should this API be served?"


def rows(decisions: Sequence[Decision], measured: Measured, names: Names) -> tuple[Row, ...]:
    """Return the rows of the decision table: every need that was measured."""
    shown = [decision for decision in decisions if decision.outcome is not Outcome.UNMEASURED]
    scale = _scale([decision.next.advantage for decision in shown if decision.next])
    introduced: set[str] = set()
    found = []
    for decision in shown:
        turns = flips(decision, decisions, measured, names)
        found.append(_row(decision, measured, names, scale, introduced, turns))
        introduced.update(standing.contender.deployment for standing in decision.standings[:1])
    return tuple(found)


def cost_rows(found: Sequence[Costs], decisions: Sequence[Decision], names: Names) -> tuple[CostRow, ...]:
    """Return the costs of the contenders that the decision table speaks of most."""
    spoken = [one.best.contender for one in decisions if one.standings]
    spoken += [one.next.contender for one in decisions if one.next]
    order = {contender: position for position, contender in reversed(list(enumerate(spoken)))}
    nearest = sorted(found, key=lambda cost: order.get(cost.contender, len(order)))
    return tuple(
        CostRow(
            mark(cost.contender, names),
            tuple(
                words.microseconds_between(interval) if (interval := read(cost)) else "not measured"
                for _, read in cost_columns(found)
            ),
        )
        for cost in nearest[:COSTS_SHOWN]
    )


def cost_columns(found: Sequence[Costs]) -> tuple[tuple[str, Callable[[Costs], Interval | None]], ...]:
    """Return the costs that any contender has."""
    return tuple((name, read) for name, read in COST_COLUMNS if any(read(cost) is not None for cost in found))


def policy(scripts: Sequence[str]) -> str:
    """Return a content security policy that admits these scripts, inline styles and data: images, and no network."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def plot_library() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script that defines vegaEmbed."""
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    if "</script" in script.lower() or "<!--" in script:
        raise RuntimeError("the plot library cannot stand inside a script element: it holds its end")
    return script


def embedded_json(value: Mapping[str, Any]) -> Markup:
    """Return JSON that is safe inside a script element: no text in it can end the element. ValueError for NaN."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above


def _row(
    decision: Decision, measured: Measured, names: Names, scale: float, introduced: Collection[str], turns: str
) -> Row:
    need, best = decision.need, decision.best
    takes = [best.contender, *(rival.contender for rival in decision.tied)]
    shown = takes if len(takes) <= TIED_SHOWN else takes[: TIED_SHOWN - 1]
    if decision.outcome is Outcome.ALONE:
        result = "nothing to compare with"
    elif decision.outcome is Outcome.TIE or decision.next is None:
        result = "a tie"
    else:
        result = f"{words.ratio(decision.next.advantage)} {need.measure.advantage}"
    interval = decision.next.advantage if decision.next else None
    return Row(
        need=need.name,
        detail=_detail(decision),
        takes=tuple(mark(contender, names) for contender in shown),
        takes_left_out=len(takes) - len(shown),
        take_note=_take_note(decision, introduced),
        result=result,
        evidence=_evidence(decision, measured, names),
        interval=words.ratio_range(interval) if interval else "",
        sure=how_sure(decision),
        strip=_strip(interval, scale) if interval and interval.is_finite else None,
        flips=turns,
        outcome=decision.outcome.value,
    )


def _take_note(decision: Decision, introduced: Collection[str]) -> str:
    """Return what the choice is, where its name appears first, and always what runs its slow requests."""
    contender = decision.best.contender
    notes = []
    if decision.tied:
        return ""
    if contender.deployment not in introduced:
        notes.append(about(contender.deployment))
    if decision.need.scenario is Scenario.SLOW_IO:
        notes.append(set_up(contender))
    return "; ".join(note for note in notes if note)


def _detail(decision: Decision) -> str:
    clients = decision.condition.clients if decision.condition else 0
    return f"{decision.need.detail}; {words.count(clients, 'client')}"


def _evidence(decision: Decision, measured: Measured, names: Names) -> str:
    """Return the figures that the result was made of; throughput never without the latency it came at."""
    measure = decision.need.measure
    shown = [decision.best, *([decision.next.standing] if decision.next else [])]
    said = []
    for standing in shown:
        figure = _figure(decision, standing.contender, standing.value, measure, measured)
        if standing is decision.best and not decision.tied:
            said.append(figure)  # its name and threads stand beside
        else:
            said.append(f"{_fully_named(decision, standing.contender, names)} {figure}")
    if decision.set_aside:
        said.append(f"set aside: {words.shortened(decision.set_aside, TIED_SHOWN)}")
    return "; ".join(said)


def _fully_named(decision: Decision, contender: Contender, names: Names) -> str:
    label = names.label(contender)
    return f"{label} ({set_up(contender)})" if decision.need.scenario is Scenario.SLOW_IO else label


def _figure(decision: Decision, contender: Contender, value: float, measure: Measure, measured: Measured) -> str:
    said = measure.say(value)
    if not measure.more_is_better or decision.condition is None:
        return said
    return f"{said} at p99 {words.microseconds(measured.latency(contender, decision.condition, 99).whole)}"


def _scale(intervals: Sequence[Interval]) -> float:
    """Return how far from 1, as a log, the strips of all rows reach on both sides."""
    finite = [interval for interval in intervals if interval.is_finite and interval.low > 0]
    ends = [abs(math.log(end)) for interval in finite for end in (interval.low, interval.high)]
    return max([*ends, math.log(NARROWEST)])


def _strip(interval: Interval, scale: float) -> Strip | None:
    # The right side, where the choice is better, gets three quarters of the width: the left is for ties alone.
    def position(value: float) -> float:
        return round(25 + 75 * max(-1 / 3, math.log(value) / scale), 2)

    return Strip(position(1.0), position(interval.low), position(interval.high), position(interval.estimate))


def _asset(name: str) -> str:
    return resources.files("harness.report").joinpath("templates", name).read_text("utf-8")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["embedded_json"] = embedded_json
    return environment
