"""Figures prove themselves, and what is once written of a block is never lost, doubled or half read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs import KeyKind
from harness.errors import UserError
from harness.handshakes.figures import (
    FILE_NAME,
    HANDSHAKES,
    POST_QUANTUM_GROUP,
    USUAL_GROUP,
    Figure,
    Part,
    Stack,
    Subject,
    append_block,
    block_from_json,
    block_to_json,
    figure_from_json,
    figures_to_json,
    missing_blocks,
    read_blocks,
    subjects,
)
from harness.trials import NegotiatedTls
from tests.harness.handshakes.synthetic_blocks import blocks, figure

RESUMED = Subject(stack=Stack.STDLIB, part=Part.RESUMED)
FULL = Subject(stack=Stack.PYOPENSSL, part=Part.FULL)


class TestProof:
    """A figure is used only when what was measured is what was asked for."""

    @pytest.mark.parametrize("subject", subjects())
    def test_sound(self, subject: Subject) -> None:
        assert figure(subject).refusal == ""

    def test_a_resumed_handshake_that_was_not_resumed(self) -> None:
        one_full = replace(figure(RESUMED), resumed=63)
        assert one_full.refusal == "1 of 64 resumed handshakes were full ones"

    def test_a_full_handshake_that_was_resumed(self) -> None:
        assert replace(figure(FULL), resumed=2).refusal == "2 of 64 full handshakes were resumed"

    @pytest.mark.parametrize(
        ("agreed", "said"),
        [
            ({"group": "P-256"}, "P-256 was agreed on instead of X25519"),
            ({"group": None}, "None was agreed on instead of X25519"),
            ({"version": "TLSv1.2"}, "TLSv1.2 was agreed on instead of TLSv1.3"),
            ({"key_kind": "rsa-2048"}, "rsa-2048 was agreed on instead of ecdsa-p256"),
        ],
    )
    def test_something_else_was_agreed_on(self, agreed: dict[str, str], said: str) -> None:
        sound = figure(FULL)
        assert replace(sound, tls=replace(sound.tls, **agreed)).refusal == said

    @pytest.mark.parametrize("cost_us", [0.0, -1.0, math.nan, math.inf])
    def test_no_time(self, cost_us: float) -> None:
        assert figure(FULL, cost_us).refusal == "it took no measurable time"


class TestSubjects:
    """Everything that the report tells of."""

    def test_each_once(self) -> None:
        assert len(set(subjects())) == len(subjects())

    @pytest.mark.parametrize("stack", Stack)
    def test_every_kind_of_handshake(self, stack: Stack) -> None:
        usual = {
            (each.part, each.version, each.key_kind)
            for each in subjects()
            if each.stack is stack and each.group == USUAL_GROUP and each.part in HANDSHAKES
        }
        assert usual == {(part, version, kind) for part in HANDSHAKES for version in ("1.2", "1.3") for kind in KeyKind}

    def test_post_quantum_is_a_matter_of_tls_1_3(self) -> None:
        assert {each.version for each in subjects() if each.group == POST_QUANTUM_GROUP} == {"1.3"}


any_figure = st.builds(
    Figure,
    subject=st.builds(
        Subject,
        stack=st.sampled_from(Stack),
        part=st.sampled_from(Part),
        version=st.sampled_from(["1.2", "1.3"]),
        key_kind=st.sampled_from(list(KeyKind)),
        group=st.text(),
        record_bytes=st.integers(0, 16384),
    ),
    server_cpu_us=st.integers(0, 10**9).map(lambda thousandths: thousandths / 1000),
    batches=st.integers(0, 10**6),
    count=st.integers(0, 10**6),
    resumed=st.integers(0, 10**6),
    tls=st.builds(
        NegotiatedTls,
        version=st.text(),
        cipher=st.text(),
        group=st.none() | st.text(min_size=1),
        key_kind=st.text(),
    ),
)


class TestFile:
    """A line a block, whole or not at all."""

    @given(any_figure)
    def test_what_is_written_is_read(self, written: Figure) -> None:
        (content,) = figures_to_json([written])
        assert figure_from_json(json.loads(json.dumps(content))) == written

    def test_blocks_come_back(self, tmp_path: Path) -> None:
        for block in reversed(blocks(3)):
            append_block(tmp_path, block)
        again = read_blocks(tmp_path)
        assert [block.number for block in again] == [0, 1, 2]
        assert [block_to_json(block) for block in again] == [block_to_json(block) for block in blocks(3)]

    def test_unknown_fields_are_ignored(self) -> None:
        (block,) = blocks(1)
        assert block_from_json({**block_to_json(block), "weather": "fine"}).number == 0

    def test_a_run_without_them_has_none(self, tmp_path: Path) -> None:
        assert read_blocks(tmp_path) == ()

    def test_a_torn_last_line_is_no_block_and_goes_away(self, tmp_path: Path) -> None:
        first, second = blocks(2)
        append_block(tmp_path, first)
        path = tmp_path / FILE_NAME
        path.write_bytes(path.read_bytes() + b'{"format":1,"block":1,"fig')
        assert [block.number for block in read_blocks(tmp_path)] == [0]
        append_block(tmp_path, second)
        assert [block.number for block in read_blocks(tmp_path)] == [0, 1]

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (lambda line: line + line, "line 2: block 0 is there twice; delete one of the two lines"),
            (lambda _: b"no\n", "line 1 is no block of handshakes"),
            (lambda _: b"[]\n", "line 1 is no block of handshakes"),
            (lambda _: b'{"format":1}\n', "line 1 is no block of handshakes ('block' is missing)"),
            (lambda line: line.replace(b'"full"', b'"half"'), "'half' is not a valid Part"),
            (lambda line: line.replace(b'"format":1', b'"format":9'), "has format 9, this version reads format 1"),
        ],
    )
    def test_what_cannot_be_read_is_said(self, tmp_path: Path, spoil: Callable[[bytes], bytes], said: str) -> None:
        append_block(tmp_path, blocks(1)[0])
        path = tmp_path / FILE_NAME
        path.write_bytes(spoil(path.read_bytes()))
        with pytest.raises(UserError) as caught:
            read_blocks(tmp_path)
        assert said in str(caught.value)
        assert str(path) in str(caught.value)

    def test_a_run_goes_on_with_the_blocks_that_are_missing(self, tmp_path: Path) -> None:
        assert missing_blocks(tmp_path, 3) == (0, 1, 2)
        append_block(tmp_path, blocks(2)[1])
        assert missing_blocks(tmp_path, 3) == (0, 2)
        assert missing_blocks(tmp_path, 0) == ()

    def test_nowhere_to_write(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="cannot be written"):
            append_block(tmp_path / "nowhere", blocks(1)[0])
