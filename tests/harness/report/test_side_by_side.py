"""Several runs side by side: what differs, what each chooses, and ratios only where they may be made."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.comparing import compare, said
from harness.comparing.figures import Figure
from harness.errors import UserError
from harness.report import side_by_side
from harness.report.decisions import CPU, TAIL, THROUGHPUT
from harness.report.formats import as_markdown, as_text
from harness.report.reading import RunFolder
from harness.report.side_by_side import SideBySide, as_json, put_side_by_side, sections
from harness.report.side_by_side.changes import COSTS
from harness.trials import Run
from tests.harness import synthetic
from tests.harness.report.runs import EVIL, QUART, changed, hostile_run, quick_plan, quick_run
from tests.harness.report.test_page import Page

FIGURES = {CPU: Figure.CPU, THROUGHPUT: Figure.THROUGHPUT, TAIL: Figure.P99}
LATER = "2025-11-25T08:00:00+00:00"


def folders(*runs: Run) -> list[RunFolder]:
    return [RunFolder(Path("results") / f"run-{number}", run) for number, run in enumerate(runs, start=1)]


def with_header(run: Run, *, started: str = LATER, **environment: object) -> Run:
    known = {**run.header.environment, **environment}
    return Run(replace(run.header, started=started, environment=known), run.trials)


def measured_again(*, quart_us: float = 420.0, blocks: int = 6) -> Run:
    """Return a later run on a steady machine, with another hypercorn and perhaps a dearer Quart."""
    costs = synthetic.Costs(request={"flask-threaded": 180.0, QUART: quart_us})
    run = synthetic.run(quick_plan(blocks=blocks), costs=costs, seed=2, drift=0.005)
    packages = run.header.environment["packages"]
    return with_header(run, packages={**packages, "hypercorn": "0.19.0"})


@pytest.fixture(scope="module")
def before() -> Run:
    return synthetic.run(quick_plan(), seed=1, drift=0.005)


@pytest.fixture(scope="module")
def upgraded(before: Run) -> SideBySide:
    return put_side_by_side(folders(before, measured_again(quart_us=700.0)))


@pytest.fixture(scope="module")
def elsewhere(before: Run) -> SideBySide:
    other = with_header(measured_again(), processor="Another Processor 4000", processors=8)
    return put_side_by_side(folders(before, other))


@pytest.fixture(scope="module")
def three(before: Run) -> SideBySide:
    other_plan = quick_run(plan=replace(quick_plan(), window_s=9.0))
    return put_side_by_side(folders(before, other_plan, measured_again()))


def everything(beside: SideBySide) -> dict[str, str]:
    """Return each format without its breaks of lines and escapes."""
    head = sections.title(beside), sections.context(beside), sections.opening(beside), sections.lacks(beside)
    made = sections.sections(beside)
    found = {
        "html": Page(side_by_side.render(beside)).text,
        "text": as_text.written(as_text.sections_report(*head, made)),
        "markdown": as_markdown.sections_report(*head, made),
    }
    return {form: " ".join(report.replace("\\", "").split()) for form, report in found.items()}


class TestComparable:
    """The same plan on the same machine: a ratio with its interval and verdict for each need and cost."""

    def test_the_ratios_are_those_of_bench_compare(self, upgraded: SideBySide) -> None:
        first, second = upgraded.sides
        compared = compare(first.found.run, second.found.run)
        checked = 0
        for row in upgraded.needs:
            cell = first.measured.cost_trials(row.contender, row.condition)[0].cell
            rows = compared.rows_of(FIGURES[row.need.measure])
            expected = next(one for one in rows if one.name == cell)
            [change] = row.changes
            assert change is not None
            assert (change.interval, change.judgement) == (expected.interval, expected.judgement)
            checked += 1
        assert checked >= 12

    def test_what_became_dearer_is_found_and_what_did_not_is_not(self, upgraded: SideBySide) -> None:
        verdicts = {
            (row.contender.deployment, str(change.judgement))
            for row in upgraded.needs
            for change in row.changes
            if change is not None and row.need.measure is CPU
        }
        assert (QUART, "worse") in verdicts
        assert ("flask-threaded", "worse") not in verdicts

    def test_a_whole_request_s_cost_changes_as_its_cell_does(self, upgraded: SideBySide) -> None:
        row = next(one for one in upgraded.costs if one.contender.deployment == QUART and one.cost == COSTS[0][0])
        [change] = row.changes
        assert change is not None
        assert change.interval.low < 755 / 475 < change.interval.high
        assert str(change.judgement) == "worse"

    def test_costs_are_each_run_s_own(self, upgraded: SideBySide) -> None:
        for row in upgraded.costs:
            read = next(read for name, read, _ in COSTS if name == row.cost)
            for side, seen in zip(upgraded.sides, row.seen, strict=True):
                assert seen == next(read(cost) for cost in side.costs if cost.contender == row.contender)

    def test_no_ratio_of_a_cost_that_may_be_nothing(self, before: Run) -> None:
        free = synthetic.run(quick_plan(), costs=synthetic.Costs(digest=0.0), seed=2, drift=0.005)
        beside = put_side_by_side(folders(before, with_header(free)))
        found = [row.changes for row in beside.costs if row.cost == "Digest, a request"]
        assert found == [(None,), (None,)]
        assert "cannot tell" in everything(beside)["text"]

    def test_is_said_in_every_format(self, upgraded: SideBySide) -> None:
        [pair] = upgraded.pairs
        row = next(one for one in upgraded.needs if one.contender.deployment == QUART)
        [change] = row.changes
        assert change is not None
        for report in everything(upgraded).values():
            assert " ".join(said.headline(pair.compared).split()) in report
            assert "hypercorn" in report
            assert "0.19.0" in report
            assert f"{said.ratio(change.interval.estimate)} ({said.between(change.interval)})".split()[0] in report
            assert "B beside A" in report


class TestNotComparable:
    """Another machine, another plan: the figures stand beside each other, and no ratio is made of them."""

    def test_another_machine(self, elsewhere: SideBySide) -> None:
        assert all(row.changes == (None,) for row in elsewhere.needs)
        assert all(row.changes == (None,) for row in elsewhere.costs)
        for report in everything(elsewhere).values():
            assert "not comparable: another machine (processor: Synthetic Processor 3000 in A" in report
            assert "not compared" in report
            assert "Another Processor 4000" in report
            assert not re.search(r"\d\.\d{3} \(\d\.\d{3}", report.split("HOW DO THE NEEDS")[-1].split("MAY THEY")[0])

    def test_another_plan_among_three_runs(self, three: SideBySide) -> None:
        other_plan, same_plan = three.pairs
        assert other_plan.why_not.startswith("another plan (A ")
        assert "in B" in other_plan.why_not
        assert not same_plan.why_not
        for row in three.needs:
            assert row.changes[0] is None
        assert any(row.changes[1] for row in three.needs)
        for report in everything(three).values():
            assert "Not all: B cannot be held against A." in report

    def test_a_third_run_is_called_by_its_own_letter(self, three: SideBySide) -> None:
        notes = " ".join(said.notes(three.pairs[1].compared))
        assert not re.search(r"\bB\b", notes)

    def test_the_same_run_twice_is_refused(self, before: Run) -> None:
        with pytest.raises(UserError, match="hold the same run; give different runs"):
            put_side_by_side(folders(before, before))

    def test_more_runs_than_letters_are_refused(self, before: Run) -> None:
        with pytest.raises(UserError, match="27 runs are too many"):
            put_side_by_side(folders(*[Run(before.header, ())] * 27))


class TestDifferences:
    def test_stand_first(self, upgraded: SideBySide) -> None:
        first = sections.sections(upgraded)[0]
        assert first.anchor == "differences"
        assert {row[0] for row in first.tables[0].rows} == {"started", "hypercorn"}

    def test_nothing_differs_but_the_date(self, before: Run) -> None:
        again = with_header(synthetic.run(quick_plan(), seed=5, drift=0.005))
        first = sections.sections(put_side_by_side(folders(before, again)))[0]
        assert first.answer == "In nothing that was recorded, but the date."

    def test_a_fact_that_one_run_lacks_is_not_recorded(self, before: Run) -> None:
        bare = Run(replace(before.header, environment={}, started=LATER), before.trials)
        first = sections.sections(put_side_by_side(folders(before, bare)))[0]
        assert ("kernel", "6.1.0", "not recorded") in first.tables[0].rows


class TestChoices:
    def test_alike_or_not(self, before: Run) -> None:
        swapped = synthetic.Costs(request={"flask-threaded": 420.0, QUART: 180.0})
        other = with_header(synthetic.run(quick_plan(), costs=swapped, seed=2, drift=0.005))
        choices = sections.sections(put_side_by_side(folders(before, other)))[1]
        by_need = {row[0]: row[1] for row in choices.tables[0].rows}
        assert by_need["the least CPU"] == "another"
        assert by_need["many slow requests"] == "the same"


class TestPage:
    def test_one_file_with_the_look_policy_and_downloads_of_a_run_s(self, upgraded: SideBySide) -> None:
        page = Page(side_by_side.render(upgraded))
        assert "default-src 'none'" in page.policy
        assert page.loads == ["data:,"]
        assert set(page.links) == {"comparison.json", "trials-A.csv", "trials-B.csv"}
        assert len(page.ids) == len(set(page.ids))
        assert set(page.targets) <= set(page.ids)

    @pytest.mark.parametrize("broken", ["no trials", "all failed", "bare"])
    def test_a_run_with_nothing_in_it(self, broken: str, before: Run) -> None:
        change: dict[str, Callable[[Run], Run]] = {
            "no trials": lambda run: Run(run.header, ()),
            "all failed": lambda run: changed(run, lambda trial: replace(trial, requests=0, doubts=("it died",))),
            "bare": lambda run: Run(replace(run.header, environment={}, plan={}, started="?"), run.trials),
        }
        beside = put_side_by_side(folders(before, change[broken](before)))
        for report in everything(beside).values():
            assert "not comparable" in report
        json.dumps(as_json.report(beside), allow_nan=False)

    def test_markup_stays_text(self, before: Run) -> None:
        page = Page(side_by_side.render(put_side_by_side(folders(before, hostile_run()))))
        assert "img" not in page.tags
        assert EVIL in page.text

    def test_what_is_not_whole_is_said_of_its_run(self, before: Run) -> None:
        one, two = folders(before, measured_again())
        beside = put_side_by_side([one, replace(two, lacks=("the last line is torn",))])
        for report in everything(beside).values():
            assert "B: the last line is torn." in report

    def test_text_fits_80_columns(self, three: SideBySide) -> None:
        head = sections.title(three), sections.context(three), sections.opening(three), sections.lacks(three)
        text = as_text.written(as_text.sections_report(*head, sections.sections(three)))
        assert max(map(len, text.splitlines())) <= as_text.WIDTH


class TestJson:
    def test_runs_comparisons_needs_and_costs(self, upgraded: SideBySide) -> None:
        content = json.loads(json.dumps(as_json.report(upgraded), allow_nan=False))
        assert (content["format"], content["kind"]) == (1, "side by side")
        assert [run["letter"] for run in content["runs"]] == ["A", "B"]
        [comparison] = content["comparisons"]
        assert (comparison["of"], comparison["to"], comparison["is_compared"]) == ("B", "A", True)
        assert {"what": "packages hypercorn", "A": "0.18.0", "B": "0.19.0"} in comparison["changes"]
        need = next(one for one in content["needs"] if one["deployment"] == QUART and "server_cpu" in one["figure"])
        assert need["runs"]["A"][need["figure"]]["estimate"] > 0
        assert need["changes"][0]["ratio"]["low"] < need["changes"][0]["ratio"]["estimate"]
        assert content["costs"][0]["runs"]["B"]["server_cpu_us"]["blocks"] == 6

    def test_says_why_it_does_not_compare(self, elsewhere: SideBySide) -> None:
        [comparison] = as_json.report(elsewhere)["comparisons"]
        assert not comparison["is_compared"]
        assert comparison["why_not"].startswith("another machine")
