"""A measurement as `bench` makes it: processes of its own, groups set and proved, order drawn from the seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from certs import CertificateFiles, KeyKind
from harness.handshakes.comparison import Comparison
from harness.handshakes.figures import POST_QUANTUM_GROUP, USUAL_GROUP, Block, Part, Stack, Subject, subjects
from harness.handshakes.measuring import Certificates, certificates_in, measure_blocks, shuffled
from harness.line_process import ProcessFailedError
from harness.pinning import choose_pinning

WANTED = [
    Subject(stack=stack, part=part, version=version, key_kind=key, group=group)
    for stack in Stack
    for part, version, key, group in [
        (Part.FULL, "1.3", KeyKind.ECDSA_P256, USUAL_GROUP),
        (Part.FULL, "1.2", KeyKind.ED25519, USUAL_GROUP),
        (Part.FULL, "1.3", KeyKind.RSA_4096, USUAL_GROUP),
        (Part.RESUMED, "1.3", KeyKind.RSA_2048, USUAL_GROUP),
        (Part.RESUMED, "1.2", KeyKind.RSA_2048, USUAL_GROUP),
        (Part.FULL, "1.3", KeyKind.ECDSA_P256, POST_QUANTUM_GROUP),
    ]
]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates_in(tmp_path_factory.mktemp("state"))


def measured(certificates: Certificates, seed: int) -> Block:
    (block,) = measure_blocks(certificates, [4], seed=seed, cpus=choose_pinning().server, wanted=WANTED, least_s=0.001)
    return block


@pytest.fixture(scope="module")
def block(certificates: Certificates) -> Block:
    return measured(certificates, 1)


@pytest.mark.end_to_end
class TestBlock:
    def test_everything_that_can_be_was_measured_and_proved(self, block: Block) -> None:
        out = {(each.stack, each.group) for each in block.cannot}
        expected = {each for each in WANTED if (each.stack, each.group) not in out}
        assert {figure.subject for figure in block.figures} == expected
        assert [figure.refusal for figure in block.figures] == [""] * len(expected)
        assert all(group == POST_QUANTUM_GROUP for _, group in out)

    def test_who_cannot_says_why(self, block: Block) -> None:
        for each in block.cannot:
            assert f"OpenSSL {block.openssl[each.stack]}" in each.why

    def test_rsa_4096_is_dearer_and_a_resumption_cheaper(self, block: Block) -> None:
        compared = Comparison([block])
        full = Subject(stack=Stack.STDLIB, part=Part.FULL)
        dearer = compared.ratio(replace(full, key_kind=KeyKind.RSA_4096), full)
        resumed = replace(full, part=Part.RESUMED, version="1.2", key_kind=KeyKind.RSA_2048)
        cheaper = compared.ratio(resumed, full)
        assert dearer is not None
        assert dearer.estimate > 2
        assert cheaper is not None
        assert cheaper.estimate < 0.7

    def test_what_it_was_measured_on(self, block: Block) -> None:
        assert block.number == 4
        assert [figure.subject for figure in block.figures] == [
            subject for subject in shuffled(WANTED, seed=1, block=4) if subject in Comparison([block])
        ]
        assert block.processor
        assert set(block.openssl) == set(Stack)
        assert 0 < block.clock_ns < 20_000


@pytest.mark.end_to_end
def test_a_worker_that_fails_is_one_line(certificates: Certificates, tmp_path: Path) -> None:
    nothing = CertificateFiles(chain=tmp_path / "none.pem", key=tmp_path / "none-key.pem")
    broken = Certificates(certificates.ca_file, {**certificates.files, KeyKind.ECDSA_P256: nothing})
    with pytest.raises(ProcessFailedError) as caught:
        measured(broken, 1)
    assert "none.pem" in str(caught.value)
    assert "\n" not in str(caught.value)


class TestOrder:
    """Random, and the same again for a seed, whichever blocks are still missing."""

    def test_each_once(self) -> None:
        assert sorted(shuffled(subjects(), seed=1, block=0)) == sorted(subjects())

    def test_the_same_again(self) -> None:
        assert shuffled(subjects(), seed=1, block=3) == shuffled(subjects(), seed=1, block=3)

    def test_another_in_another_block(self) -> None:
        orders = {shuffled(subjects(), seed=seed, block=block) for seed in (1, 2) for block in range(4)}
        assert len(orders) == 8
