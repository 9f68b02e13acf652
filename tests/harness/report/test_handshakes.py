"""What the page says of handshakes with servers: from runs of known truth."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from harness.measured import Measured
from harness.recording import Handshakes, HandshakeTimes, value_of
from harness.report import handshakes
from harness.report.content import Section
from harness.report.naming import Names
from harness.trials import Run, Trial
from harness.words import THIN
from tests.harness import synthetic
from tests.harness.report.runs import FLASK, QUART, changed, quick_run

ALONE = Section("alone", "Alone?", "Not measured.")


def said(run: Run) -> Section:
    measured = Measured(run)
    return handshakes.section(measured, Names(measured.contenders), ALONE)


@pytest.fixture(scope="module")
def section() -> Section:
    return said(quick_run())


def cell(section: Section, kind: str, heading: str) -> str:
    """Return what stands in a column of the first row of a kind."""
    (whole,) = section.tables
    names = [column.name for column in whole.columns]
    return next(row for row in whole.rows if row[0] == kind)[names.index(heading)]


class TestBytes:
    @pytest.mark.parametrize("kind", ["full", "resumed"])
    def test_what_a_new_connection_adds(self, section: Section, kind: str) -> None:
        row = f"TLS 1.3 · ECDSA P-256 · {kind}"
        assert cell(section, row, "bytes sent") == f"{synthetic.HANDSHAKE_SENT[kind]:,}"
        assert cell(section, row, "bytes received") == f"{synthetic.HANDSHAKE_RECEIVED[kind]:,}"


class TestDistance:
    """Round trips by the model's table; the time at 50 ms is theirs, and what was measured here."""

    @pytest.mark.parametrize(
        ("kind", "trips"),
        [
            ("TLS 1.2 · ECDSA P-256 · full", "4"),
            ("TLS 1.2 · ECDSA P-256 · resumed", "3"),
            ("TLS 1.3 · ECDSA P-256 · full", "3"),
            ("TLS 1.3 · ECDSA P-256 · resumed", "3"),
        ],
    )
    def test_round_trips(self, section: Section, kind: str, trips: str) -> None:
        assert cell(section, kind, "round trips") == trips

    def test_the_first_answer_holds_handshake_and_request(self) -> None:
        slow = changed(
            quick_run(),
            lambda trial: replace(
                trial,
                latency_us={7_000: 10},
                handshake_us=HandshakeTimes(full={7_000: trial.handshakes.full} if trial.handshakes.full else {}),
            ),
        )
        away_ms = (3 * 50_000 + 2 * value_of(7_000)) / 1000
        shown = cell(said(slow), "TLS 1.3 · ECDSA P-256 · full", f"first answer at 50{THIN}ms")
        assert shown == f"{away_ms:.0f}{THIN}ms"

    def test_one_sentence_in_the_answer(self, section: Section) -> None:
        assert re.search(
            rf"At 50{THIN}ms away a new connection takes 15\d{THIN}ms until its first answer \(3 round trips, TCP's "
            r"and the request's among them\); a full handshake of TLS 1\.2 makes it 4\.$",
            section.answer,
        )


class TestNoOpenConnection:
    """A handshake is what a new connection takes more than an open one: without an open one there is none to tell."""

    def test_a_server_that_closes_each_connection_is_left_out_and_named(self) -> None:
        def closes(trial: Trial) -> Trial:
            return replace(trial, handshakes=Handshakes(full=trial.requests)) if trial.deployment == FLASK else trial

        whole = said(changed(quick_run(), closes))
        assert {row[1] for table in whole.tables for row in table.rows} == {QUART}
        assert FLASK not in whole.answer
        assert f"Left out, for no connection stays open there to compare a new one with: {FLASK}." in whole.notes
