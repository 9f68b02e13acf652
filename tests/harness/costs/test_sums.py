"""Signed sums of cells: taken block by block, and what cancels is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.costs import Sum
from harness.measured import Condition, Contender, Measured
from tests.harness import synthetic
from tests.harness.report.runs import FLASK, quick_plan, without

CONTENDER = Contender(FLASK, 16, 1)
WITH = Condition("keep-alive", 4, "1.3", "digest", "ecdsa-p256")
BARE = replace(WITH, auth="none")


@pytest.fixture(scope="module")
def run_of_blocks() -> Measured:
    return Measured(synthetic.run(quick_plan(blocks=30, window_s=1.0)))


def test_a_difference_holds_the_truth(run_of_blocks: Measured) -> None:
    digest = (Sum.cell(CONTENDER, WITH) - Sum.cell(CONTENDER, BARE)).interval(run_of_blocks)
    assert digest is not None
    assert digest.n == 30
    assert not digest.excludes(synthetic.Costs().digest)


def test_what_cancels_is_gone() -> None:
    one, other = Sum.cell(CONTENDER, WITH), Sum.cell(CONTENDER, BARE)
    assert (one + other - one).terms == other.terms
    assert (one - 0.1 * one - 0.9 * one).is_empty
    assert not (one - other).is_empty


def test_a_block_without_a_cell_does_not_count() -> None:
    run = synthetic.run(quick_plan(blocks=6))
    measured = Measured(without(run, lambda trial: trial.block == 2 and trial.options.auth == "none"))
    sums = Sum.cell(CONTENDER, WITH) - Sum.cell(CONTENDER, BARE)
    assert sorted(sums.by_block(measured)) == [0, 1, 3, 4, 5]
    within = sums.interval(measured, blocks={0, 2, 4})
    assert within is not None
    assert within.n == 2


def test_a_cell_that_nobody_measured_gives_no_cost(run_of_blocks: Measured) -> None:
    nowhere = Sum.cell(CONTENDER, replace(WITH, clients=5))
    assert (Sum.cell(CONTENDER, WITH) - nowhere).interval(run_of_blocks) is None


def test_nothing_is_no_figure(run_of_blocks: Measured) -> None:
    one = Sum.cell(CONTENDER, WITH)
    assert (one - one).interval(run_of_blocks) is None
