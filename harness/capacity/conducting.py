"""Has the searches of a plan made on real servers, one after the other, after the plan's blocks.

Knows neither how a trial is measured (`harness.run`) nor what is tried next (`harness.capacity.search`). Each finished
trial is in the log before the next step is decided, from the log alone; so a run that was killed goes on with the step
at which it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from harness.capacity.search import (
    Capacity,
    Ending,
    Purpose,
    Step,
    guess_of,
    next_step,
    results_of,
    trial_id,
)
from harness.plan import Plan, Search, ServerKey
from harness.schedule import Turn
from harness.trials import Run

USUAL_TRIALS = 18  # of a search: it has 12 if nothing surprises, and up to 40


class Measures(Protocol):
    """What is needed of `harness.run.Runner`."""

    def measure(self, server: ServerKey, turns: Iterator[Turn]) -> None:
        """Measure turns on a fresh server, each asked for when the last one's trial is in the log."""


class Log(Protocol):
    """What is needed of `harness.trial_log.TrialLog`."""

    @property
    def run(self) -> Run:
        """What was measured so far."""


class Tells(Protocol):
    """What is needed of a display."""

    def search(self, line: str, *, trials: int) -> None:
        """Say that a search begins or goes on, and about how many trials it has yet."""

    def note(self, line: str) -> None:
        """Say a line."""


def search_all(plan: Plan, log: Log, runner: Measures, display: Tells) -> None:
    """Make all searches of a plan, or what is missing of them. Raises UserError, as `Runner.measure` does."""
    for search in plan.searches:
        step = _next(plan, search, log)
        if isinstance(step, Capacity):
            continue  # an earlier sitting made it
        display.search(f"capacity of {search.name}", trials=max(1, USUAL_TRIALS - step.number))
        while isinstance(step, Step):
            runner.measure(search.server, _turns(plan, search, log, step.purpose))
            step = _next(plan, search, log)
        display.note(f"capacity of {search.name}: {outcome(step)}")


def outcome(capacity: Capacity) -> str:
    """Return what a search came to, on one line."""
    held, failed = (f"{rate:,.10g}/s" if rate else "" for rate in (capacity.held_per_s, capacity.failed_per_s))
    if capacity.ending is Ending.FOUND:
        return f"{held} (at {failed} {capacity.why})"
    if capacity.ending is Ending.LOWEST_FAILED:
        return f"no rate held ({capacity.why})"
    at_least = f", at least {held}" if held else ""
    return f"not found{at_least}: {capacity.why}"


def _next(plan: Plan, search: Search, log: Log) -> Step | Capacity:
    trials = log.run.trials
    return next_step(
        search,
        results_of(search, trials),
        guess_per_s=guess_of(search, plan, trials),
        least_window_s=plan.window_s,
    )


def _turns(plan: Plan, search: Search, log: Log, purpose: Purpose) -> Iterator[Turn]:
    """Yield the steps of one purpose, which one server serves, until one of them left no figure."""
    first = len(results_of(search, log.run.trials))
    while True:
        step = _next(plan, search, log)
        if isinstance(step, Capacity) or step.purpose is not purpose:
            return
        results = results_of(search, log.run.trials)
        if len(results) > first and not results[-1].requests:
            return  # the server did not start, or died: another one may do better
        yield Turn(
            order=len(log.run.trials),
            id=trial_id(search, step),
            cell=search.cell(step.rate_per_s),
            window_s=step.window_s,
        )
