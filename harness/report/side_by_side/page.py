"""Several runs as one page: the same layout, look, policy and downloads as the page of one run."""

from __future__ import annotations

import json
from collections.abc import Iterator

from harness.report import page
from harness.report.provenance import Download, as_csv, text_download, within_budget
from harness.report.side_by_side import as_json, sections
from harness.report.side_by_side.changes import SideBySide

FILE_NAME = "comparison.html"


def render(beside: SideBySide) -> str:
    """Return the page of several runs."""
    return page.lay_out(
        sections.sections(beside),
        title=sections.title(beside),
        context=sections.context(beside),
        opening=sections.opening(beside),
        lacks=sections.lacks(beside),
        rows=(),
        missing=(),
        costs_sentence="",
        cost_columns=(),
        costs=(),
        costs_left_out=0,
        trust=(),
        downloads=within_budget(_downloads(beside)),
        beside="The trials.jsonl of each run stands in its folder.",
    )


def _downloads(beside: SideBySide) -> Iterator[Download]:
    """Yield the comparison, and each run's trials, as files in the page."""
    text = json.dumps(as_json.report(beside), indent=2, ensure_ascii=False, allow_nan=False)
    yield text_download("comparison.json", "everything here, as numbers", "application/json", text.encode())
    for side in beside.sides:
        about = f"one line a trial of {side.letter}"
        yield text_download(f"trials-{side.letter}.csv", about, "text/csv", as_csv(side.found.run.trials))
