"""Time left, who leads, and one line a trial where there is no terminal."""

from __future__ import annotations

import contextlib
import fcntl
import io
import math
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from harness import words
from harness.adaptive import Standing
from harness.comparisons import Kind, comparisons
from harness.leading import Lead, Leading
from harness.progress import (
    PlainDisplay,
    TerminalDisplay,
    TimeLeft,
    by_how_much,
    choose_display,
    leading_table,
    minutes,
    outcome,
    still_open,
)
from harness.report.decisions import NEEDS
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


LEADS = tuple(
    Lead(
        need=need,
        leader="flask-gunicorn-gthread-unix@nginx",
        runner_up="quart-hypercorn-asyncio",
        advantage=ratio(1.05),
        unit="less CPU",
    )
    for need in (need.name for need in NEEDS)
)


class TestLeaders:
    @pytest.mark.parametrize(
        ("advantage", "said"),
        [
            (Interval(1.8, 1.7, 1.9, 6), f"1.8{words.THIN}{words.TIMES} less CPU (1.70 {words.DASH} 1.90)"),
            (Interval(1.01, 0.98, 1.04, 6), f"a tie so far (0.98 {words.DASH} 1.04)"),
            (Interval(1.8, 0.0, math.inf, 2), "too early to tell"),
        ],
    )
    def test_by_how_much(self, advantage: Interval, said: str) -> None:
        assert by_how_much(replace(LEADS[0], advantage=advantage), with_unit=True) == said

    @pytest.mark.parametrize("width", [40, 80, 110, 200])
    def test_a_line_each_however_narrow(self, width: int) -> None:
        output = io.StringIO()
        Console(file=output, width=width).print(leading_table(LEADS, wide=width >= 110))
        lines = output.getvalue().splitlines()
        assert len(lines) == 1 + len(LEADS)
        assert max(map(len, lines)) <= width
        assert ("quart-hypercorn-asyncio" in output.getvalue()) == (width >= 110)


class TestTerminal:
    def test_bar_and_what_was_set_aside(self) -> None:
        output = io.StringIO()
        leading = Leading(lambda: synthetic.run(synthetic.plan("quick")))
        display = choose_display(Console(file=output, force_terminal=True, width=120, height=40), 2.5, leading)
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
        assert "many short connections" in shown

    def test_a_tick_within_a_second_draws_nothing(self) -> None:
        """Windows are open while it ticks."""
        output = io.StringIO()
        display = choose_display(Console(file=output, force_terminal=True, width=80), 2.5)
        display.start(done=0, total=10, folder="results/x")
        display.turn(schedule(PLAN)[0].turns[0])
        before = len(output.getvalue())
        for _ in range(100):
            display.tick()
        assert len(output.getvalue()) == before
        display.close()


REPLAY = """
import sys
from harness.leading import Leading
from harness.progress import choose_display, standard_error
from harness.schedule import schedule
from harness.trials import Run
from tests.harness import synthetic

plan = synthetic.plan("quick")
run = synthetic.run(plan, doubtful=[trial.id for trial in synthetic.run(plan).trials[::40]])
display = choose_display(standard_error(), 2.5, Leading(lambda: run))
display.start(done=0, total=len(run.trials), folder="results/2025-11-24T080000-quick", at_most=True)
trials = {trial.id: trial for trial in run.trials}
turns = [turn for start in schedule(plan) for turn in start.turns]
for turn in turns[:80]:
    display.turn(turn)
    display.finished(trials[turn.id])
display.close()
"""


class Screen:
    """A terminal of 80 by 24, as far as the display uses one. What runs over its right edge is an error."""

    WIDTH, HEIGHT = 80, 24

    def __init__(self) -> None:
        self.lines = [""]
        self.fullest = ""  # the screen when most stood on it
        self._row = self._column = 0

    def feed(self, text: str) -> None:
        for found in re.finditer(r"\x1b\[(\??[\d;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]+", text):
            if found[2] == "A":
                self._row -= int(found[1] or 1)
                assert len(self.lines) - self._row <= self.HEIGHT, "it goes up beyond the screen's first line"
            elif found[2] == "K":
                self.lines[self._row] = ""
            elif found[2] in ("m", "h", "l"):
                pass
            elif found[0] == "\r":
                self._column = 0
            elif found[0] == "\n":
                self._row, self._column = self._row + 1, 0
                self.lines += [""] * (self._row + 1 - len(self.lines))
            else:
                assert found[2] is None, f"unknown to this terminal: {found[0]!r}"
                self._put(found[0])

    def _put(self, text: str) -> None:
        line = self.lines[self._row].ljust(self._column)
        self._column += len(text)
        self.lines[self._row] = line[: self._column - len(text)] + text + line[self._column :]
        if (shown := "\n".join(self.lines[-self.HEIGHT :])).count("ahead") and len(shown) > len(self.fullest):
            self.fullest = shown


def at_a_terminal(arguments: list[str], **environment: str) -> str:
    """What a process writes that has a terminal of 80 by 24."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", Screen.HEIGHT, Screen.WIDTH, 0, 0))
    inherited = {
        name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"}
    }
    process = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        cwd=Path(__file__).parents[2],
        env={**inherited, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # how Linux says that nobody has the terminal open any more
        while piece := os.read(ours, 65536):
            written += piece
    os.close(ours)
    assert process.wait(timeout=30) == 0, written.decode()
    return written.decode()


COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;\d+)*m")


class TestElsewhere:
    """A log gets a line for each trial, whatever colours it asked for."""

    @pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}, {"NO_COLOR": "1"}], ids=str)
    def test_no_escape_sequence(self, environment: dict[str, str]) -> None:
        done = subprocess.run(
            [sys.executable, "-c", REPLAY],
            cwd=Path(__file__).parents[2],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == ""
        assert "\x1b" not in done.stderr
        assert "[80/" in done.stderr


class TestAtATerminal:
    """A real one, of 80 columns and 24 lines."""

    def test_everything_fits(self) -> None:
        written = at_a_terminal([sys.executable, "-c", REPLAY])
        screen = Screen()
        screen.feed(written)
        assert COLOUR.search(written)
        shown = screen.fullest.splitlines()
        assert sum(line.startswith(tuple(need.name for need in NEEDS)) for line in shown) == len(LEADS)
        bar = next(number for number, line in enumerate(shown) if "at most" in line and "left" in line)
        assert "tls1.3" in shown[bar - 1]
        live = shown[next(number for number, line in enumerate(shown) if "ahead" in line) : bar + 1]
        assert max(map(len, live)) <= Screen.WIDTH

    def test_nothing_stays_but_what_was_said(self) -> None:
        screen = Screen()
        screen.feed(at_a_terminal([sys.executable, "-c", REPLAY]))
        left = "\n".join(screen.lines)
        assert "measuring at most" in left
        assert "ahead" not in left

    def test_no_color(self) -> None:
        written = at_a_terminal([sys.executable, "-c", REPLAY], NO_COLOR="1")
        assert "ahead" in written
        assert not COLOUR.search(written)

    def test_a_dumb_terminal_gets_plain_lines(self) -> None:
        written = at_a_terminal([sys.executable, "-c", REPLAY], TERM="dumb")
        assert "\x1b" not in written
        assert "[80/" in written

    @pytest.mark.parametrize("command", ["list", "--help"])
    def test_other_commands_obey_both(self, command: str) -> None:
        bench = str(Path(sys.executable).parent / "bench")
        assert not COLOUR.search(at_a_terminal([bench, command], NO_COLOR="1"))
        assert "\x1b" not in at_a_terminal([bench, command], TERM="dumb")
