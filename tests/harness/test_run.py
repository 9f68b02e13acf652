"""The run's own logic, with a made-up laboratory: what is measured, in which order, and what survives what.

A real server and a real generator are in test_run_end_to_end.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.adaptive import Standing
from harness.errors import UserError
from harness.lab import Served, ServerFailedError
from harness.pinning import Pinning
from harness.plan import Cell, Plan, ServerKey
from harness.run import Runner, Session
from harness.schedule import Turn, schedule
from harness.trial_log import TrialLog
from harness.trials import NegotiatedTls, Run, Trial, TrialId, read_run
from harness.window import Observation
from tests.harness import synthetic
from tests.harness.test_window import STEADY, recorded, samples, slices

PLAN = synthetic.plan("smoke")
PINNING = Pinning(frozenset({0}), frozenset({1}))
NOW = datetime(2025, 11, 24, 8, 30, tzinfo=UTC)
PROBED = NegotiatedTls(version="TLSv1.3", cipher="probe's", group="X25519", key_kind="ecdsa-p256")


def steady() -> Observation:
    return Observation(recorded(slices(12)), samples())


def failed() -> Observation:
    return Observation(None, samples(), failure="it ended too early")


class FakeServed:
    def __init__(self, lab: FakeLab, server: ServerKey) -> None:
        self._lab = lab
        self._server = server
        self._status: int | None = None

    @property
    def threads(self) -> int | None:
        return 16 if self._server.deployment.startswith("flask") else None

    @property
    def tls(self) -> NegotiatedTls | None:
        return PROBED if self._server.uses_tls else None

    def status(self) -> int | None:
        return self._status

    def measure(self, cell: Cell, window_s: float, *, seed: int) -> Observation:
        assert seed >= 0
        assert window_s == PLAN.window_s
        assert cell.server == self._server
        self._lab.measured.append(cell)
        observation = self._lab.outcome(cell, len(self._lab.measured))
        self._status = observation.server_status
        return observation


@dataclass
class FakeLab:
    outcome: Callable[[Cell, int], Observation] = field(default=lambda _cell, _count: steady())
    refuses: Callable[[ServerKey], bool] = field(default=lambda _server: False)
    started: list[ServerKey] = field(default_factory=list)
    stopped: list[ServerKey] = field(default_factory=list)
    measured: list[Cell] = field(default_factory=list)

    @contextmanager
    def serve(self, server: ServerKey) -> Iterator[Served]:
        if self.refuses(server):
            raise ServerFailedError("it wrote nothing")
        self.started.append(server)
        try:
            yield FakeServed(self, server)
        finally:
            self.stopped.append(server)


class SilentDisplay:
    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.trials: list[Trial] = []
        self.said: list[str] = []  # of searches
        self.further_blocks: list[tuple[int, int, int]] = []  # number, open comparisons, trials left at most

    def start(self, *, done: int, total: int, folder: str, at_most: bool = False) -> None:
        del done, total, folder, at_most

    def further(self, block: int, undecided: Sequence[Standing], *, left: int) -> None:
        self.further_blocks.append((block, len(undecided), left))

    def search(self, line: str, *, trials: int) -> None:
        self.said.append(f"{line}, {trials}")

    def note(self, line: str) -> None:
        self.said.append(line)

    def turn(self, turn: Turn) -> None:
        self.turns.append(turn)

    def finished(self, trial: Trial) -> None:
        self.trials.append(trial)

    def tick(self) -> None:
        pass

    def close(self) -> None:
        pass


def go(folder: Path, lab: FakeLab, plan: Plan = PLAN, display: SilentDisplay | None = None) -> Session:
    header = synthetic.run(plan).header
    with TrialLog.resume(folder) if (folder / "trials.jsonl").exists() else TrialLog.create(folder, header) as log:
        return Runner(plan, log, lab, display or SilentDisplay(), PINNING, now=lambda: NOW, clock_s=clock()).run()


def clock() -> Callable[[], float]:
    """Two readings: the start and, 20 s later, the end."""
    readings = iter((100.0, 120.0))
    return lambda: next(readings)


def ids(run: Run) -> list[TrialId]:
    return [trial.id for trial in run.trials]


def planned(plan: Plan = PLAN) -> list[TrialId]:
    return [turn.id for start in schedule(plan) for turn in start.turns]


class TestWholeRun:
    def test_every_trial_in_the_drawn_order(self, tmp_path: Path) -> None:
        display = SilentDisplay()
        go(tmp_path, FakeLab(), display=display)
        run = read_run(tmp_path)
        assert ids(run) == planned() == [turn.id for turn in display.turns]
        assert [trial.order for trial in run.trials] == list(range(PLAN.trials))
        assert tuple(display.trials) == run.trials

    def test_one_server_start_a_server_and_block_and_all_stopped(self, tmp_path: Path) -> None:
        lab = FakeLab()
        go(tmp_path, lab)
        assert lab.started == lab.stopped == [start.server for start in schedule(PLAN)]

    def test_a_trial_says_how_its_server_was_started(self, tmp_path: Path) -> None:
        go(tmp_path, FakeLab())
        for trial in read_run(tmp_path).trials:
            assert trial.options.threads == (16 if trial.deployment == "flask-threaded" else None)
            assert trial.started == "2025-11-24T08:30:00+00:00"
            assert trial.load.clients == 4

    def test_version_and_cipher_are_the_load_s_group_and_key_the_probe_s(self, tmp_path: Path) -> None:
        go(tmp_path, FakeLab())
        for trial in read_run(tmp_path).trials:
            if trial.options.tls == "off":
                assert trial.tls is None
            else:
                assert trial.tls == NegotiatedTls(version="TLSv1.3", cipher="C", group="X25519", key_kind="ecdsa-p256")

    def test_how_much_of_the_time_was_measuring(self, tmp_path: Path) -> None:
        session = go(tmp_path, FakeLab())
        assert (session.trials, session.wall_s) == (10, 20.0)
        assert session.measured_s == pytest.approx(10.0)
        assert session.measured_share == pytest.approx(0.5)


class TestResume:
    """Exactly what is missing, nothing twice."""

    @pytest.mark.parametrize("kept", [0, 1, 4, 9, 10])
    def test_after_a_kill(self, tmp_path: Path, kept: int) -> None:
        def killed(_cell: Cell, count: int) -> Observation:
            if count == kept + 1:
                raise KeyboardInterrupt  # as good as any other end: nothing is written after it
            return steady()

        lab = FakeLab(killed)
        if kept < PLAN.trials:
            with pytest.raises(KeyboardInterrupt):
                go(tmp_path, lab)
            assert lab.started == lab.stopped
        else:
            go(tmp_path, lab)
        assert ids(read_run(tmp_path)) == planned()[:kept]
        with (tmp_path / "trials.jsonl").open("ab") as file:
            file.write(b'{"id": {"block": 1, "cell": "torn')
        again = FakeLab()
        session = go(tmp_path, again)
        assert ids(read_run(tmp_path)) == planned()
        assert session.trials == len(again.measured) == PLAN.trials - kept

    def test_a_void_trial_is_not_measured_again(self, tmp_path: Path) -> None:
        go(tmp_path, FakeLab(lambda cell, _count: failed() if cell.scenario == "full-handshake" else steady()))
        again = FakeLab()
        assert go(tmp_path, again).trials == 0
        assert again.started == []


class TestFurtherBlocks:
    """After the fixed blocks only what is not decided yet is measured; a killed run goes on with the same."""

    PLAN = replace(PLAN, blocks=3, max_blocks=6, budget_s=1e6)
    NOISY = "quart-hypercorn-asyncio"  # whose cost changes from block to block

    def outcome(self, cell: Cell, count: int) -> Observation:
        """Let one deployment's load go at another rate in every trial, and the other's at the same."""
        if cell.server.deployment != self.NOISY:
            return steady()
        requests = STEADY.requests + 7 * (count % 5)
        pieces = slices(12, replace(STEADY, requests=requests, latency_us={"GET": {500: requests}}))
        return Observation(recorded(pieces), samples())

    def whole(self, folder: Path) -> tuple[Run, SilentDisplay]:
        display = SilentDisplay()
        go(folder, FakeLab(self.outcome), self.PLAN, display)
        return read_run(folder), display

    def test_only_what_is_open(self, tmp_path: Path) -> None:
        run, display = self.whole(tmp_path)
        further = [trial for trial in run.trials if trial.block >= self.PLAN.blocks]
        assert further
        assert {trial.options.tls for trial in further} == {"1.3"}  # without TLS one deployment was measured, steadily
        assert {trial.deployment for trial in further} == {"flask-threaded", self.NOISY}  # always both sides
        assert [trial.order for trial in run.trials] == list(range(len(run.trials)))
        block, undecided, left = display.further_blocks[0]
        assert (block, left) == (3, 15)
        assert undecided == 2  # keep-alive and full-handshake

    def test_all_steady_needs_none(self, tmp_path: Path) -> None:
        display = SilentDisplay()
        assert go(tmp_path, FakeLab(), self.PLAN, display).trials == self.PLAN.trials
        assert display.further_blocks == []

    @pytest.mark.parametrize("kept", [14, 15, 16, 18, 19, 22])
    def test_after_a_kill(self, tmp_path: Path, kept: int) -> None:
        expected, _ = self.whole(tmp_path / "whole")

        def killed(cell: Cell, count: int) -> Observation:
            if count == kept + 1:
                raise KeyboardInterrupt
            return self.outcome(cell, count)

        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "killed", FakeLab(killed), self.PLAN)
        assert len(read_run(tmp_path / "killed").trials) == kept
        go(tmp_path / "killed", FakeLab(lambda cell, count: self.outcome(cell, count + kept)), self.PLAN)
        assert ids(read_run(tmp_path / "killed")) == ids(expected)

    def test_void_trials_do_not_keep_it_going(self, tmp_path: Path) -> None:
        def outcome(cell: Cell, count: int) -> Observation:
            return self.outcome(cell, count) if count <= self.PLAN.trials else failed()

        go(tmp_path, FakeLab(outcome), self.PLAN)
        assert max(trial.block for trial in read_run(tmp_path).trials) == self.PLAN.max_blocks - 1


class TestTurnsThatDependOnResults:
    """`Runner.measure` asks for the next turn only when the last one's trial is in the log."""

    CELL = PLAN.cells[0]

    def turns(self, log: TrialLog, seen: list[int], count: int = 3) -> Iterator[Turn]:
        for step in range(count):
            seen.append(len(log.run.trials))
            if log.run.trials and not log.run.trials[-1].requests:
                return
            yield Turn(step, TrialId(step, "capacity of it"), self.CELL, window_s=1.0)

    def go(self, folder: Path, lab: FakeLab, *, count: int = 3) -> tuple[list[int], Run]:
        seen: list[int] = []
        with TrialLog.create(folder, synthetic.run(PLAN).header) as log:
            runner = Runner(PLAN, log, lab, SilentDisplay(), PINNING, now=lambda: NOW, clock_s=clock())
            runner.measure(self.CELL.server, self.turns(log, seen, count))
        return seen, read_run(folder)

    def test_each_sees_the_trials_before_it(self, tmp_path: Path) -> None:
        lab = FakeLab()
        seen, run = self.go(tmp_path, lab)
        assert seen == [0, 1, 2]
        assert [trial.id for trial in run.trials] == [TrialId(step, "capacity of it") for step in range(3)]
        assert lab.started == lab.stopped == [self.CELL.server]

    def test_without_a_turn_no_server_is_started(self, tmp_path: Path) -> None:
        lab = FakeLab()
        assert self.go(tmp_path, lab, count=0)[1].trials == ()
        assert lab.started == []

    def test_a_server_that_dies_has_left_a_void_trial_by_then(self, tmp_path: Path) -> None:
        lab = FakeLab(lambda _cell, _count: replace(steady(), server_status=-9))
        assert len(self.go(tmp_path, lab)[1].trials) == 1
        assert lab.started == lab.stopped == [self.CELL.server]

    def test_a_server_that_does_not_start_voids_the_first_turn(self, tmp_path: Path) -> None:
        run = self.go(tmp_path, FakeLab(refuses=lambda _server: True))[1]
        assert [trial.doubts for trial in run.trials] == [("the server did not start: it wrote nothing",)]


class TestTrouble:
    """What goes wrong in one trial stays in it."""

    def test_a_generator_that_fails(self, tmp_path: Path) -> None:
        def outcome(_cell: Cell, count: int) -> Observation:
            return failed() if count == 3 else steady()

        go(tmp_path, FakeLab(outcome))
        run = read_run(tmp_path)
        (void,) = run.doubtful_trials
        assert void.order == 2
        assert (void.requests, void.doubts) == (0, ("the generator failed: it ended too early",))
        assert len(run.sound_trials) == PLAN.trials - 1

    def test_a_server_that_dies_is_started_again_for_the_rest(self, tmp_path: Path) -> None:
        first = next(start for start in schedule(PLAN) if len(start.turns) > 1)

        def outcome(cell: Cell, _count: int) -> Observation:
            died = cell == first.turns[0].cell and len(read_run(tmp_path).trials) < len(PLAN.cells)
            return Observation(recorded(slices(12)), samples(), server_status=-9) if died else steady()

        lab = FakeLab(outcome)
        go(tmp_path, lab)
        run = read_run(tmp_path)
        assert ids(run) == planned()
        (void,) = run.doubtful_trials
        assert void.doubts == ("the server ended by itself with status -9",)
        assert len(lab.started) == len(schedule(PLAN)) + 1

    def test_a_server_that_always_dies_ends_each_trial_once(self, tmp_path: Path) -> None:
        def outcome(cell: Cell, _count: int) -> Observation:
            dies = cell.server.deployment == "quart-hypercorn-asyncio"
            return Observation(recorded([]), samples(), server_status=3) if dies else steady()

        lab = FakeLab(outcome)
        go(tmp_path, lab)
        assert ids(read_run(tmp_path)) == planned()
        assert len(lab.measured) == PLAN.trials

    def test_when_nothing_works_it_says_so_early(self, tmp_path: Path) -> None:
        lab = FakeLab(lambda _cell, _count: failed())
        with pytest.raises(UserError, match=r"none of the first 5 trials gave a figure .the generator failed"):
            go(tmp_path, lab)
        assert len(lab.measured) == len(read_run(tmp_path).trials) == 5
        assert lab.started == lab.stopped

    def test_a_server_that_does_not_start(self, tmp_path: Path) -> None:
        go(tmp_path, FakeLab(refuses=lambda server: not server.uses_tls))
        run = read_run(tmp_path)
        assert set(ids(run)) == set(planned())
        assert {trial.options.tls for trial in run.doubtful_trials} == {"off"}
        assert {trial.doubts for trial in run.doubtful_trials} == {("the server did not start: it wrote nothing",)}

    def test_doubts_of_the_window_are_kept(self, tmp_path: Path) -> None:
        go(tmp_path, FakeLab(lambda _cell, _count: Observation(recorded(slices(12)), samples(server_processors=0.99))))
        assert {trial.doubts for trial in read_run(tmp_path).trials} == {
            ("neighbours took 39% of the server's processor",)
        }

    def test_a_load_that_saw_no_tls_leaves_the_probe_s_word(self, tmp_path: Path) -> None:
        unseen = recorded(slices(12, replace(STEADY, tls=None)))
        go(tmp_path, FakeLab(lambda _cell, _count: Observation(unseen, samples())))
        assert {trial.tls for trial in read_run(tmp_path).trials} == {PROBED, None}
