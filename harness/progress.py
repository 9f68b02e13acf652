"""What a person sees while a run goes on: who leads, the trial and the time left on a terminal, plain lines elsewhere.

Everything goes to standard error; standard output is for the result.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segments
from rich.table import Table
from rich.text import Text

from harness import words
from harness.adaptive import Standing
from harness.leading import Lead, Leading
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
    """Who leads so far, the trial that runs and a bar, at the foot; what was set aside above it.

    Drawn by `tick`, not by a thread of rich's own: the harness forks, and a fork should find one thread. Windows are
    open while it ticks, and where there are two processors this process shares the generator's: so what stands still
    is laid out once, and a tick changes one line.
    """

    _DRAW_EVERY_S = 1.0
    _OTHER_LINES = 8  # that stay for what is said above, and for the trial and the bar
    _WIDE = 110  # columns from which there is room to say in what, and before whom
    _LONGEST_BAR = 40

    def __init__(self, console: Console, guess_s: float, leading: Leading | None = None) -> None:
        self._console = console
        self._left = TimeLeft(guess_s)
        self._leading = leading
        self._leads: tuple[Lead, ...] = ()
        self._laid_out: tuple[object, Segments] | None = None  # the table, and what it was laid out for
        self._current = "starting"
        self._done = self._total = 0
        self._drawn_s = 0.0
        self._at_most = False
        # The last, for it asks for the picture at once.
        self._live = Live(
            console=console, auto_refresh=False, transient=True, get_renderable=self._picture, vertical_overflow="crop"
        )

    def start(self, *, done: int, total: int, folder: str, at_most: bool = False) -> None:
        """Show the bar."""
        self._done, self._total, self._at_most = done, total, at_most
        most = "at most " if at_most else ""
        self._console.print(f"measuring {most}{total - done} trials in {folder}", highlight=False, markup=False)
        self._live.start()

    def further(self, block: int, undecided: Sequence[Standing], *, left: int) -> None:
        """Say above the bar what is not decided yet, and shorten the bar to what can still come."""
        self._total = self._done + left
        self.note(still_open(block, undecided))

    def search(self, line: str, *, trials: int) -> None:
        """Let the bar be about as long as the search."""
        self._done, self._total, self._at_most = 0, trials, False
        self._current = line
        self._draw()

    def note(self, line: str) -> None:
        """Say it above the bar."""
        self._console.print(Text(line), soft_wrap=True)
        self._draw()

    def turn(self, turn: Turn) -> None:
        """Name the trial."""
        self._current = turn.cell.name
        self._draw()

    def finished(self, trial: Trial) -> None:
        """Move the bar, and look who leads; say aloud only what was set aside."""
        self._done += 1
        self._left.one_finished()
        if self._leading is not None and not trial.is_searched:
            self._leads = self._leading.after_trial()
        if trial.doubts:
            self._console.print(Text(f"{trial.cell}: {outcome(trial)}", style="yellow"), soft_wrap=True)
        self._draw()

    def tick(self) -> None:
        """Redraw now and then."""
        if time.monotonic() - self._drawn_s >= self._DRAW_EVERY_S:
            self._draw()

    def close(self) -> None:
        """Take it all away."""
        self._live.stop()

    def _draw(self) -> None:
        self._drawn_s = time.monotonic()
        if self._live.is_started:
            self._live.refresh()

    def _picture(self) -> RenderableType:
        width, height = self._console.size
        rows = self._leads[: max(0, height - self._OTHER_LINES)]
        now = Text.assemble(("now  ", "dim"), (self._current, "bold"), no_wrap=True, overflow="ellipsis")
        picture: list[RenderableType] = [Text(), self._lay_out(rows, width), Text()] if rows else []
        return Group(*picture, now, self._bar(width))

    def _bar(self, width: int) -> Table:
        left = _left(self._left.left_s(self._total - self._done), at_most=self._at_most)
        line = Table.grid(padding=(0, 2, 0, 0))
        bar = ProgressBar(total=max(1, self._total), completed=self._done, width=min(self._LONGEST_BAR, width // 3))
        line.add_row(bar, Text(f"{self._done}/{self._total}"), Text(left, no_wrap=True, overflow="ellipsis"))
        return line

    def _lay_out(self, rows: Sequence[Lead], width: int) -> Segments:
        """Return the table of who leads, laid out again only if it, or the terminal, has changed."""
        wanted = (tuple(rows), width)
        if self._laid_out is None or self._laid_out[0] != wanted:
            table = leading_table(rows, wide=width >= self._WIDE)
            self._laid_out = (wanted, Segments(list(self._console.render(table))))
        return self._laid_out[1]


def leading_table(rows: Sequence[Lead], *, wide: bool) -> Table:
    """Return who leads so far, a line for each need: what does not fit is cut, never folded.

    wide: say in what the leader is ahead, and of whom.
    """
    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    table.add_column("so far, for", no_wrap=True, overflow="ellipsis", max_width=25)
    table.add_column("ahead", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("by", no_wrap=True, overflow="ellipsis")
    if wide:
        table.add_column("before", no_wrap=True, overflow="ellipsis", ratio=1)
    for lead in rows:
        cells = [lead.need, lead.leader, by_how_much(lead, with_unit=wide), *([lead.runner_up] if wide else [])]
        table.add_row(*map(Text, cells), style="" if lead.is_told_apart else "dim")
    return table


def by_how_much(lead: Lead, *, with_unit: bool) -> str:
    """Return the advantage with its interval, "1.8 x less CPU (1.7 - 1.9)"; or that nothing can be told yet."""
    if not lead.advantage.is_finite:
        return "too early to tell"
    if not lead.is_told_apart:
        return f"a tie so far ({words.ratio_range(lead.advantage)})"
    unit = f" {lead.unit}" if with_unit else ""
    return f"{words.ratio(lead.advantage)}{unit} ({words.ratio_range(lead.advantage)})"


def standard_error() -> Console:
    """Return the console for what a person is told.

    FORCE_COLOR and the like ask a log for colours, not for a picture that is drawn again and again.
    """
    return Console(stderr=True, force_interactive=None if sys.stderr.isatty() else False)


def choose_display(console: Console, guess_s: float, leading: Leading | None = None) -> Display:
    """Return the display that fits where the output goes; one that moves takes a terminal that can.

    leading: who leads so far; None where nobody is to be shown.
    """
    if console.is_interactive:
        return TerminalDisplay(console, guess_s, leading)
    return PlainDisplay(console, guess_s)
