"""Section: how many clients? Throughput, and the latency that it comes at, against clients that wait for answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness import words
from harness.measured import Condition, Contender, Measured, Scenario, Spread, cpu_us, throughput
from harness.report import charts
from harness.report.content import Plot, Section, Table, table
from harness.report.naming import Names, legend, series, set_up
from harness.statistics import Interval

QUICK, SLOW = "quick requests", "slow requests"
NOTED = 3  # series whose points carry their p99; more would hide each other
SPEEDS = {Scenario.KEEP_ALIVE: QUICK, Scenario.SLOW_IO: SLOW}


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One contender under one load."""

    contender: Contender
    condition: Condition
    throughput: Interval  # requests/s
    cpu: Interval  # µs a request
    p50: Spread
    p99: Spread
    rss_bytes: float  # mean over the blocks, the server's whole process tree; 0 where it was not seen


def points(measured: Measured, scenario: Scenario) -> tuple[Point, ...]:
    """Return every contender at every load of a scenario, under the usual TLS, key and authentication."""
    usual = measured.usual([condition for condition in measured.conditions(scenario) if condition.has_tls])
    if usual is None:
        return ()
    like = (usual.tls, usual.auth, usual.certificate_kind)
    return tuple(
        Point(
            contender=contender,
            condition=condition,
            throughput=measured.level(contender, condition, throughput),
            cpu=measured.level(contender, condition, cpu_us),
            p50=measured.latency(contender, condition, 50),
            p99=measured.latency(contender, condition, 99),
            rss_bytes=float(np.mean([trial.rss_bytes for trial in measured.trials(contender, condition)])),
        )
        for condition in measured.conditions(scenario)
        if (condition.tls, condition.auth, condition.certificate_kind) == like
        for contender in measured.contenders_under(condition)
        if measured.trials(contender, condition)
    )


def clients_section(measured: Measured, names: Names) -> Section:
    """Answer how much is served, quick and slow requests apart."""
    anchor, question = "clients", "How many clients?"
    by_speed = {speed: points(measured, scenario) for scenario, speed in SPEEDS.items()}
    by_speed = {speed: found for speed, found in by_speed.items() if found}
    if not by_speed:
        return Section(anchor, question, "Not measured: it takes quick or slow requests on open connections.")
    used = [one for one in measured.contenders if any(one == p.contender for found in by_speed.values() for p in found)]
    parts = tuple(_part(speed, found, series(used, names), names) for speed, found in by_speed.items())
    answers = [_throughput_answer(speed, found, names) for speed, found in by_speed.items()]
    missing = [speed for speed in SPEEDS.values() if speed not in by_speed]
    loads = sorted({point.condition.clients for found in by_speed.values() for point in found})
    notes = [
        (
            f"Measured at {words.listed([f'{load:,}' for load in loads])} clients; nothing is drawn beyond. Where "
            "throughput no longer grows with the clients, their latency does: every client sends its next request when "
            "the last one is answered, so more clients than the server keeps up with wait in turn."
        ),
        (
            "p50 and p99 are what half and 99 % of all requests did not exceed, over all blocks together; the thin "
            "lines of p99 reach from the lowest to the highest block."
        ),
    ]
    if missing:
        notes.append(f"Not measured: {words.listed(missing)}.")
    return Section(
        anchor,
        question,
        " ".join(answers),
        legend=legend(used, names),
        notes=tuple(notes),
        parts=parts,
    )


def _part(speed: str, found: Sequence[Point], looks: Sequence[charts.Series], names: Names) -> Section:
    """Tell how much is served of one kind of request, and how long each takes."""
    anchor = "clients-quick" if speed == QUICK else "clients-slow"
    return Section(
        anchor,
        words.capitalised(_heading(speed)),
        _latency_answer(found, names),
        plots=_plots(anchor, speed, found, looks, names),
        tables=(
            _throughput_table(f"Throughput of {_heading(speed)}", found, names),
            _latency_table(f"Latency of {_heading(speed)}", found, names),
        ),
    )


def _heading(speed: str) -> str:
    return speed if speed == QUICK else f"{speed} (100 ms in the device)"


def _plots(
    anchor: str, speed: str, found: Sequence[Point], looks: Sequence[charts.Series], names: Names
) -> tuple[Plot, ...]:
    """Draw throughput, and the latency that it comes at, beside each other."""
    latency = _latency_points(found, names)
    plots = [
        Plot(
            name=f"plot-{anchor}",
            caption=f"Throughput of {speed} against clients, requests/s, with 95 % intervals",
            spec=charts.against_clients(_throughput_points(found, names), looks, title="requests/s"),
            heading="Throughput",
        )
    ]
    if latency:
        plots.append(
            Plot(
                name=f"plot-{anchor}-p99",
                caption=f"p99 of {speed} against clients, ms, from the lowest to the highest block",
                spec=charts.against_clients(latency, looks, title="p99, ms", domain=charts.log_domain(latency)),
                heading="p99",
            )
        )
    return tuple(plots)


def _latency_points(found: Sequence[Point], names: Names) -> list[charts.LoadPoint]:
    return [
        charts.LoadPoint(
            names.label(point.contender),
            point.condition.clients,
            point.p99.whole / 1e3,
            point.p99.lowest / 1e3,
            point.p99.highest / 1e3,
            f"{names.label(point.contender)}, {words.count(point.condition.clients, 'client')}: p99 "
            f"{words.microseconds(point.p99.whole)}, p50 {words.microseconds(point.p50.whole)}",
        )
        for point in found
        if math.isfinite(point.p99.whole)
    ]


def _throughput_points(found: Sequence[Point], names: Names) -> list[charts.LoadPoint]:
    crowded = len({point.contender for point in found}) > NOTED
    return [
        charts.LoadPoint(
            names.label(point.contender),
            point.condition.clients,
            point.throughput.estimate,
            point.throughput.low,
            point.throughput.high,
            f"{names.label(point.contender)}: {words.per_second(point.throughput)}, "
            f"p99 {words.microseconds(point.p99.whole)}",
            "" if crowded else f"p99 {words.microseconds(point.p99.whole)}",
        )
        for point in found
    ]


def _latency_answer(found: Sequence[Point], names: Names) -> str:
    loads = sorted({point.condition.clients for point in found})
    most = [point for point in found if point.condition.clients == loads[-1]]
    ranked = sorted(most, key=lambda point: point.p99.whole)
    said = []
    for point in ranked if len(ranked) <= 2 else (ranked[0], ranked[-1]):
        own = [other for other in found if other.contender == point.contender]
        first = f"from {words.microseconds(own[0].p99.whole)} " if len(own) > 1 else ""
        said.append(f"{first}to {words.microseconds(own[-1].p99.whole)} on {names.label(point.contender)}")
    if len(ranked) > 2:
        said[0] += ", the least,"
        said[-1] += ", the most"
    if len(loads) == 1:
        return f"Only one load was tried: with {words.count(loads[0], 'client')} p99 comes {words.listed(said)}."
    return f"From {loads[0]:,} to {loads[-1]:,} clients p99 goes {words.listed(said)}."


def _throughput_answer(speed: str, found: Sequence[Point], names: Names) -> str:
    most = max(point.condition.clients for point in found)
    at_most = sorted(
        (point for point in found if point.condition.clients == most),
        key=lambda point: point.throughput.estimate,
        reverse=True,
    )
    said = []
    for point in at_most[:2]:
        threads = f" ({set_up(point.contender)})" if speed == SLOW else ""
        said.append(
            f"{names.label(point.contender)}{threads} answers {words.per_second(point.throughput)} with p99 "
            f"{words.microseconds(point.p99.whole)}"
        )
    return f"{words.capitalised(speed)}, {most:,} clients: {words.listed(said)}."


def _latency_table(caption: str, found: Sequence[Point], names: Names) -> Table:
    rows = [
        (
            names.label(point.contender),
            set_up(point.contender),
            f"{point.condition.clients:,}",
            words.microseconds(point.p50.whole, 3),
            words.microseconds_range(point.p50.lowest, point.p50.highest),
            words.microseconds(point.p99.whole, 3),
            words.microseconds_range(point.p99.lowest, point.p99.highest),
            f"{point.p99.blocks}",
        )
        for point in found
    ]
    blocks = f"lowest {words.DASH} highest block"
    figures = ["clients", "p50", blocks, "p99", blocks, "blocks"]
    return table(caption, ["deployment", "served by"], figures, rows)


def _throughput_table(caption: str, found: Sequence[Point], names: Names) -> Table:
    rows = [
        (
            names.label(point.contender),
            set_up(point.contender),
            f"{point.condition.clients:,}",
            words.per_second(point.throughput),
            words.between(point.throughput, unit="/s"),
            words.microseconds(point.p99.whole, 3),
            words.microseconds_between(point.cpu),
            words.megabytes(point.rss_bytes) if point.rss_bytes else "not known",
            f"{point.throughput.n}",
        )
        for point in found
    ]
    figures = ["clients", "throughput", "95 % interval, /s", "at p99", "server CPU a request", "memory", "blocks"]
    return table(caption, ["deployment", "served by"], figures, rows)
