"""Which cells of a plan may be compared with each other, and by what figure: of plan and trials alone, nothing is said.

Three kinds of comparison:

    choice   two deployments (or one, set up in two ways) under the same scenario, load, TLS, key and authentication
    cost     one deployment that differs in one of these alone: TLS or its version, the key, Digest
    check    a server with a twin, or with something added, against the same without (the bench's check of itself)

Each has a figure. Server CPU for one request is the first, for it is the steadiest; where a report decides by another
one (`harness.report.decisions`), that one is compared as well.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.load import Load
from harness.measured import Figure, cpu_us, latency_us, throughput
from harness.plan import Cell, Plan, ServerKey
from harness.statistics import Floats, pair_blocks
from harness.trials import Trial, evened

MANY_CLIENTS = 32  # from here throughput and the tail are what a choice is about, below it the cost


class Kind(StrEnum):
    """What a comparison is for."""

    CHOICE = "choice"
    COST = "cost"
    CHECK = "check"


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of a trial.

    looseness: how many times a plan's half-width its intervals may have. A target that a figure's noise never meets
    would take the time of all that could be decided; between fresh processes the rate varied 2 to 4 times as much as
    the CPU for one request (by a coefficient of 2.4 against 1.3 % on an idle machine, 7.2 against 1.7 % on a busy one).
    """

    name: str
    figure: Figure
    looseness: float
    more_is_better: bool = False

    def of(self, trial: Trial) -> float | None:
        """Return the figure; None if the trial cannot give it."""
        usable = trial.costs_are_sound if self.figure is cpu_us else trial.is_sound
        if not usable:
            return None
        value = self.figure(trial)
        return value if math.isfinite(value) and value > 0 else None


CPU = Measure("server CPU for one request", cpu_us, 1.0)
THROUGHPUT = Measure("throughput", throughput, 2.5, more_is_better=True)
MEDIAN = Measure("median latency", latency_us(50), 5.0)
P99 = Measure("p99", latency_us(99), 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two cells that differ in what is asked about, and in nothing else."""

    kind: Kind
    left: Cell
    right: Cell
    measure: Measure

    @property
    def name(self) -> str:
        """`flask-threaded to quart-uvicorn, keep-alive c4 tls1.3 digest ecdsa-p256: throughput`."""
        sides = [cell.name.split() for cell in (self.left, self.right)]
        shared = [word for word in sides[0] if word in sides[1]]
        own = [" ".join(word for word in side if word not in shared) or "the plain one" for side in sides]
        return f"{own[0]} to {own[1]}, {' '.join(shared)}: {self.measure.name}"

    def paired(self, figures: Figures) -> tuple[Floats, Floats]:
        """Return the figures of both sides, over the blocks that have both."""
        return pair_blocks(figures.of(self.left, self.measure), figures.of(self.right, self.measure))


class Figures:
    """The figures of trials, by cell and block; their costs evened beside these alone."""

    def __init__(self, trials: Collection[Trial]) -> None:
        self._trials: dict[str, list[Trial]] = {}
        for trial in evened(tuple(trials))[0]:
            self._trials.setdefault(trial.cell, []).append(trial)
        self._known: dict[tuple[str, str], Mapping[int, float]] = {}

    def of(self, cell: Cell, measure: Measure) -> Mapping[int, float]:
        """Return one figure a block; trials that cannot give it are left out."""
        key = (cell.name, measure.name)
        if key not in self._known:
            found = {trial.block: measure.of(trial) for trial in self._trials.get(cell.name, ())}
            self._known[key] = {block: value for block, value in found.items() if value is not None}
        return self._known[key]


@dataclass(frozen=True, slots=True, order=True)
class _Conditions:
    """What a cell's server is put through."""

    scenario: str
    load: Load
    requests_per_connection: int
    tls: str
    auth: str
    certificate_kind: str  # empty without TLS: nothing depends on it then


def conditions(cell: Cell) -> _Conditions:
    """Return what choices under the same conditions share."""
    server = cell.server
    return _Conditions(
        cell.scenario,
        cell.load,
        cell.requests_per_connection,
        server.tls,
        server.auth,
        server.certificate_kind if server.uses_tls else "",
    )


@functools.lru_cache(maxsize=8)
def comparisons(plan: Plan) -> tuple[Comparison, ...]:
    """Return every comparison that the plan's cells allow, the choices first."""
    return (*_choices(plan), *_costs(plan), *_checks(plan))


def measures(cell: Cell) -> tuple[Measure, ...]:
    """Return the figures by which a choice under the cell's conditions is made, the first one first."""
    if cell.scenario == "slow-io":
        return (THROUGHPUT,)  # its requests wait: the processor is not what they are short of
    if cell.load.is_open:
        return CPU, P99  # the rate is given
    if cell.load.clients >= MANY_CLIENTS:
        return CPU, THROUGHPUT, P99
    return (CPU,)


def _choices(plan: Plan) -> Iterator[Comparison]:
    cells = [cell for cell in plan.cells if not cell.server.is_calibration]
    for left, right in itertools.combinations(cells, 2):
        if conditions(left) == conditions(right) and _set_up(left) != _set_up(right):
            for measure in measures(left):
                yield Comparison(kind=Kind.CHOICE, left=left, right=right, measure=measure)


def _costs(plan: Plan) -> Iterator[Comparison]:
    cells = [cell for cell in plan.cells if not cell.server.is_calibration]
    for left, right in itertools.combinations(cells, 2):
        if _set_up(left) == _set_up(right) and _differ_in_one(conditions(left), conditions(right)):
            yield Comparison(kind=Kind.COST, left=left, right=right, measure=CPU)


def _checks(plan: Plan) -> Iterator[Comparison]:
    by_name = {cell.name: cell for cell in plan.cells}
    for cell in plan.cells:
        if cell.server.is_calibration:
            plain = by_name.get(replace(cell, server=uncalibrated(cell.server)).name)
            if plain is not None:
                # What waits longer takes no more of the processor.
                measure = MEDIAN if cell.server.added_delay_ms else CPU
                yield Comparison(kind=Kind.CHECK, left=cell, right=plain, measure=measure)


def uncalibrated(server: ServerKey) -> ServerKey:
    """Return the same server without what the bench's check of itself adds."""
    return replace(server, twin=0, added_cpu_us=0.0, added_delay_ms=0.0)


def _set_up(cell: Cell) -> tuple[str, int, int]:
    """Return what a reader chooses: the deployment and how it is set up."""
    return cell.server.deployment, cell.server.threads, cell.server.workers


def _differ_in_one(one: _Conditions, other: _Conditions) -> bool:
    """Say whether it is TLS, the key or authentication that differs, and nothing else."""
    if (one.scenario, one.load, one.requests_per_connection) != (
        other.scenario,
        other.load,
        other.requests_per_connection,
    ):
        return False
    # Without TLS there is no key: then TLS alone differs.
    keys_differ = bool(one.certificate_kind and other.certificate_kind) and (
        one.certificate_kind != other.certificate_kind
    )
    return (one.tls != other.tls) + (one.auth != other.auth) + keys_differ == 1
