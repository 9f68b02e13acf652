"""Several runs for programs, as `harness.report.formats.as_json` has one: numbers in base units, null for unknown."""

from __future__ import annotations

from typing import Any

from harness.comparing import said
from harness.report.decisions import TAIL
from harness.report.formats.as_json import (
    FORMAT,
    condition_to_json,
    contender_to_json,
    costs_to_json,
    decision_to_json,
    interval,
    measure_key,
    number,
    run_to_json,
    trust_to_json,
)
from harness.report.side_by_side import sections
from harness.report.side_by_side.changes import Change, CostRow, NeedRow, Pair, Seen, SideBySide
from harness.report.side_by_side.sides import Side
from harness.report.trust import trust


def report(beside: SideBySide) -> dict[str, Any]:
    """Return several runs as one object."""
    return {
        "format": FORMAT,
        "kind": "side by side",
        "opening": sections.opening(beside),
        "runs": [_side(side) for side in beside.sides],
        "comparisons": [_pair(pair) for pair in beside.pairs],
        "needs": [_need(row, beside) for row in beside.needs],
        "costs": [_cost(row, beside) for row in beside.costs],
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "letter": side.letter,
        "name": side.name,
        **run_to_json(side.found),
        "decisions": [decision_to_json(one, side.decisions, side.measured, side.names) for one in side.decisions],
        "costs": [costs_to_json(cost) for cost in side.costs],
        "trust": trust_to_json(trust(side.measured)),
    }


def _pair(pair: Pair) -> dict[str, Any]:
    compared = pair.compared
    yardstick = compared.yardstick
    is_used = yardstick is not None and yardstick.is_used
    return {
        "of": pair.other.letter,
        "to": pair.first.letter,
        "is_compared": not pair.why_not,
        "why_not": pair.why_not or None,
        "headline": said.headline(compared),
        "margin_share": compared.margin,
        "yardstick": yardstick.name if yardstick is not None and is_used else None,
        "yardstick_ratio": interval(yardstick.shift.interval()) if yardstick is not None and is_used else None,
        "changes": [
            {"what": change.what, pair.first.letter: change.before, pair.other.letter: change.after}
            for change in (*compared.changes, *compared.plan_changes)
        ],
        "notes": list(said.notes(compared)),
    }


def _need(row: NeedRow, beside: SideBySide) -> dict[str, Any]:
    key = measure_key(row.need.measure)
    return {
        "need": row.need.name,
        **contender_to_json(row.contender),
        "condition": condition_to_json(row.condition),
        "figure": key,
        "runs": {side.letter: _seen(row, seen, key) for side, seen in zip(beside.sides, row.seen, strict=True)},
        "changes": _changes(beside, row.changes),
    }


def _seen(row: NeedRow, seen: Seen | None, key: str) -> dict[str, Any] | None:
    if seen is None:
        return None
    p99 = seen.p99_us
    spread = {
        "latency_us_p99": number(p99.whole),
        "latency_us_p99_lowest_block": number(p99.lowest),
        "latency_us_p99_highest_block": number(p99.highest),
    }
    return spread if row.need.measure is TAIL else {key: interval(seen.level), **spread}


def _cost(row: CostRow, beside: SideBySide) -> dict[str, Any]:
    return {
        "cost": row.cost,
        **contender_to_json(row.contender),
        "runs": {
            side.letter: {"server_cpu_us": interval(seen)} if seen else None
            for side, seen in zip(beside.sides, row.seen, strict=True)
        },
        "changes": _changes(beside, row.changes),
    }


def _changes(beside: SideBySide, changes: tuple[Change | None, ...]) -> list[dict[str, Any]]:
    return [
        {
            "of": pair.other.letter,
            "to": pair.first.letter,
            "is_compared": not pair.why_not,
            "ratio": interval(change.interval) if change else None,
            "verdict": str(change.judgement) if change else None,
        }
        for pair, change in zip(beside.pairs, changes, strict=True)
    ]
