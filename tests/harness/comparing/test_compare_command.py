"""`bench compare` on folders: exit statuses, what a person reads, what a program reads, what a pull request shows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import run_command
from harness.trials import FILE_NAME, Run
from tests.harness import synthetic
from tests.harness.comparing.two_runs import FLASK, run, small_plan, with_environment

UPGRADED = {**synthetic.ENVIRONMENT["packages"], "flask": "3.2.0"}  # type: ignore[dict-item] # it is a dict of texts


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return synthetic.write(tmp_path / "before", run(seed=1))


@pytest.fixture
def same(tmp_path: Path) -> Path:
    return synthetic.write(tmp_path / "same", run(seed=2))


@pytest.fixture
def slower(tmp_path: Path) -> Path:
    return written(tmp_path / "slower", with_environment(run(seed=3, slower={FLASK: 1.5}), packages=UPGRADED))


def written(folder: Path, finished: Run) -> Path:
    return synthetic.write(folder, finished)


def compared(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    status = run_command(["compare", *map(str, arguments)])
    shown = capsys.readouterr()
    assert shown.err == ""
    return status, shown.out.replace("\u202f", " ")


class TestStatus:
    def test_no_worse(self, before: Path, same: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status, shown = compared(capsys, before, same)
        assert status == 0
        assert "No worse: nothing is shown to be more than 3 % worse in server CPU per request; cells: " in shown

    def test_worse(self, before: Path, slower: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status, shown = compared(capsys, before, slower)
        assert status == 1
        assert shown.splitlines()[-1].startswith("Worse: flask-threaded, 3 cells together: ")
        assert "Changed between the runs: flask 3.1.3 → 3.2.0." in shown

    def test_the_threshold_is_in_per_cent(self, before: Path, slower: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert compared(capsys, before, slower, "--threshold", "60")[0] == 0

    def test_not_comparable(self, before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        other = written(tmp_path / "other", with_environment(run(seed=2), processor="Another 1"))
        status, shown = compared(capsys, before, other)
        assert status == 3
        reason = "another machine (processor: Synthetic Processor 3000 in A, Another 1 in B)"
        assert shown.splitlines()[-1] == f"Not comparable: {reason}"

    def test_two_blocks(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        plan = small_plan(blocks=2)
        pair = [written(tmp_path / name, run(plan, seed=seed)) for seed, name in enumerate("ab")]
        status, shown = compared(capsys, *pair)
        assert status == 3
        assert "Not comparable: too few blocks (2 in A, 2 in B; a verdict takes 6 of each)" in shown
        assert "flask-threaded keep-alive" in shown

    def test_a_torn_last_line_is_no_trial(self, before: Path, same: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = same / FILE_NAME
        path.write_bytes(path.read_bytes()[:-40])
        status, shown = compared(capsys, before, same)
        assert status == 0
        assert "B is not finished: it has 47 of 48 trials." in shown


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["before", "nowhere"], "nowhere holds no run"),
            (["before", "before"], "before and before hold the same run; give two runs, the earlier one first"),
            (["before"], "Missing argument 'DIR_B'"),
            (["before", "same", "--threshold", "-1"], "-1.0 is not in the range"),
            (["before", "same", "--figure", "rate"], "'rate' is not one of 'cpu', 'throughput', 'p99'"),
            (["before", "same", "--json", "--markdown"], "--json and --markdown cannot both be printed"),
            (["before", "same", "--yardstick", "flask"], "no yardstick is called 'flask'"),
            (["before", "torn"], "is not JSON"),
            (["before", "empty"], "is empty"),
        ],
    )
    @pytest.mark.usefixtures("before", "same")
    def test_one_line(
        self,
        arguments: list[str],
        said: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.chdir(tmp_path)
        lines = (tmp_path / "same" / FILE_NAME).read_bytes().splitlines(keepends=True)
        for name, content in (("torn", [lines[0], lines[1][:50] + b"\n", *lines[2:]]), ("empty", [])):
            (tmp_path / name).mkdir()
            (tmp_path / name / FILE_NAME).write_bytes(b"".join(content))
        assert run_command(["compare", *arguments]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("bench: error: ")
        assert said in shown.err
        assert shown.err.count("\n") == 1


class TestForAPerson:
    def test_what_all_cells_share_stands_once(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        plan = small_plan()
        plan = replace(plan, cells=tuple(cell for cell in plan.cells if cell.server.tls == "1.3"))
        pair = [written(tmp_path / name, run(plan, seed=seed)) for seed, name in enumerate("ab")]
        _, shown = compared(capsys, *pair)
        (line,) = (line for line in shown.splitlines() if line.startswith("Worse is what"))
        assert "; every cell: " in line
        assert "tls1.3" in line
        assert shown.count("tls1.3") == 1

    def test_what_did_not_move_is_shown_when_asked_for(
        self, before: Path, same: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        brief, whole = compared(capsys, before, same)[1], compared(capsys, before, same, "--all")[1]
        assert "p50 A" not in brief
        assert "--all shows them" in brief
        assert "p50 A" in whole
        assert "--all shows them" not in whole

    def test_another_figure_may_decide(self, before: Path, slower: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status, shown = compared(capsys, before, slower, "--figure", "throughput", "--yardstick", "none")
        assert status == 1
        assert "fewer requests/s" in shown.splitlines()[-1]
        assert shown.index("Requests per second") < shown.index("Server CPU per request")


class TestForAProgram:
    def test_everything(self, before: Path, slower: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status, shown = compared(capsys, before, slower, "--json")
        content = json.loads(shown)
        assert (content["format"], content["status"], status) == (1, 1, 1)
        assert content["headline"].startswith("worse: ")
        assert content["reason"] is None
        assert content["margin"] == 0.03
        assert content["changes"] == [{"what": "packages flask", "a": "3.1.3", "b": "3.2.0"}]
        assert content["yardstick"]["name"] == "reference"
        rows = content["figures"]["cpu"]["rows"]
        assert [row["cells"] for row in rows] == [1, 1, 1, 3, 1, 1, 1, 3, 6]
        whole = rows[3]
        assert (whole["deployment"], whole["verdict"]) == (FLASK, "worse")
        assert 1.03 < whole["low"] < whole["ratio"] < whole["high"]
        assert (whole["blocks_a"], whole["blocks_b"]) == (8, 8)
        assert set(content["figures"]) == {"cpu", "throughput", "p99"}

    def test_what_is_not_known_is_null(self, before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        short = written(tmp_path / "short", run(small_plan(blocks=2), seed=4))
        content = json.loads(compared(capsys, before, short, "--json")[1])
        assert content["status"] == 3
        assert "too few blocks" in content["reason"]
        assert {(row["low"], row["high"]) for row in content["figures"]["cpu"]["rows"]} == {(None, None)}

    def test_not_comparable_is_json_too(self, before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        other = written(tmp_path / "other", with_environment(run(seed=2), processors=64))
        content = json.loads(compared(capsys, before, other, "--json")[1])
        assert content["reason"] == "another machine (processors: 2 in A, 64 in B)"
        assert content["yardstick"] is None
        assert content["figures"]["cpu"]["rows"] == []


class TestForAPullRequest:
    def test_markdown(self, before: Path, slower: Path, capsys: pytest.CaptureFixture[str]) -> None:
        status, shown = compared(capsys, before, slower, "--markdown")
        assert status == 1
        lines = shown.splitlines()
        assert lines[0].startswith("**Worse: flask-threaded, 3 cells together: ")
        assert lines[0].endswith("**")
        head = lines.index("| cell | A | B | B/A | interval | blocks | verdict |")
        assert lines[head + 1] == "| --- | ---: | ---: | ---: | ---: | ---: | --- |"
        columns = {line.count("|") for line in lines[head : head + 11]}
        assert columns == {8}
        assert shown.count("<details>") == shown.count("</details>") == 2
        assert "- Changed between the runs: flask 3.1.3 → 3.2.0." in lines
