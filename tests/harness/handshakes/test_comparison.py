"""Ratios are told within blocks, hold the truth as often as they say, and know nothing of refused figures."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs import KeyKind
from harness.handshakes.comparison import Comparison, reference
from harness.handshakes.figures import POST_QUANTUM_GROUP, USUAL_GROUP, Part, Stack, Subject
from harness.statistics import Verdict, verdict
from tests.harness.handshakes.synthetic_blocks import PYOPENSSL, QUANTUM_ADDS, blocks, spoiled, truth_us

P256 = Subject(stack=Stack.STDLIB, part=Part.FULL)
RSA_4096 = replace(P256, key_kind=KeyKind.RSA_4096)
RESUMED = replace(P256, part=Part.RESUMED)


class TestTruth:
    """What was put in comes out."""

    @pytest.mark.parametrize("subject", [P256, RSA_4096, RESUMED, replace(RESUMED, version="1.2")])
    def test_ratio_to_the_reference(self, subject: Subject) -> None:
        found = Comparison(blocks(12)).to_reference(subject)
        assert found is not None
        assert found.estimate == pytest.approx(truth_us(subject) / truth_us(reference(Stack.STDLIB)), rel=0.02)
        assert found.n == 12

    def test_the_reference_to_itself_is_one(self) -> None:
        found = Comparison(blocks()).to_reference(reference(Stack.PYOPENSSL))
        assert found is not None
        assert (found.low, found.estimate, found.high) == (1.0, 1.0, 1.0)

    def test_a_stack_is_compared_with_itself_or_with_the_other(self) -> None:
        found = Comparison(blocks(12)).ratio(replace(P256, stack=Stack.PYOPENSSL), P256)
        assert found is not None
        assert found.estimate == pytest.approx(PYOPENSSL, rel=0.02)
        assert verdict(found) is Verdict.LESS

    def test_what_a_group_adds(self) -> None:
        usual = replace(P256, stack=Stack.PYOPENSSL)
        found = Comparison(blocks(12, drift=0.0)).added(replace(usual, group=POST_QUANTUM_GROUP), usual)
        assert found is not None
        assert found.low < QUANTUM_ADDS < found.high

    def test_drift_from_block_to_block_falls_out_of_ratios(self) -> None:
        found = Comparison(blocks(6, drift=0.5, noise=0.0)).to_reference(P256)
        assert found is not None
        assert found.high / found.low == pytest.approx(1.0)


class TestCoverage:
    """The 95 % interval of a ratio holds the truth in about 95 of 100 runs; alike stacks are rarely told apart."""

    DRAWS = 1500
    SLACK = 0.017  # three standard deviations of a binomial share at 95 % and 1,500 draws

    @pytest.mark.parametrize("count", [3, 6])
    def test_ratio_to_the_reference(self, count: int) -> None:
        wanted = [P256, reference(Stack.STDLIB)]
        truth = truth_us(P256) / truth_us(reference(Stack.STDLIB))
        held = 0
        for seed in range(self.DRAWS):
            found = Comparison(blocks(count, seed=seed, wanted=wanted, noise=0.02, drift=0.3)).to_reference(P256)
            assert found is not None
            held += not found.excludes(truth)
        assert abs(held / self.DRAWS - 0.95) < self.SLACK

    def test_alike_stacks_tie(self) -> None:
        other = replace(P256, stack=Stack.PYOPENSSL)
        wrong = 0
        for seed in range(self.DRAWS):
            alike = blocks(6, seed=seed, wanted=[P256, other], truth=lambda _: 250.0, noise=0.02)
            found = Comparison(alike).ratio(other, P256)
            assert found is not None
            wrong += verdict(found) is not Verdict.TIE
        assert wrong / self.DRAWS < 0.05 + self.SLACK


@given(scale=st.floats(0.01, 100), seed=st.integers(0, 1000))
def test_a_machine_that_is_faster_altogether_has_the_same_ratios(scale: float, seed: int) -> None:
    wanted = [P256, reference(Stack.STDLIB)]
    here = Comparison(blocks(seed=seed, wanted=wanted)).to_reference(P256)
    there = Comparison(blocks(seed=seed, wanted=wanted, truth=lambda one: scale * truth_us(one))).to_reference(P256)
    assert here is not None
    assert there is not None
    assert np.allclose([here.low, here.estimate, here.high], [there.low, there.estimate, there.high])


@given(seed=st.integers(0, 1000))
def test_read_in_the_other_direction_a_ratio_is_its_reciprocal(seed: int) -> None:
    compared = Comparison(blocks(seed=seed, wanted=[P256, RSA_4096]))
    forth, back = compared.ratio(P256, RSA_4096), compared.ratio(RSA_4096, P256)
    assert forth is not None
    assert back is not None
    assert math.isclose(forth.estimate * back.estimate, 1.0)
    assert math.isclose(forth.low * back.high, 1.0)


class TestMissing:
    """What is not there is not made up."""

    def test_a_resumed_figure_that_was_not_resumed_is_refused(self) -> None:
        compared = Comparison(spoiled(blocks(), RESUMED, lambda figure: replace(figure, resumed=figure.count - 1)))
        assert RESUMED not in compared
        assert compared.level(RESUMED) is None
        assert compared.to_reference(RESUMED) is None
        assert [(one.block, one.subject) for one in compared.refused] == [(number, RESUMED) for number in range(6)]
        assert "resumed handshakes were full ones" in compared.refused[0].why

    def test_another_group_is_refused(self) -> None:
        other = spoiled(blocks(), P256, lambda figure: replace(figure, tls=replace(figure.tls, group="P-256")))
        assert P256 not in Comparison(other)

    def test_blocks_that_one_side_lacks_are_not_compared(self) -> None:
        first, *rest = blocks()
        without = replace(first, figures=tuple(each for each in first.figures if each.subject != P256))
        found = Comparison([without, *rest]).to_reference(P256)
        assert found is not None
        assert found.n == 5

    def test_two_blocks_cannot_tell(self) -> None:
        found = Comparison(blocks(2)).to_reference(P256)
        assert found is not None
        assert not found.is_finite
        assert verdict(found) is Verdict.TIE

    def test_a_group_that_a_stack_does_not_do(self) -> None:
        compared = Comparison(blocks())
        quantum = replace(P256, group=POST_QUANTUM_GROUP)
        assert compared.ratio(quantum, replace(quantum, group=USUAL_GROUP)) is None
        assert [each.stack for each in compared.cannot] == [Stack.STDLIB]

    def test_nothing(self) -> None:
        compared = Comparison(())
        assert (compared.level(P256), compared.ratio(P256, RSA_4096), compared.added(P256, RSA_4096)) == (None,) * 3
