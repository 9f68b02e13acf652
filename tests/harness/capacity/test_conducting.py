"""A plan's searches are made one after the other, each on fresh servers, and go on where they were killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from harness.capacity.conducting import outcome, search_all
from harness.capacity.search import Capacity, Ending, Purpose, next_step, results_of
from harness.plan import Plan, Search, ServerKey
from harness.schedule import Turn
from harness.trial_log import TrialLog
from harness.trials import Trial, TrialId, read_run
from tests.harness import synthetic
from tests.harness.capacity.simulated import SEARCH, Server

STRICTER = replace(SEARCH, p99_ms=50.0)
PLAN = replace(synthetic.plan("smoke", blocks=1), searches=(SEARCH, STRICTER))


@dataclass
class Machine:
    """Stands for `harness.run.Runner`: simulated servers, and a log as it is."""

    log: TrialLog
    killed_after: int | None = None  # trials
    starts: list[ServerKey] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    does_not_start: int = 0  # so many times

    def measure(self, server: ServerKey, turns: Iterator[Turn]) -> None:
        turn = next(turns, None)
        if turn is not None:
            self.starts.append(server)
        while turn is not None:
            if len(self.turns) == self.killed_after:
                raise KeyboardInterrupt
            self.turns.append(turn)
            self.log.append(self._trial(turn))
            turn = next(turns, None)

    def _trial(self, turn: Turn) -> Trial:
        search = STRICTER if "<50ms" in turn.id.cell else SEARCH
        step = next_step(search, results_of(search, self.log.run.trials), guess_per_s=900.0)
        assert not isinstance(step, Capacity)
        # The same trial whenever it is made.
        made = Server(saturation_per_s=1000.0, random=np.random.default_rng(turn.id.block)).trial(
            search, replace(step, rate_per_s=turn.cell.load.rate_per_s, window_s=turn.window_s)
        )
        made = replace(made, id=turn.id, order=turn.order)
        if len(self.starts) <= self.does_not_start:
            return replace(made, requests=0, latency_us={}, lateness_us={}, doubts=("the server did not start: no",))
        return made


class Silent:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def search(self, line: str, *, trials: int) -> None:
        assert 0 < trials < 30
        self.lines.append(line)

    def note(self, line: str) -> None:
        self.lines.append(line)


def go(folder: Path, *, plan: Plan = PLAN, killed_after: int | None = None, does_not_start: int = 0) -> Machine:
    if (folder / "trials.jsonl").exists():
        log = TrialLog.resume(folder)
    else:
        log = TrialLog.create(folder, synthetic.run(plan).header)
        for trial in synthetic.run(plan).trials:
            log.append(trial)
    with log:
        machine = Machine(log, killed_after, does_not_start=does_not_start)
        with suppress(KeyboardInterrupt):
            search_all(plan, log, machine, Silent())
    return machine


def of(folder: Path, search: Search) -> Capacity:
    found = next_step(search, results_of(search, read_run(folder).trials))
    assert isinstance(found, Capacity)
    return found


class TestWhole:
    def test_every_search_is_made_and_found(self, tmp_path: Path) -> None:
        go(tmp_path)
        usual, stricter = of(tmp_path, SEARCH), of(tmp_path, STRICTER)
        assert usual.held_per_s == pytest.approx(990, rel=0.05)
        assert stricter.held_per_s == pytest.approx(955, rel=0.05)

    def test_finding_confirming_and_the_latencies_have_a_fresh_server_each(self, tmp_path: Path) -> None:
        machine = go(tmp_path, plan=replace(PLAN, searches=(SEARCH,)))
        assert machine.starts == [SEARCH.server] * len(Purpose)

    def test_a_search_begins_near_the_closed_load_of_the_same_server(self, tmp_path: Path) -> None:
        machine = go(tmp_path)
        closed = [each for each in read_run(tmp_path).trials if "flask-threaded keep-alive c4 tls1.3" in each.cell]
        assert machine.turns[0].cell.load.rate_per_s == pytest.approx(0.93 * closed[0].requests_per_s, rel=0.005)

    def test_windows_are_long_enough_and_orders_go_on(self, tmp_path: Path) -> None:
        machine = go(tmp_path)
        assert all(turn.window_s >= (1.0 if "<50ms" in turn.id.cell else 5.0) for turn in machine.turns)
        assert [trial.order for trial in read_run(tmp_path).trials] == list(range(len(read_run(tmp_path).trials)))

    def test_no_search_no_server(self, tmp_path: Path) -> None:
        assert go(tmp_path, plan=replace(PLAN, searches=())).starts == []

    def test_what_is_said(self, tmp_path: Path) -> None:
        display = Silent()
        with TrialLog.create(tmp_path, synthetic.run(PLAN).header) as log:
            search_all(PLAN, log, Machine(log), display)
        assert display.lines[0] == f"capacity of {SEARCH.name}"
        assert display.lines[1].startswith(f"capacity of {SEARCH.name}: 9")
        assert len(display.lines) == 4


class TestKilled:
    """At whichever trial: what finished is kept, nothing is made twice, and the end is the same."""

    @pytest.mark.parametrize("killed_after", [0, 1, 5, 9, 14, 20])
    def test_goes_on(self, tmp_path: Path, killed_after: int) -> None:
        whole = go(tmp_path / "whole")
        first = go(tmp_path / "killed", killed_after=killed_after)
        second = go(tmp_path / "killed")
        assert len(first.turns) == killed_after
        assert [turn.id for turn in (*first.turns, *second.turns)] == [turn.id for turn in whole.turns]
        for search in PLAN.searches:
            assert of(tmp_path / "killed", search) == of(tmp_path / "whole", search)

    def test_a_finished_one_starts_nothing(self, tmp_path: Path) -> None:
        go(tmp_path)
        assert go(tmp_path).starts == []


class TestTrouble:
    def test_a_server_that_does_not_start_gets_another_try(self, tmp_path: Path) -> None:
        machine = go(tmp_path, plan=replace(PLAN, searches=(SEARCH,)), does_not_start=2)
        assert of(tmp_path, SEARCH).is_found
        assert [turn.id.block for turn in machine.turns[:3]] == [0, 1, 2]
        assert len(machine.starts) == 2 + len(Purpose)

    def test_one_that_never_does_ends_that_search_and_not_the_next(self, tmp_path: Path) -> None:
        machine = go(tmp_path, does_not_start=3)
        assert of(tmp_path, SEARCH).ending is Ending.UNKNOWN
        assert of(tmp_path, STRICTER).is_found
        assert machine.turns[2].id == TrialId(2, machine.turns[0].id.cell)


class TestOutcome:
    """A search's end on one line."""

    @pytest.mark.parametrize(
        ("ending", "held", "failed", "expected"),
        [
            (Ending.FOUND, 1230.0, 1270.0, "1,230/s (at 1,270/s because)"),
            (Ending.LOWEST_FAILED, None, 1.0, "no rate held (because)"),
            (Ending.UNKNOWN, 1230.0, None, "not found, at least 1,230/s: because"),
            (Ending.UNKNOWN, None, None, "not found: because"),
            (Ending.HIGHEST_HELD, 100_000.0, None, "not found, at least 100,000/s: because"),
        ],
    )
    def test_line(self, ending: Ending, held: float | None, failed: float | None, expected: str) -> None:
        capacity = Capacity(search=SEARCH, ending=ending, held_per_s=held, failed_per_s=failed, why="because")
        assert outcome(capacity) == expected
