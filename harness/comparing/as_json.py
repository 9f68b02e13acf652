"""The comparison for programs: in base units (µs, requests per second, ratios); what is not known is null."""

from __future__ import annotations

import math
from typing import Any, Final

from harness.comparing.compared import Compared, Row
from harness.comparing.conditions import Change
from harness.comparing.figures import MEASURES, Figure
from harness.comparing.said import headline, notes
from harness.comparing.yardstick import NONE, Yardstick
from harness.statistics import Interval
from harness.trials import Run

FORMAT: Final = 1


def to_json(compared: Compared, names: tuple[str, str]) -> dict[str, Any]:
    """Return the whole comparison as one object. names: of the two runs."""
    return {
        "format": FORMAT,
        "status": int(compared.status),
        "headline": headline(compared),
        "reason": compared.reason or None,
        "margin": compared.margin,
        "deciding": [str(figure) for figure in compared.deciding],
        "a": _run(compared.before, names[0]),
        "b": _run(compared.after, names[1]),
        "changes": [_change(change) for change in compared.changes],
        "plan_changes": [_change(change) for change in compared.plan_changes],
        "yardstick": compared.yardstick and _yardstick(compared.yardstick),
        "figures": {
            str(figure): {
                "what": MEASURES[figure].name,
                "more_is_better": MEASURES[figure].more_is_better,
                "rows": [_row(row) for row in compared.rows_of(figure)],
            }
            for figure in Figure
        },
        "lost": [{"cell": lost.cell, "in": "b" if lost.in_after else "a", "why": lost.why} for lost in compared.lost],
        "only_in_a": list(compared.only_in[0]),
        "only_in_b": list(compared.only_in[1]),
        "notes": list(notes(compared)),
    }


def _run(run: Run, name: str) -> dict[str, Any]:
    header = run.header
    return {"name": name, "started": header.started, "plan_hash": header.plan_hash, "trials": len(run.trials)}


def _change(change: Change) -> dict[str, str]:
    return {"what": change.what, "a": change.before, "b": change.after}


def _yardstick(yardstick: Yardstick) -> dict[str, Any]:
    return {
        "name": yardstick.name,
        "why_none": yardstick.why_none or None,
        "believed": yardstick.is_believed,
        **({} if yardstick.name == NONE else _interval(yardstick.shift.interval())),
    }


def _row(row: Row) -> dict[str, Any]:
    alone = row.cells == 1
    return {
        "name": row.name,
        "cells": row.cells,
        "deployment": row.deployment,
        "a": _number(row.before) if alone else None,
        "b": _number(row.after) if alone else None,
        **_interval(row.interval),
        "blocks_a": row.blocks[0],
        "blocks_b": row.blocks[1],
        "verdict": str(row.judgement),
    }


def _interval(interval: Interval) -> dict[str, float | None]:
    return {
        "ratio": _number(interval.estimate),
        "low": _number(interval.low) if interval.is_finite else None,
        "high": _number(interval.high),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
