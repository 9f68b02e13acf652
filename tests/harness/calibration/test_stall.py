"""A server that stands still: the theory against a simulated queue, what is cut out of a recording, and a real stop."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import psutil
import pytest

from harness import histograms
from harness.calibration.stall import (
    PERCENTS,
    RATE_PER_S,
    Stall,
    StallFailedError,
    read_stall,
    stop_for,
    theory_us,
)
from harness.clocks import Sample
from harness.recording import Recording, Slice, bin_of

SLICE_NS = 250_000_000


def simulated_us(*, stall_s: float, window_s: float, share: float, rate_per_s: float) -> np.ndarray:
    """Return the latencies of one server that takes share / rate for each request, and stands still from 4 s on."""
    service_s = share / rate_per_s
    free_s, latencies = 0.0, []
    for number in range(round(window_s * rate_per_s)):
        arrival_s = number / rate_per_s
        begin_s = max(arrival_s, free_s)
        if 4.0 <= begin_s < 4.0 + stall_s:
            begin_s = 4.0 + stall_s
        free_s = begin_s + service_s
        latencies.append(free_s - arrival_s)
    return np.array(latencies) * 1e6


class TestTheory:
    def test_the_figures_that_everybody_can_work_out(self) -> None:
        assert theory_us(95, stall_s=1, window_s=10) == pytest.approx(500_000)
        assert theory_us(99, stall_s=1, window_s=10) == pytest.approx(900_000)
        assert theory_us(90, stall_s=1, window_s=10) == pytest.approx(0, abs=1e-6)
        assert theory_us(50, stall_s=1, window_s=10) == 0
        assert theory_us(100, stall_s=1, window_s=10) == pytest.approx(1_000_000)

    @pytest.mark.parametrize("share", [0.02, 0.1, 0.2])
    @pytest.mark.parametrize("percent", [95.0, 97.0, 99.0])
    def test_is_what_a_simulated_queue_does(self, percent: float, share: float) -> None:
        seen = simulated_us(stall_s=1.0, window_s=10.0, share=share, rate_per_s=2000.0)
        expected = theory_us(percent, stall_s=1.0, window_s=10.0, share=share)
        assert np.percentile(seen, percent) == pytest.approx(expected, rel=0.01)


class TestReading:
    """The window is whole slices from where the stall's window began; figures come from it alone."""

    def recording(self, *, slices: int, errors: int = 0) -> Recording:
        latencies = Counter(bin_of(us) for us in (1000,) * 23 + (400_000, 800_000))
        pieces = [
            Slice(
                monotonic_ns=number * SLICE_NS,
                requests=25,
                latency_us={"read": latencies},
                users=128,
                errors={"timeout": errors} if errors and number == 20 else {},
            )
            for number in range(slices)
        ]
        return Recording(pid=1, started_monotonic_ns=0, slices=tuple(pieces), complete=True, exit_status=0)

    def samples(self, seconds: int) -> list[Sample]:
        return [
            Sample(
                monotonic_ns=at * 1_000_000_000,
                server_cpu_us=at * 20_000.0,
                server_rss_bytes=0,
                server_processors_busy_us=0.0,
                generator_processors_busy_us=0.0,
                server_alive=True,
            )
            for at in range(seconds)
        ]

    def test_window_percentiles_and_share(self) -> None:
        stall = read_stall(self.recording(slices=80), self.samples(30), 5 * SLICE_NS, 1.0, 1)
        assert (stall.window_s, stall.requests) == (10.0, 1000)
        assert stall.server_share == pytest.approx(0.02)
        assert stall.p95_us == pytest.approx(400_000, rel=0.001)
        assert stall.p99_us == pytest.approx(800_000, rel=0.001)

    def test_a_recording_that_ends_too_early_is_no_figure(self) -> None:
        with pytest.raises(StallFailedError, match="less than the window"):
            read_stall(self.recording(slices=40), self.samples(30), 5 * SLICE_NS, 1.0, 1)

    def test_failed_requests_are_no_figure(self) -> None:
        with pytest.raises(StallFailedError, match="3 requests failed: timeout"):
            read_stall(self.recording(slices=80, errors=3), self.samples(30), 5 * SLICE_NS, 1.0, 1)

    @pytest.mark.parametrize(
        ("p95_us", "p99_us", "share", "good"),
        [
            (500_000, 900_000, 0.02, True),
            (524_000, 860_000, 0.02, True),
            (526_000, 900_000, 0.02, False),  # over 5 % off
            (500_000, 9_000, 0.02, False),  # as a closed load would say
            (500_000, 900_000, 0.21, False),  # too busy for the theory
        ],
    )
    def test_what_counts_as_theory_says(self, p95_us: float, p99_us: float, share: float, good: bool) -> None:  # noqa: FBT001 - a case
        stall = Stall(stalled_s=1.0, window_s=10.0, requests=1000, server_share=share, p95_us=p95_us, p99_us=p99_us)
        assert stall.is_as_theory_says is good

    def test_a_simulated_stall_is_as_theory_says_in_whole_arrivals_too(self) -> None:
        seen = simulated_us(stall_s=1.0, window_s=10.0, share=0.02, rate_per_s=RATE_PER_S)
        p95_us, p99_us = histograms.percentiles(Counter(bin_of(round(us)) for us in seen), PERCENTS)
        stall = Stall(stalled_s=1.0, window_s=10.0, requests=1000, server_share=0.02, p95_us=p95_us, p99_us=p99_us)
        assert stall.is_as_theory_says


class TestStopping:
    """Stopped processes go on, whatever happens."""

    def running(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", "while True: pass"])

    def test_stands_still_for_as_long_as_said(self) -> None:
        with self.running() as process:
            try:
                stood_s = stop_for([process.pid], 0.3)
                assert stood_s >= 0.3
                assert psutil.Process(process.pid).status() != psutil.STATUS_STOPPED
            finally:
                process.kill()

    def test_goes_on_after_an_interrupt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with self.running() as process:

            def interrupt_when_stopped(_seconds: float) -> None:
                while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
                    pass
                raise KeyboardInterrupt

            try:
                monkeypatch.setattr(time, "sleep", interrupt_when_stopped)
                with pytest.raises(KeyboardInterrupt):
                    stop_for([process.pid], 1.0)
                assert psutil.Process(process.pid).status() != psutil.STATUS_STOPPED
            finally:
                process.kill()

    def test_one_that_is_gone_is_left_out(self) -> None:
        process = self.running()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert stop_for([process.pid], 0.0) >= 0
