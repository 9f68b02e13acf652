"""Pairs of runs whose truth is known: what is there is found, what is not there is not, and why not is said."""

from __future__ import annotations

import functools
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from harness.comparing import Compared, Status, compare
from harness.comparing.compared import Row
from harness.comparing.figures import Figure
from harness.comparing.judging import Judgement
from harness.comparing.said import headline, notes
from harness.errors import UserError
from harness.trials import GENERATOR_LIMIT, UNSTEADY_RATE, Run, Trial
from tests.harness import synthetic
from tests.harness.comparing.two_runs import FLASK, QUART, each_trial, run, small_plan, with_environment, with_plan

BENCH = "https-digest-bench"


def said(compared: Compared) -> str:
    return " ".join([headline(compared), *notes(compared)])


def together(compared: Compared, deployment: str | None) -> Row:
    rows = [row for row in compared.rows_of(Figure.CPU) if row.cells > 1 and row.deployment == deployment]
    return rows[0]


class TestFalseAlarms:
    """A against A, on a machine that is not as fast on the second day."""

    TRIES = 120

    @staticmethod
    @functools.cache
    def pairs() -> list[tuple[Run, Run]]:
        plan, random = small_plan(blocks=6, cells_each=2), np.random.default_rng(20260802)
        slowness = np.exp(random.normal(0, 0.05, TestFalseAlarms.TRIES))
        return [
            (run(plan, seed=2 * attempt), run(plan, seed=2 * attempt + 1, slowness=float(factor)))
            for attempt, factor in enumerate(slowness)
        ]

    def alarms(self, *, margin: float) -> int:
        """In how many tries anything at all is called better or worse."""
        tables = [compare(*pair, margin=margin).deciding_rows for pair in self.pairs()]
        assert {len(rows) for rows in tables} == {4 + 2 + 1}
        return sum(any(row.judgement in {Judgement.BETTER, Judgement.WORSE} for row in rows) for rows in tables)

    def test_the_whole_table_raises_no_more_than_one_in_twenty(self) -> None:
        # 5 % of 120 and three standard deviations; the margin, which would hide them, is off.
        assert self.alarms(margin=0.0) <= 6 + 3 * 2.4

    def test_with_the_usual_margin_none(self) -> None:
        assert self.alarms(margin=0.03) == 0


class TestWorse:
    def test_five_percent_on_one_server_is_found_and_the_other_is_not_blamed(self) -> None:
        found = Counter[Status]()
        plan = small_plan(blocks=20)
        for attempt in range(20):
            slower = run(plan, seed=1000 + attempt, slower={FLASK: 1.07})  # 5 % with Digest and TLS on top
            compared = compare(run(plan, seed=attempt), slower)
            found[compared.status] += 1
            assert together(compared, QUART).judgement is Judgement.TIE
        assert found[Status.WORSE] >= 18

    def test_of_a_slower_server_its_deployment_is_named_and_not_each_cell(self) -> None:
        compared = compare(run(seed=1), run(seed=2, slower={FLASK: 1.5}))
        assert compared.status is Status.WORSE
        assert headline(compared).startswith("worse: flask-threaded, 3 cells together: ")
        assert "more CPU" in headline(compared)
        assert " and " not in headline(compared)

    def test_a_single_cell_is_named(self) -> None:
        def worse(trial: Trial) -> Trial:
            is_it = trial.deployment == QUART and trial.scenario == "full-handshake" and trial.options.tls != "off"
            return replace(trial, server_cpu_us=1.3 * trial.server_cpu_us) if is_it else trial

        plan = replace(synthetic.plan("quick", blocks=8), window_s=0.5)
        compared = compare(run(plan, seed=1), each_trial(run(plan, seed=2), worse))
        assert compared.status is Status.WORSE
        assert "quart-hypercorn-asyncio full-handshake c8" in headline(compared)

    def test_a_faster_server_is_better_and_no_alarm(self) -> None:
        compared = compare(run(seed=1, slower={FLASK: 1.5}), run(seed=2))
        assert compared.status is Status.NO_WORSE
        assert together(compared, FLASK).judgement is Judgement.BETTER
        assert "cells: 3 better and 3 " in headline(compared)

    def test_the_threshold_is_the_users(self) -> None:
        pair = run(seed=1), run(seed=2, slower={FLASK: 1.12})
        assert compare(*pair, margin=0.03).status is Status.WORSE
        assert compare(*pair, margin=0.2).status is Status.NO_WORSE


class TestOtherFigures:
    def test_a_rate_decides_only_when_asked(self) -> None:
        def fewer(trial: Trial) -> Trial:
            share = 0.8
            return replace(trial, requests=int(share * trial.requests), server_cpu_us=share * trial.server_cpu_us)

        pair = run(seed=1), each_trial(run(seed=2), fewer)
        assert compare(*pair).status is Status.NO_WORSE
        compared = compare(*pair, deciding=[Figure.CPU, Figure.THROUGHPUT])
        assert compared.status is Status.WORSE
        assert "fewer requests/s" in headline(compared)

    @pytest.mark.parametrize("figure", [Figure.THROUGHPUT, Figure.P99])
    def test_a_deployment_that_lost_the_deciding_figure_is_no_pass(self, figure: Figure) -> None:
        def unsteady(trial: Trial) -> Trial:
            return replace(trial, doubts=(UNSTEADY_RATE,)) if trial.deployment.startswith("quart") else trial

        compared = compare(run(seed=1), each_trial(run(seed=2), unsteady), margin=0.12, deciding=[figure])
        assert compared.status is Status.NOT_COMPARABLE
        assert "gives no figure in B" in compared.reason
        assert compare(run(seed=1), each_trial(run(seed=2), unsteady), margin=0.12).status is Status.NO_WORSE

    def test_contended_trials_tell_their_cpu_alone(self) -> None:
        def contended(trial: Trial) -> Trial:
            return replace(trial, doubts=(f"{GENERATOR_LIMIT}: neighbours",))

        compared = compare(run(seed=1), each_trial(run(seed=2), contended))
        assert compared.status is Status.NO_WORSE
        assert compared.rows_of(Figure.THROUGHPUT) == ()
        assert compared.rows_of(Figure.P99) == ()
        assert "Of B 48 of 48 trials are used for their CPU alone" in said(compared)


class TestMachine:
    """Slower today, by its own reference or in every cell alike."""

    def test_the_reference_takes_it_off(self) -> None:
        compared = compare(run(seed=1), run(seed=2, slowness=1.1))
        assert compared.status is Status.NO_WORSE
        assert re.search(r"A fixed piece of work took 1\.1\d* times the CPU in B", said(compared))

    def test_a_reference_that_the_cells_do_not_bear_out_is_not_believed(self) -> None:
        """Its process may have been unlucky with its memory."""
        unlucky = each_trial(run(seed=2), lambda trial: replace(trial, reference_us=1.5 * (trial.reference_us or 1.0)))
        pair = run(seed=1), unlucky
        compared = compare(*pair)
        assert compared.status is Status.NO_WORSE
        assert not any(row.judgement is Judgement.BETTER for row in compared.deciding_rows)
        assert "and the cells did not follow, so nothing is taken off" in said(compared)
        assert "everything is by so much better than shown" in said(compared)
        assert compare(*pair, yardstick="none").rows == compared.rows
        assert together(compare(*pair, yardstick="reference"), FLASK).judgement is Judgement.BETTER

    def test_without_a_reference_it_is_called_common_to_all(self) -> None:
        compared = compare(
            run(seed=1, drift=0.003, reference_noise=None),
            run(seed=2, drift=0.003, reference_noise=None, slowness=1.1),
        )
        assert compared.status is Status.WORSE
        assert "All 6 cells changed by about the same" in said(compared)
        assert "these runs cannot tell which" in said(compared)
        assert "not every block of A has it" in said(compared)

    def test_one_slower_server_is_not_common_to_all(self) -> None:
        compared = compare(run(seed=1), run(seed=2, slower={FLASK: 1.5}))
        assert "about the same" not in said(compared)

    def test_a_real_change_of_all_is_not_taken_off_by_the_reference(self) -> None:
        slower = each_trial(run(seed=2), lambda trial: replace(trial, server_cpu_us=1.08 * trial.server_cpu_us))
        compared = compare(run(seed=1), slower)
        assert compared.status is Status.WORSE
        assert re.search(r"(All 6|5 of 6) cells changed by about the same, [78]", said(compared))
        assert "something that they have in common" in said(compared)

    def test_another_python_does_the_reference_in_another_time(self) -> None:
        compared = compare(run(seed=1), with_environment(run(seed=2), python="3.14.2"))
        assert compared.yardstick is not None
        assert not compared.yardstick.is_used
        assert "with another Python its work is another" in said(compared)
        assert "python 3.11.7 → 3.14.2" in said(compared)

    def test_another_openssl_does_the_reference_in_another_time(self) -> None:
        upgraded = with_environment(run(seed=2), openssl={"ssl": "OpenSSL 3.5.0", "pyopenssl": "OpenSSL 4.0.3"})
        compared = compare(run(seed=1), upgraded)
        assert compared.yardstick is not None
        assert not compared.yardstick.is_used
        assert "with another OpenSSL its work is another" in said(compared)

    def test_another_bench_may_have_another_reference(self) -> None:
        upgraded = with_environment(
            run(seed=2), packages={**run(seed=2).header.environment["packages"], BENCH: "0.2.0"}
        )
        compared = compare(run(seed=1), upgraded)
        assert "with another version of the bench its work may be another" in said(compared)
        assert "https-digest-bench absent → 0.2.0" in said(compared)

    def test_a_deployment_that_did_not_change_takes_everything_off(self) -> None:
        before = run(seed=1, drift=0.1, reference_noise=None)
        after = run(seed=2, drift=0.1, reference_noise=None, slowness=1.2, slower={QUART: 1.5})
        compared = compare(before, after, yardstick=FLASK)
        assert compared.status is Status.WORSE
        assert {row.deployment for row in compared.rows_of(Figure.CPU)} == {QUART, None}
        assert "The cells of flask-threaded, which you say did not change" in said(compared)
        assert compare(before, replace(run(seed=3, drift=0.1, slowness=1.2)), yardstick=FLASK).status is Status.NO_WORSE

    @pytest.mark.parametrize(
        ("yardstick", "reason"),
        [
            ("flask-thread", "no yardstick is called 'flask-thread'; did you mean 'flask-threaded'?"),
            ("reference", "not every block of B has it"),
        ],
    )
    def test_a_yardstick_that_is_not_there(self, yardstick: str, reason: str) -> None:
        with pytest.raises(UserError, match="yardstick") as refused:
            compare(run(seed=1), run(seed=2, reference_noise=None), yardstick=yardstick)
        assert reason in str(refused.value)

    def test_none_takes_nothing_off(self) -> None:
        pair = run(seed=1, drift=0.003), run(seed=2, drift=0.003, slowness=1.1)
        assert compare(*pair).status is Status.NO_WORSE
        assert compare(*pair, yardstick="none").status is Status.WORSE


class TestNotComparable:
    def test_another_machine(self) -> None:
        compared = compare(run(seed=1), with_environment(run(seed=2), processor="Another 1"))
        assert compared.status is Status.NOT_COMPARABLE
        assert headline(compared).startswith("not comparable: another machine (processor: ")
        assert compared.rows == ()

    def test_another_plan(self) -> None:
        compared = compare(run(seed=1), with_plan(run(seed=2), replace(small_plan(), window_s=9.0)))
        assert compared.status is Status.NOT_COMPARABLE
        assert "another plan (" in headline(compared)

    def test_too_few_blocks_show_their_figures_and_no_verdict(self) -> None:
        plan = small_plan(blocks=2)
        compared = compare(run(plan, seed=1), run(plan, seed=2, slower={FLASK: 3.0}))
        assert compared.status is Status.NOT_COMPARABLE
        assert "too few blocks (2 in A, 2 in B; a verdict takes 6 of each)" in headline(compared)
        assert {row.judgement for row in compared.rows} == {Judgement.CANNOT_TELL}

    def test_nothing_sound(self) -> None:
        broken = each_trial(run(seed=2), lambda trial: replace(trial, requests=0, doubts=("it died",)))
        compared = compare(run(seed=1), broken)
        assert compared.status is Status.NOT_COMPARABLE
        assert headline(compared) == "not comparable: B has no usable trial (such as: it died)"

    def test_too_noisy_to_tell_is_no_pass(self) -> None:
        compared = compare(*(run(seed=seed, drift=0.3, reference_noise=None) for seed in (1, 2)))
        assert compared.status is Status.NOT_COMPARABLE
        assert "too noisy" in headline(compared)

    def test_strict_wants_to_be_told_of_every_cell(self) -> None:
        def one_cell(share: float) -> Run:
            """A cell that scatters, so that nothing can be told of it."""
            random = np.random.default_rng(3)

            def scattered(trial: Trial) -> Trial:
                if trial.deployment != FLASK or trial.scenario != "keep-alive":
                    return trial
                return replace(trial, server_cpu_us=trial.server_cpu_us * float(np.exp(random.normal(0, share))))

            return each_trial(run(seed=2), scattered)

        pair = run(seed=1), one_cell(0.2)
        assert compare(*pair).status is Status.NO_WORSE
        strict = compare(*pair, strict=True)
        assert strict.status is Status.NOT_COMPARABLE
        assert "(--strict)" in headline(strict)

    def test_a_server_that_no_longer_serves_is_no_pass(self) -> None:
        def gone(trial: Trial) -> Trial:
            if trial.deployment != QUART:
                return trial
            return replace(trial, requests=0, doubts=("the server did not start: status 1",))

        compared = compare(run(seed=1), each_trial(run(seed=2), gone))
        assert compared.status is Status.NOT_COMPARABLE
        assert "gives no figure in B (the server did not start: status 1), and 2 more such" in headline(compared)
        assert {row.deployment for row in compared.rows} == {FLASK, None}


class TestWhatBothHave:
    def test_half_a_run(self) -> None:
        whole = run(small_plan(blocks=16), seed=2)
        half = replace(whole, trials=whole.trials[: len(whole.trials) // 2])
        compared = compare(run(small_plan(blocks=16), seed=1), half)
        assert compared.status is Status.NO_WORSE
        assert all(row.blocks == (16, 8) for row in compared.rows_of(Figure.CPU))
        assert "B is not finished: it has 48 of 96 trials" in said(compared)

    def test_cells_that_one_has_not_measured_yet(self) -> None:
        whole = run(seed=2)
        compared = compare(
            run(seed=1), replace(whole, trials=tuple(trial for trial in whole.trials if trial.deployment == FLASK))
        )
        assert compared.status is Status.NO_WORSE
        assert len(compared.only_in[0]) == 3
        assert compared.only_in[1] == ()
        assert "Only A has " in said(compared)

    def test_what_checks_the_bench_itself_is_left_out(self) -> None:
        def twin(trial: Trial) -> Trial:
            return replace(trial, options=replace(trial.options, twin=1)) if trial.deployment == QUART else trial

        compared = compare(each_trial(run(seed=1), twin), each_trial(run(seed=2), twin))
        assert {row.deployment for row in compared.rows} == {FLASK, None}

    def test_doubtful_trials_are_counted(self) -> None:
        first = run(seed=1)
        broken = replace(first.trials[0], doubts=("it stalled",))
        compared = compare(replace(first, trials=(broken, *first.trials[1:])), run(seed=2))
        assert "Of A 1 of 48 trials are set aside" in said(compared)
