"""Which rate is tried next, and when a capacity is found: pure decisions, from the results so far alone.

A rate *holds* when no request failed, the 99th percentile of the latency (from the intended starts) is within the
limit, and the server kept up: a backlog that grew by half the limit within the window is an overload whose latency had
no time yet to show. The search has four parts:

    bracket    from a guess up or down, in growing steps, until one rate held and a higher one did not
    bisect     on a log scale, until the two are 3 % apart
    confirm    the lower one must hold in 2 of 2 further trials, else the search steps down, until one does; the one
               above must fail once more, else it is the next to be confirmed
    latency    two trials each at 50 % and 80 % of what was found

Why 3 %: from trial to trial a server's own capacity moves by 2 to 3 % on a machine with neighbours, so that finer steps
would ask the noise. Three trials at one rate then tell its chance to hold, and a single lucky one is not believed.

`next_step` replays this procedure over the results, so that a search which was killed goes on where it stopped. A trial
that cannot be judged (a generator that was the limit, or late; neighbours) is tried again twice; what the generator
cannot do is never said to be the server's.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from harness import histograms
from harness.errors import UserError
from harness.plan import SLICE_S, Plan, Search
from harness.trials import BACKLOG, GENERATOR_LIMIT, NEIGHBOURS, SEARCHED, STOLEN, UNSTEADY_RATE, Trial, TrialId

RESOLUTION: Final = 1.03  # the lowest failed rate is at most so many times the highest that held, when bisected
FIRST_STEP: Final = 1.15  # of the bracket; each further one is the square of the one before, up to
WIDEST_STEP: Final = FIRST_STEP**8  # about 3
CONFIRMATIONS: Final = 2  # further trials, all of which must hold
PATIENCE: Final = 3  # steps of 3 % while confirming before they double
TRIES: Final = 3  # of a step that could not be judged
SHARES: Final = (0.5, 0.8)  # of the capacity, at which latency is told
TRIALS_AT_SHARE: Final = 2

START_PER_S: Final = 400.0  # without a guess; lower ones take long windows
GUESSED_SHARE: Final = 0.93  # of a closed load's throughput, which is nearly the server's limit
LOWEST_PER_S: Final = 1.0
HIGHEST_PER_S: Final = 100_000.0  # above what one processor's generator can send

ARRIVALS: Final = (
    2_000  # in a window: twenty lie above the 99th percentile (with half of it a slow server is 4 % too good)
)
ARRIVALS_AT_SHARE: Final = 5_000  # in each of two windows: ten lie above the 99.9th
WINDOW_LIMITS: Final = 20  # a window is so many latency limits long: then 2.5 % of overload grows by half a limit
BACKLOG_SHARE: Final = 0.5  # of the limit
LONGEST_WINDOW_S: Final = 30.0

_OTHERS: Final = (NEIGHBOURS, STOLEN)  # doubts that say: others slowed the server down
SERVER_ENDED: Final = "the server ended by itself"  # how harness.window begins that doubt


class Outcome(StrEnum):
    """What a trial says of its rate."""

    HELD = "held"
    FAILED = "failed"
    UNUSABLE = "unusable"  # nothing


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a trial says of its rate, and why, in half a line."""

    outcome: Outcome
    reason: str

    @property
    def is_about_generator(self) -> bool:
        """Whether the generator could not do it: it ran, but not as it was told."""
        return self.outcome is Outcome.UNUSABLE and _is_about_generator(self.reason) and not _is_broken(self.reason)

    @property
    def is_generators_limit(self) -> bool:
        """Whether the rate was the reason: it was busy itself, and nobody took its processor."""
        return self.outcome is Outcome.UNUSABLE and self.reason == GENERATOR_LIMIT


class Purpose(StrEnum):
    """What a step is for. Each begins on a fresh server: a process has its own luck."""

    FIND = "find"
    CONFIRM = "confirm"
    LATENCY = "latency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A trial to come."""

    number: int  # of the search's steps, 0 first
    rate_per_s: float
    window_s: float
    purpose: Purpose


class Ending(StrEnum):
    """How a search ended."""

    FOUND = "found"
    LOWEST_FAILED = "lowest failed"  # there is no rate that holds
    HIGHEST_HELD = "highest held"  # there is none that fails
    UNKNOWN = "unknown"  # steps could not be judged


@dataclass(frozen=True, slots=True, kw_only=True)
class AtShare:
    """The latency at a share of the capacity: all trials' histograms together."""

    share: float
    rate_per_s: float
    latency_us: Mapping[int, int]  # sparse histogram, from the intended starts; empty: no trial could be used
    trials: int

    def percentile_us(self, percent: float) -> float:
        """Return a percentile in µs; NaN where nothing was measured."""
        return histograms.percentiles(self.latency_us, [percent])[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What a search came to. The capacity is `held_per_s` where it was found, and otherwise not known."""

    search: Search
    ending: Ending
    held_per_s: float | None  # the highest rate that held; where the capacity was found, in three trials on end
    failed_per_s: float | None  # the lowest rate above it that the server did not hold
    why: str  # it did not hold `failed_per_s`; or nothing was found. Half a line
    at_shares: tuple[AtShare, ...] = ()
    trials: int = 0

    @property
    def is_found(self) -> bool:
        """Whether the server's capacity is known."""
        return self.ending is Ending.FOUND


class OtherRulesError(UserError):
    """The recorded trials of a search are not those that these rules would have made."""


def judge(trial: Trial, search: Search) -> Judgement:
    """Say whether the server held the rate of a trial."""
    return _by_what_went_wrong(trial) or _by_latency(trial, search.p99_ms * 1000)


def _by_what_went_wrong(trial: Trial) -> Judgement | None:
    for doubt in trial.doubts:
        if _is_about_generator(doubt):
            return Judgement(Outcome.UNUSABLE, doubt)
        if doubt.startswith(SERVER_ENDED):
            return Judgement(Outcome.FAILED, doubt)
    failed = sum(trial.errors.values())
    if failed:
        most = max(trial.errors, key=lambda reason: trial.errors[reason])
        return Judgement(Outcome.FAILED, f"{failed:,} of {trial.requests + failed:,} requests failed: {most}")
    if not trial.requests:
        return Judgement(Outcome.UNUSABLE, trial.doubts[0] if trial.doubts else "no request was answered")
    return None


def _by_latency(trial: Trial, limit_us: float) -> Judgement:
    (p99_us,) = histograms.percentiles(trial.latency_us, [99])
    grown_us = backlog_growth(trial) / trial.load.rate_per_s * 1e6
    fell_behind = _doubt(trial, BACKLOG)
    said = f"p99 {p99_us / 1000:.3g} ms"
    if grown_us > BACKLOG_SHARE * limit_us:
        said += f", and in {trial.window_s:.3g} s the backlog grew by {grown_us / 1000:.0f} ms of requests"
    elif fell_behind:
        said += f", and {fell_behind}"
    elif p99_us <= limit_us:
        # What held in spite of others held; what failed beside them says nothing.
        other = next((doubt for doubt in trial.doubts if not doubt.startswith((*_OTHERS, UNSTEADY_RATE))), None)
        return Judgement(Outcome.UNUSABLE, other) if other else Judgement(Outcome.HELD, said)
    beside = _doubt(trial, *_OTHERS)
    return Judgement(Outcome.UNUSABLE, beside) if beside else Judgement(Outcome.FAILED, said)


def _doubt(trial: Trial, *starts: str) -> str | None:
    return next((doubt for doubt in trial.doubts if doubt.startswith(starts)), None)


def _is_about_generator(doubt: str) -> bool:
    return doubt.startswith("the generator ")


def _is_broken(doubt: str) -> bool:
    return doubt.startswith("the generator failed")


def backlog_growth(trial: Trial) -> int:
    """Return by how many requests those that had come and were not answered grew in the window.

    Counted, not expected: the generator notes its lateness once for each arrival.
    """
    return histograms.total(trial.lateness_us) - trial.requests - sum(trial.errors.values())


def window_s(search: Search, rate_per_s: float, purpose: Purpose, *, least_s: float = 0.0) -> float:
    """Return how long a step's window is, in whole slices: enough arrivals for its percentiles, and for a backlog.

    Never over 30 s: at under 67 arrivals a second there are fewer than two thousand, and what is found is coarse.
    """
    arrivals = ARRIVALS_AT_SHARE if purpose is Purpose.LATENCY else ARRIVALS
    wanted_s = max(least_s, arrivals / rate_per_s, WINDOW_LIMITS * search.p99_ms / 1000)
    return math.ceil(min(wanted_s, max(least_s, LONGEST_WINDOW_S)) / SLICE_S) * SLICE_S


def trial_id(search: Search, step: Step) -> TrialId:
    """Return the identity of a step's trial: that of no other step, no other search and no block."""
    return TrialId(step.number, f"{SEARCHED}{search.name} at {step.rate_per_s:g}/s")


def results_of(search: Search, trials: Iterable[Trial]) -> tuple[Trial, ...]:
    """Return the trials of a search, in the order of its steps."""
    start = f"{SEARCHED}{search.name} at "
    return tuple(sorted((trial for trial in trials if trial.id.cell.startswith(start)), key=lambda each: each.block))


def guess_of(search: Search, plan: Plan, trials: Iterable[Trial]) -> float | None:
    """Return the highest throughput of closed loads on the same server and scenario, 1/s; None without any.

    A doubtful trial's will do: this is where to look first, not a result.
    """
    alike = {
        cell.name
        for cell in plan.cells
        if (cell.server, cell.scenario) == (search.server, search.scenario) and not cell.load.is_open
    }
    return max((trial.requests_per_s for trial in trials if trial.requests and trial.id.cell in alike), default=None)


def next_step(
    search: Search, results: Sequence[Trial], *, guess_per_s: float | None = None, least_window_s: float = 0.0
) -> Step | Capacity:
    """Return what is to be tried next, or what was found.

    results: the trials of all steps so far, in their order. guess_per_s: counts for the first step alone, so that it is
    not needed to read what is there. least_window_s: of each trial. Raises OtherRulesError where a result is not of the
    step that would have been made.
    """
    first = GUESSED_SHARE * guess_per_s if guess_per_s else START_PER_S
    procedure = _Procedure(search).run(results[0].load.rate_per_s if results else _rounded(first))
    rate, purpose = next(procedure)
    for number, trial in enumerate(results):
        if trial.block != number or trial.load.rate_per_s != rate:
            raise OtherRulesError(
                f"step {trial.block} of the search for {search.name!r} was made at {trial.load.rate_per_s:g}/s, and not"
                f" step {number} at {rate:g}/s as these rules have it",
                hint="another version wrote this run: read it with that one, or start a new run",
            )
        try:
            rate, purpose = procedure.send(trial)
        except StopIteration as end:
            found: Capacity = end.value
            return found
    return Step(
        number=len(results),
        rate_per_s=rate,
        window_s=window_s(search, rate, purpose, least_s=least_window_s),
        purpose=purpose,
    )


def _rounded(rate_per_s: float) -> float:
    """Round to three digits, which names can show and 3 % can stand, within what is allowed."""
    digits = 2 - math.floor(math.log10(rate_per_s))
    return min(max(round(rate_per_s, digits), LOWEST_PER_S), HIGHEST_PER_S)


class _EndedError(Exception):
    """The search is over before a capacity was confirmed."""

    def __init__(self, ending: Ending, why: str = "") -> None:
        super().__init__(why)
        self.ending = ending
        self.why = why


_Asked = tuple[float, Purpose]
_Holds = Generator[_Asked, Trial, bool]
_Moves = Generator[_Asked, Trial, None]


class _Procedure:
    """The search as a coroutine: it yields a rate and what for, is sent the trial, and returns the capacity."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._low = 0.0  # the highest rate that holds, as far as is known
        self._high = math.inf  # the lowest above it that does not
        self._reasons: dict[float, str] = {}  # of rates that do not hold, the last one
        self._beyond_generator: set[float] = set()  # rates of which for that reason nothing is known
        self._trials = 0

    def run(self, first_per_s: float) -> Generator[_Asked, Trial, Capacity]:
        """Search from a rate on."""
        try:
            yield from self._bracket(first_per_s)
            yield from self._bisect()
            yield from self._confirm_below()
            yield from self._confirm_above()
        except _EndedError as end:
            return self._ended(end.ending, end.why)
        shares: list[AtShare] = []
        for share in SHARES:
            told = yield from self._latency(share)
            shares.append(told)
        return self._ended(Ending.FOUND, self._reasons[self._high], tuple(shares))

    def _ended(self, ending: Ending, why: str, at_shares: tuple[AtShare, ...] = ()) -> Capacity:
        has_failed = self._high in self._reasons and self._high not in self._beyond_generator
        return Capacity(
            search=self._search,
            ending=ending,
            held_per_s=self._low or None,
            failed_per_s=self._high if has_failed else None,
            why=why,
            at_shares=at_shares,
            trials=self._trials,
        )

    def _bracket(self, first_per_s: float) -> _Moves:
        rate, factor = first_per_s, FIRST_STEP
        while not self._low or not math.isfinite(self._high):
            if (yield from self._holds(rate, Purpose.FIND)):
                self._low = rate
                rate = self._next_above(rate, factor) if math.isinf(self._high) else rate
            else:
                self._high = rate
                rate = self._next_below(rate, factor) if not self._low else rate
            factor = min(factor**2, WIDEST_STEP)

    def _bisect(self) -> _Moves:
        while self._high / self._low > RESOLUTION:
            middle = _rounded(math.sqrt(self._low * self._high))
            if not self._low < middle < self._high:  # low rates have few digits
                break
            if (yield from self._holds(middle, Purpose.FIND)):
                self._low = middle
            else:
                self._high = middle
        if self._high in self._beyond_generator:
            raise _EndedError(Ending.UNKNOWN, self._reasons[self._high])

    def _confirm_below(self) -> _Moves:
        """Step down to a rate that holds again and again."""
        rate, needed, steps = self._low, CONFIRMATIONS, 0  # it held once
        while not (yield from self._all_hold(rate, needed)):
            self._low, self._high = 0.0, rate
            rate = self._next_below(rate, _growing(steps))
            needed, steps = 1 + CONFIRMATIONS, steps + 1
        self._low = rate

    def _confirm_above(self) -> _Moves:
        """Make sure that the rate above does not hold: one failure may have been bad luck. If it does, step up."""
        failures, steps = 1, 0
        while failures < 2:
            if (yield from self._all_hold(self._high, 1 + CONFIRMATIONS)):
                self._low = self._high
                failed_before = [rate for rate in self._reasons if rate > self._low]
                self._high = min(failed_before) if failed_before else self._next_above(self._low, _growing(steps))
                failures, steps = len(failed_before[:1]), steps + 1
            else:
                failures += 1

    def _next_above(self, rate: float, factor: float) -> float:
        if rate >= HIGHEST_PER_S:
            raise _EndedError(Ending.HIGHEST_HELD, f"{rate:,.10g}/s held, and no more is tried")
        return _rounded(rate * factor)

    def _next_below(self, rate: float, factor: float) -> float:
        if rate <= LOWEST_PER_S:
            ending = Ending.UNKNOWN if rate in self._beyond_generator else Ending.LOWEST_FAILED
            raise _EndedError(ending, self._reasons[rate])
        return _rounded(rate / factor)

    def _all_hold(self, rate: float, trials: int) -> _Holds:
        for _ in range(trials):
            if not (yield from self._holds(rate, Purpose.CONFIRM)):
                return False
        return True

    def _holds(self, rate: float, purpose: Purpose) -> _Holds:
        """Try a rate until a trial can be judged.

        While a capacity is looked for, a rate beyond the generator is a bound like one beyond the server: the capacity
        may lie below it. A generator that others starve, before any rate has held, would be so at every rate.
        """
        judgement = Judgement(Outcome.UNUSABLE, "")
        for _ in range(TRIES):
            judgement = judge((yield from self._trial(rate, purpose)), self._search)
            if judgement.outcome is Outcome.HELD:
                self._reasons.pop(rate, None)  # why an earlier try could not be judged
                return True
            self._reasons[rate] = judgement.reason
            if judgement.outcome is Outcome.FAILED:
                self._beyond_generator.discard(rate)
                return False
        self._reasons[rate] = f"{judgement.reason}, at {rate:,.10g}/s in {TRIES} trials"
        is_bound = judgement.is_generators_limit or (self._low > 0 and judgement.is_about_generator)
        if purpose is not Purpose.FIND or not is_bound:
            raise _EndedError(Ending.UNKNOWN, self._reasons[rate])
        self._beyond_generator.add(rate)
        return False

    def _latency(self, share: float) -> Generator[_Asked, Trial, AtShare]:
        """Take the latency at a share of the capacity, whatever it is."""
        rate = _rounded(share * self._low)
        usable: list[Trial] = []
        for _ in range(TRIALS_AT_SHARE + TRIES - 1):
            trial = yield from self._trial(rate, Purpose.LATENCY)
            outcome = judge(trial, self._search).outcome
            if trial.requests and outcome is not Outcome.UNUSABLE and not _doubt(trial, *_OTHERS):
                usable.append(trial)
            if len(usable) == TRIALS_AT_SHARE:
                break
        merged = histograms.merge(trial.latency_us for trial in usable)
        return AtShare(share=share, rate_per_s=rate, latency_us=merged, trials=len(usable))

    def _trial(self, rate: float, purpose: Purpose) -> Generator[_Asked, Trial, Trial]:
        self._trials += 1
        return (yield rate, purpose)


def _growing(steps: int) -> float:
    """Return the factor of a step: 3 %, and the square of the one before after some of these."""
    doublings = max(0, steps - PATIENCE + 1)
    return math.pow(RESOLUTION, 2**doublings)
