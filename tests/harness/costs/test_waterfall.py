"""Whether parts add up to the whole is a question that can be answered with no."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.costs import Part, Waterfall, waterfall
from harness.costs.waterfall import WholeName
from harness.measured import Contender, Measured
from harness.trials import Run
from tests.harness import synthetic
from tests.harness.costs.conftest import costs_plan
from tests.harness.report.runs import FLASK, quick_run, without

CONTENDER = Contender(FLASK, 16, 1)


def fall(run: Run) -> Waterfall:
    found = waterfall(Measured(run), CONTENDER)
    assert found is not None
    return found


def test_parts_that_do_add_up(long_run: Run) -> None:
    found = fall(long_run)
    assert set(found.wholes) == {WholeName.OPEN, WholeName.STORED, WholeName.NEW}
    for whole in found.checked:
        assert whole.share is not None
        assert abs(whole.share.estimate) < 0.02
        assert whole.share.n == found.blocks == 30


def test_what_parts_do_to_each_other_is_left_unexplained() -> None:
    """Digest takes 90 µs more on a new connection with TLS than anywhere else: no part holds that."""
    run = synthetic.run(costs_plan(blocks=12), costs=synthetic.Costs(interaction=90.0), drift=0.05)
    found = fall(run)
    new, kept = found.wholes[WholeName.NEW], found.wholes[WholeName.OPEN]
    assert new.unexplained is not None
    assert new.share is not None
    assert not new.unexplained.excludes(90.0)
    assert new.share.low > 0.05
    assert kept.share is not None
    assert abs(kept.share.estimate) < 0.05


def test_parts_and_unexplained_are_the_measured_whole(short_run: Run) -> None:
    found = fall(short_run)
    for whole in found.wholes.values():
        assert whole.unexplained is not None
        parts = sum(found.parts[part].estimate for part in whole.parts)
        assert parts + whole.unexplained.estimate == pytest.approx(whole.measured.estimate)


def test_all_figures_are_of_the_same_blocks(short_run: Run) -> None:
    thin = without(
        short_run, lambda trial: trial.block == 1 and trial.scenario == "full-handshake" and trial.deployment == FLASK
    )
    found = fall(thin)
    assert found.blocks == 5
    assert {interval.n for interval in found.parts.values()} == {5}


def test_parts_made_of_the_whole_check_nothing() -> None:
    """The plan quick has too few cells: its parts are differences to the whole, and add up whatever was measured."""
    found = fall(quick_run())
    assert found.parts.keys() >= {Part.SERVER, Part.DIGEST, Part.RECORDS, Part.TCP, Part.HANDSHAKE}
    new = found.wholes[WholeName.NEW]
    assert (new.unexplained, new.share) == (None, None)
    assert sum(found.parts[part].estimate for part in new.parts) == pytest.approx(new.measured.estimate)
    assert found.checked == ()


def test_without_a_part_there_is_no_waterfall(short_run: Run) -> None:
    plain_gone = without(short_run, lambda trial: trial.options.tls == "off")
    assert waterfall(Measured(plain_gone), CONTENDER) is None
    assert waterfall(Measured(short_run), replace(CONTENDER, threads=5)) is None
    none_whole = without(short_run, lambda trial: (trial.order + trial.block) % 2 == 0)
    assert waterfall(Measured(none_whole), CONTENDER) is None
