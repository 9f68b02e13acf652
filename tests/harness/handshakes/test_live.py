"""Handshakes with a real server: every kind proves itself, and costs what its kind costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from certs import KeyKind
from harness.handshakes.live import measure_live_blocks
from harness.handshakes.live_figures import Done, LiveBlock, LiveComparison, LiveSubject
from harness.pinning import choose_pinning

pytestmark = pytest.mark.end_to_end

FULL = LiveSubject(done=Done.FULL, version="1.3", key_kind=KeyKind.ECDSA_P256)
KINDS = (KeyKind.ECDSA_P256, KeyKind.RSA_4096)


def measured(deployment: str, state: Path) -> LiveBlock:
    (block,) = measure_live_blocks(
        deployment, [3], state=state, seed=1, pinning=choose_pinning(), key_kinds=KINDS, rounds=2, connections=5
    )
    return block


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def compared(state: Path) -> LiveComparison:
    return LiveComparison([measured("flask-threaded", state)])


class TestKeepsConnections:
    def test_every_kind_is_what_it_is_called(self, compared: LiveComparison) -> None:
        assert compared.refused == {}
        assert not compared.records_included
        assert len(compared.handshakes) == 2 * len(KINDS) * 2 + 1

    def test_rsa_4096_is_dearer(self, compared: LiveComparison) -> None:
        dear = LiveSubject(done=Done.FULL, version="1.3", key_kind=KeyKind.RSA_4096)
        assert compared.level(dear).estimate > 1.5 * compared.level(FULL).estimate > 0

    def test_a_resumed_handshake_receives_no_certificate(self, compared: LiveComparison) -> None:
        resumed = LiveSubject(done=Done.RESUMED, version="1.3", key_kind=KeyKind.ECDSA_P256)
        assert compared.client(FULL).received - compared.client(resumed).received > 400

    def test_the_first_answer_is_later_than_the_handshake(self, compared: LiveComparison) -> None:
        assert compared.client(FULL).first_answer_us > compared.client(FULL).time_us > 0


def test_a_server_that_neither_keeps_nor_resumes(state: Path) -> None:
    found = LiveComparison([measured("flask-gunicorn-sync", state)])
    assert found.records_included
    assert {subject.done for subject, _ in found.refused} == {Done.RESUMED}
    assert found.level(FULL).estimate > 0
