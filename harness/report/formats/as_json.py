"""The report for programs: figures as numbers in base units, named in their keys; what is not known is null.

Times in µs (`…_us`), sizes in bytes, rates in requests a second (`…_per_s`), shares of 1 (`…_share`), ratios as they
are (`…_ratio`). An interval is an object: `estimate`, `low` and `high` (95 % unless said otherwise; null where there
are too few blocks) and the `blocks` behind it. docs/report-formats.md lists the keys; FORMAT changes when one of them
changes its meaning or goes, not when one is added.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from harness.costs import Costs, costs
from harness.handshakes.comparison import Comparison
from harness.handshakes.figures import Subject, subject_to_json
from harness.measured import Condition, Contender, Measured, condition_of, contender_of, cpu_us, throughput
from harness.report import handshakes, summary, trust
from harness.report.decisions import CPU, TAIL, THROUGHPUT, Decision, Measure, Rival, decide
from harness.report.flips import flips
from harness.report.naming import Names
from harness.report.reading import RunFolder
from harness.statistics import Interval, Verdict
from harness.trials import RunHeader, Trial

FORMAT: Final = 1

# What decides, by the names that figures have in `cells` too.
MEASURE_KEYS: Final[Sequence[tuple[Measure, str]]] = (
    (CPU, "server_cpu_us_per_request"),
    (THROUGHPUT, "requests_per_s"),
    (TAIL, "latency_us_p99"),
)


def run_report(found: RunFolder) -> dict[str, Any]:
    """Return the report of one run as one object."""
    measured = Measured(found.run)
    names = Names(measured.contenders)
    decisions = decide(measured)
    costed = costs(measured)
    trusted = trust.trust(measured)
    return {
        "format": FORMAT,
        "kind": "run",
        **run_to_json(found),
        "opening": summary.opening(decisions, costed, trusted, names),
        "decisions": [decision_to_json(decision, decisions, measured, names) for decision in decisions],
        "costs": [costs_to_json(cost) for cost in costed],
        "handshakes": [_handshake(one) for one in handshakes.handshakes(measured)],
        "handshakes_in_memory": _in_memory(Comparison(found.blocks)),
        "cells": [_cell(measured, *key) for key in sorted(measured.cells)],
        "trust": trust_to_json(trusted),
        "set_aside": [_doubtful(trial, "nothing") for trial in measured.aside]
        + [_doubtful(trial, "server CPU") for trial in measured.for_cost_alone],
        "not_measured": [{"what": gap.what, "detail": gap.detail} for gap in trust.unmeasured(measured, decisions)],
    }


def outcome(found: RunFolder, findings: Sequence[str], page: Path) -> dict[str, Any]:
    """Return what `bench run --json` prints: where the report is, its findings, and its decisions as `run_report`'s."""
    measured = Measured(found.run)
    names, decisions = Names(measured.contenders), decide(measured)
    return {
        "format": FORMAT,
        "kind": "outcome",
        "folder": str(found.folder),
        "report": str(page),
        "findings": list(findings),
        "decisions": [decision_to_json(decision, decisions, measured, names) for decision in decisions],
        "lacks": list(found.lacks),
    }


def run_to_json(found: RunFolder) -> dict[str, Any]:
    """Return which run it is, on what it was measured, and what its folder lacks."""
    header = found.run.header
    return {
        "run": {"folder": str(found.folder), **_header(header), "trials": len(found.run.trials)},
        "environment": finite(header.environment),
        "lacks": list(found.lacks),
    }


def decision_to_json(
    decision: Decision, decisions: Sequence[Decision], measured: Measured, names: Names
) -> dict[str, Any]:
    """Return a row of the table of decisions: who is first, over whom by how much, how sure, and when it flips."""
    key = measure_key(decision.need.measure)
    return {
        "need": decision.need.name,
        "detail": decision.need.detail,
        "outcome": decision.outcome.value,
        "condition": None if decision.condition is None else condition_to_json(decision.condition),
        "decided_by": key,
        "more_is_better": decision.need.measure.more_is_better,
        "take": contender_to_json(decision.choice.contender) if decision.standings else None,
        "as_good": [contender_to_json(one.contender) for one in decision.level[1:]] if decision.standings else [],
        "runner_up": None if decision.runner_up is None else _rival(decision.runner_up),
        "standings": [{**contender_to_json(one.contender), key: number(one.value)} for one in decision.standings],
        "best_over_the_others": [_rival(rival) for rival in decision.rivals],
        "chance_p_value": number(decision.p_value) if decision.next else None,
        "flips_when": flips(decision, decisions, measured, names) or None,
        "deployments_set_aside": list(decision.set_aside),
        "deployments_limited_by_the_generator": list(decision.unlimited),
        "failing": [
            {**contender_to_json(one.contender), "failed_requests": one.failed, "requests": one.requests}
            for one in decision.failing
        ],
    }


def costs_to_json(cost: Costs) -> dict[str, Any]:
    """Return one contender's costs: server CPU in µs."""
    return {
        **contender_to_json(cost.contender),
        "clients": cost.clients,
        "request_server_cpu_us": interval(cost.request),
        "server_and_framework_server_cpu_us_per_request": interval(cost.server),
        "proxy_server_cpu_us_per_request": interval(cost.proxy),
        "datastore_server_cpu_us_per_request": interval(cost.datastore),
        "digest_server_cpu_us_per_request": interval(cost.digest),
        "challenge_server_cpu_us": interval(cost.challenge),
        "tls_server_cpu_us_per_request": interval(cost.tls_request),
        "tls_server_cpu_us_per_connection": interval(cost.tls_connection),
        "tls_server_cpu_us_per_resumed_connection": interval(cost.tls_resumed),
        "tcp_server_cpu_us_per_connection": interval(cost.tcp_connection),
        "health_check_server_cpu_us": interval(cost.health),
    }


def trust_to_json(found: trust.Trust) -> dict[str, Any]:
    """Return how far the run may be believed."""
    return {
        "trials": found.trials,
        "trials_used": found.used,
        "trials_used_for_cpu_alone": found.for_cost_alone,
        "trials_set_aside": found.aside,
        "trials_with_generator_limit": found.generator_limit,
        "blocks": found.blocks,
        "block_variation_share": number(found.typical_noise),
        "busiest_generator_processor_share": number(found.busiest_generator),
        "worst_neighbour_processor_share": number(found.worst_neighbour),
        "slowest_to_fastest_pace_ratio": number(found.slowest),
        "notes": list(found.notes),
        "same_against_same": [
            {
                **contender_to_json(twins.contender),
                "condition": condition_to_json(twins.condition),
                "figure": twins.figure,
                "ratio": interval(twins.ratio),
                "outcome": str(twins.outcome),
            }
            for twins in found.calibration.twins
        ],
        "known_additions": [
            {
                **contender_to_json(one.contender),
                "condition": condition_to_json(one.condition),
                "what": str(one.addition),
                "added_us": number(one.truth_us),
                "found_us": interval(one.difference),
                "outcome": str(one.outcome),
            }
            for one in found.calibration.found
        ],
    }


def measure_key(measure: Measure) -> str:
    """Return the name that a figure has as a key."""
    return next(key for known, key in MEASURE_KEYS if known is measure)


def contender_to_json(contender: Contender) -> dict[str, Any]:
    """Return a deployment as it was set up."""
    return {"deployment": contender.deployment, "threads": contender.threads, "workers": contender.workers}


def condition_to_json(condition: Condition) -> dict[str, Any]:
    """Return what a contender was put through; a rate of null is a closed load."""
    return {
        "scenario": str(condition.scenario),
        "clients": condition.clients,
        "requests_per_s": condition.rate_per_s or None,
        "tls": condition.tls,
        "auth": condition.auth,
        "certificate_kind": condition.certificate_kind,
        "requests_per_connection": condition.requests_per_connection or None,
    }


def interval(found: Interval | None) -> dict[str, Any] | None:
    """Return an estimate with its interval; the ends are null where there are too few blocks."""
    if found is None:
        return None
    low, high = (number(end) if found.is_finite else None for end in (found.low, found.high))
    return {"estimate": number(found.estimate), "low": low, "high": high, "blocks": found.n}


def number(value: float) -> float | None:
    """Return a number that JSON has; null for what is not known."""
    return value if math.isfinite(value) else None


def finite(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return JSON without the NaN and infinities that Python's reader lets in, and JSON has not."""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


def _header(header: RunHeader) -> dict[str, Any]:
    return {
        "plan": finite(header.plan.get("name")),
        "plan_hash": header.plan_hash,
        "planned_blocks": header.fixed_blocks or None,
        "planned_trials": header.planned_trials or None,
        "seed": header.seed,
        "started": header.started,
    }


def _rival(rival: Rival) -> dict[str, Any]:
    return {
        **contender_to_json(rival.contender),
        "advantage_ratio": interval(rival.advantage),
        "is_told_apart": rival.verdict is Verdict.MORE,
    }


def _cell(measured: Measured, contender: Contender, condition: Condition) -> dict[str, Any]:
    p50, p99 = (measured.latency(contender, condition, percent) for percent in (50, 99))
    return {
        **contender_to_json(contender),
        "condition": condition_to_json(condition),
        "blocks": len({trial.block for trial in measured.cost_trials(contender, condition)}),
        "server_cpu_us_per_request": interval(measured.level(contender, condition, cpu_us)),
        "requests_per_s": interval(measured.level(contender, condition, throughput)),
        "latency_us_p50": number(p50.whole),
        "latency_us_p99": number(p99.whole),
        "latency_us_p99_lowest_block": number(p99.lowest),
        "latency_us_p99_highest_block": number(p99.highest),
    }


def _handshake(one: handshakes.Handshake) -> dict[str, Any]:
    return {
        **contender_to_json(one.contender),
        "version": one.version,
        "kind": one.kind,
        "key_kind": one.condition.certificate_kind,
        "cipher": one.cipher,
        "group": one.group,
        "server_cpu_us": interval(one.server_cpu),
        "tcp_included": not one.without_tcp,
        "client_us_p50": number(one.client_time.whole),
        "sent_bytes": number(one.sent),
        "received_bytes": number(one.received),
        "round_trips_to_first_answer": one.trips.first_answer,
    }


def _in_memory(compared: Comparison) -> list[dict[str, Any]]:
    def entry(subject: Subject) -> dict[str, Any]:
        return {
            **subject_to_json(subject),
            "openssl": compared.openssl.get(subject.stack),
            "server_cpu_us": interval(compared.level(subject)),
        }

    return [entry(subject) for subject in compared.figures]


def _doubtful(trial: Trial, used: str) -> dict[str, Any]:
    return {
        "block": trial.block,
        "cell": trial.cell,
        **contender_to_json(contender_of(trial)),
        "condition": condition_to_json(condition_of(trial)),
        "used": used,
        "doubts": list(trust.reasons_of(trial)),
        "errors": dict(trial.errors),
    }
