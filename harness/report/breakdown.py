"""Section: where does a request's time go? The parts are the costs' (`harness.costs`), and so is whether they add up.

A bar is a request that reads the datastore, where that was measured, or the system's state; its connection is shared
over so many requests as the slider says. The diamond is the same request as it was measured whole. Below: the check of
the sum, when a handshake is paid back, and how far predictions are off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness import words
from harness.costs import Costs, Part, Waterfall, Whole, base_condition, break_even, waterfall
from harness.costs.waterfall import WholeName
from harness.measured import Contender, Measured, Scenario
from harness.prediction import check_cpu, check_latency
from harness.report import charts
from harness.report.content import Mark, Plot, Section, Table, table
from harness.report.naming import Names, server_of
from harness.statistics import Interval

UNEXPLAINED = "unexplained"
MEASURED = "measured whole, with its 95 % interval"
LOOKS = (
    charts.Series(Part.SERVER, "var(--part-rest)"),
    charts.Series(Part.PROXY, "var(--part-proxy)"),
    charts.Series(Part.DATASTORE, "var(--part-datastore)"),
    charts.Series(Part.DIGEST, "var(--part-digest)"),
    charts.Series(Part.RECORDS, "var(--part-records)"),
    charts.Series(Part.TCP, "var(--part-tcp)"),
    charts.Series(Part.HANDSHAKE, "var(--part-handshake)"),
    charts.Series(UNEXPLAINED, "var(--part-unexplained)"),
)
KEPT = 10  # requests on a connection, at least, of a server that is said to keep it
EXAMPLES = (1, 10, 100)  # requests per connection, in the table


@dataclass(frozen=True, slots=True)
class Reconnected:
    """A server that keeps connections, and made its clients connect anew now and then all the same."""

    contender: Contender
    handshakes: int
    requests: int


@dataclass(frozen=True, slots=True)
class Drawn:
    """A contender's bar: the request that is drawn, as its parts and as it was measured. µs."""

    fall: Waterfall
    request: Whole  # on an open connection, from the datastore where that was measured
    new: Interval | None  # the whole on a new connection

    @property
    def connection(self) -> float:
        """What a new connection was measured to take; the sum of its parts where no whole was measured."""
        if self.new is None:
            return self.fall.parts[Part.TCP].estimate + self.fall.parts[Part.HANDSHAKE].estimate
        return self.new.estimate - self.fall.wholes[WholeName.OPEN].measured.estimate

    def total(self, requests: int) -> float:
        """Return the measured CPU of a request when so many share a connection."""
        return self.request.measured.estimate + self.connection / requests


def drawn(fall: Waterfall) -> Drawn:
    """Return a waterfall's bar."""
    request = fall.wholes.get(WholeName.STORED, fall.wholes[WholeName.OPEN])
    new = fall.wholes.get(WholeName.NEW)
    return Drawn(fall, request, new.measured if new else None)


def reconnected(measured: Measured) -> tuple[Reconnected, ...]:
    """Return who closed connections that clients wanted to keep, seen in the handshakes of those trials."""
    found = []
    for contender in measured.contenders:
        trials = [
            trial
            for condition in measured.conditions(Scenario.KEEP_ALIVE)
            if condition.has_tls
            for trial in measured.cost_trials(contender, condition)
        ]
        handshakes = sum(trial.handshakes.full + trial.handshakes.resumed for trial in trials)
        requests = sum(trial.requests for trial in trials)
        if handshakes and requests >= KEPT * handshakes:
            found.append(Reconnected(contender, handshakes, requests))
    return tuple(found)


def section(measured: Measured, costs: Sequence[Costs], names: Names) -> Section:
    """Answer for every contender whose parts were measured."""
    anchor, question = "time", "Where does a request's time go?"
    falls = [fall for cost in costs if (fall := waterfall(measured, cost.contender)) is not None]
    if not falls:
        missing = "Not measured: it takes the same requests with and without TLS, and with and without Digest."
        return Section(anchor, question, missing)
    bars = [drawn(fall) for fall in falls]
    used = [
        look for look in LOOKS if look.label == UNEXPLAINED or any(Part(look.label) in fall.parts for fall in falls)
    ]
    if not any(fall.checked for fall in falls):
        used.pop()
    marks = [Mark(look.label, look.colour) for look in used]
    parts = (
        _sum_section(falls, names),
        _paid_back_section(measured, falls, names),
        _prediction_section(measured, names),
    )
    return Section(
        anchor,
        question,
        _answer(bars, names),
        legend=(*marks, Mark(MEASURED, charts.INK, "diamond")),
        plots=(_plot(bars, used, names),),
        tables=(_table(bars, names),),
        notes=_notes(measured, costs, bars, names),
        parts=tuple(part for part in parts if part is not None),
    )


def _notes(measured: Measured, costs: Sequence[Costs], bars: Sequence[Drawn], names: Names) -> tuple[str, ...]:
    notes = [
        (
            "Server CPU, user and system, of the server's whole process tree. Parts are differences between trials "
            "of the same block; where the run has the trials for it, Digest is measured without TLS and TLS without "
            "Digest, so that no part is made of the whole. A part that noise made negative is drawn as nothing."
        ),
    ]
    stored = [bar for bar in bars if bar.request.name is WholeName.STORED]
    if stored:
        notes.append("The request drawn reads one interface from the datastore.")
    health = [cost for cost in costs if cost.health is not None]
    if health:
        said = [
            f"{words.microseconds_between(one.health)} on {names.label(one.contender)}" for one in health if one.health
        ]
        notes.append(f"A whole check of health, which asks the datastore, takes {words.listed(said)}, without TLS.")
    known = {bar.fall.contender for bar in bars}
    apart = [names.label(cost.contender) for cost in costs if cost.contender not in known]
    if apart:
        notes.append(f"Not taken apart, for want of trials without TLS or without Digest: {words.listed(apart)}.")
    return (*notes, *(_reconnected_note(one, names) for one in reconnected(measured)))


def _reconnected_note(one: Reconnected, names: Names) -> str:
    said = (
        f"{names.label(one.contender)} closed connections that its clients wanted to keep: {one.handshakes:,} "
        f"handshakes in {one.requests:,} requests on open connections, whose CPU they are part of."
    )
    if server_of(one.contender.deployment) == "hypercorn":
        said += " Hypercorn, unless told otherwise, ends a connection after 1,000 requests (keep_alive_max_requests)."
    return said


def _answer(bars: Sequence[Drawn], names: Names) -> str:
    cheapest = min(bars, key=lambda bar: bar.fall.wholes[WholeName.OPEN].measured.estimate)
    parts, whole = cheapest.fall.parts, cheapest.fall.wholes[WholeName.OPEN]
    request = whole.measured.estimate
    shares = words.listed([f"{words.percent(max(0.0, parts[part].estimate) / request)} {part}" for part in whole.parts])
    stored = parts.get(Part.DATASTORE)
    datastore = f" The datastore takes {words.microseconds(stored.estimate)} more." if stored else ""
    name = names.label(cheapest.fall.contender)
    return (
        f"On an open connection a request takes {words.microseconds(request)} on {name}: "
        f"{shares}.{datastore} A new connection adds {words.microseconds(cheapest.connection)}, "
        f"{words.significant(cheapest.connection / request)} times the request itself, shared by all requests that "
        "follow on it."
    )


def _plot(bars: Sequence[Drawn], looks: Sequence[charts.Series], names: Names) -> Plot:
    parts: list[charts.Part] = []
    wholes: list[charts.WholeBar] = []
    for bar in bars:
        label, fall = names.label(bar.fall.contender), bar.fall
        amounts = [
            (str(part), fall.parts[part].estimate, part.is_of_connection)
            for part in (*bar.request.parts, Part.TCP, Part.HANDSHAKE)
        ]
        if any(look.label == UNEXPLAINED for look in looks):
            explained = math.fsum(amount for _, amount, shared in amounts if not shared)
            connection = math.fsum(amount for _, amount, shared in amounts if shared)
            amounts.append((UNEXPLAINED, bar.request.measured.estimate - explained, False))
            amounts.append((UNEXPLAINED, bar.connection - connection, True))
        for part, amount, shared in amounts:
            each = "each connection" if shared else "each request"
            parts.append(charts.Part(label, part, amount, f"{part}: {words.microseconds(amount)} {each}", shared))
        wholes.append(
            charts.WholeBar(
                label,
                bar.request.measured.estimate,
                bar.connection,
                half=_half(bar.request.measured),
                half_new=_half(bar.new) if bar.new else 0.0,
            )
        )
    return Plot(
        name="plot-time",
        caption="Server CPU per request, µs, with the connection's share; the diamond is the whole as measured",
        spec=charts.stacked_bars(parts, looks, title="server CPU per request, µs", wholes=wholes),
        request_steps=charts.REQUEST_STEPS,
    )


def _half(interval: Interval) -> float:
    return (interval.high - interval.low) / 2 if interval.is_finite else 0.0


def _table(bars: Sequence[Drawn], names: Names) -> Table:
    shown = [part for part in Part if part is not Part.RESUMED and any(part in bar.fall.parts for bar in bars)]
    rows = [
        (
            names.label(bar.fall.contender),
            *(_figure(bar.fall.parts.get(part)) for part in shown),
            *(words.microseconds(bar.total(requests), 3) for requests in EXAMPLES),
            f"{bar.fall.blocks}",
        )
        for bar in bars
    ]
    return table(
        "Server CPU by part, with 95 % intervals; then as measured per request, connection included",
        ["deployment"],
        [
            *(f"{part}, a {'connection' if part.is_of_connection else 'request'}" for part in shown),
            *(f"{words.count(requests, 'request')} a connection" for requests in EXAMPLES),
            "blocks",
        ],
        rows,
    )


def _figure(interval: Interval | None) -> str:
    return words.microseconds_between(interval) if interval is not None else "not measured"


def _sum_section(falls: Sequence[Waterfall], names: Names) -> Section:
    """Say whether the parts add up to the whole."""
    anchor, question = "time-sum", "Do the parts add up?"
    checked = [(fall, whole) for fall in falls for whole in fall.checked]
    if not checked:
        said = "By construction: this run has too few kinds of trial to measure the parts apart from the whole."
        return Section(anchor, question, f"{said} `bench run costs` has them.")
    rows = [
        (
            names.label(fall.contender),
            whole.name,
            words.microseconds_between(whole.measured),
            words.microseconds(math.fsum(fall.parts[part].estimate for part in whole.parts), 3),
            words.microseconds_between(whole.unexplained) if whole.unexplained else "",
            percent_between(whole.share) if whole.share else "",
            f"{fall.blocks}",
        )
        for fall, whole in checked
    ]
    worst_fall, worst = max(checked, key=lambda one: abs(one[1].share.estimate) if one[1].share else 0.0)
    off = abs(worst.share.estimate) if worst.share else 0.0
    answer = (
        f"To within {words.percent(off)} of the measured whole, or better, in all "
        f"{words.count(len(checked), 'case')}; the farthest is {names.label(worst_fall.contender)} {worst.name}."
    )
    caption = "The whole, measured by trials of its own, and what the parts leave of it, with 95 % intervals"
    figures = ["measured", "sum of the parts", UNEXPLAINED, "of the whole", "blocks"]
    return Section(anchor, question, answer, tables=(table(caption, ["deployment", "a request"], figures, rows),))


def percent_between(interval: Interval) -> str:
    """Return "-1.2 ± 0.8 %" for a share of 1."""
    estimate = words.at_decimals(100 * interval.estimate, 1)
    if not interval.is_finite:
        return words.Said(f"{estimate}{words.THIN}%, no interval", estimate.value, unit="%")
    low, high = 100 * interval.low, 100 * interval.high
    text = f"{estimate} ±{words.THIN}{words.at_decimals((high - low) / 2, 1)}{words.THIN}%"
    return words.Said(text, 100 * interval.estimate, low=low, high=high, unit="%")


def _paid_back_section(measured: Measured, falls: Sequence[Waterfall], names: Names) -> Section | None:
    """Say from how many requests on a connection its handshake is under a tenth of the cost."""
    full = [
        (fall, found)
        for fall in falls
        if (base := base_condition(measured, fall.contender)) is not None
        and measured.keeps_connections(fall.contender, base)
        and (found := break_even(measured, fall.contender)) is not None
    ]
    if not full:
        return None
    rows = []
    for fall, found in full:
        resumed = break_even(measured, fall.contender, resumed=True)
        rows.append(
            (names.label(fall.contender), *_from(found), *(_from(resumed) if resumed else ("not measured", "")))
        )
    few, many = (pick(math.ceil(found.estimate) for _, found in full) for pick in (min, max))
    reach = f"{max(1, many)}" if few >= many else f"{max(1, few)} to {max(1, many)}"
    by = "" if few >= many else " (by deployment)"
    answer = (
        f"From {reach} requests on one connection on{by}, the full handshake is under a tenth of what they and their "
        "connection take."
    )
    between = "95 % interval"
    return Section(
        "time-paid-back",
        "When is a handshake paid back?",
        answer,
        tables=(
            table(
                "Requests on one connection from which its handshake is under a tenth of the server's CPU",
                ["deployment"],
                ["full handshake", between, "resumed", between],
                rows,
            ),
        ),
    )


def _from(found: Interval) -> tuple[str, str]:
    number = f"{max(1, math.ceil(found.estimate)):,}"
    if not found.is_finite:
        return number, "cannot tell"
    low, high = (max(1, math.ceil(end)) for end in (found.low, found.high))
    return number, words.Said(f"{low:,} {words.DASH} {high:,}", low=low, high=high)


def _prediction_section(measured: Measured, names: Names) -> Section | None:
    """Say how far predictions are off from trials that they were not made of."""
    cpu, latency = check_cpu(measured), check_latency(measured)
    if not cpu and not latency:
        return None
    said, tables = [], []
    if cpu:
        worst = max(abs(check.error.estimate) for check in cpu)
        said.append(f"CPU time by {words.percent(worst)} at most, in {words.count(len(cpu), 'case')}")
        tables.append(
            table(
                "CPU of a request, predicted from the costs and measured by trials that no cost was taken of",
                ["deployment"],
                ["requests a connection", "predicted", "measured", "predicted is off by", "blocks"],
                [
                    (
                        names.label(check.contender),
                        f"{check.requests_per_connection:,}",
                        words.microseconds_between(check.predicted),
                        words.microseconds_between(check.measured),
                        percent_between(check.error),
                        f"{check.error.n}",
                    )
                    for check in cpu
                ],
            )
        )
    if latency:
        known = [abs(check.p50_error) for check in latency if math.isfinite(check.p50_error)]
        if known:
            said.append(f"the median latency at a rate by {words.percent(max(known))} at most")
        tables.append(
            table(
                "Latency at a rate of requests at random moments, predicted and measured",
                ["deployment"],
                ["rate", "p50 predicted", "p50 measured", "off by", "p99 predicted", "p99 measured", "off by"],
                [
                    (
                        names.label(check.prediction.contender),
                        words.rate(check.condition.rate_per_s),
                        *_said(check.prediction.p50_us, check.p50.whole, check.p50_error),
                        *_said(check.prediction.p99_us, check.p99.whole, check.p99_error),
                    )
                    for check in latency
                ],
            )
        )
    answer = f"{words.capitalised(words.listed(said))}." if said else "The loads tried were predicted to be too much."
    return Section(
        "time-predicted",
        "How far off are predictions?",
        answer,
        command="bench predict DIR --deployment NAME --rate X --requests-per-connection K --rtt-ms R",
        tables=tuple(tables),
    )


def _said(predicted: Interval | None, measured_us: float, error: float) -> tuple[str, str, str]:
    said = words.microseconds(predicted.estimate, 3) if predicted is not None else "beyond capacity"
    return said, words.microseconds(measured_us, 3), words.percent(error)
