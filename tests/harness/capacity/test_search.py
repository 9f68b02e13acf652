"""The search finds what is there, in a bounded number of trials, and passes nothing off as the server's that is not.

On simulated servers whose capacity is known: from 150/s on by theory and a simulation 100 times as long as a search.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from harness.capacity.search import (
    HIGHEST_PER_S,
    LOWEST_PER_S,
    RESOLUTION,
    TRIES,
    Capacity,
    Ending,
    OtherRulesError,
    Outcome,
    Purpose,
    Step,
    backlog_growth,
    guess_of,
    judge,
    next_step,
    results_of,
    trial_id,
    window_s,
)
from harness.plan import Search
from harness.recording import bin_of
from harness.trials import BACKLOG, GENERATOR_LIMIT, LAGGED, NEIGHBOURS, STOLEN, UNSTEADY_RATE, Trial
from tests.harness import synthetic
from tests.harness.capacity.simulated import SEARCH, Server, histogram, searched, served

MOST_TRIALS = 45


def server(
    saturation_per_s: float = 1000.0,
    seed: int = 0,
    *,
    noise: float = 0.0,
    at_once: int = 1,
    fails_over_per_s: float = math.inf,
    generator_per_s: float = math.inf,
) -> Server:
    return Server(
        saturation_per_s=saturation_per_s,
        random=np.random.default_rng(seed),
        noise=noise,
        at_once=at_once,
        fails_over_per_s=fails_over_per_s,
        generator_per_s=generator_per_s,
    )


def true_capacity(saturation_per_s: float, at_once: int, limit_s: float = 0.25, arrivals: int = 400_000) -> float:
    """Find the rate whose 99th percentile is the limit, in a simulation long enough to be the truth."""
    gaps = np.cumsum(np.random.default_rng(1).exponential(1, arrivals))
    low, high = saturation_per_s / 2, saturation_per_s
    for _ in range(12):
        rate = (low + high) / 2
        come = gaps / rate
        waited = served(come, at_once / saturation_per_s, at_once) - come
        low, high = (rate, high) if np.quantile(waited, 0.99) <= limit_s else (low, rate)
    return low


def trial(rate_per_s: float = 800.0, *, saturation_per_s: float = 1000.0, doubts: Sequence[str] = ()) -> Trial:
    step = Step(number=0, rate_per_s=rate_per_s, window_s=5.0, purpose=Purpose.FIND)
    return replace(server(saturation_per_s).trial(SEARCH, step), doubts=tuple(doubts))


class TestFinds:
    """Within 5 % of the truth, whatever the seed."""

    @pytest.mark.parametrize(
        ("saturation_per_s", "at_once", "guess_per_s", "share"),
        [
            (1000.0, 1, 1000.0, 0.97),  # a guess that is right
            (1000.0, 1, None, 0.97),  # none
            (1000.0, 1, 300.0, 0.97),  # one that is wrong
            (3000.0, 16, 2900.0, 0.97),
            (160.0, 16, 155.0, 0.9),  # slow requests in 16 threads
            (150.0, 1, 140.0, 0.85),  # the 99th percentile of a slow server takes longer to show than a window
        ],
    )
    def test_over_many_seeds(
        self, saturation_per_s: float, at_once: int, guess_per_s: float | None, share: float
    ) -> None:
        truth = true_capacity(saturation_per_s, at_once)
        near, trials = 0, []
        seeds = range(30)
        for seed in seeds:
            found, results = searched(
                server(saturation_per_s, seed, noise=0.02, at_once=at_once), guess_per_s=guess_per_s
            )
            assert found.ending is Ending.FOUND
            assert found.held_per_s is not None
            near += abs(found.held_per_s / truth - 1) <= 0.05
            trials.append(len(results))
        assert near >= share * len(seeds)
        assert max(trials) <= MOST_TRIALS
        assert np.median(trials) <= (18 if guess_per_s and guess_per_s > saturation_per_s / 2 else 27)

    def test_a_noisy_machine_takes_longer_and_is_not_further_off_than_its_noise(self) -> None:
        found = [searched(server(1000.0, seed, noise=0.07), guess_per_s=950.0) for seed in range(20)]
        rates = [capacity.held_per_s or 0.0 for capacity, _ in found]
        assert 900 < np.median(rates) < 1030
        assert max(len(results) for _, results in found) <= MOST_TRIALS

    def test_twice_the_server_is_twice_the_capacity(self) -> None:
        rates = [searched(server(saturation))[0].held_per_s or 0.0 for saturation in (500, 1000, 2000, 4000)]
        assert [later / earlier for earlier, later in itertools.pairwise(rates)] == pytest.approx([2, 2, 2], rel=0.05)

    def test_a_stricter_limit_gives_a_lower_rate(self) -> None:
        rates = [
            searched(server(200.0, 3), replace(SEARCH, p99_ms=limit), guess_per_s=190.0)[0].held_per_s or 0.0
            for limit in (25.0, 50.0, 100.0, 400.0)
        ]
        assert rates == sorted(rates)
        assert rates[0] < 0.85 * rates[-1]

    def test_errors_are_a_limit_too(self) -> None:
        found, _ = searched(server(1000.0, fails_over_per_s=600.0), guess_per_s=1000.0)
        assert found.held_per_s == pytest.approx(600.0, rel=0.04)
        assert "requests failed: status 503" in found.why


class TestBracket:
    """What was found held in three trials on end; the rate above failed twice."""

    @pytest.mark.parametrize("seed", range(10))
    def test_confirmed(self, seed: int) -> None:
        found, results = searched(server(1000.0, seed, noise=0.03), guess_per_s=980.0)
        assert found.held_per_s is not None
        assert found.failed_per_s is not None
        assert found.held_per_s < found.failed_per_s
        at_held = [outcome(each) for each in results if each.load.rate_per_s == found.held_per_s]
        assert at_held[-3:] == [Outcome.HELD] * 3
        at_failed = [outcome(each) for each in results if each.load.rate_per_s == found.failed_per_s]
        assert at_failed.count(Outcome.FAILED) >= 2
        assert not any(
            outcome(each) is Outcome.FAILED
            for each in results
            if found.held_per_s < each.load.rate_per_s < found.failed_per_s
        )

    def test_a_try_that_told_nothing_is_no_failure(self) -> None:
        """With every fifth trial in doubt: still no rate is called failed that did not fail twice."""
        for seed in range(60):
            doubted = np.random.default_rng((seed, 5))
            results: list[Trial] = []
            while isinstance(step := next_step(SEARCH, results, guess_per_s=980.0), Step):
                made = server(1000.0, len(results), noise=0.03).trial(SEARCH, step)
                if doubted.random() < 0.2:
                    made = replace(made, doubts=(LAGGED,))
                results.append(made)
            if step.failed_per_s is not None and step.ending is Ending.FOUND:
                at_failed = [outcome(each) for each in results if each.load.rate_per_s == step.failed_per_s]
                assert at_failed.count(Outcome.FAILED) >= 2, (seed, at_failed)

    def test_a_quiet_machine_gives_three_per_cent(self) -> None:
        found, _ = searched(server(1000.0), guess_per_s=980.0)
        assert (found.failed_per_s or math.inf) / (found.held_per_s or 1.0) < RESOLUTION * 1.006  # three digits

    def test_one_lucky_trial_is_not_believed(self) -> None:
        """At 1,070 the server fails, but for once: the search must not stay there."""
        results: list[Trial] = []
        lucky = True
        while isinstance(step := next_step(SEARCH, results, guess_per_s=1150.0), Step):
            made = server(1000.0, len(results)).trial(SEARCH, step)
            if lucky and step.rate_per_s > 1050:
                made = replace(server(5000.0).trial(SEARCH, step), id=made.id)
                lucky = False
            results.append(made)
        assert not lucky
        assert step.held_per_s == pytest.approx(1000.0, rel=0.04)


class TestNothingToFind:
    """An end that is no capacity says which it is."""

    def test_the_lowest_rate_fails(self) -> None:
        found, results = searched(server(0.2))
        assert (found.ending, found.held_per_s, found.failed_per_s) == (Ending.LOWEST_FAILED, None, LOWEST_PER_S)
        assert len(results) < 12

    def test_no_rate_fails(self) -> None:
        results: list[Trial] = []
        while isinstance(step := next_step(SEARCH, results), Step):
            held = replace(trial(), id=trial_id(SEARCH, step), load=SEARCH.cell(step.rate_per_s).load)
            results.append(replace(held, lateness_us={0: held.requests}))
        assert (step.ending, step.held_per_s, step.failed_per_s) == (Ending.HIGHEST_HELD, HIGHEST_PER_S, None)
        assert len(results) < 15

    def test_the_generator_is_the_limit(self) -> None:
        """Never the server's capacity: what is known is a rate that held below."""
        found, results = searched(server(5000.0, generator_per_s=2000.0), guess_per_s=1500.0)
        assert found.ending is Ending.UNKNOWN
        assert found.failed_per_s is None
        assert 1900 < (found.held_per_s or 0) <= 2000
        assert found.why.startswith(f"{GENERATOR_LIMIT}, at 2,0")
        assert len(results) <= MOST_TRIALS

    def test_the_generator_is_the_limit_above_a_capacity_that_is_found(self) -> None:
        found, _ = searched(server(900.0, generator_per_s=1000.0), guess_per_s=1500.0)
        assert found.is_found
        assert found.held_per_s == pytest.approx(900.0, rel=0.04)

    def test_a_generator_that_can_do_nothing(self) -> None:
        found, results = searched(server(generator_per_s=0.0))
        assert (found.ending, found.held_per_s, found.failed_per_s) == (Ending.UNKNOWN, None, None)
        assert len(results) <= MOST_TRIALS

    @pytest.mark.parametrize("doubt", [f"{GENERATOR_LIMIT}: neighbours took 90% of its processor", LAGGED])
    def test_a_generator_that_others_starve_is_not_tried_at_every_rate(self, doubt: str) -> None:
        results: list[Trial] = []
        while isinstance(step := next_step(SEARCH, results), Step):
            results.append(replace(server().trial(SEARCH, step), doubts=(doubt,)))
        assert (step.ending, step.held_per_s, len(results)) == (Ending.UNKNOWN, None, TRIES)
        assert step.why == f"{doubt}, at 400/s in 3 trials"

    def test_a_server_that_does_not_start(self) -> None:
        results: list[Trial] = []
        while isinstance(step := next_step(SEARCH, results), Step):
            results.append(replace(void("the server did not start: no"), id=trial_id(SEARCH, step)))
        assert step.ending is Ending.UNKNOWN
        assert len(results) == TRIES
        assert "did not start" in step.why


class TestJudgement:
    """What a trial says of its rate."""

    def test_held(self) -> None:
        assert outcome(trial(800.0)) is Outcome.HELD

    def test_a_late_answer_in_a_hundred(self) -> None:
        assert outcome(trial(1200.0)) is Outcome.FAILED

    def test_a_backlog_that_grows_while_the_latency_is_still_good(self) -> None:
        overloaded = trial(1030.0)
        assert backlog_growth(overloaded) > 0.125 * 1030
        judgement = judge(overloaded, replace(SEARCH, p99_ms=250.0))
        assert judgement.outcome is Outcome.FAILED
        assert "backlog grew by" in judgement.reason

    def test_an_error(self) -> None:
        assert outcome(replace(trial(), errors={"status 503": 1})) is Outcome.FAILED

    @pytest.mark.parametrize("doubt", [GENERATOR_LIMIT, f"{LAGGED}: p99 8 ms", "the generator stood still for 2.0 s"])
    @pytest.mark.parametrize("rate_per_s", [800.0, 1200.0])
    def test_a_generator_in_doubt_says_nothing(self, doubt: str, rate_per_s: float) -> None:
        judgement = judge(trial(rate_per_s, doubts=[doubt]), SEARCH)
        assert judgement.outcome is Outcome.UNUSABLE
        assert judgement.is_about_generator
        assert judgement.is_generators_limit == (doubt == GENERATOR_LIMIT)

    @pytest.mark.parametrize("doubt", [f"{NEIGHBOURS} 30 %", f"{STOLEN} 5 %"])
    def test_beside_neighbours_holding_counts_and_failing_does_not(self, doubt: str) -> None:
        assert outcome(trial(800.0, doubts=[doubt])) is Outcome.HELD
        assert outcome(trial(1200.0, doubts=[doubt])) is Outcome.UNUSABLE

    def test_what_the_window_says_of_a_backlog(self) -> None:
        assert outcome(trial(800.0, doubts=[f"{BACKLOG} by 300"])) is Outcome.FAILED

    def test_a_rate_that_did_not_settle_is_judged_all_the_same(self) -> None:
        assert outcome(trial(800.0, doubts=[UNSTEADY_RATE])) is Outcome.HELD
        assert outcome(trial(1200.0, doubts=[UNSTEADY_RATE])) is Outcome.FAILED

    def test_another_doubt_spoils_what_held(self) -> None:
        assert outcome(trial(800.0, doubts=["only 3 of 10 handshakes were resumed"])) is Outcome.UNUSABLE

    def test_a_server_that_died_failed(self) -> None:
        assert outcome(void("the server ended by itself with status -9")) is Outcome.FAILED

    def test_a_generator_that_broke_is_no_limit(self) -> None:
        judgement = judge(void("the generator failed: it ended too early"), SEARCH)
        assert judgement.outcome is Outcome.UNUSABLE
        assert not judgement.is_about_generator


class TestLatency:
    """Told at 50 % and 80 % of what was found, from two trials' histograms together."""

    def test_merged(self) -> None:
        found, results = searched(server(1000.0), guess_per_s=980.0)
        assert found.held_per_s is not None
        assert [each.share for each in found.at_shares] == [0.5, 0.8]
        for each in found.at_shares:
            assert each.rate_per_s == pytest.approx(each.share * found.held_per_s, rel=0.006)
            own = [result for result in results if result.load.rate_per_s == each.rate_per_s]
            assert each.trials == 2
            assert sum(each.latency_us.values()) == sum(result.requests for result in own) >= 9_000
        half, most = found.at_shares
        for percent in (50, 99, 99.9):
            assert 900 < half.percentile_us(percent) <= most.percentile_us(percent) < 20_000

    def test_those_in_doubt_are_made_again_and_left_out(self) -> None:
        results: list[Trial] = []
        spoilt = 2
        while isinstance(step := next_step(SEARCH, results, guess_per_s=980.0), Step):
            made = server(1000.0, len(results)).trial(SEARCH, step)
            if step.purpose is Purpose.LATENCY and spoilt:
                made = replace(made, doubts=(f"{NEIGHBOURS} 40 %",))
                spoilt -= 1
            results.append(made)
        assert [each.trials for each in step.at_shares] == [2, 2]

    def test_none_is_said_to_be_none(self) -> None:
        results: list[Trial] = []
        while isinstance(step := next_step(SEARCH, results, guess_per_s=980.0), Step):
            made = server(1000.0, len(results)).trial(SEARCH, step)
            results.append(replace(made, doubts=(LAGGED,)) if step.purpose is Purpose.LATENCY else made)
        assert step.is_found
        assert [each.trials for each in step.at_shares] == [0, 0]
        assert math.isnan(step.at_shares[0].percentile_us(99))


class TestSteps:
    """Each step is a function of the results so far."""

    def test_the_same_results_give_the_same_step_whatever_the_guess_is_by_now(self) -> None:
        _, results = searched(server(1000.0, noise=0.02), guess_per_s=980.0)
        for number in range(1, len(results)):
            step = next_step(SEARCH, results[:number], guess_per_s=55.0)
            assert isinstance(step, Step)
            assert (step.number, step.rate_per_s) == (number, results[number].load.rate_per_s)

    def test_a_result_of_other_rules_is_refused(self) -> None:
        _, results = searched(server(1000.0), guess_per_s=980.0)
        changed = replace(results[2], load=replace(results[2].load, rate_per_s=1.5))
        with pytest.raises(
            OtherRulesError, match=r"made at 1\.5/s, and not step 2 at .* another version wrote this run"
        ):
            next_step(SEARCH, [*results[:2], changed])

    def test_identities_differ_between_steps_searches_and_blocks(self) -> None:
        stricter = replace(SEARCH, p99_ms=50.0)
        ids = [each.id for search in (SEARCH, stricter) for each in searched(server(), search, guess_per_s=900.0)[1]]
        assert len(set(ids)) == len(ids)
        assert not {SEARCH.cell(rate).name for rate in (100.0, 930.0)} & {each.cell for each in ids}

    def test_a_run_s_trials_are_sorted_out(self) -> None:
        stricter = replace(SEARCH, p99_ms=50.0)
        _, own = searched(server(), guess_per_s=900.0)
        _, other = searched(server(), stricter, guess_per_s=900.0)
        blocks = synthetic.run(synthetic.plan("smoke")).trials
        assert results_of(SEARCH, [*other, *blocks, *reversed(own)]) == tuple(own)
        assert all(each.is_searched for each in own)
        assert not any(each.is_searched for each in blocks)

    def test_the_guess_is_the_best_of_the_closed_loads_on_the_same_server(self) -> None:
        run = synthetic.run(synthetic.plan("quick"))
        own = [
            each.requests_per_s
            for each in run.trials
            if each.cell.startswith("flask-threaded keep-alive c") and each.cell.endswith("tls1.3 digest ecdsa-p256")
        ]
        assert guess_of(SEARCH, synthetic.plan("quick"), run.trials) == max(own)
        assert guess_of(replace(SEARCH, scenario="mix"), synthetic.plan("quick"), run.trials) is None


class TestWindow:
    """Long enough for the percentile and for a backlog to show; whole slices; never without end."""

    @pytest.mark.parametrize(
        ("rate_per_s", "p99_ms", "least_s", "purpose", "expected"),
        [
            (10_000.0, 250.0, 2.25, Purpose.FIND, 5.0),  # 20 limits
            (10_000.0, 100.0, 2.25, Purpose.FIND, 2.25),  # the plan's
            (100.0, 250.0, 2.25, Purpose.FIND, 20.0),  # 2,000 arrivals
            (300.0, 250.0, 2.25, Purpose.LATENCY, 16.75),  # 5,000 arrivals
            (10.0, 250.0, 2.25, Purpose.FIND, 30.0),
            (10.0, 250.0, 60.0, Purpose.FIND, 60.0),
        ],
    )
    def test_length(self, rate_per_s: float, p99_ms: float, least_s: float, purpose: Purpose, expected: float) -> None:
        search = replace(SEARCH, p99_ms=p99_ms)
        assert window_s(search, rate_per_s, purpose, least_s=least_s) == expected


def outcome(of: Trial, search: Search = SEARCH) -> Outcome:
    return judge(of, search).outcome


def void(doubt: str) -> Trial:
    return replace(trial(), requests=0, latency_us={}, lateness_us={}, doubts=(doubt,))


def test_a_capacity_counts_its_trials() -> None:
    found, results = searched(server(1000.0), guess_per_s=980.0)
    assert isinstance(found, Capacity)
    assert found.trials == len(results)


def test_the_simulation_bins_as_the_recording_does() -> None:
    values = [0, 1, 2047, 2048, 2049, 4095, 4096, 250_000, 59_000_000]
    assert histogram(np.array(values) / 1e6 + 1e-10) == Counter(bin_of(value) for value in values)
