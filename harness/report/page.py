"""The page: findings put into a template, with the plots' library inlined once.

The page asks nothing of any network, and its content security policy forbids it to: scripts are admitted by their
hashes, so that no text from a trial can become one, and expressions in plots are interpreted (no `eval`).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup, escape

from harness.costs import costs
from harness.handshakes.comparison import Comparison
from harness.handshakes.figures import Block
from harness.measured import Measured
from harness.outlines import REPORT_NAME
from harness.report import (
    abilities,
    bending,
    breakdown,
    faults,
    first_screen,
    handshakes,
    in_memory,
    matrix,
    provenance,
    summary,
    trust,
    under_load,
    what_if,
)
from harness.report.content import Section
from harness.report.decisions import decide
from harness.report.naming import SYMBOLS, Names
from harness.report.packing import packed
from harness.report.reading import read_folder
from harness.report.writing import write_whole
from harness.trials import Run
from harness.words import Said

LONGEST_UNPACKED = 200  # rows of a table, above which it is packed: packed they take a tenth


def write_report(folder: Path) -> Path:
    """Write folder/report.html from folder/trials.jsonl, whole or not at all. UserError if that cannot be read."""
    found = read_folder(folder)
    return write_whole(found.folder / REPORT_NAME, render(found.run, found.blocks, found.lacks))


def render(run: Run, blocks: Sequence[Block] = (), lacks: Sequence[str] = ()) -> str:
    """Return the page of a run. blocks: of handshakes in memory. lacks: what is not whole about the run's folder."""
    measured = Measured(run)
    names = Names(list(dict.fromkeys([*measured.contenders, *bending.contenders(run)])))
    decisions = decide(measured)
    found = costs(measured)
    trusted = trust.trust(measured)
    missing = trust.unmeasured(measured, decisions)
    predicted = what_if.what_if(measured, names)
    sections = (
        breakdown.section(measured, found, names),
        handshakes.section(measured, names, in_memory.section(Comparison(blocks))),
        bending.section(run, names),
        under_load.clients_section(measured, names),
        faults.section(),
        matrix.section(measured, names),
        abilities.section(measured.contenders),
        predicted.section,
        trust.section(measured, trusted, decisions, names),
        trust.unmeasured_section(missing),
        provenance.section(run),
    )
    return lay_out(
        sections,
        title=first_screen.title(names),
        context=provenance.context(run),
        opening=summary.opening(decisions, found, trusted, names),
        lacks=lacks,
        rows=first_screen.rows(decisions, measured, names),
        unmeasured=first_screen.unmeasured(decisions),
        failing=first_screen.failing(decisions),
        missing=[gap.what for gap in missing if not gap.has_row],
        costs_sentence=summary.costs_sentence(found),
        cost_columns=[name for name, _ in first_screen.cost_columns(found)],
        costs=first_screen.cost_rows(found, decisions, names),
        costs_left_out=max(0, len(found) - first_screen.COSTS_SHOWN),
        trust=trust.line_of_trust(trusted),
        panel=predicted.panel,
        downloads=provenance.downloads(run, blocks),
        beside="The trials.jsonl of this run stands beside this page.",
    )


def lay_out(sections: Sequence[Section], **said: Any) -> str:  # noqa: ANN401 - the template's own variables
    """Put sections, and what stands above them, into a whole page: style, scripts and their policy come with it."""
    style = _asset("page.css") + _asset("tables.css") + _asset("what_if.css")
    library = [plot_library()] if any(section.has_plots for section in sections) else []
    names = ["packing", "paper", "plots", "tables", *(["what_if"] if said.get("panel") else []), "links"]
    scripts = [*library, *(_asset(f"{name}.js") for name in names)]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            sections=sections,
            style=Markup(style),  # noqa: S704 - our own file
            scripts=[Markup(text) for text in scripts],  # noqa: S704 - our own file and the pinned library
            policy=policy(scripts),
            longest_unpacked=LONGEST_UNPACKED,
            symbols=SYMBOLS,
            **said,
        )
    )


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


def with_commands(text: str) -> Markup:
    """Return a sentence as HTML, what stands between backquotes as code. One that has no partner stays as it is."""
    said, *rest = text.split("`")
    html = escape(said)
    while len(rest) > 1:
        command, said, *rest = rest
        html += Markup("<code>{}</code>{}").format(command, said)
    return html + escape("".join(f"`{each}" for each in rest))


def number_attributes(text: str) -> Markup:
    """Return what an element that says a number keeps of it: `tables.js` sorts by it, and saves it."""
    if not isinstance(text, Said):
        return Markup()
    ends = {"value": text.value, "low": text.low, "high": text.high}
    known = {name: f"{number:.6g}" for name, number in ends.items() if number is not None}
    if known and text.unit:
        known["unit"] = text.unit
    return Markup().join(Markup(' data-{}="{}"').format(name, value) for name, value in known.items())


def embedded_json(value: Mapping[str, Any]) -> Markup:
    """Return JSON that is safe inside a script element: no text in it can end the element. ValueError for NaN."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above


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
    environment.filters["number_attributes"] = number_attributes
    environment.filters["packed"] = lambda html: packed(str(html).encode())
    environment.filters["with_commands"] = with_commands
    return environment
