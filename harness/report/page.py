"""The page: findings put into a template, with the plots' library inlined once.

The page asks nothing of any network, and its content security policy forbids it to: scripts are admitted by their
hashes, so that no text from a trial can become one, and expressions in plots are interpreted (no `eval`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from harness.costs import costs
from harness.handshakes.comparison import Comparison
from harness.handshakes.figures import Block, read_blocks
from harness.measured import Measured
from harness.report import (
    abilities,
    bending,
    breakdown,
    faults,
    first_screen,
    handshakes,
    in_memory,
    provenance,
    summary,
    trust,
    under_load,
)
from harness.report.decisions import decide
from harness.report.naming import SYMBOLS, Names
from harness.trials import Run, read_run

FILE_NAME = "report.html"


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
        faults.section(),
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
            title=first_screen.title(names),
            context=provenance.context(run),
            opening=summary.opening(decisions, found, trusted, names),
            rows=first_screen.rows(decisions, measured, names),
            unmeasured=first_screen.unmeasured(decisions),
            missing=[gap.what for gap in missing if not gap.has_row],
            costs_sentence=summary.costs_sentence(found),
            cost_columns=[name for name, _ in first_screen.cost_columns(found)],
            costs=first_screen.cost_rows(found, decisions, names),
            costs_left_out=max(0, len(found) - first_screen.COSTS_SHOWN),
            trust=trust.line_of_trust(trusted),
            sections=sections,
            downloads=provenance.downloads(run, blocks),
            style=Markup(style),  # noqa: S704 - our own file
            scripts=[Markup(text) for text in scripts],  # noqa: S704 - our own file and the pinned library
            policy=policy(scripts),
            symbols=SYMBOLS,
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
    return environment
