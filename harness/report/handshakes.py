"""Section: what does a handshake cost? By version, key and kind, in server CPU and in the client's time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from certs import TlsVersion
from harness import histograms, words
from harness.costs import NEGLIGIBLE, base_condition, combine, connection_terms, without_tls
from harness.measured import Condition, Contender, Measured, Scenario, Spread, cpu_us
from harness.network.model import RoundTrips, first_answer_us, round_trips
from harness.recording import Bytes
from harness.report import charts
from harness.report.content import Plot, Section, Table, table
from harness.report.naming import Names, legend, series
from harness.statistics import Interval
from harness.trials import Trial

KINDS = {Scenario.FULL_HANDSHAKE: "full", Scenario.RESUMED_HANDSHAKE: "resumed"}
KEYS = {"ecdsa-p256": "ECDSA P-256", "rsa-2048": "RSA-2048", "rsa-4096": "RSA-4096", "ed25519": "Ed25519"}
AWAY_US = 50_000.0  # the round trip of the distance that is spoken of: across a continent


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """One kind of handshake on one contender."""

    contender: Contender
    condition: Condition
    version: str  # negotiated: "TLS 1.3"
    group: str | None
    cipher: str
    server_cpu: Interval  # µs each
    without_tcp: bool  # whether what TCP takes was measured and left out
    client_time: Spread  # the median handshake as its client saw it, µs
    request: Interval  # server CPU of a request on an open connection, µs
    adjacent_us: float  # median handshake and median request of a new connection together, as its client saw them here
    sent: float  # bytes above TCP that the connection adds to a request: the handshake's, its tickets, the farewell
    received: float
    trips: RoundTrips

    @property
    def kind(self) -> str:
        """Full or resumed."""
        return KINDS[Scenario(self.condition.scenario)]

    @property
    def name(self) -> str:
        """Version, key and kind."""
        key = self.condition.certificate_kind or ""
        name = f"{self.version} · {KEYS.get(key, key)} · {self.kind}"
        return name if self.without_tcp else f"{name}, TCP included"

    @property
    def first_answer_away_us(self) -> float:
        """When a new connection has its first answer over a network with a round trip of AWAY_US, by the model."""
        return first_answer_us(self.trips, rtt_us=AWAY_US, adjacent_us=self.adjacent_us)

    @property
    def paid_back(self) -> float:
        """After how many requests on its connection it is a tenth of what it and they take."""
        return (1 / NEGLIGIBLE - 1) * self.server_cpu.estimate / self.request.estimate


def handshakes(measured: Measured) -> tuple[Handshake, ...]:
    """Return every kind that was measured, the cheapest first."""
    found = [
        handshake
        for scenario in KINDS
        for condition in measured.conditions(scenario)
        if condition.has_tls
        for contender in measured.contenders_under(condition)
        if (handshake := _handshake(measured, contender, condition)) is not None
    ]
    cheapest: dict[str, float] = {}
    for handshake in found:
        cost = handshake.server_cpu.estimate
        cheapest[handshake.name] = min(cost, cheapest.get(handshake.name, math.inf))
    return tuple(sorted(found, key=lambda one: (cheapest[one.name], one.contender.deployment)))


def section(measured: Measured, names: Names, alone: Section) -> Section:
    """Answer from every kind of handshake that was measured. alone: the part on the TLS libraries alone."""
    anchor, question = "handshake", "What does a handshake cost?"
    found = [handshake for handshake in handshakes(measured) if handshake.server_cpu.estimate > 0]
    if not found:
        said = "Not measured with servers: it takes new connections and open ones, both over TLS."
        return Section(anchor, question, said, parts=(alone,))
    used = [contender for contender in measured.contenders if any(one.contender == contender for one in found)]
    return Section(
        anchor,
        question,
        _answer(found, names),
        legend=legend(used, names),
        plots=(_plot(found, names, series(used, names)),),
        tables=(_table(found, names),),
        notes=(*_notes(found), *_without_open_connections(measured, names)),
        parts=(alone,),
    )


def _without_open_connections(measured: Measured, names: Names) -> Iterator[str]:
    """Name those of whom no handshake can be told, for all their requests hold one."""
    asked = [(each, base_condition(measured, each)) for each in measured.contenders]
    found = [each for each, base in asked if base is not None and not measured.keeps_connections(each, base)]
    if found:
        who = words.listed(names.labels(found))
        yield f"Left out, for no connection stays open there to compare a new one with: {who}."


def _handshake(measured: Measured, contender: Contender, condition: Condition) -> Handshake | None:
    base = base_condition(measured, contender)
    scenario = Scenario(condition.scenario)
    if base is None or condition.auth != base.auth or not measured.keeps_connections(contender, base):
        return None
    plain = without_tls(condition)
    plain = Condition(Scenario.FULL_HANDSHAKE, plain.clients, plain.tls, plain.auth, None)
    cost = combine(measured, contender, connection_terms(condition, base, plain))
    without_tcp = cost is not None
    if cost is None:
        cost = combine(measured, contender, connection_terms(condition, base, None))
    request = measured.level(contender, base, cpu_us)
    client_time = _client_time(measured, contender, condition)
    trials = measured.cost_trials(contender, condition)
    negotiated = next((trial.tls for trial in trials if trial.tls), None)
    if (
        cost is None
        or negotiated is None
        or (version := negotiated.version.removeprefix("TLSv")) not in list(TlsVersion)
    ):
        return None  # a version that this one does not know has no count of round trips
    return Handshake(
        contender=contender,
        condition=condition,
        version=negotiated.version.replace("TLSv", "TLS "),
        group=negotiated.group,
        cipher=negotiated.cipher,
        server_cpu=cost,
        without_tcp=without_tcp,
        client_time=client_time,
        request=request,
        adjacent_us=client_time.whole + measured.latency(contender, condition, 50).whole,
        sent=_added_bytes(trials, measured.cost_trials(contender, base), lambda count: count.sent),
        received=_added_bytes(trials, measured.cost_trials(contender, base), lambda count: count.received),
        trips=round_trips(version, resumed=KINDS[scenario] == "resumed"),
    )


def _added_bytes(new: Sequence[Trial], kept: Sequence[Trial], read: Callable[[Bytes], int]) -> float:
    """Return how many bytes a request on a new connection takes more than one on an open connection."""
    each = [sum(read(trial.bytes) for trial in some) / sum(trial.requests for trial in some) for some in (new, kept)]
    return each[0] - each[1]


def _client_time(measured: Measured, contender: Contender, condition: Condition) -> Spread:
    whole = [
        trial.handshake_us.resumed if condition.scenario == Scenario.RESUMED_HANDSHAKE else trial.handshake_us.full
        for trial in measured.trials(contender, condition)
    ]
    alone = [histograms.percentiles(histogram, [50])[0] for histogram in whole if histogram]
    merged = histograms.percentiles(histograms.merge(whole), [50])[0]
    return Spread(merged, min(alone, default=math.nan), max(alone, default=math.nan), len(alone))


def _answer(found: Sequence[Handshake], names: Names) -> str:
    usual = _usual(found)
    said = [
        (
            "A "
            f"{usual.name.replace(' · full', ' handshake').replace(' · ', ' ').replace(', TCP included', ' with TCP')} "
            f"takes {words.microseconds_between(usual.server_cpu)} of the server's CPU on "
            f"{names.label(usual.contender)}"
        )
    ]
    same = [one for one in found if one.contender == usual.contender and one is not usual]
    resumed = next((one for one in same if one.kind == "resumed" and one.version == usual.version), None)
    if resumed is not None:
        share = resumed.server_cpu.estimate / usual.server_cpu.estimate
        said.append(f", {words.percent(share)} of that when resumed")
    dearest = max(same, key=lambda one: one.server_cpu.estimate, default=None)
    if dearest is not None and dearest.server_cpu.low > usual.server_cpu.high:
        times = dearest.server_cpu.estimate / usual.server_cpu.estimate
        said.append(f"; {dearest.name.replace(' · ', ' ')} takes {words.significant(times)} times as much")
    said.append(
        f". After {words.count(math.ceil(usual.paid_back), 'request')} on one connection it is a tenth of what "
        "they and it take."
    )
    said.append(_at_a_distance(usual, same))
    return "".join(said)


def _at_a_distance(usual: Handshake, same: Sequence[Handshake]) -> str:
    """Say what a new connection takes over a network, where the round trips are what is waited for."""
    if not math.isfinite(usual.adjacent_us):
        return ""
    said = (
        f" At {words.microseconds(AWAY_US)} away a new connection takes "
        f"{words.microseconds(usual.first_answer_away_us, 3)} until its first answer "
        f"({usual.trips.first_answer} round trips, TCP's and the request's among them)"
    )
    others = {
        one.trips.first_answer: f"a {one.kind} handshake of {one.version} makes it {one.trips.first_answer}"
        for one in same
        if one.trips.first_answer != usual.trips.first_answer
    }
    return f"{said}; {words.listed(list(others.values()))}." if others else f"{said}."


def _usual(found: Sequence[Handshake]) -> Handshake:
    """Return the one to speak of: full, newest version, on whom most kinds were measured; the cheapest of those."""
    full = [one for one in found if one.kind == "full"] or list(found)
    newest = max(one.version for one in full)
    kinds = Counter(one.contender for one in found)
    return min(
        (one for one in full if one.version == newest),
        key=lambda one: (-kinds[one.contender], one.server_cpu.estimate),
    )


def _plot(found: Sequence[Handshake], names: Names, looks: Sequence[charts.Series]) -> Plot:
    points = [
        charts.Dot(
            line=one.name,
            series=names.label(one.contender),
            value=one.server_cpu.estimate,
            low=one.server_cpu.low if one.server_cpu.low > 0 else one.server_cpu.estimate,
            high=one.server_cpu.high,
            said=f"{names.label(one.contender)}: {words.microseconds_between(one.server_cpu)}",
        )
        for one in found
    ]
    return Plot(
        name="plot-handshake",
        caption="Server CPU per handshake, µs, with 95 % intervals",
        spec=charts.log_dots(points, looks, title="server CPU per handshake, µs"),
    )


def _table(found: Sequence[Handshake], names: Names) -> Table:
    rows = [
        (
            one.name,
            names.label(one.contender),
            one.group or "not told",
            words.microseconds_between(one.server_cpu),
            words.microseconds(one.client_time.whole, 3),
            words.microseconds_range(one.client_time.lowest, one.client_time.highest, 3),
            f"{one.sent:,.0f}",
            f"{one.received:,.0f}",
            f"{one.trips.first_answer}",
            words.microseconds(one.first_answer_away_us, 3),
            f"{math.ceil(one.paid_back):,}",
            f"{one.server_cpu.n}",
        )
        for one in found
    ]
    return table(
        "One handshake, with the 95 % interval of its CPU",
        ["version, key, kind", "deployment", "key exchange"],
        [
            "server CPU",
            "client's time, median",
            f"lowest {words.DASH} highest block",
            "bytes sent",
            "bytes received",
            "round trips",
            f"first answer at {words.microseconds(AWAY_US)}",
            "requests until it is a tenth",
            "blocks",
        ],
        rows,
    )


def _notes(found: Sequence[Handshake]) -> tuple[str, ...]:
    clients = sorted({one.condition.clients for one in found})
    notes = [
        (
            "Server CPU: a request on a new connection less one on an open connection, "
            "less what a connection takes without TLS; where that was not measured, the name says so."
        ),
        (
            "The client's time is from its first to its last byte of the handshake, while "
            f"{words.listed([str(number) for number in clients], last='or')} clients shared the server: it holds "
            "waiting."
        ),
        (
            "Bytes: what a request on a new connection takes more than one on an open connection, above TCP, seen "
            "from the client. Round trips: TCP's handshake, TLS's, and the request's, as the RFCs have them; the first "
            f"answer at {words.microseconds(AWAY_US)} (the network's round trip) is so many times that, plus handshake "
            "and request as they were measured here, waiting included. That holds without loss, for flights under "
            "14 kB, and for servers that do not let Nagle's algorithm hold back what they write."
        ),
    ]
    return tuple(notes)
