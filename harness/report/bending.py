"""Section: how does it bend under load? Latency against the rate at which requests come, and the capacity.

Of open loads alone: what a closed load does to latency stands in `harness.report.under_load`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness import words
from harness.capacity.reading import AtRate, Searched, searches_in
from harness.capacity.search import CONFIRMATIONS, SHARES, Capacity, Ending
from harness.measured import SCENARIO_WORDS, Contender, contender_of
from harness.report import charts
from harness.report.content import Plot, Section, Table, table
from harness.report.naming import Names, mark, set_up
from harness.trials import Run

ANCHOR, QUESTION = "load", "How does it bend under load?"
COMMAND = "bench run capacity"
SAID = 3  # capacities named in the answer
PERCENTILES = (charts.Series("p50", "var(--accent)", "circle"), charts.Series("p99", "var(--accent-2)", "diamond"))


def contenders(run: Run) -> list[Contender]:
    """Return whose capacity was searched for, as far as there are trials."""
    return sorted({_contender(searched) for searched in searches_in(run) if searched.trials})


def section(run: Run, names: Names) -> Section:
    """Answer from which rate on it no longer keeps up, and how long requests take below that."""
    asked = searches_in(run)
    tried = [searched for searched in asked if searched.rates]
    if not asked:
        answer = (
            "Not measured: no capacity was searched for in this run. How latency grows with the number of clients, "
            "each of which waits for its answer, stands in the next section."
        )
        return Section(ANCHOR, QUESTION, answer, command=COMMAND)
    if not tried:
        missing = words.listed([f"{each.search.server.deployment} ({_why_not(each)})" for each in asked])
        return Section(ANCHOR, QUESTION, f"Not measured: {missing}.", command=COMMAND)
    labels = _labels(tried, names)
    return Section(
        ANCHOR,
        QUESTION,
        _answer(tried, labels),
        plots=_plots(tried, labels, names),
        tables=(
            _capacity_table(tried, labels),
            *((_latency_table(tried, labels),) if any(_found(each) for each in tried) else ()),
            _rates_table(tried, labels),
        ),
        notes=_notes(asked, tried, labels),
    )


def _contender(searched: Searched) -> Contender:
    return contender_of(searched.trials[0])


def _found(searched: Searched) -> Capacity | None:
    return searched.capacity if searched.capacity and searched.capacity.is_found else None


def _labels(tried: Sequence[Searched], names: Names) -> list[str]:
    """Return what each search is called: the deployment, and what else tells it from the others."""
    called = [names.label(_contender(searched)) for searched in tried]
    if len(set(called)) == len(called):
        return called
    details = []
    for searched in tried:
        search = searched.search
        tls = f"TLS {search.server.tls}" if search.server.uses_tls else "no TLS"
        auth = "Digest" if search.server.auth == "digest" else "no Digest"
        limit = f"p99 under {words.microseconds(search.p99_ms * 1000)}"
        kind = SCENARIO_WORDS.get(search.scenario, search.scenario)
        details.append((kind, words.count(search.clients, "connection"), limit, tls, auth))
    # Only the details in which they differ.
    differing = [place for place in range(len(details[0])) if len({detail[place] for detail in details}) > 1]
    return [
        f"{name} ({', '.join(detail[place] for place in differing)})" if differing else name
        for name, detail in zip(called, details, strict=True)
    ]


def _answer(tried: Sequence[Searched], labels: Sequence[str]) -> str:
    found = [(capacity, label) for each, label in zip(tried, labels, strict=True) if (capacity := _found(each))]
    if not found:
        whys = [f"{label} ({_why_not(each)})" for each, label in zip(tried, labels, strict=True)]
        return f"No capacity was found for {words.listed(whys)}."
    found.sort(key=lambda pair: pair[0].held_per_s or 0.0, reverse=True)
    shown = found if len(found) <= SAID else [*found[: SAID - 1], found[-1]]
    said = [f"{words.rate(capacity.held_per_s)} on {label}" for capacity, label in shown]
    if len(found) > SAID:
        said[0] += ", the most,"
        said[-1] += ", the least"
    limits = {capacity.search.p99_ms for capacity, _ in found}
    limit = f"p99 under {words.microseconds(limits.pop() * 1000)}" if len(limits) == 1 else "p99 under its limit"
    answer = f"With {limit} and no error it keeps up with {words.listed(said)}."
    below = [
        text
        for capacity, label in {id(pair): pair for pair in (shown[0], shown[-1])}.values()
        if (text := _below(capacity, label))
    ]
    return f"{answer} Below that p99 grows {words.listed(below)}." if below else answer


def _below(capacity: Capacity, label: str) -> str:
    """Return how p99 grows from the first share of the capacity to the last."""
    known = [each for each in capacity.at_shares if each.trials]
    if len(known) < len(SHARES):
        return ""
    first, last = known[0], known[-1]
    return (
        f"from {words.microseconds(first.percentile_us(99))} at {words.percent(first.share)} of it "
        f"to {words.microseconds(last.percentile_us(99))} at {words.percent(last.share)} on {label}"
    )


def _plots(tried: Sequence[Searched], labels: Sequence[str], names: Names) -> tuple[Plot, ...]:
    drawn = [_points(searched) for searched in tried]
    values = [point.value for own in drawn for point in own]
    limits = [searched.search.p99_ms for searched in tried]
    domain = min(values) / 1.25, max(*values, *limits) * 4  # room for what is written at the top
    highest = max(point.rate_per_s for own in drawn for point in own) * 1.04
    plots = []
    for number, (searched, own, label) in enumerate(zip(tried, drawn, labels, strict=True), start=1):
        capacity = _found(searched)
        held = capacity.held_per_s if capacity else None
        marked = f", and its capacity, {words.rate(held)}" if held else "; its capacity was not found"
        plots.append(
            Plot(
                name=f"plot-load-{number}",
                caption=f"Latency of {label} against the rate, ms: p50 and p99{marked}",
                spec=charts.against_rate(
                    own,
                    PERCENTILES,
                    title="latency, ms",
                    highest_per_s=highest,
                    domain=domain,
                    limit=searched.search.p99_ms,
                    capacity=(held, words.rate(held)) if held else None,
                ),
                heading=label,
                mark=mark(_contender(searched), names) if label == names.label(_contender(searched)) else None,
            )
        )
    return tuple(plots)


def _points(searched: Searched) -> list[charts.RatePoint]:
    rates = searched.rates
    points = []
    for place, at_rate in enumerate(rates):
        for name, percent in (("p50", 50), ("p99", 99)):
            value = at_rate.percentile_us(percent)
            if not math.isfinite(value):
                continue
            held = _holds(searched, at_rate)
            rate = words.rate(at_rate.rate_per_s)
            said = f"{name} at {rate}: {words.microseconds(value)}{'' if held else ', not held'}"
            note = name if not place else ""
            points.append(charts.RatePoint(name, at_rate.rate_per_s, value / 1e3, held, said, note))
    return points


def _holds(searched: Searched, at_rate: AtRate) -> bool:
    """Say whether a rate counts as held: what was found decides, else whether all of its own trials did."""
    capacity = _found(searched)
    if capacity and capacity.held_per_s:
        return at_rate.rate_per_s <= capacity.held_per_s
    return at_rate.held == at_rate.trials


def _capacity_table(tried: Sequence[Searched], labels: Sequence[str]) -> Table:
    rows = []
    for searched, label in zip(tried, labels, strict=True):
        capacity = searched.capacity
        found = _found(searched)
        at_least = capacity.held_per_s if capacity and not found else None
        rows.append(
            (
                label,
                set_up(_contender(searched)),
                words.rate(found.held_per_s) if found else f"not found{_at_least(at_least)}",
                words.rate(capacity.failed_per_s) if capacity and capacity.failed_per_s else words.NOT_KNOWN,
                f"{len(searched.trials)}",
                capacity.why if capacity else searched.unfinished,
            )
        )
    asked = words.listed(list(dict.fromkeys(_asked(searched) for searched in tried)))
    return table(
        f"Capacity of {asked}: the highest rate that was held, and the lowest above it that was not",
        ["deployment", "served by"],
        ["holds", "does not hold", "trials"],
        rows,
        remarks=["because"],
    )


def _asked(searched: Searched) -> str:
    """Return what was searched, such as "requests on open connections (64; p99 under 250 ms)"."""
    search = searched.search
    kind = SCENARIO_WORDS.get(search.scenario, search.scenario)
    connections, limit = words.count(search.clients, "connection"), words.microseconds(search.p99_ms * 1000)
    return f"{kind} ({connections}; p99 under {limit})"


def _at_least(rate_per_s: float | None) -> str:
    return f"; {words.rate(rate_per_s)} held" if rate_per_s else ""


def _latency_table(tried: Sequence[Searched], labels: Sequence[str]) -> Table:
    rows = []
    for searched, label in zip(tried, labels, strict=True):
        capacity = _found(searched)
        for each in capacity.at_shares if capacity else ():
            percentiles = [words.microseconds(each.percentile_us(percent), 3) for percent in (50, 99, 99.9)]
            count = sum(each.latency_us.values())
            rows.append(
                (
                    label,
                    words.percent(each.share),
                    words.rate(each.rate_per_s),
                    *(percentiles if each.trials else ["not measured"] * 3),
                    f"{count:,}",
                    f"{each.trials}",
                )
            )
    return table(
        "Latency below the capacity, from when each request was due",
        ["deployment"],
        ["of the capacity", "rate", "p50", "p99", "p99.9", "requests", "trials"],
        rows,
    )


def _rates_table(tried: Sequence[Searched], labels: Sequence[str]) -> Table:
    rows = [
        (
            label,
            words.rate(at_rate.rate_per_s),
            words.microseconds(at_rate.percentile_us(50), 3),
            words.microseconds(at_rate.percentile_us(99), 3),
            f"{at_rate.held} of {at_rate.trials}",
            at_rate.failed or "",
        )
        for searched, label in zip(tried, labels, strict=True)
        for at_rate in searched.rates
    ]
    return table(
        "Every rate that was tried",
        ["deployment"],
        ["rate", "p50", "p99", "trials that held"],
        rows,
        remarks=["one did not hold because"],
    )


def _notes(asked: Sequence[Searched], tried: Sequence[Searched], labels: Sequence[str]) -> tuple[str, ...]:
    notes = [
        (
            "Requests come at random (Poisson) at the rate, whether or not those before them are answered, and latency "
            f"runs from when each was due. A rate holds when p99 keeps under the limit, nothing fails and no backlog "
            f"grows; the capacity did so in {1 + CONFIRMATIONS} trials on end, and the rate above it failed twice. "
            "Hollow marks are rates that were not held: their latency grows for as long as the load goes on."
        ),
        (
            "Each capacity is that of one search: they are not compared block by block, and two that "
            "differ by less than about 5 % may be the same."
        ),
    ]
    named = {id(searched): label for searched, label in zip(tried, labels, strict=True)}
    without = [
        f"{named.get(id(each), each.search.server.deployment)} ({_why_not(each)})" for each in asked if not _found(each)
    ]
    if 0 < len(without) < len(asked):
        notes.append(f"Not found: {words.listed(without)}.")
    return tuple(notes)


def _why_not(searched: Searched) -> str:
    capacity = searched.capacity
    if capacity is None:
        return searched.unfinished
    held = f"{words.rate(capacity.held_per_s)} held, and then " if capacity.held_per_s else ""
    if capacity.ending is Ending.LOWEST_FAILED:
        return f"even {words.rate(capacity.failed_per_s)} was not held: {capacity.why}"
    return f"{held}{capacity.why}"
