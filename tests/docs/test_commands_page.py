"""docs/commands.md says of each command what the command says of itself, and what it says of output is so."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from typing import Final

import click
import pytest

from harness.cli import bench, run_command
from harness.commands import explained
from harness.commands.explained import ExplainedCommand
from tests.docs.pages import ROOT, console, spans
from tests.harness import synthetic

PAGE: Final = ROOT / "docs" / "commands.md"
GROUP: Final = click.Context(bench, info_name="bench")
NAMES: Final = bench.list_commands(GROUP)
JSON_OPTIONS: Final = {"--json", "--grid"}
COLOUR: Final = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;\d+)*m")


def command(name: str) -> ExplainedCommand:
    found = bench.get_command(GROUP, name)
    assert isinstance(found, ExplainedCommand)
    return found


def rows(first_heading: str, second_heading: str) -> list[list[str]]:
    """The cells of the table with these headings, without the backticks around a whole cell."""
    _, _, table = PAGE.read_text(encoding="utf-8").partition(f"| {first_heading} | {second_heading} |")
    lines = table.partition("\n\n")[0].splitlines()[2:]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[re.sub(r"^`([^`]*)`$", r"\1", cell.strip()) for cell in row] for row in cells]


class TestCommands:
    def test_all_in_the_order_of_the_help_and_with_its_words(self) -> None:
        offered = {item.value: item.help for item in bench.shell_complete(GROUP, "")}
        assert [(row[0], row[1]) for row in rows("command", "what for")] == list(offered.items())

    def test_which_speak_json(self) -> None:
        for name, *_, said in rows("command", "what for"):
            options = {option for parameter in command(name).params for option in parameter.opts}
            expected = options & JSON_OPTIONS or ({"--format json"} if "--format" in options else set())
            assert set(re.findall(r"--\w+(?: json)?", said)) == expected, name


class TestStatuses:
    """Every status of every command, word for word as its help has it."""

    def test_those_of_one_command(self) -> None:
        table = {name: dict(zip((0, 1, 3), cells, strict=True)) for name, *cells in rows("command", "0")}
        assert list(table) == NAMES
        for name, said in table.items():
            shared = explained.BAD_INPUT, explained.INTERRUPTED, explained.TERMINATED
            own = {status: text for status, text in command(name).statuses.items() if status not in shared}
            assert {status: text for status, text in said.items() if text} == own, name

    def test_those_of_several(self) -> None:
        table = {int(status): (whose, said) for status, whose, said in rows("status", "of which command")}
        assert list(table) == [
            explained.BAD_INPUT,
            explained.MISTAKE,
            explained.INTERRUPTED,
            explained.READER_GONE,
            explained.TERMINATED,
        ]
        for status in (explained.BAD_INPUT, explained.INTERRUPTED, explained.TERMINATED):
            whose, said = table[status]
            named = set(re.findall(r"`(\w+)`", whose))
            have = {name for name in NAMES if status in command(name).statuses}
            assert have == (set(NAMES) - named if whose.startswith("all") else named)
            for name in have:
                assert all(part in said for part in command(name).statuses[status].split("; ")), name


def typed() -> Iterator[str]:
    """Every line of the page and of the commands' own help that begins with `bench`, up to a pipe or the like."""
    page = (*console(PAGE), *spans(PAGE))
    own = (line for name in NAMES for line, _ in command(name).examples)
    for line in (*page, *own):
        yield from (found[0] for found in re.finditer(r"(?<![\w~/.-])bench(?: [^|>)\"&;\\]*)?(?![\w./-])", line))


@pytest.mark.parametrize("line", sorted(set(typed())))
def test_every_example_is_a_line_that_the_command_takes(line: str) -> None:
    words = [word for word in shlex.split(line)[1:] if word != "--help"]
    if words and words[0] != "COMMAND":
        context = bench.make_context("bench", words)
        name, found, rest = bench.resolve_command(context, [*context._protected_args, *context.args])
        assert name is not None
        assert found is not None
        found.make_context(name, rest, parent=context, resilient_parsing=line.endswith("--help"))


def test_a_wrong_example_would_be_found() -> None:
    with pytest.raises(click.NoSuchOption):
        test_every_example_is_a_line_that_the_command_takes("bench run --no-such-option")
    assert "bench compare before/RUN after/RUN --strict --markdown " in set(typed())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Recorded runs by the names that the page has for them; trials with doubts, so that there is something to say."""
    folder = tmp_path_factory.mktemp("runs")
    plan = synthetic.plan("quick")
    doubtful = [trial.id for trial in synthetic.run(plan).trials[::40]]
    written = {
        name: synthetic.write(folder / name, synthetic.run(plan, seed=seed, doubtful=doubtful))
        for seed, name in enumerate(("results/RUN", "BEFORE", "AFTER"))
    }
    return {name: str(path) for name, path in written.items()}


@pytest.mark.parametrize(
    "line",
    [
        "list --json",
        "list flask-waitress@nginx --json",
        "report results/RUN --format json",
        "report BEFORE AFTER --format json",
        "predict results/RUN --deployment flask-threaded --rate 500 --json",
        "predict results/RUN --grid",
        "compare BEFORE AFTER --json",
    ],
)
def test_json_is_alone_on_standard_output(
    line: str, runs: dict[str, str], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert run_command([runs.get(word, word) for word in line.split()]) in {0, 1, 3}
    assert json.loads(capfd.readouterr().out)


class TestColours:
    """rich decides by the environment; nothing of ours may go round it."""

    @pytest.fixture(params=["list", "report results/RUN --format text", "compare BEFORE AFTER"])
    def line(self, request: pytest.FixtureRequest, runs: dict[str, str]) -> list[str]:
        return [runs.get(word, word) for word in str(request.param).split()]

    def written(self, line: list[str], capsys: pytest.CaptureFixture[str]) -> str:
        run_command(line)
        shown = capsys.readouterr()
        return shown.out + shown.err

    @pytest.mark.parametrize("asked", [None, "NO_COLOR"])
    def test_no_escape_sequence_where_there_is_no_terminal(
        self, line: list[str], asked: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("FORCE_COLOR", "NO_COLOR"):
            monkeypatch.delenv(name, raising=False)
        if asked is not None:
            monkeypatch.setenv(asked, "1")
        assert "\x1b" not in self.written(line, capsys)

    def test_forced(self, line: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("FORCE_COLOR", "1")
        assert "\x1b[" in self.written(line, capsys)
        monkeypatch.setenv("NO_COLOR", "1")
        assert not COLOUR.search(self.written(line, capsys))


def test_the_error_that_it_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", "quik"]) == explained.BAD_INPUT
    (line,) = re.findall(r"^bench: error: .+$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert capsys.readouterr().err.startswith(line)


def test_every_shell_has_its_row() -> None:
    installing = dict(rows("shell", "for every new shell"))
    for shell, how in installing.items():
        target = re.search(rf"bench completion {shell} > (\S+?)[;`]?(?:\s|$)", how)
        assert target, how
        run = command("completion").make_context("completion", [shell], parent=click.Context(bench, info_name="bench"))
        assert run.params["shell"] == shell
    (argument,) = (parameter for parameter in command("completion").params if parameter.name == "shell")
    assert isinstance(argument.type, click.Choice)
    assert list(installing) == list(argument.type.choices)
