"""Who leads so far, for each need of the report's table: what a person sees while a run goes on.

Told by the report's own decisions of the trials that are there, between two trials, in the harness's own process: no
window is open then, and nothing is measured. A whole run of the plan quick (150 trials) takes about 20 ms to decide,
one of all deployments (594 trials) 100 ms. So the time is rationed: after a look, as many trials go by as make it
BUDGET_S for each of them.

These are looks at a run that has not ended. Nothing is stopped by them (`harness.adaptive` has the only rule that
stops), and the verdict is the report's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from harness.measured import Contender, Measured
from harness.report.decisions import Decision, decide
from harness.statistics import Interval
from harness.trials import Run

BUDGET_S: Final = 0.003  # for each trial, of which the shortest take two seconds


@dataclass(frozen=True, slots=True)
class Lead:
    """The first in a need, and by how much it is before the next one."""

    need: str
    leader: str
    runner_up: str
    advantage: Interval  # above 1: the leader is better; infinite under three blocks
    unit: str  # of what: "less CPU"

    @property
    def is_told_apart(self) -> bool:
        """Whether the interval excludes that both are alike."""
        return self.advantage.is_finite and self.advantage.low > 1


class Leading:
    """Looks again when it may. run: what was measured so far. clock_s: what a look takes."""

    def __init__(self, run: Callable[[], Run], *, clock_s: Callable[[], float] = time.perf_counter) -> None:
        self._run = run
        self._clock_s = clock_s
        self._seen: tuple[Lead, ...] = ()
        self._pause = 0  # trials

    def after_trial(self) -> tuple[Lead, ...]:
        """Return who leads, as of now or of the last look. Call it once after each trial, before the next."""
        if self._pause > 0:
            self._pause -= 1
            return self._seen
        begun_s = self._clock_s()
        self._seen = leads(self._run())
        self._pause = math.ceil((self._clock_s() - begun_s) / BUDGET_S) - 1
        return self._seen


def leads(run: Run) -> tuple[Lead, ...]:
    """Return who leads where there is a choice and the load generator was nobody's limit."""
    measured = Measured(run)
    found = [_lead(decision, measured) for decision in decide(measured) if not decision.unlimited]
    return tuple(lead for lead in found if lead is not None)


def _lead(decision: Decision, measured: Measured) -> Lead | None:
    if not decision.rivals:
        return None
    rival = decision.rivals[0]
    return Lead(
        decision.need.name,
        _name(decision.best.contender, measured),
        _name(rival.contender, measured),
        rival.advantage,
        decision.need.measure.advantage,
    )


def _name(contender: Contender, measured: Measured) -> str:
    """Return the deployment, and how it is set up where the run has it in several ways."""
    if sum(each.deployment == contender.deployment for each in measured.contenders) == 1:
        return contender.deployment
    threads = f" t{contender.threads}" if contender.threads is not None else ""
    return f"{contender.deployment}{threads} w{contender.workers}"
