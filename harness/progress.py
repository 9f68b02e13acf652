"""What a person sees while a run goes on: a bar with the time left on a terminal, plain lines anywhere else.

Everything goes to standard error; standard output is for the result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from harness.adaptive import Standing
from harness.schedule import Turn
from harness.trials import Trial

OPEN_SHOWN: Final = 3  # comparisons named in one line


class Display(Protocol):
    """Is told what happens."""

    def start(self, *, done: int, total: int, folder: str, at_most: bool = False) -> None:
        """Say that a run begins, or goes on, with `done` of `total` trials there already.

        at_most: it may end before, when everything is decided.
        """

    def further(self, block: int, undecided: Sequence[Standing], *, left: int) -> None:
        """Say that a further block comes, for what is not decided yet. left: trials to come at most."""

    def search(self, line: str, *, trials: int) -> None:
        """Say that a search begins, or goes on, and about how many trials it will take."""

    def note(self, line: str) -> None:
        """Say what a search came to."""

    def turn(self, turn: Turn) -> None:
        """Say which trial comes now."""

    def finished(self, trial: Trial) -> None:
        """Say what came out of it."""

    def tick(self) -> None:
        """Move on; called often."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class TimeLeft:
    """Guesses the time left from the trials of this session; before the first one from what a trial should take."""

    def __init__(self, guess_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._guess_s = guess_s
        self._clock_s = clock_s
        self._started_s = clock_s()
        self._finished = 0

    def one_finished(self) -> None:
        """Count a trial."""
        self._finished += 1

    def left_s(self, trials_left: int) -> float:
        """Return how long so many trials will take; an upper bound where fewer may do."""
        spent_s = self._clock_s() - self._started_s
        # The guess weighs as much as one trial, so that the first one does not decide alone.
        each_s = (spent_s + self._guess_s) / (self._finished + 1) if self._finished else self._guess_s
        return each_s * trials_left


def minutes(seconds: float) -> str:
    """Return a time as m:ss, or h:mm:ss."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def outcome(trial: Trial) -> str:
    """Return one line about a finished trial."""
    if not trial.requests:
        return f"no figure: {'; '.join(trial.doubts)}"
    line = f"{trial.requests_per_s:,.0f} requests/s, {trial.server_cpu_us_per_request:,.0f} µs of server CPU each"
    if not trial.doubts:
        return line
    use = "for the CPU alone" if trial.costs_are_sound else "set aside"
    return f"{line} ({use}: {'; '.join(trial.doubts)})"


def still_open(block: int, undecided: Sequence[Standing]) -> str:
    """Return one line about a further block: what it is for, the widest interval first."""
    widest = sorted(undecided, key=lambda standing: standing.interval.half_width / standing.target, reverse=True)
    named = "; ".join(
        f"{each.comparison.name} (within {_percent(each.interval.half_width)})" for each in widest[:OPEN_SHOWN]
    )
    more = f"; and {len(widest) - OPEN_SHOWN} more" if len(widest) > OPEN_SHOWN else ""
    count = "1 comparison is" if len(widest) == 1 else f"{len(widest)} comparisons are"
    return f"block {block + 1}: {count} not decided yet: {named}{more}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _left(seconds: float, *, at_most: bool) -> str:
    return f"at most {minutes(seconds)} left" if at_most else f"{minutes(seconds)} left"


class PlainDisplay:
    """A line for each trial: for logs and pipes."""

    def __init__(self, console: Console, guess_s: float) -> None:
        self._console = console
        self._left = TimeLeft(guess_s)
        self._done = self._total = 0
        self._at_most = False

    def start(self, *, done: int, total: int, folder: str, at_most: bool = False) -> None:
        """Say that a run begins, or goes on."""
        self._done, self._total, self._at_most = done, total, at_most
        about = minutes(self._left.left_s(total - done))
        most = "at most " if at_most else ""
        self._print(f"{most}{total - done} trials to measure in {folder}, {most or 'about '}{about}")

    def further(self, block: int, undecided: Sequence[Standing], *, left: int) -> None:
        """Print what is not decided yet."""
        self._total = self._done + left
        self._print(still_open(block, undecided))

    def search(self, line: str, *, trials: int) -> None:
        """Print what is searched, and count its trials from one."""
        self._done, self._total, self._at_most = 0, trials, False
        self._print(f"{line}: about {trials} trials")

    def note(self, line: str) -> None:
        """Print it."""
        self._print(line)

    def turn(self, turn: Turn) -> None:
        """Say nothing yet: the line comes with the outcome."""

    def finished(self, trial: Trial) -> None:
        """Print the line."""
        self._done += 1
        self._left.one_finished()
        left = _left(self._left.left_s(self._total - self._done), at_most=self._at_most)
        self._print(f"[{self._done}/{self._total}, {left}] {trial.cell}: {outcome(trial)}")

    def tick(self) -> None:
        """Do nothing: a log does not move."""

    def close(self) -> None:
        """Do nothing: there is nothing to restore."""

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class TerminalDisplay:
    """A bar at the foot, what was set aside above it.

    Drawn by `tick`, not by a thread of rich's own: the harness forks, and a fork should find one thread.
    """

    _DRAW_EVERY_S = 0.25

    def __init__(self, console: Console, guess_s: float) -> None:
        self._console = console
        self._left = TimeLeft(guess_s)
        self._progress = Progress(
            TextColumn("[bold]{task.fields[current]}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            auto_refresh=False,
            transient=True,
            expand=True,
        )
        self._task = self._progress.add_task("", total=None, current="starting", left="?")
        self._done = self._total = 0
        self._drawn_s = 0.0
        self._at_most = False

    def start(self, *, done: int, total: int, folder: str, at_most: bool = False) -> None:
        """Show the bar."""
        self._done, self._total, self._at_most = done, total, at_most
        most = "at most " if at_most else ""
        self._console.print(f"measuring {most}{total - done} trials in {folder}", highlight=False, markup=False)
        self._progress.start()
        self._progress.update(self._task, total=total, completed=done)

    def further(self, block: int, undecided: Sequence[Standing], *, left: int) -> None:
        """Say above the bar what is not decided yet, and shorten the bar to what can still come."""
        self._total = self._done + left
        self._progress.update(self._task, total=self._total)
        self._progress.console.print(Text(still_open(block, undecided)), soft_wrap=True)
        self._draw()

    def search(self, line: str, *, trials: int) -> None:
        """Let the bar be about as long as the search."""
        self._done, self._total, self._at_most = 0, trials, False
        self._progress.update(self._task, total=self._total, completed=0, current=line)
        self._draw()

    def note(self, line: str) -> None:
        """Say it above the bar."""
        self._progress.console.print(Text(line), soft_wrap=True)

    def turn(self, turn: Turn) -> None:
        """Name the trial."""
        self._progress.update(self._task, current=turn.cell.name)
        self._draw()

    def finished(self, trial: Trial) -> None:
        """Move the bar; say aloud only what was set aside."""
        self._done += 1
        self._left.one_finished()
        self._progress.update(self._task, completed=self._done)
        if trial.doubts:
            self._progress.console.print(Text(f"{trial.cell}: {outcome(trial)}", style="yellow"), soft_wrap=True)
        self._draw()

    def tick(self) -> None:
        """Redraw now and then."""
        if time.monotonic() - self._drawn_s >= self._DRAW_EVERY_S:
            self._draw()

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()

    def _draw(self) -> None:
        self._drawn_s = time.monotonic()
        left = _left(self._left.left_s(self._total - self._done), at_most=self._at_most)
        self._progress.update(self._task, left=left)
        self._progress.refresh()


def choose_display(console: Console, guess_s: float) -> Display:
    """Return the display that fits where the output goes."""
    return TerminalDisplay(console, guess_s) if console.is_terminal else PlainDisplay(console, guess_s)
