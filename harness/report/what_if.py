"""Would it be so for me? Predictions for loads that nobody measured: a panel with sliders, and a table without them.

The panel interpolates in `harness.prediction.grid`, the predictor's own figures at the points of a grid; it has no
predictor of its own (`templates/what_if.js`). Where the grid says nothing the panel says so, and it never goes beyond.
The table's few loads are predicted here: for readers without JavaScript, for paper, and for screen readers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import words
from harness.costs import Cells
from harness.measured import Contender, Measured
from harness.prediction import (
    Axes,
    Prediction,
    Predictor,
    Workload,
    check_cpu,
    check_latency,
    grid_to_json,
    how_to_measure,
    predictors,
)
from harness.report.content import Mark, Section, Table, table
from harness.report.naming import Names, mark
from harness.report.packing import packed
from harness.statistics import Interval

ANCHOR = "what-if"
MANY = 12  # deployments, from which on the sliders have fewer stops: each takes about 0.02 s a deployment to predict
STEPS = 250  # of the packed latencies, to a factor of e: 0.4 % apart
NONE = 0xFFFF  # packed: not told
_NAMED = 4  # deployments that lack the same, before the others are counted

# What the sliders stop at, beside the points of the grid's first two axes. 0: as few processors as are under 80 % busy;
# 0: as many clients as it takes.
RTT_MS = (0, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200)
RATES_PER_S = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 3000, 5000, 7000, 10_000, 20_000, 50_000)
CORES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
CLIENTS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)

# The loads of the table, and what each is like.
TYPICAL: tuple[tuple[str, Workload], ...] = (
    ("a dashboard next door: 50/s, open connections, 1 ms", Workload(rate_per_s=50, rtt_ms=1)),
    (
        "scripts, each with its own connection: 50/s, 20 ms",
        Workload(rate_per_s=50, requests_per_connection=1, rtt_ms=20),
    ),
    (
        "a busy poller far away: 1,000/s, 10 a connection, 50 ms",
        Workload(rate_per_s=1000, requests_per_connection=10, rtt_ms=50),
    ),
    (
        "slow devices: 100/s, open connections, 5 ms, 20 % wait 100 ms",
        Workload(rate_per_s=100, rtt_ms=5, slow_share=0.2),
    ),
)


@dataclass(frozen=True, slots=True)
class Slider:
    """A native range input over positions."""

    name: str  # in the permalink
    label: str
    values: tuple[float | None, ...]
    said: tuple[str, ...]  # each value, in words
    start: int  # position


@dataclass(frozen=True, slots=True)
class Panel:
    """What the template needs beside the section."""

    sliders: tuple[Slider, ...]
    marks: tuple[Mark, ...]  # of the deployments, in the grid's order
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The section, and its panel where something can be predicted."""

    section: Section
    panel: Panel | None


def what_if(measured: Measured, names: Names) -> WhatIf:
    """Return the section of a run, whatever the run lacks."""
    found = predictors(measured)
    lacking = _lacking(measured, found, names)
    if not found:
        said = "Nothing can be predicted from this run."
        return WhatIf(_section(f"{said} {lacking[0]}" if lacking else said, notes=lacking[1:]), None)
    axes = axes_for(len(found))
    answer = (
        "Set your own load: what each deployment would take for it is predicted from what a request, a connection and "
        f"a slow request cost in this run. {_checked(measured)}"
    )
    section = _section(answer, predictors_of=list(found.values()), names=names, notes=[*_notes(found), *lacking])
    return WhatIf(section, _panel(found, axes, names))


def axes_for(deployments: int) -> Axes:
    """Return what the grid is made of: for many deployments fewer kinds of clients, as fine in load and distance."""
    if deployments < MANY:
        return Axes()
    return Axes(requests_per_connection=(1, 10, 200, None), slow_share=(0.0, 0.02, 0.2))


def packed_latencies(grid: Mapping[str, Any]) -> str:
    """Return the grid's latencies as base64 of zlib, a twentieth of their JSON; `what_if.js` unpacks them.

    16 bits each, least significant bytes first of all and then the others: the logarithm of µs in 1 / STEPS, or
    NONE; how far below it the interval's low end is; how far above it the high end. Along the last axis, each less
    the one before, modulo 2^16. By deployment: p50, p99, and the mean's estimate alone.
    """
    levels = [
        plane
        for deployment in grid["deployments"]
        for key, parts in (("p50_ms", 3), ("p99_ms", 3), ("mean_ms", 1))
        for plane in _levels(deployment[key], grid["axes"])[:parts]
    ]
    differences = np.mod(np.diff(np.stack(levels), axis=-1, prepend=0), NONE + 1)
    low_and_high = differences.astype("<u2").view(np.uint8).reshape(-1, 2).T
    return packed(low_and_high.tobytes())


def _levels(nested: Sequence[Any], axes: Mapping[str, Sequence[Any]]) -> list[NDArray[np.int64]]:
    shape = tuple(len(values) for values in axes.values())
    estimate, below, above = (np.full(shape, NONE, dtype=np.int64) for _ in range(3))
    for place in np.ndindex(shape[:-1]):
        points: Any = nested
        for position in place:
            points = points[position] if points is not None else None  # null stands for all that is under it
        for last, point in enumerate(points or ()):
            at = (*place, last)
            middle, low, high = (_level(value) for value in point)
            if middle is None:
                continue
            estimate[at] = middle
            below[at] = NONE if low is None else max(0, middle - low)
            above[at] = NONE if high is None else max(0, high - middle)
    return [estimate, below, above]


def _level(value_ms: float | None) -> int | None:
    return None if value_ms is None or value_ms <= 1e-3 else round(STEPS * math.log(1000 * value_ms))


def _panel(found: Mapping[Contender, Predictor], axes: Axes, names: Names) -> Panel:
    grid = grid_to_json(list(found.values()), axes)
    sliders = _sliders(axes)
    data = {
        "sliders": [{"name": one.name, "values": one.values, "said": one.said} for one in sliders],
        "axes": grid["axes"],
        "busiest": grid["busiest"],
        "steps": STEPS,
        "none": NONE,
        "deployments": [
            {
                "label": names.label(contender),
                **{key: deployment[key] for key in ("cpu_us", "capacity_per_s", "limit", "is_least")},
            }
            for contender, deployment in zip(found, grid["deployments"], strict=True)
        ],
        "latencies": packed_latencies(grid),
    }
    return Panel(sliders, tuple(mark(contender, names) for contender in found), data)


def _sliders(axes: Axes) -> tuple[Slider, ...]:
    requests, shares = axes.requests_per_connection, axes.slow_share
    return (
        Slider("rate", "requests a second", RATES_PER_S, tuple(f"{rate:,}" for rate in RATES_PER_S), 6),
        Slider(
            "requests",
            "requests on each connection",
            requests,
            tuple("it stays open" if one is None else f"{one:,}" for one in requests),
            requests.index(10) if 10 in requests else 0,
        ),
        Slider("rtt", "round trip", RTT_MS, tuple(f"{one:g}{words.THIN}ms" for one in RTT_MS), 8),
        Slider("slow", "slow requests (wait 100 ms)", shares, tuple(words.percent(one) for one in shares), 0),
        Slider("cores", "processors", CORES, ("as few as it takes", *(f"{one}" for one in CORES[1:])), 0),
        Slider("clients", "clients", CLIENTS, ("any number", *(f"{one:,}" for one in CLIENTS[1:])), 0),
    )


def _section(
    answer: str,
    *,
    predictors_of: Sequence[Predictor] = (),
    names: Names | None = None,
    notes: Sequence[str] = (),
) -> Section:
    tables: tuple[Table, ...] = ()
    if predictors_of and names is not None:
        tables = (
            table(
                "Predicted for a few loads: half and 99 % of the answers come within; processors busy",
                ["deployment"],
                [said for said, _ in TYPICAL],
                [
                    (names.label(one.contender), *(_said(one, workload) for _, workload in TYPICAL))
                    for one in predictors_of
                ],
            ),
        )
    return Section(
        ANCHOR,
        "Would it be so for me?",
        answer,
        command="bench predict DIR --deployment NAME --rate X --requests-per-connection K --rtt-ms R --slow-share S",
        tables=tables,
        notes=tuple(notes),
    )


def _said(predictor: Predictor, workload: Workload) -> str:
    if predictor.missing(workload) or predictor.cpu_interval(workload) is None:
        return "not measured"
    found = predictor.predict(workload)
    return f"{_latency(found)}; {words.significant(found.cores_needed.estimate, 2)} of {found.cores}"


def _latency(found: Prediction) -> str:
    if found.p50_us is None or found.p99_us is None:
        return "beyond capacity"
    return f"{_within(found.p50_us)} and {_within(found.p99_us)}"


def _within(interval: Interval) -> str:
    return words.microseconds(interval.estimate, 3)


def _checked(measured: Measured) -> str:
    """Say how far predictions are off from trials that they were not made of."""
    cpu, latency = check_cpu(measured), check_latency(measured)
    said = []
    if cpu:
        said.append(f"CPU time was off by {words.percent(max(abs(one.error.estimate) for one in cpu))} at most")
    for name, errors in (
        ("the median", [one.p50_error for one in latency]),
        ("the 99th percentile", [one.p99_error for one in latency]),
    ):
        known = [abs(error) for error in errors if math.isfinite(error)]
        if known:
            said.append(f"{name} by {words.percent(max(known))}")
    if not said:
        return (
            "How far off that is was not checked in this run: `bench run costs` has trials to hold predictions against."
        )
    cases = words.count(len(cpu) + len(latency), "case")
    return f"Held against {cases} that no prediction was made of, {words.listed(said)}."


def _notes(found: Mapping[Contender, Predictor]) -> list[str]:
    notes = [
        (
            "Intervals are 95 %, of the costs that were measured; how far the model itself is off is not in them, but "
            "in the sentence above."
        ),
        (
            "Predictions stand on a grid that the bench computed: the round trip and the load between its points are "
            "interpolated, nothing outside is guessed. Over 97 % of capacity no latency is told: it hardly has a bound."
        ),
        (
            "Requests come at random moments, of one kind (a small read with TLS and Digest). Of pauses, neighbours, "
            "loss and bandwidth of your network the model knows nothing."
        ),
    ]
    least = [one.contender.deployment for one in found.values() if one.is_least]
    if least:
        whose = "all" if len(least) == len(found) else words.shortened(least, _NAMED)
        notes.append(
            f"Latencies of {whose} are the least that they can be: what an answer takes beside the server's CPU was "
            "not measured (a client alone on open connections); `bench run costs` measures it."
        )
    return notes


def _lacking(measured: Measured, found: Mapping[Contender, Predictor], names: Names) -> list[str]:
    """Say of whom what was not measured, and what measures it; deployments that lack the same in one sentence."""
    by_lack: dict[tuple[str, str], list[str]] = {}
    for contender in measured.contenders:
        said = _lack(measured, contender, found.get(contender))
        if said:
            by_lack.setdefault((said, how_to_measure(contender.deployment)), []).append(names.label(contender))
    if not measured.contenders:
        return ["It holds no trials that count."]
    return [
        f"Not measured of {words.shortened(who, _NAMED)}: {lack}; {remedy}." for (lack, remedy), who in by_lack.items()
    ]


def _lack(measured: Measured, contender: Contender, predictor: Predictor | None) -> str:
    if predictor is None:
        cells = Cells.of(measured, contender)
        if cells is None:
            return "requests on open connections with TLS and Digest (keep-alive)"
        predictor = Predictor(cells)
        if not predictor.is_known:
            return f"TLS 1.2 or 1.3 (only {predictor.version}, of which this version knows no round trips)"
    missing = predictor.missing(Workload(rate_per_s=1.0, requests_per_connection=1, slow_share=0.5))
    return words.listed(missing)
