"""Predictions of made-up runs come out as their truth says, and what was not measured is said."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from harness.errors import UserError
from harness.measured import Measured
from harness.prediction import (
    Axes,
    Predictor,
    Workload,
    check_cpu,
    check_latency,
    grid_to_json,
    prediction_to_json,
    predictors,
)
from harness.trials import Run
from tests.harness import synthetic
from tests.harness.report.runs import FLASK, QUART, changed, quick_run, without

TRUTH = synthetic.Costs()
REQUEST = TRUTH.request[FLASK] + TRUTH.digest + TRUTH.tls_records
CONNECTION = TRUTH.connection + TRUTH.handshake["1.3", "ecdsa-p256", "full"]


@pytest.fixture(scope="module")
def run() -> Run:
    plan = replace(synthetic.plan("costs", blocks=12), window_s=1.0)
    return synthetic.run(plan, drift=0.03, noise=0.01)


@pytest.fixture(scope="module")
def measured(run: Run) -> Measured:
    return Measured(run)


def flask(measured: Measured) -> Predictor:
    return Predictor.of(measured, FLASK, source="the run")


class TestCpu:
    @pytest.mark.parametrize("requests", [1, 3, 10, 100, None])
    def test_a_kth_of_the_connection(self, measured: Measured, requests: int | None) -> None:
        found = flask(measured).predict(Workload(rate_per_s=100, requests_per_connection=requests)).cpu_us
        true = REQUEST + (CONNECTION / requests if requests else 0.0)
        assert found.n == 12
        assert found.estimate == pytest.approx(true, rel=0.04)
        assert found.low < found.estimate < found.high

    def test_resumed_connections_take_less(self, measured: Measured) -> None:
        full, resumed = (
            flask(measured).predict(Workload(rate_per_s=100, requests_per_connection=1, resumed=resumed))
            for resumed in (False, True)
        )
        saved = TRUTH.handshake["1.3", "ecdsa-p256", "full"] - TRUTH.handshake["1.3", "ecdsa-p256", "resumed"]
        assert full.cpu_us.estimate - resumed.cpu_us.estimate == pytest.approx(saved, rel=0.25)

    def test_processors_are_rate_times_cpu(self, measured: Measured) -> None:
        found = flask(measured).predict(Workload(rate_per_s=10_000))
        assert found.cores_needed.estimate == pytest.approx(10_000 * found.cpu_us.estimate / 1e6)
        assert found.cores == math.ceil(found.cores_needed.estimate / 0.8)

    def test_one_block_gives_a_figure_without_an_interval(self, run: Run) -> None:
        found = flask(Measured(without(run, lambda trial: trial.block > 0))).predict(Workload(rate_per_s=100))
        assert found.cpu_us.estimate > 0
        assert not found.cpu_us.is_finite
        assert found.p99_us is not None
        assert found.p99_us.high == math.inf
        assert "NaN" not in json.dumps(prediction_to_json(found), allow_nan=False)


class TestLatency:
    def test_what_an_answer_takes_beside_cpu_is_in_it(self, measured: Measured) -> None:
        found = flask(measured).predict(Workload(rate_per_s=1))
        assert found.mean_us is not None
        # Each answer's latency was drawn from a log-normal distribution around 1 / rate.
        alone = (REQUEST + TRUTH.wire_us) * math.exp(0.25**2 / 2)
        assert found.mean_us.estimate == pytest.approx(alone, rel=0.05)
        assert not found.is_least

    def test_without_a_lone_client_it_is_the_least(self) -> None:
        found = Predictor.of(Measured(quick_run()), FLASK, source="the run").predict(Workload(rate_per_s=1))
        assert found.is_least

    def test_threads_bound_flask_and_nothing_bounds_quart(self, measured: Measured) -> None:
        slow = Workload(rate_per_s=400, slow_share=0.5, cores=1)
        assert "16 requests can be in service at once" in flask(measured).predict(slow).beyond
        assert not Predictor.of(measured, QUART, source="the run").predict(slow).beyond

    def test_a_bound_that_no_setting_tells_is_read_off_the_slow_trials(self, run: Run) -> None:
        hidden = changed(run, lambda trial: replace(trial, options=replace(trial.options, threads=None)))
        slow = Workload(rate_per_s=400, slow_share=0.5, cores=1)
        assert Predictor.of(Measured(hidden), FLASK, source="the run").predict(slow).beyond

    def test_few_clients_far_away_cannot_ask_so_often(self, measured: Measured) -> None:
        found = flask(measured).predict(Workload(rate_per_s=100, rtt_ms=50, clients=2))
        assert found.p99_us is None
        assert "2 clients, each with one request at a time, ask at most 40 times a second" in found.beyond
        assert not flask(measured).predict(Workload(rate_per_s=30, rtt_ms=50, clients=2)).beyond

    def test_round_trips_by_version(self, run: Run) -> None:
        older = changed(run, lambda t: replace(t, tls=t.tls and replace(t.tls, version="TLSv1.2")))
        for of_run, resumed, trips in ((run, False, 2), (run, True, 2), (older, False, 3), (older, True, 2)):
            workload = Workload(rate_per_s=1, requests_per_connection=1, rtt_ms=100, resumed=resumed)
            found = flask(Measured(of_run)).predict(workload)
            assert found.setup_round_trips == trips
            assert found.p50_us is not None
            assert found.p50_us.estimate == pytest.approx(1e5 * (1 + trips), rel=0.02)

    def test_a_server_that_closes_each_connection_pays_round_trips_for_each(self, run: Run) -> None:
        closing = changed(
            run,
            lambda trial: (
                replace(trial, handshakes=replace(trial.handshakes, full=trial.requests)) if trial.tls else trial
            ),
        )
        found = flask(Measured(closing)).predict(Workload(rate_per_s=1, rtt_ms=100))
        assert found.p50_us is not None
        assert found.p50_us.estimate == pytest.approx(3e5, rel=0.02)

    def test_the_interval_reaches_beyond_capacity(self, measured: Measured) -> None:
        cpu_us = flask(measured).predict(Workload(rate_per_s=1)).cpu_us
        nearly = Workload(rate_per_s=1e6 / (cpu_us.estimate + 0.2 * (cpu_us.high - cpu_us.estimate)), cores=1)
        found = flask(measured).predict(nearly)
        assert found.p99_us is not None
        assert found.p99_us.high == math.inf


class TestBadInput:
    @pytest.mark.parametrize(
        ("workload", "said"),
        [
            ({"rate_per_s": 0}, "the rate is 0; it must be from 0.001 to 1e"),
            ({"rate_per_s": math.nan}, "the rate is nan"),
            ({"rate_per_s": math.inf}, "the rate is inf"),
            ({"rate_per_s": 1, "rtt_ms": -1}, "the round-trip time is -1; it must be from 0 to 60000 ms"),
            ({"rate_per_s": 1, "slow_share": 2}, "the share of slow requests is 2; it must be from 0 to 1"),
            ({"rate_per_s": 1, "requests_per_connection": 0}, "requests per connection is 0; it must be 1 or more"),
            ({"rate_per_s": 1, "clients": 0}, "the number of clients is 0"),
            ({"rate_per_s": 1, "cores": -3}, "the number of cores is -3"),
        ],
    )
    def test_nonsense(self, workload: dict[str, float], said: str) -> None:
        with pytest.raises(UserError, match=said):
            Workload(**workload)  # type: ignore[arg-type]  # that is the point

    def test_a_deployment_that_is_not_there(self, measured: Measured) -> None:
        with pytest.raises(UserError, match="no deployment is called 'flask-thread'; did you mean 'flask-threaded'"):
            Predictor.of(measured, "flask-thread", source="X")
        with pytest.raises(UserError, match="X has no trials of flask-werkzeug to predict from; `bench run full`"):
            Predictor.of(measured, "flask-werkzeug", source="X")

    def test_missing_cells_are_named_with_the_plan_that_has_them(self, run: Run) -> None:
        lacking = Measured(without(run, lambda t: t.scenario in {"slow-io", "full-handshake", "resumed-handshake"}))
        predictor = Predictor.of(lacking, FLASK, source="X")
        assert not predictor.predict(Workload(rate_per_s=1)).beyond
        workload = Workload(rate_per_s=1, requests_per_connection=5, slow_share=0.1)
        with pytest.raises(UserError) as raised:
            predictor.predict(workload, source="X")
        assert str(raised.value) == (
            "X lacks, of flask-threaded, new connections (full-handshake) and slow requests (slow-io); "
            "`bench run costs` or `bench run full` measures it"
        )

    def test_no_open_connections(self, run: Run) -> None:
        lacking = Measured(without(run, lambda t: t.scenario == "keep-alive"))
        with pytest.raises(UserError, match=r"X lacks requests on open connections .*`bench run costs`"):
            Predictor.of(lacking, FLASK, source="X")

    def test_several_numbers_of_threads(self, run: Run) -> None:
        mixed = changed(run, lambda t: replace(t, options=replace(t.options, threads=4 + t.block % 2)))
        with pytest.raises(UserError, match="several numbers of threads or workers"):
            Predictor.of(Measured(mixed), FLASK, source="X")


class TestGrid:
    AXES = Axes(requests_per_connection=(1, None), slow_share=(0.0, 0.2), load=(0.1, 0.9), rtt_ms=(0.0, 20.0))

    def test_is_what_the_predictor_says_of_each_point(self, measured: Measured) -> None:
        grid = json.loads(json.dumps(grid_to_json([flask(measured)], self.AXES), allow_nan=False))
        (found,) = grid["deployments"]
        for k, requests in enumerate(grid["axes"]["requests_per_connection"]):
            for s, share in enumerate(grid["axes"]["slow_share"]):
                for x, load in enumerate(grid["axes"]["load"]):
                    for d, rtt_ms in enumerate(grid["axes"]["rtt_ms"]):
                        alone = flask(measured).predict(
                            Workload(
                                rate_per_s=3 * load * found["capacity_per_s"][k][s],
                                requests_per_connection=requests,
                                slow_share=share,
                                rtt_ms=rtt_ms,
                                cores=3,
                            )
                        )
                        assert alone.p99_us is not None
                        estimate, low, high = found["p99_ms"][k][s][x][d]
                        assert estimate == pytest.approx(alone.p99_us.estimate / 1000, rel=1e-3)
                        assert low <= estimate
                        assert high is None or high >= estimate
                        assert found["cpu_us"][k][s][0] == pytest.approx(alone.cpu_us.estimate, rel=1e-3)

    def test_capacity_is_where_latency_ends_and_says_what_is_too_little(self, measured: Measured) -> None:
        (found,) = grid_to_json([flask(measured)], self.AXES)["deployments"]
        assert found["limit"] == [["processor", "threads"], ["processor", "threads"]]
        for share, most in zip((0.0, 0.2), found["capacity_per_s"][1], strict=True):
            for factor, is_beyond in ((0.999, False), (1.001, True)):
                alone = flask(measured).predict(Workload(rate_per_s=factor * most, slow_share=share, cores=1))
                assert bool(alone.beyond) is is_beyond

    def test_what_was_not_measured_is_null(self, run: Run) -> None:
        lacking = Measured(without(run, lambda t: t.scenario == "slow-io"))
        (found,) = grid_to_json([flask(lacking)], self.AXES)["deployments"]
        assert found["cpu_us"][0][1] is None
        assert found["cpu_us"][0][0] is not None


class TestChecks:
    def test_predictions_are_held_against_trials_that_they_were_not_made_of(self, measured: Measured) -> None:
        found = check_cpu(measured)
        assert len({check.contender.deployment for check in found}) == 4
        assert [check.requests_per_connection for check in found[:3]] == [1, 10, 100]
        for check in found:
            assert abs(check.error.estimate) < 0.05
            assert not check.error.excludes(0.0) or abs(check.error.estimate) < 0.03

    def test_a_wrong_prediction_is_found(self, run: Run) -> None:
        """A server whose requests cost a fifth more once connections come and go."""
        dearer = changed(
            run,
            lambda t: replace(t, server_cpu_us=1.2 * t.server_cpu_us) if t.scenario == "reconnecting" else t,
        )
        for check in check_cpu(Measured(dearer)):
            assert check.error.estimate == pytest.approx(1 / 1.2 - 1, abs=0.05)
            assert check.error.excludes(0.0)

    def test_trials_of_another_version_are_no_check(self, run: Run) -> None:
        older = changed(
            run,
            lambda t: (
                replace(t, tls=t.tls and replace(t.tls, version="TLSv1.2")) if t.scenario == "reconnecting" else t
            ),
        )
        assert check_cpu(Measured(older)) == ()

    def test_latency_under_an_open_load(self, measured: Measured) -> None:
        found = check_latency(measured)
        assert {check.prediction.contender.deployment for check in found} == {
            contender.deployment for contender in predictors(measured)
        }
        for check in found:
            assert check.condition.rate_per_s == 500
            assert abs(check.p50_error) < 0.15
            assert abs(check.p99_error) < 0.15
