"""What a recording promises: exact counts, bins of less than 0.1 %, nothing lost when the generator dies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram

from harness.recording import (
    LONGEST_US,
    Bytes,
    Handshakes,
    HandshakeTimes,
    Histogram,
    Negotiated,
    Recorder,
    RecordingError,
    Slice,
    bin_of,
    read_recording,
    value_of,
)

EDGES = [0, 1, 2047, 2048, 2049, 2050, 4095, 4096, 4098, 65_535, 65_536, 1_000_000, LONGEST_US - 1, LONGEST_US]
FULL = Slice(
    monotonic_ns=7,
    requests=12,
    errors={"timed out": 1},
    lateness_us={3: 4},
    latency_us={"system-state": {5: 6, 3000: 1}},
    out_of_range={"system-state": 1},
    handshakes=Handshakes(full=1, resumed=2),
    handshake_us=HandshakeTimes(full={9: 1}, resumed={8: 2}),
    challenges=3,
    bytes=Bytes(sent=10, received=20),
    generator_cpu_us=99,
    users=4,
    waiting=5,
    tls=Negotiated(version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384"),
)


def response_times(seed: int, n: int = 20_000) -> list[int]:
    drawn = np.random.default_rng(seed).lognormal(6, 2.5, n)
    return [int(us) for us in np.minimum(drawn, LONGEST_US)]


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def bin_at(counts: dict[int, int], permille: int) -> int:
    wanted, seen = permille * sum(counts.values()) / 1000, 0
    for number in sorted(counts):
        seen += counts[number]
        if seen >= wanted:
            return number
    raise AssertionError("an empty histogram")


class TestBins:
    """Bins rise with their values, leave no gap, and their middle is within 0.05 % of all that they hold."""

    @pytest.mark.parametrize("us", EDGES + response_times(1, 500))
    def test_middle_is_near(self, us: int) -> None:
        assert abs(value_of(bin_of(us)) - us) <= us * 0.0005

    def test_no_gap(self) -> None:
        edges = [shift for power in range(11, 25) for shift in range((1 << power) - 40, (1 << power) + 40)]
        for us in edges:
            assert bin_of(us + 1) - bin_of(us) in {0, 1}

    def test_middle_is_in_its_own_bin(self) -> None:
        assert [bin_of(value_of(number)) for number in range(bin_of(LONGEST_US))] == list(range(bin_of(LONGEST_US)))

    @pytest.mark.parametrize("us", EDGES)
    def test_record_uses_the_same_bins(self, us: int) -> None:
        assert histogram_of([us]).sparse() == {bin_of(us): 1}


class TestHistogram:
    """Percentiles are those of HdrHistogram; merged halves are the whole."""

    def test_percentiles_agree_with_hdrhistogram(self) -> None:
        values = response_times(2)
        ours, theirs = histogram_of(values).sparse(), HdrHistogram(1, LONGEST_US, 3)
        for value in values:
            theirs.record_value(max(1, value))
        for permille in (10, 100, 500, 900, 990, 999, 1000):
            low, high = sorted((value_of(bin_at(ours, permille)), theirs.get_value_at_percentile(permille / 10)))
            assert high - low <= high * 0.001 + 1  # theirs counts from 1 µs and answers with the top of a bin

    def test_percentiles_agree_with_the_raw_values(self) -> None:
        values = sorted(response_times(3))
        counts = histogram_of(values).sparse()
        for permille in (10, 500, 990, 999):
            assert bin_at(counts, permille) == bin_of(values[permille * len(values) // 1000 - 1])

    def test_merged_halves_are_the_whole(self) -> None:
        values = response_times(4)
        merged = histogram_of(values[::2])
        merged.add(histogram_of(values[1::2]).sparse())
        assert merged.sparse() == histogram_of(values).sparse()
        assert len(merged) == len(values)

    @pytest.mark.parametrize("us", [LONGEST_US + 1, 10 * LONGEST_US, -1])
    def test_out_of_range_is_counted_apart(self, us: int) -> None:
        histogram = histogram_of([us, 5])
        assert (histogram.out_of_range, histogram.sparse()) == (1, {5: 1})

    def test_drained_once(self) -> None:
        histogram = histogram_of([5, 5])
        assert histogram.drain() == {5: 2}
        histogram.record(6)
        histogram.record(LONGEST_US + 1)
        assert (histogram.drain(), histogram.drain_out_of_range()) == ({6: 1}, 1)
        assert (histogram.drain(), histogram.drain_out_of_range()) == ({}, 0)


class TestRecording:
    """What was written is read back; what was cut off by a kill does not hurt the rest."""

    def write(self, path: Path, *slices: Slice) -> Recorder:
        recorder = Recorder(path)
        for piece in slices:
            recorder.write(piece)
        return recorder

    def test_read_back(self, tmp_path: Path) -> None:
        self.write(tmp_path / "r", FULL, Slice(monotonic_ns=8)).close(exit_status=1)
        recording = read_recording(tmp_path / "r")
        assert recording.slices == (FULL, Slice(monotonic_ns=8))
        assert (recording.complete, recording.exit_status) == (True, 1)

    def test_each_line_is_there_before_the_end(self, tmp_path: Path) -> None:
        recorder = self.write(tmp_path / "r", FULL)
        recording = read_recording(tmp_path / "r")
        recorder.close()
        assert (recording.slices, recording.complete) == ((FULL,), False)

    def test_torn_last_line(self, tmp_path: Path) -> None:
        self.write(tmp_path / "r", FULL, FULL).close()
        whole = (tmp_path / "r").read_bytes()
        (tmp_path / "r").write_bytes(whole[: -len('{"end":true,"exit":null}\n') - 9])
        recording = read_recording(tmp_path / "r")
        assert (recording.slices, recording.complete) == ((FULL,), False)

    def test_unknown_fields_are_ignored(self, tmp_path: Path) -> None:
        self.write(tmp_path / "r", FULL).close()
        lines = [json.loads(line) | {"later": 1} for line in (tmp_path / "r").read_text().splitlines()]
        (tmp_path / "r").write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert read_recording(tmp_path / "r").slices == (FULL,)

    def test_clocks_lose_no_fraction(self, tmp_path: Path) -> None:
        cpu_ns = iter([100, 1_900, 2_500, 10_100])
        recorder = Recorder(tmp_path / "r", clock_ns=lambda: 5, cpu_clock_ns=lambda: next(cpu_ns))
        assert [recorder.clocks() for _ in range(3)] == [(5, 1), (5, 1), (5, 8)]
        recorder.close()

    @pytest.mark.parametrize("content", ["", "no json\n", "[]\n", '{"format": 1, "pid": 1}\n'])
    def test_other_files_are_refused_in_one_line(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "r").write_text(content)
        with pytest.raises(RecordingError, match="record again") as caught:
            read_recording(tmp_path / "r")
        assert "\n" not in str(caught.value)

    def test_another_format(self, tmp_path: Path) -> None:
        Recorder(tmp_path / "r").close()
        (tmp_path / "r").write_text((tmp_path / "r").read_text().replace('"format":1', '"format":2'))
        with pytest.raises(RecordingError, match="format 2, not 1"):
            read_recording(tmp_path / "r")

    def test_absent(self, tmp_path: Path) -> None:
        with pytest.raises(RecordingError, match="no recording"):
            read_recording(tmp_path / "absent")


def test_imports_the_standard_library_only() -> None:
    """It runs inside Locust, and before a report's libraries are there."""
    script = "import sys, harness.recording; print(*{name.partition('.')[0] for name in sys.modules})"
    output = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True).stdout
    assert set(output.split()) - {"harness", "__main__"} <= set(sys.stdlib_module_names)
