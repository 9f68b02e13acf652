"""What a run has to say in a document, as Markdown, by the block's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deployments import Deployment, DeploymentError, find
from harness import words
from harness.documents import ranking
from harness.handshakes.comparison import Comparison
from harness.measured import Measured
from harness.report import abilities, in_memory, matrix, provenance, summary
from harness.report.content import Column, Table
from harness.report.formats.as_markdown import code, escaped
from harness.report.formats.as_text import plain
from harness.report.naming import Names
from harness.report.reading import RunFolder
from harness.report.trust import line_of_trust, trust
from harness.trials import Run

OWN_PACKAGE = "https-digest-bench"
ABILITIES = ("new certificate", "stop finishes requests")  # beside the figures, where they decide as often


def blocks(found: RunFolder) -> Mapping[str, str]:
    """Return every block that a document may ask of a run."""
    measured = Measured(found.run)
    names = Names(measured.contenders)
    return {
        "machine": _machine(found.run, measured),
        "findings": _findings(found),
        "ranking": _ranking(measured, names),
        "table": _matrix(measured, names),
        "failing": _failing(measured, names),
        "warnings": _warnings(measured),
    }


def _machine(run: Run, measured: Measured) -> str:
    """Say when, on what, with which versions, how often, and how far that is to be trusted."""
    header, environment = run.header, run.header.environment
    openssl, packages = environment.get("openssl"), environment.get("packages")
    libraries = [str(one) for one in openssl.values()] if isinstance(openssl, Mapping) else []
    versions = (
        [f"{name} {version}" for name, version in packages.items() if name != OWN_PACKAGE]
        if isinstance(packages, Mapping)
        else []
    )
    software = "; ".join(
        part
        for part in (
            str(environment.get("python", "")),
            words.listed([" ".join(one.split()[:2]) for one in libraries]),
            ", ".join(versions),
        )
        if part
    )
    how_much = f"{words.count(_number_of_blocks(run), 'block')}, {words.count(len(run.trials), 'trial')}"
    when, command = escaped(provenance.when(header.started)), code(provenance.command(header))
    said = [
        f"Measured {when} on {escaped(_where(run))}, by {command}: {how_much}.",
        f"Trust: {escaped('; '.join(line_of_trust(trust(measured))))}.",
        f"Versions: {escaped(software)}." if software else "",
    ]
    return "\n\n".join(part for part in said if part)


def _where(run: Run) -> str:
    virtual = " of a virtual machine" if run.header.environment.get("virtual") else ""
    cores, _, processor = provenance.machine(run.header.environment).partition(" (")
    return f"{cores}{virtual} ({processor}" if processor else f"{cores}{virtual}"


def _number_of_blocks(run: Run) -> int:
    return len({trial.block for trial in run.trials if not trial.is_searched})


def _findings(found: RunFolder) -> str:
    """Say what `bench report` prints first, and of what."""
    said = summary.findings(found.run)
    alone = in_memory.finding(Comparison(found.blocks))
    python = str(found.run.header.environment.get("python", "")).replace("CPython", "Python")
    what = ", ".join(part for part in (_where(found.run), python, provenance.when(found.run.header.started)) if part)
    numbered = [
        f"{number}. {plain(finding)}" for number, finding in enumerate([*said, *([alone] if alone else [])], start=1)
    ]
    return "\n".join([f"What the run in the picture printed ({escaped(what)}):", "", "```", *numbered, "```"])


def _ranking(measured: Measured, names: Names) -> str:
    lines = [f"- {escaped(sentence)}" for sentence in ranking.sentences(measured, names)]
    added = ranking.proxies(measured, names)
    if added is not None:
        lines += ["", f"{added.caption}, with 95 % intervals:", "", *_rows(added)]
    return "\n".join(lines)


def _matrix(measured: Measured, names: Names) -> str:
    """Return the measured figures of each deployment, with what it can do where that decides."""
    under = matrix.conditions(measured)
    whole = matrix.as_table(matrix.rows(measured), under, names)
    *figures, failed = whole.columns
    more = tuple(Column(name, numeric=False) for name in ABILITIES)
    rows = tuple(
        (*cells[:-1], *_abilities(row.contender.deployment), cells[-1])
        for row, cells in zip(matrix.rows(measured), whole.rows, strict=True)
    )
    return "\n".join(_rows(Table(whole.caption, (*figures, *more, failed), rows)))


def _abilities(deployment: str) -> list[str]:
    known = _find(deployment)
    if known is None:
        return [matrix.NOT_KNOWN] * len(ABILITIES)
    said = abilities.by_name(known)
    return [said[name] for name in ABILITIES]


def _failing(measured: Measured, names: Names) -> str:
    rows = matrix.rows(measured)
    failing = [
        f"- {escaped(names.label(row.contender))}: {escaped(matrix.failed(row))}" for row in rows if row.failures
    ]
    if failing:
        return "\n".join(failing)
    requests = sum(trial.requests for trial in measured.run.trials)
    return f"None: {requests:,} requests of {words.count(len(rows), 'deployment')} were answered as they should."


def _warnings(measured: Measured) -> str:
    known = [one for name in dict.fromkeys(c.deployment for c in measured.contenders) if (one := _find(name))]
    return "\n".join(
        f"- {escaped(words.capitalised(warning))}: {escaped(names)}." for warning, names in abilities.warnings(known)
    )


def _find(name: str) -> Deployment | None:
    try:
        return find(name)
    except DeploymentError:
        return None  # of another version of the bench, or someone's own


def _rows(shown: Table) -> Iterator[str]:
    names = [escaped(column.name) for column in shown.columns]
    rule = ["---:" if column.numeric else "---" for column in shown.columns]
    for line in (names, rule, *([escaped(cell) for cell in row] for row in shown.rows)):
        yield f"| {' | '.join(line)} |"
