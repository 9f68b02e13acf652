"""What was counted arrives in Locust's tables and in the recording, exactly."""

from __future__ import annotations

from pathlib import Path

import pytest
from locust.env import Environment
from locust.stats import RequestStats

from bench._connection import Handshake
from bench._reporting import TLS_NAMES, Reporter, add_to_locust, to_slice
from bench._tally import Tally
from harness.recording import LONGEST_US, Negotiated, Recorder, Slice, read_recording, value_of


def tally_of(*latencies_us: int, failures: int = 0, name: str = "state") -> Tally:
    tally = Tally()
    row = tally.row(name, "GET")
    for us in latencies_us:
        row.latency.record(us)
        row.content_bytes += 100
    if failures:
        row.failures["HTTP 503"] += failures
    return tally


@pytest.fixture
def stats() -> RequestStats:
    return RequestStats()


class TestLocustsTables:
    """As if every request had been logged by an event of its own."""

    def test_totals(self, stats: RequestStats) -> None:
        tally = tally_of(1000, 2000, 3000, failures=2)
        add_to_locust(stats, tally.take())
        for entry in (stats.get("state", "GET"), stats.total):
            assert (entry.num_requests, entry.num_failures, entry.total_content_length) == (5, 2, 300)
            assert sum(entry.num_reqs_per_sec.values()) == 5
            assert sum(entry.num_fail_per_sec.values()) == 2
            assert entry.avg_response_time == pytest.approx(2, rel=0.001)
            assert (entry.min_response_time, entry.max_response_time) == pytest.approx((1, 3), rel=0.001)
            assert entry.get_response_time_percentile(0.5) == 2

    def test_several_times_several_rows(self, stats: RequestStats) -> None:
        tally = tally_of(10, 20)
        add_to_locust(stats, tally.take())
        tally.row("state", "GET").latency.record(30)
        tally.row("ping", "POST").latency.record(100_000)
        add_to_locust(stats, tally.take())
        assert {key: entry.num_requests for key, entry in stats.entries.items()} == {
            ("state", "GET"): 3,
            ("ping", "POST"): 1,
        }
        assert stats.total.num_requests == 4

    def test_nothing_happened(self, stats: RequestStats) -> None:
        add_to_locust(stats, tally_of().take())
        assert (dict(stats.entries), stats.total.num_requests) == ({}, 0)

    def test_failures_are_one_line_for_each_reason(self, stats: RequestStats) -> None:
        tally = tally_of(failures=2)
        add_to_locust(stats, tally.take())
        tally.row("state", "GET").failures.update({"HTTP 503": 1, "timed out connecting": 1})
        add_to_locust(stats, tally.take())
        assert {error.to_name(): error.occurrences for error in stats.errors.values()} == {
            "GET state: HTTP 503": 3,
            "GET state: timed out connecting": 1,
        }

    def test_handshakes_have_rows_of_their_own_outside_the_total(self, stats: RequestStats) -> None:
        tally = tally_of(10)
        for us, resumed in ((2000, False), (4000, False), (1000, True)):
            tally.shook_hands(Handshake(us, resumed, "TLSv1.3", "TLS_AES_256_GCM_SHA384"))
        add_to_locust(stats, tally.take())
        assert stats.get(TLS_NAMES["full"], "TLS").num_requests == 2
        assert stats.get(TLS_NAMES["full"], "TLS").avg_response_time == pytest.approx(3, rel=0.001)
        assert stats.get(TLS_NAMES["resumed"], "TLS").num_requests == 1
        assert stats.total.num_requests == 1

    def test_beyond_the_range(self, stats: RequestStats) -> None:
        """Later than a minute: in every total, and as late as can be told."""
        add_to_locust(stats, tally_of(10, LONGEST_US + 5).take())
        assert (stats.total.num_requests, stats.total.max_response_time) == (2, LONGEST_US / 1000)

    def test_agrees_with_logging_each(self, stats: RequestStats) -> None:
        """Locust's own way, request by request, is the judge."""
        latencies_us = [int(37 * 1.07**n) for n in range(150)]
        theirs = RequestStats()
        for us in latencies_us:
            theirs.log_request("GET", "state", value_of_us(us) / 1000, 100)  # type: ignore[arg-type]  # Locust's clients log fractions too
        add_to_locust(stats, tally_of(*latencies_us).take())
        assert dict(stats.total.response_times) == dict(theirs.total.response_times)
        assert stats.total.total_response_time == pytest.approx(theirs.total.total_response_time)


def value_of_us(us: int) -> int:
    """What is left of a value in its bin."""
    (number,) = tally_of(us).take().rows[0].latency_us
    return value_of(number)


class TestRecording:
    """Slices hold what happened since the slice before; together they hold everything."""

    def test_slice(self) -> None:
        tally = tally_of(10, 10, 20, failures=1)
        tally.challenges = 2
        tally.traffic.sent, tally.traffic.received = 7, 9
        tally.shook_hands(Handshake(1000, resumed=True, version="TLSv1.2", cipher="X"))
        piece = to_slice(tally.take(), 5, 6, users=3)
        assert (piece.monotonic_ns, piece.generator_cpu_us, piece.users) == (5, 6, 3)
        assert (piece.requests, piece.errors, piece.challenges) == (4, {"HTTP 503": 1}, 2)
        assert piece.latency_us == {"state": {10: 2, 20: 1}}
        assert (piece.handshakes.full, piece.handshakes.resumed) == (0, 1)
        assert piece.handshake_us.resumed == {1000: 1}
        assert (piece.bytes.sent, piece.bytes.received) == (7, 9)
        assert piece.tls == Negotiated(version="TLSv1.2", cipher="X")

    def test_next_slice_is_empty_but_for_what_was_negotiated(self) -> None:
        tally = tally_of(10, failures=1)
        tally.shook_hands(Handshake(1000, resumed=False, version="TLSv1.2", cipher="X"))
        tally.take()
        assert to_slice(tally.take(), 5, 6, users=0) == Slice(
            monotonic_ns=5, generator_cpu_us=6, tls=Negotiated(version="TLSv1.2", cipher="X")
        )

    def test_reporter_writes_what_locust_gets(self, tmp_path: Path) -> None:
        environment = Environment()
        environment.create_local_runner()
        tally = tally_of(10, 20)
        reporter = Reporter(environment, tally, Recorder(tmp_path / "r"))
        reporter.report()
        tally.row("state", "GET").latency.record(30)
        reporter.report()
        reporter.close(0)
        recording = read_recording(tmp_path / "r")
        assert [piece.requests for piece in recording.slices] == [2, 1]
        assert recording.complete
        assert environment.stats.total.num_requests == 3

    def test_what_locust_is_not_to_see_is_recorded_all_the_same(self, tmp_path: Path) -> None:
        """The ramp, under --reset-stats."""
        environment = Environment()
        reporter = Reporter(environment, tally_of(10), Recorder(tmp_path / "r"))
        reporter.report(to_locust=False)
        reporter.close(0)
        assert read_recording(tmp_path / "r").slices[0].requests == 1
        assert environment.stats.total.num_requests == 0
