"""Folders that are not whole: a report is made of what is there and says what is missing, in every format.

What cannot be read at all is one line on standard error and status 2.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import run_command
from harness.handshakes import figures as handshakes
from harness.handshakes.figures import append_block
from harness.report.reading import read_folder
from harness.trials import FILE_NAME, Run
from tests.harness import synthetic
from tests.harness.handshakes.synthetic_blocks import blocks
from tests.harness.report.runs import changed, quick_plan, quick_run, usual, without

PLANNED_BLOCKS = 6


@pytest.fixture(scope="module")
def whole() -> Run:
    return quick_run(plan=quick_plan(keep=lambda cell: usual(cell) and cell.scenario == "keep-alive"))


def written(folder: Path, run: Run, *, handshake_blocks: int = PLANNED_BLOCKS) -> Path:
    synthetic.write(folder, run)
    for block in blocks(handshake_blocks):
        append_block(folder, block)
    return folder


def spoil(folder: Path, change: Callable[[bytes], bytes], name: str = FILE_NAME) -> Path:
    path = folder / name
    path.write_bytes(change(path.read_bytes()))
    return folder


def lines_changed(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    return lambda data: b"".join(change(data.splitlines(keepends=True)))


def torn(folder: Path, run: Run) -> Path:
    return spoil(written(folder, run), lambda data: data[:-40])


def stopped(folder: Path, run: Run) -> Path:
    return written(folder, Run(run.header, run.trials[:10]))


def garbled(folder: Path, run: Run) -> Path:
    return spoil(
        written(folder, run), lines_changed(lambda lines: [*lines[:3], b"\xff{nonsense\n", b'{"id": 3}\n', *lines[5:]])
    )


def twice(folder: Path, run: Run) -> Path:
    return spoil(written(folder, run), lines_changed(lambda lines: [*lines, lines[-1]]))


def without_handshakes(folder: Path, run: Run) -> Path:
    return written(folder, run, handshake_blocks=0)


def with_few_handshakes(folder: Path, run: Run) -> Path:
    return written(folder, run, handshake_blocks=2)


def with_torn_handshakes(folder: Path, run: Run) -> Path:
    return spoil(written(folder, run), lambda data: data[:-40], handshakes.FILE_NAME)


def with_handshakes_of_another_version(folder: Path, run: Run) -> Path:
    return spoil(written(folder, run), lambda data: data.replace(b'"format":1', b'"format":9'), handshakes.FILE_NAME)


def with_unreadable_handshakes(folder: Path, run: Run) -> Path:
    written(folder, run, handshake_blocks=0)
    (folder / handshakes.FILE_NAME).mkdir()
    return folder


NOT_WHOLE: dict[str, tuple[Callable[[Path, Run], Path], tuple[str, ...]]] = {
    "a torn last line": (torn, ("the last line of trials.jsonl is torn", "the run is not finished")),
    "stopped": (stopped, ("the run is not finished: it has 10 of ", "bench run --resume")),
    "lines that are no trial": (
        garbled,
        ("2 lines of trials.jsonl cannot be read and are left out (such as: line 4 is not JSON",),
    ),
    "a trial that is there twice": (twice, ("1 line of trials.jsonl cannot be read and is left out", "is there twice")),
    "no handshakes": (without_handshakes, ("handshakes in memory are missing: the plan has 6 blocks of them",)),
    "few handshakes": (with_few_handshakes, ("handshakes in memory are not finished: 2 of 6 blocks",)),
    "torn handshakes": (with_torn_handshakes, ("handshakes in memory are not finished: 5 of 6 blocks",)),
    "handshakes of another version": (
        with_handshakes_of_another_version,
        ("handshakes in memory are left out, for handshakes.jsonl cannot be used",),
    ),
    "handshakes that cannot be read": (
        with_unreadable_handshakes,
        ("handshakes.jsonl cannot be read (Is a directory)",),
    ),
}


def as_text(folder: Path, form: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return a report without what breaks its lines."""
    target = folder / f"report.{form}"
    assert run_command(["report", str(folder), "--format", form, "--output", str(target)]) == 0
    capsys.readouterr()
    return " ".join(target.read_text().replace("\\", "").split())


class TestWhatIsNotWholeIsSaid:
    def test_nothing_about_a_whole_folder(self, whole: Run, tmp_path: Path) -> None:
        assert read_folder(written(tmp_path, whole)).lacks == ()

    @pytest.mark.parametrize("case", NOT_WHOLE)
    def test_in_every_format(self, case: str, whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        make, said = NOT_WHOLE[case]
        folder = make(tmp_path / "run", whole)
        for form in ("html", "text", "markdown", "json"):
            report = as_text(folder, form, capsys)
            for each in said:
                assert each.lower() in report.lower(), form

    def test_what_is_there_is_used(self, whole: Run, tmp_path: Path) -> None:
        assert len(read_folder(garbled(tmp_path, whole)).run.trials) == len(whole.trials) - 2
        assert len(read_folder(with_torn_handshakes(tmp_path / "b", whole)).blocks) == 5

    def test_a_note_on_standard_error_beside_a_page(
        self, whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run_command(["report", str(stopped(tmp_path, whole))]) == 0
        shown = capsys.readouterr()
        assert "note: The run is not finished: it has 10 of " in shown.err
        assert "not finished" not in shown.out


class TestNothingOfNothing:
    """Runs without anything to choose by are reports all the same, and say so."""

    @pytest.mark.parametrize("form", ["html", "text", "markdown", "json"])
    @pytest.mark.parametrize(
        ("case", "said"),
        [
            ("header", "This run holds no trial that can be used to choose by."),
            ("failed", "This run holds no trial that can be used to choose by."),
            ("blocks", "Too few blocks to choose by: a verdict takes 6"),
        ],
    )
    def test_says_so(
        self, case: str, said: str, form: str, whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = {
            "header": Run(whole.header, ()),
            "failed": changed(
                whole, lambda trial: replace(trial, requests=0, latency_us={}, doubts=("the server died: SIGSEGV",))
            ),
            "blocks": without(whole, lambda trial: trial.block > 3),
        }[case]
        report = as_text(written(tmp_path / "run", run), form, capsys)
        assert said in report
        if case == "failed":
            assert "the server died: SIGSEGV" in report

    def test_json_holds_no_figures(self, whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["report", str(written(tmp_path, Run(whole.header, ()))), "--format", "json"]) == 0
        content = json.loads(capsys.readouterr().out)
        assert (content["costs"], content["cells"], content["handshakes"]) == ([], [], [])
        assert {decision["outcome"] for decision in content["decisions"]} == {"unmeasured"}
        assert content["trust"]["block_variation_share"] is None


class TestWhatCannotBeReadAtAll:
    """One line, status 2, nothing written."""

    @staticmethod
    def empty(folder: Path, _run: Run) -> Path:
        folder.mkdir()
        return folder

    @staticmethod
    def empty_file(folder: Path, run: Run) -> Path:
        return spoil(synthetic.write(folder, run), lambda _: b"")

    @staticmethod
    def torn_header(folder: Path, run: Run) -> Path:
        return spoil(synthetic.write(folder, run), lambda data: data[:100])

    @staticmethod
    def another_version(folder: Path, run: Run) -> Path:
        return spoil(synthetic.write(folder, run), lambda data: data.replace(b'"format": 1', b'"format": 99', 1))

    @staticmethod
    def no_json(folder: Path, run: Run) -> Path:
        return spoil(synthetic.write(folder, run), lambda _: b"\x00\x01\n\x02\n")

    @staticmethod
    def no_trial(folder: Path, run: Run) -> Path:
        return spoil(synthetic.write(folder, run), lines_changed(lambda lines: [lines[0], b"{}\n", b"[]\n"]))

    @staticmethod
    def unreadable(folder: Path, _run: Run) -> Path:
        (folder / FILE_NAME).mkdir(parents=True)
        return folder

    @staticmethod
    def another_file(folder: Path, run: Run) -> Path:
        path = synthetic.write(folder, run) / "notes.txt"
        path.write_text("no run\n")
        return path

    @pytest.mark.parametrize("form", ["html", "text", "markdown", "json"])
    @pytest.mark.parametrize(
        ("case", "said"),
        [
            ("empty", "holds no run (trials.jsonl: No such file or directory)"),
            ("empty_file", "is empty"),
            ("torn_header", "is empty; the run stopped before its first line"),
            ("another_version", "has format 99, this version reads format 1"),
            ("no_json", "line 1 is not JSON"),
            ("no_trial", "is a trial that this version can read (such as: "),
            ("unreadable", "holds no run (trials.jsonl: Is a directory)"),
            ("another_file", "notes.txt is not a folder; give the folder that `bench run` printed"),
        ],
    )
    def test_is_one_line(
        self, case: str, said: str, form: str, whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = getattr(self, case)(tmp_path / "run", Run(whole.header, whole.trials[:5]))
        before = sorted(tmp_path.rglob("*"))
        assert run_command(["report", str(path), "--format", form]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert said in shown.err
        assert shown.err.startswith("bench: error: ")
        assert shown.err.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before

    def test_of_one_of_several_runs(self, whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        good, bad = synthetic.write(tmp_path / "good", Run(whole.header, whole.trials[:5])), tmp_path / "bad"
        assert run_command(["report", str(good), str(bad), "--format", "text"]) == 2
        assert f"{bad} holds no run" in capsys.readouterr().err

    def test_a_file_of_trials_stands_for_its_folder(self, whole: Run, tmp_path: Path) -> None:
        folder = written(tmp_path, whole)
        assert read_folder(folder / FILE_NAME) == read_folder(folder)
