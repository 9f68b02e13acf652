"""Time left, and one line a trial where there is no terminal."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from harness.adaptive import Standing
from harness.comparisons import Kind, comparisons
from harness.progress import PlainDisplay, TerminalDisplay, TimeLeft, choose_display, minutes, outcome, still_open
from harness.schedule import schedule
from harness.statistics import Interval
from tests.harness import synthetic

PLAN = synthetic.plan("smoke")
TRIALS = synthetic.run(PLAN).trials


def ratio(half: float) -> Interval:
    return Interval(1.5, 1.5 / half, 1.5 * half, 8)


UNDECIDED = [
    Standing(comparison=one, interval=ratio(1.03), target=0.02, is_open=True)
    for one in comparisons(PLAN)
    if one.kind is Kind.CHOICE
]


class TestTimeLeft:
    def test_first_a_guess_then_what_was_seen(self) -> None:
        now = [100.0]
        left = TimeLeft(2.0, lambda: now[0])
        assert left.left_s(10) == 20
        now[0] += 4
        left.one_finished()
        assert left.left_s(9) == pytest.approx(9 * 3.0)  # the guess and one trial weigh alike
        now[0] += 4 * 99
        for _ in range(99):
            left.one_finished()
        assert left.left_s(1) == pytest.approx(4, abs=0.05)

    @pytest.mark.parametrize(
        ("seconds", "said"), [(0, "0:00"), (-3, "0:00"), (59.6, "1:00"), (605, "10:05"), (3725, "1:02:05")]
    )
    def test_minutes(self, seconds: float, said: str) -> None:
        assert minutes(seconds) == said


class TestOutcome:
    def test_figures(self) -> None:
        trial = replace(TRIALS[0], window_s=2.0, requests=24_690, server_cpu_us=24_690 * 182.0)
        assert outcome(trial) == "12,345 requests/s, 182 µs of server CPU each"
        assert outcome(replace(trial, doubts=("d", "e"))).endswith(" (set aside: d; e)")

    def test_none(self) -> None:
        assert outcome(replace(TRIALS[0], requests=0, doubts=("the generator failed: x",))) == (
            "no figure: the generator failed: x"
        )


class TestPlainLines:
    def test_one_a_trial(self) -> None:
        output = io.StringIO()
        display = choose_display(Console(file=output, width=40), 2.5)
        assert isinstance(display, PlainDisplay)
        display.start(done=1, total=10, folder="results/x")
        for trial in TRIALS[:2]:
            display.finished(trial)
        display.close()
        lines = output.getvalue().splitlines()
        assert lines[0] == "9 trials to measure in results/x, about 0:22"
        assert len(lines) == 3
        assert lines[1].startswith("[2/10, ")
        assert TRIALS[0].cell in lines[1]
        assert "\x1b" not in output.getvalue()

    def test_a_plan_that_may_end_before(self) -> None:
        output = io.StringIO()
        display = PlainDisplay(Console(file=output, width=40), 2.5)
        display.start(done=0, total=20, folder="results/x", at_most=True)
        display.further(2, UNDECIDED, left=6)
        display.finished(TRIALS[0])
        lines = output.getvalue().splitlines()
        assert lines[0] == "at most 20 trials to measure in results/x, at most 0:50"
        assert lines[1].startswith(
            "block 3: 2 comparisons are not decided yet: flask-threaded to quart-hypercorn-asyncio"
        )
        assert lines[2].startswith("[1/6, at most 0:")

    def test_a_search(self) -> None:
        output = io.StringIO()
        display = PlainDisplay(Console(file=output, width=40), 2.5)
        display.start(done=0, total=20, folder="results/x", at_most=True)
        display.search("capacity of x", trials=18)
        display.finished(TRIALS[0])
        display.note("capacity of x: 1,230/s")
        lines = output.getvalue().splitlines()
        assert lines[1] == "capacity of x: about 18 trials"
        assert lines[2].startswith("[1/18, 0:")
        assert lines[3] == "capacity of x: 1,230/s"


class TestStillOpen:
    """The widest first, and no more than fit into a line."""

    def test_one(self) -> None:
        assert still_open(6, UNDECIDED[:1]) == (
            "block 7: 1 comparison is not decided yet: flask-threaded to quart-hypercorn-asyncio,"
            " keep-alive c4 tls1.3 digest ecdsa-p256: server CPU for one request (within 3.0 %)"
        )

    def test_many(self) -> None:
        said = still_open(6, [replace(UNDECIDED[0], interval=ratio(1 + n / 100)) for n in range(3, 9)])
        assert "6 comparisons are" in said
        assert said.index("within 8.0 %") < said.index("within 7.0 %")
        assert said.endswith("; and 3 more")


class TestTerminal:
    def test_bar_and_what_was_set_aside(self) -> None:
        output = io.StringIO()
        display = choose_display(Console(file=output, force_terminal=True, width=120), 2.5)
        assert isinstance(display, TerminalDisplay)
        display.start(done=0, total=10, folder="results/x")
        display.turn(schedule(PLAN)[0].turns[0])
        display.further(2, UNDECIDED, left=10)
        display.finished(TRIALS[0])
        display.finished(replace(TRIALS[1], doubts=("neighbours took 30% of the server's processor",)))
        display.tick()
        display.search("capacity of x", trials=18)
        display.note("capacity of x: 1,230/s")
        display.close()
        shown = output.getvalue()
        assert "capacity of x: 1,230/s" in shown
        assert schedule(PLAN)[0].turns[0].cell.name in shown
        assert "for the CPU alone: neighbours" in shown.replace("\n", " ")
        assert "2/10" in shown
        assert "left" in shown
        assert "not decided yet" in shown
