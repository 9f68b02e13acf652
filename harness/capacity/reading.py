"""The searches that a run's plan asked for, and what its trials say of them: for whoever reads a run.

A run of another version is read as far as it goes: what these rules cannot follow is said, and raises nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import histograms
from harness.capacity.search import Capacity, OtherRulesError, Outcome, judge, next_step, results_of
from harness.load import Arrivals
from harness.plan import Search, ServerKey
from harness.trials import Run, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class AtRate:
    """All trials of a search at one rate that could be judged, together."""

    rate_per_s: float
    latency_us: Mapping[int, int]  # sparse histogram, from the intended starts
    trials: int
    held: int  # of them
    failed: str  # why not, in the last that did not; empty: all held

    def percentile_us(self, percent: float) -> float:
        """Return a percentile in µs."""
        return histograms.percentiles(self.latency_us, [percent])[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """A search, and how far it came."""

    search: Search
    trials: tuple[Trial, ...]
    capacity: Capacity | None  # None: see `unfinished`
    unfinished: str = ""  # why there is no capacity

    @property
    def rates(self) -> tuple[AtRate, ...]:
        """Return what was seen at each rate, rising."""
        return _rates(self.search, self.trials)


def searches_in(run: Run) -> tuple[Searched, ...]:
    """Return all searches of a run's plan, in its order."""
    return tuple(_searched(search, results_of(search, run.trials)) for search in _planned(run.header.plan))


def _searched(search: Search, trials: tuple[Trial, ...]) -> Searched:
    try:
        step = next_step(search, trials)
    except OtherRulesError as error:
        return Searched(search=search, trials=trials, capacity=None, unfinished=str(error))
    if isinstance(step, Capacity):
        return Searched(search=search, trials=trials, capacity=step)
    unfinished = "the run ended before it was found" if trials else "the run ended before it was searched for"
    return Searched(search=search, trials=trials, capacity=None, unfinished=unfinished)


def _rates(search: Search, trials: Sequence[Trial]) -> tuple[AtRate, ...]:
    by_rate: defaultdict[float, list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.requests and judge(trial, search).outcome is not Outcome.UNUSABLE:
            by_rate[trial.load.rate_per_s].append(trial)
    found = []
    for rate, own in sorted(by_rate.items()):
        judged = [judge(trial, search) for trial in own]
        reasons = [each.reason for each in judged if each.outcome is Outcome.FAILED]
        found.append(
            AtRate(
                rate_per_s=rate,
                latency_us=histograms.merge(trial.latency_us for trial in own),
                trials=len(own),
                held=len(own) - len(reasons),
                failed=reasons[-1] if reasons else "",
            )
        )
    return tuple(found)


def _planned(plan: Mapping[str, Any]) -> list[Search]:
    """Read the searches of a header's plan: `harness.plan` wrote them, perhaps that of another version."""
    tables = plan.get("capacity", [])
    found = [_search(table) for table in tables if isinstance(table, dict) and "deployment" in table]
    return [search for search in found if search is not None]


def _search(table: Mapping[str, Any]) -> Search | None:
    """Read a table; None where it says what this version does not know."""
    try:
        return _known_search(table)
    except (TypeError, ValueError):
        return None


def _known_search(table: Mapping[str, Any]) -> Search:
    defaults = ServerKey(deployment=str(table["deployment"]))
    return Search(
        server=ServerKey(
            deployment=defaults.deployment,
            tls=str(table.get("tls", defaults.tls)),
            auth=str(table.get("auth", defaults.auth)),
            certificate_kind=str(table.get("certificate_kind", defaults.certificate_kind)),
            threads=int(table.get("threads", 0)),
            workers=int(table.get("workers", 1)),
            twin=int(table.get("twin", 0)),
            added_cpu_us=float(table.get("added_cpu_us", 0.0)),
            added_delay_ms=float(table.get("added_delay_ms", 0.0)),
        ),
        scenario=str(table.get("scenario", "")),
        clients=int(table.get("clients", 0)),
        p99_ms=float(table.get("p99_ms", 0.0)),
        arrivals=Arrivals(table.get("arrivals", Arrivals.POISSON)),
    )
