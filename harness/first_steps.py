"""What somebody who types `bench` alone is told: the next step, by what is there already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias

from harness.outlines import RESULTS, Outline, outlines

_Step: TypeAlias = tuple[str, str]  # what to type, what for

_CHECKS_ITSELF: Final = "calibrate"  # runs of this plan are about the bench and no choice: they have no page

_BEGINNING: Final[Sequence[_Step]] = (
    ("bench doctor", "is this machine fit to measure on? 5 seconds"),
    ("bench run", "measure, about 9 minutes, and write a report"),
    ("bench serve flask-threaded", "or try the API that is measured, on this machine"),
)


def next_steps(results: Path = RESULTS) -> str:
    """Return what to do next, of the runs in a folder."""
    runs = [run for run in outlines(results) if run.plan != _CHECKS_ITSELF]
    if not runs:
        said, steps = f"No run in {results}/ yet. Next:", list(_BEGINNING)
    else:
        count = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
        said = f"{count} in {results}/; the last: {runs[-1].plan}, {_when(runs[-1])}. Next:"
        steps = list(_after(runs))
    lines = [said, ""]
    for command, purpose in steps:
        lines += [f"  {command}", f"      {purpose}"] if runs else [f"  {command:28}{purpose}"]
    return "\n".join([*lines, "", "All commands: bench --help"])


def _after(runs: Sequence[Outline]) -> Iterator[_Step]:
    *earlier, last = runs
    if last.page.exists():
        yield f"bench report {last.folder} --format text", f"read it here; its page is {last.page}"
    else:
        yield (
            f"bench run --resume {last.folder}",
            "go on with it: no report yet, it was stopped or still runs",
        )
        yield f"bench report {last.folder} --format text", "or read what it has so far"
    before = [run for run in earlier if run.header.plan_hash == last.header.plan_hash]
    if before:
        yield f"bench compare {before[-1].folder} {last.folder}", "is it worse than the run of the same plan before it?"
    for name in _can_be_predicted(last)[:1]:
        yield f"bench predict {last.folder} --deployment {name} --rate 100", "what a load of your own will take"
    yield "bench run", "measure again"


def _can_be_predicted(run: Outline) -> list[str]:
    """Return the deployments that were asked what every prediction takes: requests on open connections, secured."""
    return [
        str(cell.get("deployment"))
        for cell in run.cells
        if cell.get("scenario") == "keep-alive" and cell.get("tls") != "off" and cell.get("auth") == "digest"
    ]


def _when(run: Outline) -> str:
    try:
        return f"{datetime.fromisoformat(run.header.started):%-d %b %Y at %H:%M}"
    except ValueError:
        return "some time ago"  # nobody who writes runs leaves it out
