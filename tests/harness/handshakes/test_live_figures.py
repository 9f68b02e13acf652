"""A handshake's cost comes out of four figures; a figure that is not what it is called is not used."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from certs import KeyKind
from harness.handshakes.live_figures import (
    Done,
    LiveComparison,
    LiveFigure,
    LiveSubject,
    live_block_from_json,
    live_block_to_json,
    live_reference,
    live_subjects,
)
from harness.report import live_handshakes
from tests.harness.handshakes.synthetic_live import RECORDS, figure, handshake_us, live_blocks

FULL = LiveSubject(done=Done.FULL, version="1.3", key_kind="ecdsa-p256")
RESUMED = replace(FULL, done=Done.RESUMED)
HANDSHAKES = [subject for subject in live_subjects(keeps_connections=True) if subject.has_handshake]


class TestTruth:
    """What was put in comes out."""

    @pytest.mark.parametrize("subject", HANDSHAKES)
    def test_accept_close_and_request_fall_out(self, subject: LiveSubject) -> None:
        found = LiveComparison(live_blocks(drift=0.0, noise=0.0)).level(subject)
        assert found.estimate == pytest.approx(handshake_us(subject))

    @pytest.mark.parametrize("subject", [FULL, RESUMED, replace(FULL, key_kind="rsa-4096")])
    def test_ratio(self, subject: LiveSubject) -> None:
        found = LiveComparison(live_blocks(12)).ratio(subject, live_reference())
        assert found is not None
        assert found.estimate == pytest.approx(handshake_us(subject) / 800.0, rel=0.03)

    def test_drift_falls_out_of_ratios(self) -> None:
        found = LiveComparison(live_blocks(drift=0.4, noise=0.0)).ratio(RESUMED, live_reference())
        assert found is not None
        assert found.high / found.low == pytest.approx(1.0)

    def test_a_server_that_keeps_nothing_has_its_records_in_it(self) -> None:
        compared = LiveComparison(live_blocks(drift=0.0, noise=0.0, keeps_connections=False))
        assert compared.records_included
        assert compared.level(FULL).estimate == pytest.approx(handshake_us(FULL) + RECORDS)


class TestProof:
    """A figure is used only when what was measured is what was asked for."""

    @pytest.mark.parametrize("subject", live_subjects(keeps_connections=True))
    def test_sound(self, subject: LiveSubject) -> None:
        assert figure(subject).refusal == ""

    @pytest.mark.parametrize(
        ("subject", "change", "said"),
        [
            (RESUMED, {"resumed": 98}, "2 of 100 resumed handshakes were full ones"),
            (FULL, {"resumed": 3}, "3 of 100 full handshakes were resumed"),
            (FULL, {"round_trips": 2}, "it took 2 round trips, not 1"),
            (replace(FULL, done=Done.RETRIED), {"round_trips": 1}, "it took 1 round trips, not 2"),
        ],
    )
    def test_another_kind(self, subject: LiveSubject, change: dict[str, int], said: str) -> None:
        sound = figure(subject)
        assert sound.client is not None
        client = replace(
            sound.client,
            resumed=change.get("resumed", sound.client.resumed),
            round_trips=change.get("round_trips", sound.client.round_trips),
        )
        assert replace(sound, client=client).refusal == said

    def test_another_key(self) -> None:
        sound = figure(FULL)
        assert sound.client is not None
        other = replace(sound.client, tls=replace(sound.client.tls, key_kind="rsa-2048"))
        said = "TLSv1.3 with rsa-2048 was agreed on instead of TLSv1.3 with ecdsa-p256"
        assert replace(sound, client=other).refusal == said

    def test_no_time(self) -> None:
        assert figure(FULL, 0.0).refusal == "it took no measurable time"

    def test_no_handshake(self) -> None:
        assert replace(figure(FULL), client=None).refusal == "it has no handshake"

    def test_what_is_refused_has_no_cost(self) -> None:
        def decline(sound: LiveFigure) -> LiveFigure:
            if sound.subject.done is not Done.RESUMED or sound.client is None:
                return sound
            return replace(sound, client=replace(sound.client, resumed=0))

        compared = LiveComparison(live_blocks(spoil=decline))
        assert RESUMED not in compared.handshakes
        assert compared.costs(RESUMED) == {}
        assert compared.ratio(RESUMED, live_reference()) is None
        section = live_handshakes.section(compared)
        assert not [row for row in section.tables[0].rows if row[0].endswith("resumed")]
        assert (
            "Set aside: TLS 1.3 · ECDSA P-256 · resumed, 6 blocks: 100 of 100 resumed handshakes were full ones."
            in section.notes
        )


class TestSection:
    def test_every_kind_once(self) -> None:
        section = live_handshakes.section(LiveComparison(live_blocks()))
        assert section.question == "What does a handshake cost flask-threaded?"
        assert len({row[0] for row in section.tables[0].rows}) == len(section.tables[0].rows) == len(HANDSHAKES)
        assert "TLS 1.3 · ECDSA P-256 · full, hello retried" in {row[0] for row in section.tables[0].rows}
        assert section.answer.startswith("A full handshake of TLS 1.3 with RSA-2048 takes ")

    def test_nothing(self) -> None:
        assert live_handshakes.section(LiveComparison(())).answer == "No kind of handshake was measured soundly."


def test_what_is_written_is_read() -> None:
    (block,) = live_blocks(1, noise=0.0, drift=0.0)
    again = live_block_from_json(json.loads(json.dumps(live_block_to_json(block))))
    assert again == block


def test_a_choice_of_keys() -> None:
    wanted = live_subjects(keeps_connections=True, key_kinds=[KeyKind.ED25519])
    assert {subject.key_kind for subject in wanted} == {"", "ed25519"}
