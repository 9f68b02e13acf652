"""`bench` on its own command line: first steps, one-line errors with status 2, every command with help."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click
import pytest

from harness import cli
from harness.cli import bench, main, run_command
from harness.commands import handshakes
from harness.commands.explained import BAD_INPUT, MISTAKE, READER_GONE, ExplainedCommand
from harness.commands.report import write_and_show
from harness.errors import UserError, nearest, unknown_name
from harness.handshakes.figures import Block, block_from_json
from harness.handshakes.live_figures import LiveBlock, live_block_from_json
from tests.harness import synthetic
from tests.harness.handshakes.synthetic_blocks import blocks
from tests.harness.handshakes.synthetic_live import live_blocks

BENCH = Path(sys.executable).parent / "bench"


class TestFirstVisit:
    """`bench` alone looks at what is there, and says the next step."""

    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def test_before_the_first_run(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert said_alone(capsys) == ["bench doctor", "bench run", "bench serve flask-threaded"]

    def test_a_calibration_is_no_run(self, capsys: pytest.CaptureFixture[str]) -> None:
        synthetic.write(Path("results/x"), synthetic.run(synthetic.plan("calibrate", blocks=1)))
        assert said_alone(capsys)[0] == "bench doctor"

    def test_after_a_run(self, capsys: pytest.CaptureFixture[str]) -> None:
        folder = synthetic.write(Path("results/x"), synthetic.run(synthetic.plan("quick")))
        (folder / "report.html").touch()
        steps = said_alone(capsys)
        assert steps == [
            "bench report results/x --format text",
            "bench predict results/x --deployment flask-threaded --rate 100",
            "bench run",
        ]
        for step in steps[:-1]:
            assert run_command(shlex.split(step)[1:]) == 0

    def test_after_two_runs_of_a_plan_and_one_of_another(self, capsys: pytest.CaptureFixture[str]) -> None:
        for number, name in enumerate(("smoke", "quick", "smoke")):
            run = synthetic.run(synthetic.plan(name, blocks=1))
            begun = replace(run.header, started=f"2025-11-2{number}T08:00:00+00:00")
            folder = synthetic.write(Path(f"results/{9 - number}"), replace(run, header=begun))
            (folder / "report.html").touch()
        assert "bench compare results/9 results/7" in said_alone(capsys)

    def test_a_run_without_a_report_goes_on(self, capsys: pytest.CaptureFixture[str]) -> None:
        synthetic.write(Path("results/x"), synthetic.run(synthetic.plan("smoke", blocks=1)))
        assert said_alone(capsys)[0] == "bench run --resume results/x"

    def test_what_is_no_run_is_passed_over(self, capsys: pytest.CaptureFixture[str]) -> None:
        for name, text in {"empty": "", "torn": '{"format": 1', "list": "[]\n", "binary": "\x00\n"}.items():
            Path("results", name).mkdir(parents=True)
            Path("results", name, "trials.jsonl").write_text(text)
        Path("results/packed").mkdir()
        Path("results/packed/trials.jsonl.xz").write_bytes(b"no")
        assert said_alone(capsys)[0] == "bench doctor"

    def test_installed_command(self) -> None:
        done = subprocess.run([BENCH, "--version"], capture_output=True, check=True)
        assert done.stdout.startswith(b"bench, version ")


def said_alone(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The commands that `bench` alone names."""
    assert run_command([]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert max(map(len, shown.out.splitlines())) <= 80
    return [found[1].strip() for found in re.finditer(r"^  (bench .+?)(?:  .*)?$", shown.out, re.MULTILINE)]


COMMANDS = bench.list_commands(click.Context(bench))


class TestHelp:
    """Who asks for help wants the line to type: it comes first, and everything fits."""

    @pytest.fixture(autouse=True)
    def width(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "80")

    def test_all_commands_fit_one_screen_and_begin_with_examples(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["--help"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "Examples:"
        assert all(line.startswith("  bench ") for line in lines[1:4])
        assert len(lines) <= 22
        assert max(map(len, lines)) <= 80
        for name in COMMANDS:
            assert any(line.startswith(f"  {name} ") for line in lines)

    @pytest.mark.parametrize("name", COMMANDS)
    def test_each_begins_with_a_sentence_and_examples_and_ends_with_statuses(
        self, name: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run_command([name, "--help"]) == 0
        sentence, examples, usage, *_, statuses = capsys.readouterr().out.split("\n\n")
        assert " ".join(sentence.split()).count(". ") == 0
        assert sentence.endswith(".")
        assert examples.startswith("Examples:\n")
        assert 2 <= len(re.findall(r"^  \S", examples, re.MULTILINE)) <= 3
        assert usage.startswith(f"Usage: bench {name}")
        assert statuses.startswith("Exit status:\n  0 ")
        assert "\n  2 " in statuses

    @pytest.mark.parametrize("name", COMMANDS)
    def test_examples_name_options_that_exist(self, name: str) -> None:
        command = bench.get_command(click.Context(bench), name)
        assert isinstance(command, ExplainedCommand)
        known = {option for parameter in command.params for option in parameter.opts}
        for line, _ in command.examples:
            own = re.search(rf"\bbench {name}\b[^|>)]*", line)
            assert own, line
            assert {word for word in shlex.split(own[0]) if word.startswith("-")} <= known

    def test_nothing_heavy_is_loaded_for_it(self) -> None:
        code = (
            "import sys; from harness.cli import run_command; run_command(['--help']);"
            "print([name for name in ('numpy', 'scipy', 'rich', 'altair', 'locust') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"

    @pytest.mark.parametrize(
        ("typed", "meant"), [(["rum"], "'run'"), (["run", "--resum", "x"], "'--resume'"), (["--versio"], "'--version'")]
    )
    def test_a_slip_is_told_what_was_meant(
        self, typed: list[str], meant: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run_command(typed) == 2
        assert re.search(f"[Dd]id you mean {meant}\\?", capsys.readouterr().err)


class TestStandardOutput:
    """That it cannot be written to is no verdict: 1 would be "worse" of `bench compare`."""

    def test_its_disk_is_full(self) -> None:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [BENCH, "list", "--json"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )
        assert done.returncode == BAD_INPUT
        assert done.stderr == "bench: error: the output cannot be written (No space left on device); make room\n"

    @pytest.mark.parametrize("arguments", [["list", "--json"], ["list"]], ids=["click", "rich"])
    def test_nobody_reads_it_any_more(self, arguments: list[str]) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([BENCH, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writer)
        assert (done.returncode, done.stderr) == (READER_GONE, "")

    def test_a_mistake_of_ours_is_shown_whole(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def mistaken(_arguments: Sequence[str]) -> int:
            raise ZeroDivisionError

        monkeypatch.setattr(cli, "run_command", mistaken)
        with pytest.raises(SystemExit) as ended:
            main(["list"])
        assert ended.value.code == MISTAKE
        assert capsys.readouterr().err.startswith("Traceback")


class TestBadInput:
    """One line on standard error, status 2, no traceback."""

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["rum"], "no command is called 'rum'; did you mean 'run'?"),
            (["run", "quik"], "no plan is called 'quik'; did you mean 'quick'?"),
            (["run", "none.toml"], "the plan none.toml cannot be read (No such file or directory)"),
            (["run", "--oot", "x"], "No such option '--oot'. Did you mean '--out'? See `bench run --help`"),
            (["run", "quick", "--resume", "x"], "leave PLAN out; see `bench run --help`"),
            (["run", "--resume", "nowhere"], "nowhere holds no run"),
            (["report", "nowhere"], "nowhere holds no run"),
            (["handshakes", "--blocks", "0"], "0 is not in the range 1<=x<=1000"),
            (["handshakes", "--state", "/dev/null"], "/dev/null"),
            (["report"], "Missing argument 'DIR...'; see `bench report --help`"),
            (["serve", "flask-thread"], "no deployment is called 'flask-thread'; did you mean flask-threaded?"),
            (["probe", "device:8443"], "'device:8443' is not an http or https URL"),
            (["probe", "https://localhost:1", "--ca-file", "none.pem"], "the CA file none.pem cannot be read"),
            (["probe", "https://localhost:1", "--credentials-file", "none"], "none: no credentials there"),
        ],
    )
    def test_said_plainly(
        self,
        arguments: list[str],
        said: str,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert run_command(arguments) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("bench: error: ")
        assert said in shown.err
        assert shown.err.count("\n") == 1

    def test_unreachable_host(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"https://127.0.0.1:{unused.getsockname()[1]}"
            assert run_command(["probe", url, "--state", str(tmp_path)]) == 2
        assert "cannot connect to 127.0.0.1:" in capsys.readouterr().err

    def test_a_plan_that_cannot_be_started_measures_nothing(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        plan = tmp_path / "two.toml"
        plan.write_text(
            'name = "two"\nseed = 1\nblocks = 1\nwindow_s = 1\nbudget_s = 9\n[[cell]]\n'
            'deployment = "flask-threaded"\nscenario = "keep-alive"\nclients = 1\nworkers = 2\n'
        )
        out = tmp_path / "results"
        assert run_command(["run", str(plan), "--out", str(out), "--state", str(tmp_path / "state")]) == 2
        assert "flask-threaded cannot serve with 2 workers: " in capsys.readouterr().err
        assert not out.exists()

    def test_a_run_of_another_machine_does_not_go_on(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        folder = synthetic.write(tmp_path / "run", synthetic.run(synthetic.plan("smoke")))
        assert run_command(["run", "--resume", str(folder), "--state", str(tmp_path / "state")]) == 2
        assert "this run was begun with processor Synthetic Processor 3000" in capsys.readouterr().err

    def test_a_mistake_of_ours_is_not_dressed_up_as_bad_input(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(**_options: object) -> None:
            raise ValueError("a bug")

        monkeypatch.setattr(cli.bench, "main", broken)
        with pytest.raises(ValueError, match="a bug"):
            run_command([])


class TestReport:
    def test_written_again_from_what_was_recorded(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        folder = synthetic.write(tmp_path, synthetic.run(synthetic.plan("quick")))
        assert run_command(["report", str(folder)]) == 0
        shown = capsys.readouterr().out.splitlines()
        assert shown[-1] == f"report: {folder / 'report.html'}"
        assert [line[:2] for line in shown[:-1]] == [f"{number}." for number in range(1, len(shown))]
        assert len(shown) == 6
        assert (folder / "report.html").stat().st_size > 10_000


class TestOutcome:
    """What `bench run` leaves on standard output when it has measured."""

    def test_lines_or_json(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        folder = synthetic.write(tmp_path, synthetic.run(synthetic.plan("quick")))
        write_and_show(folder)
        *findings, last = capsys.readouterr().out.splitlines()
        write_and_show(folder, as_json=True)
        told = json.loads(capsys.readouterr().out)
        assert told["kind"] == "outcome"
        assert [f"{number}. {finding}" for number, finding in enumerate(told["findings"], 1)] == findings
        assert last == f"report: {told['report']}"
        assert told["folder"] == str(folder)
        assert run_command(["report", str(folder), "--format", "json"]) == 0
        assert told["decisions"] == json.loads(capsys.readouterr().out)["decisions"]


class TestHandshakes:
    """Replayed: what the command prints of measured blocks."""

    @pytest.fixture(autouse=True)
    def recorded(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def replay(_certificates: object, numbers: range, **_options: object) -> Iterator[Block]:
            return iter(blocks(len(numbers)))

        monkeypatch.setattr(handshakes, "measure_blocks", replay)
        monkeypatch.setattr(handshakes, "certificates_in", lambda _state: None)
        monkeypatch.chdir(tmp_path)

    def test_tables(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["handshakes", "--seed", "7"]) == 0
        shown = capsys.readouterr()
        assert shown.err.startswith("6 blocks, about 36 s; seed 7\n")
        assert "TLS 1.3 · RSA-4096 · full" in shown.out
        assert "16,384 bytes read" in shown.out
        assert "standard library (OpenSSL 3.0.22)" in " ".join(shown.out.split())

    def test_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["handshakes", "--json", "--blocks", "2"]) == 0
        content = json.loads(capsys.readouterr().out)
        assert [block_from_json(block).number for block in content["blocks"]] == [0, 1]
        assert isinstance(content["seed"], int)


class TestLiveHandshakes:
    """Replayed: what the command prints of measured blocks of one deployment."""

    @pytest.fixture(autouse=True)
    def recorded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def replay(_deployment: str, numbers: range, **_options: object) -> Iterator[LiveBlock]:
            return iter(live_blocks(len(numbers)))

        monkeypatch.setattr(handshakes, "measure_live_blocks", replay)

    def test_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["handshakes", "--deployment", "flask-threaded", "--seed", "7"]) == 0
        shown = capsys.readouterr()
        assert shown.err.startswith("flask-threaded: 6 blocks, about 144 s; seed 7\n")
        assert "TLS 1.3 · ECDSA P-256 · full, hello retried" in shown.out

    def test_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run_command(["handshakes", "--deployment", "flask-threaded", "--json", "--blocks", "2"]) == 0
        content = json.loads(capsys.readouterr().out)
        assert [live_block_from_json(block).number for block in content["blocks"]] == [0, 1]


def test_handshakes_with_an_unknown_deployment(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["handshakes", "--deployment", "flask-thread"]) == 2
    assert "flask-threaded" in capsys.readouterr().err.splitlines()[-1]


class TestNearest:
    def test_offered(self) -> None:
        assert nearest("flask-thread", synthetic.DEPLOYMENTS) == "flask-threaded"

    def test_none_near_lists_all(self) -> None:
        assert str(unknown_name("plan", "zzz", ["b", "a"])) == "no plan is called 'zzz'; known: a, b"

    def test_an_error_is_one_line(self) -> None:
        assert str(UserError("a\nb", hint=" c\n")) == "a b; c"
