"""`bench report`: which formats, from which folders, to where; standard output is data, standard error talk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import run_command
from harness.trials import FILE_NAME, Run
from tests.harness import synthetic
from tests.harness.report.runs import quick_plan, quick_run, usual

PLAN = quick_plan(keep=lambda cell: usual(cell) and cell.scenario == "keep-alive")


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Make two runs, and go where reports are written without another word."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "200")
    before, after = (synthetic.write(tmp_path / f"run-{seed}", quick_run(plan=PLAN, seed=seed)) for seed in (1, 2))
    return str(before), str(after)


class TestOneRun:
    def test_a_page_in_its_folder_unless_asked_otherwise(
        self, folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder, _ = folders
        assert run_command(["report", folder]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == f"report: {folder}/report.html"
        assert run_command(["report", folder, "--output", "mine.html"]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == "report: mine.html"
        assert Path("mine.html").read_text() == Path(folder, "report.html").read_text()

    @pytest.mark.parametrize(
        ("form", "opens"), [("text", "Flask or Quart"), ("markdown", "## Flask or Quart"), ("json", "{\n")]
    )
    def test_everything_else_on_standard_output_data_alone(
        self, form: str, opens: str, folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder, _ = folders
        assert run_command(["report", folder, "--format", form]) == 0
        shown = capsys.readouterr()
        assert shown.out.startswith(opens)
        assert shown.err == ""
        assert [entry.name for entry in Path(folder).iterdir()] == [FILE_NAME]

    @pytest.mark.parametrize("form", ["text", "markdown", "json"])
    def test_the_same_in_a_file(self, form: str, folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["report", folders[0], "--format", form]) == 0
        shown = capsys.readouterr().out
        assert run_command(["report", folders[0], "--format", form, "--output", "report"]) == 0
        assert capsys.readouterr().out == ""
        assert Path("report").read_text() == shown

    def test_json_is_read_by_a_program(self, folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["report", folders[0], "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["run"]["plan"] == "quick"


class TestSeveralRuns:
    def test_a_page_here_unless_asked_otherwise(
        self, folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run_command(["report", *folders]) == 0
        shown = capsys.readouterr().out.splitlines()
        assert shown[0].startswith("B beside A: ")
        assert shown[-1] == "report: comparison.html"
        assert "2 runs side by side" in Path("comparison.html").read_text()
        assert run_command(["report", *folders, "--output", "both.html"]) == 0
        assert Path("both.html").exists()

    @pytest.mark.parametrize("form", ["text", "markdown", "json"])
    def test_everything_else_on_standard_output(
        self, form: str, folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run_command(["report", *folders, "--format", form]) == 0
        shown = capsys.readouterr()
        assert "B beside A: " in shown.out
        assert shown.err == ""
        assert list(Path().iterdir()) == []

    def test_the_same_run_twice(self, folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["report", folders[0], folders[0], "--format", "text"]) == 2
        assert "hold the same run" in capsys.readouterr().err


class TestBadInput:
    """One line on standard error, status 2, and nothing written."""

    @pytest.mark.parametrize("form", ["html", "text", "markdown", "json"])
    @pytest.mark.parametrize("output", ["missing/report", "."])
    def test_a_file_that_cannot_be_written(
        self, form: str, output: str, folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run_command(["report", folders[0], "--format", form, "--output", output]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith(f"bench: error: {output} cannot be written (")
        assert shown.err.count("\n") == 1
        assert list(Path().iterdir()) == []

    def test_a_format_that_is_none(self, folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["report", folders[0], "--format", "pdf"]) == 2
        assert "'pdf' is not one of 'html', 'text', 'markdown', 'json'" in capsys.readouterr().err

    def test_what_was_written_before_stays_if_the_disk_is_full(
        self, folders: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("report.md").write_text("before\n")

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "replace", full)
        assert run_command(["report", folders[0], "--format", "markdown", "--output", "report.md"]) == 2
        assert "report.md cannot be written (No space left on device)" in capsys.readouterr().err
        assert [entry.name for entry in Path().iterdir()] == ["report.md"]
        assert Path("report.md").read_text() == "before\n"

    def test_an_empty_run_is_no_reason_to_fail(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = synthetic.write(tmp_path / "begun", Run(quick_run(plan=PLAN).header, ()))
        assert run_command(["report", str(folder), "--format", "text"]) == 0
        assert "holds no trial that can be used" in " ".join(capsys.readouterr().out.split())
