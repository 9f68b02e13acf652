"""Real handshakes and records in memory, a few of each: what is timed, and that the proofs are proofs."""

from __future__ import annotations

import itertools
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from certs import CertificateFiles, KeyKind, TlsPolicy, TlsVersion, ensure_ca, ensure_certificate, stdlib_server_context
from harness.handshakes.endpoints import Client, server_ends, stdlib_ends
from harness.handshakes.figures import Figure, Part, Stack, Subject
from harness.handshakes.timing import LEAST_BATCHES, Stopwatch, measure, overhead_ns


class Clock:
    """A clock that goes on by a step each time it is read."""

    def __init__(self, step_ns: int) -> None:
        self.now_ns = 0
        self._step_ns = step_ns

    def __call__(self) -> int:
        self.now_ns += self._step_ns
        return self.now_ns


class TestStopwatch:
    def test_what_reading_the_clock_takes_is_taken_off(self) -> None:
        clock = Clock(500)
        stopwatch = Stopwatch(clock)
        assert stopwatch.overhead_ns == 500
        for _ in range(3):
            stopwatch.start()
            clock.now_ns += 4000
            stopwatch.stop()
        assert stopwatch.take_ns() == 12000
        assert stopwatch.take_ns() == 0

    def test_a_coarse_clock_is_refused(self) -> None:
        ticks = itertools.count()
        with pytest.raises(RuntimeError, match="too coarse"):
            overhead_ns(lambda: next(ticks) // 1000 * 4_000_000)

    def test_this_machines_clock_will_do(self) -> None:
        assert 0 < Stopwatch().overhead_ns < 20_000


@pytest.fixture(scope="module")
def ca_and_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CertificateFiles]:
    folder = tmp_path_factory.mktemp("certificates")
    return ensure_ca(folder), ensure_certificate(folder, KeyKind.ECDSA_P256)


@pytest.fixture(scope="module")
def measured(ca_and_certificate: tuple[Path, CertificateFiles]) -> Callable[[Subject], Figure]:
    ca_file, files = ca_and_certificate
    stopwatch = Stopwatch()

    def measure_it(subject: Subject) -> Figure:
        client = Client(ca_file, TlsVersion(subject.version))
        return measure(subject, server_ends(subject.stack, files), client, stopwatch, least_s=0.0)

    return measure_it


@pytest.mark.parametrize("stack", Stack)
class TestReal:
    """Both stacks, without a group set for the process: that is for the worker."""

    @pytest.mark.parametrize("version", ["1.2", "1.3"])
    def test_full_and_resumed_are_told_apart(
        self, measured: Callable[[Subject], Figure], stack: Stack, version: str
    ) -> None:
        full = measured(Subject(stack=stack, part=Part.FULL, version=version))
        resumed = measured(Subject(stack=stack, part=Part.RESUMED, version=version))
        assert (full.resumed, resumed.resumed) == (0, resumed.count)
        assert full.batches == resumed.batches == LEAST_BATCHES
        assert full.tls.version == resumed.tls.version == f"TLSv{version}"
        assert min(full.server_cpu_us, resumed.server_cpu_us) > 5  # which is dearer: benchmarks.handshake_ratios

    @pytest.mark.parametrize("part", [Part.WRITE, Part.READ])
    def test_records(self, measured: Callable[[Subject], Figure], stack: Stack, part: Part) -> None:
        figure = measured(Subject(stack=stack, part=part, record_bytes=16_384))
        assert figure.count == figure.batches * 8
        assert figure.server_cpu_us > 0.5


def test_a_server_that_resumes_nothing_is_found_out(ca_and_certificate: tuple[Path, CertificateFiles]) -> None:
    ca_file, files = ca_and_certificate
    context = stdlib_server_context(files, TlsPolicy())
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    subject = Subject(stack=Stack.STDLIB, part=Part.RESUMED, version="1.3")

    figure = measure(subject, stdlib_ends(context), Client(ca_file, TlsVersion.TLS_1_3), Stopwatch(), least_s=0.0)
    assert figure.resumed == 0
    assert "resumed handshakes were full ones" in figure.refusal
