"""trials.jsonl: what is written is read back; a torn line is no trial; a broken one is named."""

from __future__ import annotations

import json
import lzma
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import UserError
from harness.report.reading import read_folder
from harness.trials import (
    FILE_NAME,
    PACKED_NAME,
    Run,
    header_to_json,
    parse_run,
    read_run,
    salvage_run,
    trial_from_json,
    trial_to_json,
)
from tests.harness import synthetic


@pytest.fixture(scope="module")
def finished() -> Run:
    return synthetic.run(synthetic.plan("smoke"))


def lines(run: Run) -> list[bytes]:
    objects = [header_to_json(run.header), *map(trial_to_json, run.trials)]
    return [json.dumps(each).encode() + b"\n" for each in objects]


def packed(folder: Path, run: Run) -> Path:
    (folder / PACKED_NAME).write_bytes(lzma.compress(b"".join(lines(run))))
    return folder


class TestRoundTrip:
    """Reading gives what was written."""

    def test_whole_run(self, finished: Run, tmp_path: Path) -> None:
        assert read_run(synthetic.write(tmp_path, finished)) == finished

    def test_the_file_itself_may_be_named(self, finished: Run, tmp_path: Path) -> None:
        assert read_run(synthetic.write(tmp_path, finished) / FILE_NAME) == finished

    def test_packed(self, finished: Run, tmp_path: Path) -> None:
        assert read_run(packed(tmp_path, finished)) == finished
        assert read_run(tmp_path / PACKED_NAME) == finished
        assert read_folder(tmp_path).run == finished

    def test_the_file_goes_before_its_packed_copy(self, finished: Run, tmp_path: Path) -> None:
        packed(tmp_path, finished)
        shorter = Run(finished.header, finished.trials[:-1])
        assert read_run(synthetic.write(tmp_path, shorter)) == shorter

    def test_unknown_fields_are_ignored(self, finished: Run) -> None:
        line = trial_to_json(finished.trials[0]) | {"invented": [1, 2]}
        line["options"]["also"] = True
        assert trial_from_json(line) == finished.trials[0]

    def test_without_tls_and_threads(self, finished: Run) -> None:
        plain = next(trial for trial in finished.trials if trial.tls is None)
        assert trial_from_json(json.loads(json.dumps(trial_to_json(plain)))) == plain


@pytest.fixture(scope="module")
def disturbed() -> Run:
    """The even-numbered trials had a processor that took half as long again, and were dearer for it."""
    run = synthetic.run(synthetic.plan("quick"))
    trials = [
        replace(trial, pace_us=54.0, server_cpu_us=1.5**0.8 * trial.server_cpu_us)
        if number % 2
        else replace(trial, pace_us=36.0)
        for number, trial in enumerate(run.trials)
    ]
    return Run(run.header, tuple(trials))


class TestPace:
    """A run's trials have their costs at the run's mean pace; what is written is what was measured."""

    def test_the_cost_is_that_of_the_mean_pace(self, disturbed: Run) -> None:
        assert disturbed.exponent == pytest.approx(0.8, abs=0.1)
        for trial in disturbed.trials:
            paid = trial.server_cpu_us / trial.requests
            at_once = {54.0: (54 / 36) ** 0.4, 36.0: (36 / 54) ** 0.4}[trial.pace_us or 0.0]
            assert trial.server_cpu_us_per_request == pytest.approx(paid / at_once, rel=0.06)

    def test_it_is_written_and_found_again(self, disturbed: Run, tmp_path: Path) -> None:
        written = trial_to_json(disturbed.trials[1])
        assert written["pace_us"] == 54.0
        assert "slowness" not in written
        assert read_run(synthetic.write(tmp_path, disturbed)) == disturbed

    def test_of_other_trials_it_is_another(self, disturbed: Run) -> None:
        """What a trial was given beside others counts no more."""
        alone = Run(disturbed.header, disturbed.trials[:1])
        assert (alone.exponent, alone.trials[0].slowness) == (None, 1.0)

    def test_without_a_pace_nothing_is_changed(self, finished: Run) -> None:
        assert finished.exponent is None
        assert {trial.slowness for trial in finished.trials} == {1.0}


class TestDamage:
    """A run that died while writing is readable; anything else that is not a trial is named by its line."""

    def test_torn_last_line(self, finished: Run) -> None:
        whole = lines(finished)
        torn = b"".join(whole[:-1]) + whole[-1][: len(whole[-1]) // 2]
        assert parse_run(torn, source="t").trials == finished.trials[:-1]

    def test_last_line_complete_but_for_its_newline_is_torn(self, finished: Run) -> None:
        assert parse_run(b"".join(lines(finished)).rstrip(b"\n"), source="t").trials == finished.trials[:-1]

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            (b"{oops\n", "t, line 3 is not JSON"),
            (b"[1]\n", "t, line 3 is not an object"),
            (b'{"id": {"block": 0, "cell": "x"}}\n', "t, line 3 is not a trial .'options' is missing"),
            (b'{"id": 7, "options": {}, "tls": null, "handshake_us": {}}\n', "t, line 3 is not a trial"),
        ],
    )
    def test_broken_line_in_the_middle(self, finished: Run, line: bytes, said: str) -> None:
        whole = lines(finished)
        with pytest.raises(UserError, match=said):
            parse_run(b"".join([*whole[:2], line, *whole[2:]]), source="t")

    @pytest.mark.parametrize(
        ("was", "is_now", "said"),
        [
            (b'"requests": ', b'"requests": 1e999, "was": ', "infinity"),
            (b'"window_s": ', b'"window_s": 0, "was": ', "window_s is 0"),
            (b'"window_s": ', b'"window_s": NaN, "was": ', "window_s is nan"),
        ],
    )
    def test_figures_that_cannot_be(self, finished: Run, was: bytes, is_now: bytes, said: str) -> None:
        whole = lines(finished)
        assert was in whole[1]
        with pytest.raises(UserError, match=f"t, line 2 is not a trial .*{said}"):
            parse_run(b"".join([whole[0], whole[1].replace(was, is_now, 1), *whole[2:]]), source="t")

    def test_the_same_trial_twice(self, finished: Run) -> None:
        whole = lines(finished)
        with pytest.raises(UserError, match=r"line 4: block .* is there twice"):
            parse_run(b"".join([*whole[:3], whole[1]]), source="t")

    def test_another_format(self) -> None:
        with pytest.raises(UserError, match="has format 2, this version reads format 1"):
            parse_run(b'{"format": 2}\n', source="t")

    @pytest.mark.parametrize("data", [b"", b'{"format": 1'])
    def test_not_even_a_header(self, data: bytes) -> None:
        with pytest.raises(UserError, match="t is empty"):
            parse_run(data, source="t")

    def test_header_without_plan(self) -> None:
        with pytest.raises(UserError, match=r"not a run's header .'plan' is missing"):
            parse_run(b'{"format": 1}\n', source="t")

    def test_packed_and_cut_off(self, finished: Run, tmp_path: Path) -> None:
        path = packed(tmp_path, finished) / PACKED_NAME
        for damaged in (path.read_bytes()[:-40], b"no xz at all"):
            path.write_bytes(damaged)
            with pytest.raises(UserError, match=r"trials\.jsonl\.xz cannot be unpacked"):
                read_run(tmp_path)

    def test_no_run_there(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"holds no run .*No such file") as caught:
            read_run(tmp_path)
        assert "\n" not in str(caught.value)


class TestFigures:
    """What is computed from a trial."""

    def test_per_request_and_per_second(self, finished: Run) -> None:
        trial = finished.trials[0]
        assert trial.requests_per_s == trial.requests / trial.window_s
        assert trial.server_cpu_us_per_request * trial.requests == pytest.approx(trial.server_cpu_us)
        assert trial.server_cores == pytest.approx(0.97, abs=0.01)

    def test_doubtful_trials_are_set_aside(self) -> None:
        plan = synthetic.plan("smoke")
        sound = synthetic.run(plan)
        marked = synthetic.run(plan, doubtful=[sound.trials[3].id])
        assert [trial.id for trial in marked.doubtful_trials] == [sound.trials[3].id]
        assert len(marked.sound_trials) == len(sound.trials) - 1

    @pytest.mark.parametrize(
        ("doubts", "requests", "sound", "costs"),
        [
            ((), 100, True, True),
            (("the generator was the limit",), 100, False, True),
            (("neighbours took 30% of the server's processor", "the generator was the limit: x"), 100, False, True),
            (("neighbours took 30% of the server's processor", "3 of 9 requests failed: x"), 100, False, False),
            (("the generator failed: x",), 0, False, False),
            ((), 0, False, False),
        ],
    )
    def test_contention_spoils_rates_not_costs(
        self, finished: Run, doubts: tuple[str, ...], requests: int, *, sound: bool, costs: bool
    ) -> None:
        trial = replace(finished.trials[0], doubts=doubts, requests=requests)
        assert (trial.is_sound, trial.costs_are_sound) == (sound, costs)


class TestSalvage:
    """Who only reads a run takes what is there, and is told of each line that is no trial."""

    @staticmethod
    def data(folder: Path, run: Run) -> list[bytes]:
        return (synthetic.write(folder, run) / FILE_NAME).read_bytes().splitlines(keepends=True)

    def test_a_whole_run_is_read_as_ever(self, tmp_path: Path, finished: Run) -> None:
        data = b"".join(self.data(tmp_path, finished))
        assert salvage_run(data, source="t") == (parse_run(data, source="t"), ())

    def test_each_line_that_is_no_trial_is_left_out_and_named(self, tmp_path: Path, finished: Run) -> None:
        header, first, *others = self.data(tmp_path, finished)
        run, faults = salvage_run(
            b"".join(
                [header, b"{\n", first, first, b"[]\n", *others, b'{"torn'],
            ),
            source="t",
        )
        assert run == finished
        assert [fault.partition(" is ")[0] for fault in faults[::2]] == ["t, line 2", "t, line 5"]
        assert faults[1].startswith("t, line 4: ")
        assert all("delete" not in fault for fault in faults)

    @pytest.mark.parametrize("kept", [b"", b"torn", b"no header\n", b'{"format": 99}\n'])
    def test_no_header_is_no_run(self, kept: bytes) -> None:
        with pytest.raises(UserError):
            salvage_run(kept, source="t")

    def test_no_trial_among_its_lines_is_no_run_that_this_version_reads(self, tmp_path: Path, finished: Run) -> None:
        header, *_ = self.data(tmp_path, finished)
        with pytest.raises(UserError, match=r"^no line of t is a trial .* \(such as: t, line 2 is not a trial"):
            salvage_run(header + b"{}\n{}\n", source="t")
        assert salvage_run(header, source="t")[0].trials == ()
