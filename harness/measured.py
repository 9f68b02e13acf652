"""What was measured, put so that questions can be asked of it.

A `Contender` is a deployment as it was set up, a `Condition` what it was put through; `Measured` holds the usable
trials by both and hands out one figure per block, which is what `harness.statistics` compares. Nothing here is
drawn, said or judged.

A trial in which the generator or a neighbour was the limit still tells what a request cost the server's processor; its
rates and latencies are somebody else's. So `figures` takes it for `cpu_us` and for nothing else.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from harness import histograms
from harness.statistics import Interval, mean_interval, pair_blocks, ratio_interval, ratio_p_value
from harness.trials import Run, Trial

PLAIN_TLS = "off"
NO_AUTH = "none"
USUAL_TLS = ("1.3", "1.2+1.3", "1.2")  # the first that was measured stands for "with TLS"
USUAL_KINDS = ("ecdsa-p256", "rsa-2048")

Figure = Callable[[Trial], float]


class Scenario(StrEnum):
    """The kinds of client that the report asks about, by the names that plans use."""

    HEALTH = "health"
    KEEP_ALIVE = "keep-alive"
    ONE_INTERFACE = "one-interface"
    RECONNECTING = "reconnecting"
    FULL_HANDSHAKE = "full-handshake"
    RESUMED_HANDSHAKE = "resumed-handshake"
    CHALLENGE = "challenge"
    SLOW_IO = "slow-io"
    MIX = "mix"


SCENARIO_WORDS: Mapping[str, str] = {
    Scenario.HEALTH: "a load balancer's checks of health",
    Scenario.ONE_INTERFACE: "reads of one interface from the datastore",
    Scenario.RECONNECTING: "so many requests a connection",
    Scenario.KEEP_ALIVE: "requests on open connections",
    Scenario.FULL_HANDSHAKE: "a new connection for every request",
    Scenario.RESUMED_HANDSHAKE: "a resumed connection for every request",
    Scenario.CHALLENGE: "a new challenge for every request",
    Scenario.SLOW_IO: "requests that wait 100 ms in the device",
    Scenario.MIX: "a mix of requests",
}


@dataclass(frozen=True, slots=True, order=True)
class Contender:
    """A deployment as it was set up: what a reader can choose."""

    deployment: str
    threads: int | None
    workers: int


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """What a contender was put through."""

    scenario: str
    clients: int
    tls: str  # PLAIN_TLS or the versions offered
    auth: str
    certificate_kind: str | None  # None without TLS
    rate_per_s: float = 0.0  # of an open load
    requests_per_connection: int = 0

    @property
    def has_tls(self) -> bool:
        """Whether the requests went over TLS."""
        return self.tls != PLAIN_TLS


def contender_of(trial: Trial) -> Contender:
    """Return who was measured."""
    return Contender(trial.deployment, trial.options.threads, trial.options.workers)


def condition_of(trial: Trial) -> Condition:
    """Return what under."""
    options = trial.options
    kind = options.certificate_kind if options.tls != PLAIN_TLS else None
    return Condition(
        scenario=trial.scenario,
        clients=trial.load.clients,
        tls=options.tls,
        auth=options.auth,
        certificate_kind=kind,
        rate_per_s=trial.load.rate_per_s,
        requests_per_connection=trial.requests_per_connection,
    )


def cpu_us(trial: Trial) -> float:
    """Server CPU per request, µs."""
    return trial.server_cpu_us_per_request


def throughput(trial: Trial) -> float:
    """Requests answered per second."""
    return trial.requests_per_s


def latency_us(percent: float) -> Figure:
    """Return the figure "latency that this share of the requests did not exceed", µs."""

    def figure(trial: Trial) -> float:
        return histograms.percentiles(trial.latency_us, [percent])[0]

    return figure


def handshake_us(percent: float) -> Figure:
    """Return the figure "client's handshake time, full and resumed alike, that this share did not exceed", µs."""

    def figure(trial: Trial) -> float:
        both = histograms.merge([trial.handshake_us.full, trial.handshake_us.resumed])
        return histograms.percentiles(both, [percent])[0]

    return figure


@dataclass(frozen=True, slots=True)
class Spread:
    """A percentile of all blocks' requests together, and of the lowest and the highest block alone; µs."""

    whole: float
    lowest: float
    highest: float
    blocks: int


class Measured:
    """The usable trials of a run, by contender and condition."""

    def __init__(self, run: Run) -> None:
        # A search's trials are not repeated block by block, and its failures are its result: `harness.report.bending`.
        run = replace(run, trials=tuple(trial for trial in run.trials if not trial.is_searched))
        self.run = run
        self.sound = run.sound_trials
        self.for_cost_alone = tuple(trial for trial in run.cost_trials if not trial.is_sound)
        self.aside = tuple(trial for trial in run.doubtful_trials if not trial.costs_are_sound)
        cells: defaultdict[tuple[Contender, Condition], list[Trial]] = defaultdict(list)
        for trial in run.cost_trials:
            if trial.options.is_calibration:
                continue
            cells[contender_of(trial), condition_of(trial)].append(trial)
        self.cells: Mapping[tuple[Contender, Condition], Sequence[Trial]] = dict(cells)
        self.fixed_blocks = run.header.fixed_blocks

    @property
    def contenders(self) -> list[Contender]:
        """Every contender that left a usable trial, in the order of its name."""
        return sorted({contender for contender, _ in self.cells}, key=_contender_order)

    def conditions(self, scenario: str) -> list[Condition]:
        """Every condition of a scenario under a closed load that left a usable trial."""
        return [one for one in self._conditions(scenario) if not one.rate_per_s]

    def open_conditions(self, scenario: str) -> list[Condition]:
        """Every condition of a scenario under an open load that left a usable trial."""
        return [one for one in self._conditions(scenario) if one.rate_per_s]

    def _conditions(self, scenario: str) -> list[Condition]:
        found = {condition for _, condition in self.cells if condition.scenario == scenario}
        return sorted(found, key=_condition_order)

    def contenders_under(self, condition: Condition) -> list[Contender]:
        """Every contender that left a usable trial under the condition."""
        return [contender for contender in self.contenders if (contender, condition) in self.cells]

    def deployments_set_aside(self, condition: Condition, figure: Figure) -> tuple[str, ...]:
        """Return the deployments that were put through the condition but left no trial with that figure."""
        tried = {trial.deployment for trial in self.run.doubtful_trials if condition_of(trial) == condition}
        left = {c.deployment for c in self.contenders_under(condition) if self.figures(c, condition, figure)}
        return tuple(sorted(tried - left))

    def trials(self, contender: Contender, condition: Condition) -> Sequence[Trial]:
        """Return the sound trials of one cell, in the order of their blocks; none if it was not measured."""
        return [trial for trial in self.cost_trials(contender, condition) if trial.is_sound]

    def cost_trials(self, contender: Contender, condition: Condition) -> Sequence[Trial]:
        """Return the trials of one cell that tell the server's CPU time, in the order of their blocks."""
        return sorted(self.cells.get((contender, condition), ()), key=lambda trial: trial.block)

    def keeps_connections(self, contender: Contender, condition: Condition) -> bool:
        """Return whether most requests of a cell came on connections that were open already, as its clients wanted."""
        trials = self.cost_trials(contender, condition)
        handshakes = sum(trial.handshakes.full + trial.handshakes.resumed for trial in trials)
        return 2 * handshakes <= sum(trial.requests for trial in trials)

    def figures(self, contender: Contender, condition: Condition, figure: Figure) -> dict[int, float]:
        """Return one figure per block; trials without that figure (NaN) are left out.

        Two cells of one run that differ in nothing (a plan that measures A against A) give their geometric mean.
        """
        by_block: defaultdict[int, list[float]] = defaultdict(list)
        usable = self.cost_trials if figure is cpu_us else self.trials
        for trial in usable(contender, condition):
            value = figure(trial)
            if math.isfinite(value) and value > 0:
                by_block[trial.block].append(value)
        return {block: float(np.exp(np.mean(np.log(values)))) for block, values in by_block.items()}

    def level(self, contender: Contender, condition: Condition, figure: Figure) -> Interval:
        """Return the figure's mean over the blocks with its 95 % interval."""
        values = list(self.figures(contender, condition, figure).values())
        return mean_interval(values, fixed_blocks=self.fixed_blocks)

    def ratio(
        self, left: Contender, right: Contender, condition: Condition, figure: Figure, *, level: float = 0.95
    ) -> Interval:
        """Return how many times right's figure left's is, compared block by block."""
        paired = pair_blocks(self.figures(left, condition, figure), self.figures(right, condition, figure))
        return ratio_interval(*paired, level=level, fixed_blocks=self.fixed_blocks)

    def p_value(self, left: Contender, right: Contender, condition: Condition, figure: Figure) -> float:
        """Return how likely figures at least so far apart are if the two do not differ, block by block."""
        paired = pair_blocks(self.figures(left, condition, figure), self.figures(right, condition, figure))
        return ratio_p_value(*paired, fixed_blocks=self.fixed_blocks)

    def latency(self, contender: Contender, condition: Condition, percent: float) -> Spread:
        """Return a percentile of the latency over all requests of all blocks, with the blocks' range."""
        trials = self.trials(contender, condition)
        whole = histograms.percentiles(histograms.merge(trial.latency_us for trial in trials), [percent])[0]
        figure = latency_us(percent)
        alone = [value for value in map(figure, trials) if math.isfinite(value)]
        return Spread(whole, min(alone, default=math.nan), max(alone, default=math.nan), len(alone))

    def usual(self, conditions: Sequence[Condition]) -> Condition | None:
        """Return the condition that most contenders share; of several, the usual one (Digest, TLS 1.3, P-256)."""
        return max(
            conditions,
            key=lambda condition: (len(self.contenders_under(condition)), _usualness(condition)),
            default=None,
        )


def _usualness(condition: Condition) -> tuple[bool, int, int]:
    tls = USUAL_TLS.index(condition.tls) if condition.tls in USUAL_TLS else len(USUAL_TLS)
    kind = condition.certificate_kind
    key = USUAL_KINDS.index(kind) if kind in USUAL_KINDS else len(USUAL_KINDS)
    return condition.auth != NO_AUTH, -tls, -key


def _contender_order(contender: Contender) -> tuple[str, int, int]:
    return contender.deployment, contender.threads or 0, contender.workers


def _condition_order(condition: Condition) -> tuple[str, float, int, str, str, str, int]:
    return (
        condition.scenario,
        condition.rate_per_s,
        condition.clients,
        condition.tls,
        condition.auth,
        condition.certificate_kind or "",
        condition.requests_per_connection,
    )
