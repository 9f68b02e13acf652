"""What handshakes with one running server cost, as a section: `bench handshakes --deployment` shows it as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from harness import words
from harness.handshakes.live_figures import Done, LiveComparison, LiveSubject, expected_round_trips, live_reference
from harness.network.model import first_answer_us, round_trips
from harness.report.content import Section, Table, table
from harness.report.in_memory import KEYS
from harness.statistics import Interval

ANCHOR: Final = "handshake-live"
DISTANCE_US: Final = 50_000.0
_SAID: Final = {Done.FULL: "full", Done.RESUMED: "resumed", Done.RETRIED: "full, hello retried"}


def section(compared: LiveComparison) -> Section:
    """Answer from the blocks of one deployment."""
    deployment = compared.blocks[0].deployment if compared.blocks else "no deployment"
    question = f"What does a handshake cost {deployment}?"
    found = compared.handshakes
    if not found:
        return Section(ANCHOR, question, "No kind of handshake was measured soundly.", notes=_refused(compared))
    return Section(ANCHOR, question, _answer(compared), tables=(_table(compared, found),), notes=_notes(compared))


def kind_name(subject: LiveSubject) -> str:
    """Return version, key and kind."""
    return f"TLS {subject.version} · {KEYS.get(subject.key_kind, subject.key_kind)} · {_SAID[subject.done]}"


def _answer(compared: LiveComparison) -> str:
    base = live_reference()
    found = [subject for subject in compared.handshakes if subject != base]
    if not compared.costs(base):
        return "The full handshake of TLS 1.3 with RSA-2048, which others are compared with, was not measured."
    ratios = [(ratio, subject) for subject in found if (ratio := compared.ratio(subject, base)) is not None]
    said = f"A full handshake of TLS 1.3 with RSA-2048 takes {words.microseconds_between(compared.level(base))}"
    if not ratios:
        return f"{said} of the server's CPU."
    ratios.sort(key=lambda each: each[0].estimate)
    ends = [ratios[0], ratios[-1]] if len(ratios) > 1 else ratios
    others = words.listed([f"{words.ratio(ratio)} that for {kind_name(subject)}" for ratio, subject in ends])
    return f"{said} of the server's CPU; {others}."


def _table(compared: LiveComparison, found: Sequence[LiveSubject]) -> Table:
    rows = []
    for subject in found:
        seen = compared.client(subject)
        ratio = compared.ratio(subject, live_reference())
        trips = round_trips(
            subject.version, resumed=subject.done is Done.RESUMED, hello_retry=subject.done is Done.RETRIED
        )
        away_us = first_answer_us(trips, rtt_us=DISTANCE_US, adjacent_us=seen.first_answer_us)
        rows.append(
            (
                kind_name(subject),
                seen.tls.group or "not told",
                words.microseconds_between(compared.level(subject)),
                "not known" if ratio is None else _ratio(subject, ratio),
                words.microseconds(seen.time_us, 3),
                f"{seen.sent:,}",
                f"{seen.received:,}",
                f"{expected_round_trips(subject)}",
                words.microseconds(seen.first_answer_us, 3),
                words.microseconds(away_us, 3),
            )
        )
    return table(
        f"One handshake, on {words.listed(list(dict.fromkeys(block.processor for block in compared.blocks)))}",
        ["version, key, kind", "key exchange"],
        [
            "server CPU",
            "ratio to TLS 1.3 full RSA-2048",
            "client's time",
            "bytes sent",
            "bytes received",
            "round trips of TLS",
            "first answer here",
            f"at {words.microseconds(DISTANCE_US)}",
        ],
        rows,
    )


def _ratio(subject: LiveSubject, ratio: Interval) -> str:
    if subject == live_reference():
        return words.Said(f"1{words.THIN}{words.TIMES}", 1.0)
    return words.ratio_with_range(ratio)


def _notes(compared: LiveComparison) -> tuple[str, ...]:
    if compared.records_included:
        said = (
            "Server CPU, by the clock of its processes: a new connection over TLS less one without. The server keeps "
            "no connection open, so that the records of one small request are in it."
        )
    else:
        said = (
            "Server CPU, by the clock of its processes: (a new connection over TLS less a request on an open one) less "
            "the same two without TLS."
        )
    return (
        said,
        (
            "One client, one connection after another. Every resumed handshake was proved to be one (no certificate "
            "was sent), every full one not to be, and each took the round trips that are named. The first answer is "
            "counted from TCP's connect; the last column is the model's: round trips times "
            f"{words.microseconds(DISTANCE_US)}, and the first answer here."
        ),
        *_refused(compared),
    )


def _refused(compared: LiveComparison) -> tuple[str, ...]:
    return tuple(
        f"Set aside: {kind_name(subject) if subject.version else 'connections without TLS'}, "
        f"{words.count(count, 'block')}: {why}."
        for (subject, why), count in sorted(compared.refused.items())
    )
