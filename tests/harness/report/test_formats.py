"""The report as text, Markdown and JSON: the same facts as on the page, for a terminal, a pull request, a program."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from harness import words
from harness.costs import costs
from harness.measured import Measured
from harness.report import first_screen
from harness.report.decisions import decide
from harness.report.formats import as_json, as_markdown, as_text
from harness.report.formats.told import Told, tell
from harness.report.naming import Names
from harness.report.reading import RunFolder
from harness.trials import Run
from tests.harness.report.runs import EVIL, changed, hostile_run, quick_run

ESCAPES = "\x1b[2J\x1b]0;owned\x07\u202e"  # clears a screen, names a window, turns the writing round
DOUBT = "neighbours took 12 % of the server's processors"


def folder_of(run: Run, *lacks: str) -> RunFolder:
    return RunFolder(Path("results/run"), run, (), lacks)


@pytest.fixture(scope="module")
def run() -> Run:
    doubtful = replace(quick_run().trials[0], doubts=(DOUBT,))
    return Run(quick_run().header, (doubtful, *quick_run().trials[1:]))


@pytest.fixture(scope="module")
def told(run: Run) -> Told:
    return tell(folder_of(run, "the last line is torn"))


@pytest.fixture(scope="module")
def text(told: Told) -> str:
    return as_text.written(as_text.run_report(told))


@pytest.fixture(scope="module")
def markdown(told: Told) -> str:
    return as_markdown.run_report(told)


@pytest.fixture(scope="module")
def content(run: Run) -> dict[str, object]:
    found: dict[str, object] = json.loads(json.dumps(as_json.run_report(folder_of(run)), allow_nan=False))
    return found


def flat(report: str) -> str:
    """Return a report without what its format adds: breaks of lines, and Markdown's escapes."""
    return " ".join(report.replace("\\", "").split())


class TestOneSource:
    """What is said is what the page says, word for word."""

    @pytest.mark.parametrize("form", ["text", "markdown"])
    def test_decisions_costs_and_trust(self, form: str, run: Run, told: Told, request: pytest.FixtureRequest) -> None:
        report = flat(request.getfixturevalue(form))
        measured = Measured(run)
        rows = first_screen.rows(decide(measured), measured, Names(measured.contenders))
        assert len(rows) >= 6
        for row in rows:
            for fact in (row.need, row.result, row.interval, row.flips, row.evidence, row.take.label):
                assert flat(fact) in report
        assert flat(told.opening) in report
        assert flat(told.costs_sentence) in report
        for fact in (*told.trust, *told.missing, *told.unmeasured, "the last line is torn"):
            assert flat(fact).lower() in report.lower()

    @pytest.mark.parametrize("form", ["text", "markdown"])
    def test_environment_and_what_was_set_aside(self, form: str, request: pytest.FixtureRequest) -> None:
        report = flat(request.getfixturevalue(form))
        for fact in ("Synthetic Processor 3000", "OpenSSL 3.0.22", "hypercorn", DOUBT, "bench run quick"):
            assert fact in report

    def test_costs_with_their_intervals(self, run: Run, text: str, markdown: str) -> None:
        for cost in costs(Measured(run)):
            assert cost.tls_connection is not None
            said = words.microseconds_between(cost.tls_connection)
            assert said in text
            assert said in markdown


class TestText:
    def test_fits_80_columns_without_a_terminal(self, text: str) -> None:
        assert max(map(len, text.splitlines())) <= as_text.WIDTH
        assert "\x1b" not in text
        assert all(line == line.rstrip() for line in text.splitlines())

    def test_long_names_fold_instead_of_running_over(self, run: Run) -> None:
        name = "flask-" + "very" * 20 + "long"
        long = changed(run, lambda trial: replace(trial, deployment=name if "flask" in trial.deployment else "q"))
        report = as_text.written(as_text.run_report(tell(folder_of(long))))
        assert max(map(len, report.splitlines())) <= as_text.WIDTH

    def test_colours_on_a_terminal_but_not_with_no_color(self, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("NO_COLOR", raising=False)

        def shown() -> str:
            file = StringIO()
            as_text.run_report(told)(Console(file=file, force_terminal=True, width=80, highlight=False))
            return file.getvalue()

        assert "\x1b[33m" in shown()
        monkeypatch.setenv("NO_COLOR", "1")
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown())

    def test_nothing_from_a_file_steers_the_terminal(self, run: Run) -> None:
        evil = changed(run, lambda trial: replace(trial, deployment=f"{trial.deployment}{ESCAPES}"))
        report = as_text.written(as_text.run_report(tell(folder_of(evil, ESCAPES))))
        assert not set(ESCAPES) & {"\x1b", "\x07", "\u202e"} & set(report)
        assert "\N{REPLACEMENT CHARACTER}" in report


class TestMarkdown:
    def test_tables_are_whole(self, markdown: str) -> None:
        for table in tables(markdown):
            widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table}
            assert len(widths) == 1
            assert re.fullmatch(r"\|( -{3}:? \|)+", table[1])

    def test_is_short_enough_for_a_comment(self, markdown: str) -> None:
        assert len(markdown) < as_markdown.LONGEST / 8
        assert markdown.count("<details>") == markdown.count("</details>") == 2

    def test_opens_with_what_to_choose(self, markdown: str) -> None:
        first, _, second = markdown.splitlines()[:3]
        assert first.startswith("## Flask or Quart")
        assert second.startswith("**Take ")

    def test_markup_from_a_file_stays_text(self) -> None:
        report = as_markdown.run_report(tell(folder_of(hostile_run(), EVIL)))
        assert "<script" not in report.replace("\\<script", "")
        assert "<img" not in report.replace("\\<img", "")
        assert flat(EVIL) in flat(report)

    def test_nobody_is_called_but_a_proxy_is_named(self) -> None:
        assert as_markdown.escaped("flask-waitress@nginx") == "flask-waitress@nginx"
        assert "@someone" not in as_markdown.escaped("ask @someone")


class TestJson:
    def test_names_its_format_and_holds_only_finite_numbers(self, content: dict[str, object]) -> None:
        assert (content["format"], content["kind"]) == (as_json.FORMAT, "run")
        assert all(math.isfinite(value) for value in numbers(content))

    def test_figures_are_numbers_with_units_in_their_keys(self, content: dict[str, object]) -> None:
        units = re.compile(r"(_us|_per_s|_bytes|_ratio|_share)(_|$)|^ratio$|latency_us_p\d+")
        for path, value in intervals(content):
            assert units.search(path), path
            assert set(value) == {"estimate", "low", "high", "blocks"}

    def test_decisions_are_the_page_s(self, content: dict[str, object], run: Run) -> None:
        made = content["decisions"]
        assert isinstance(made, list)
        for decision, entry in zip(decide(Measured(run)), made, strict=True):
            assert entry["need"] == decision.need.name
            assert entry["outcome"] == decision.outcome.value
            if decision.runner_up is None:
                assert entry["runner_up"] is None
                continue
            assert entry["take"]["deployment"] == decision.choice.contender.deployment
            assert entry["runner_up"]["advantage_ratio"]["estimate"] == decision.runner_up.advantage.estimate

    def test_costs_are_the_page_s(self, content: dict[str, object], run: Run) -> None:
        made = content["costs"]
        assert isinstance(made, list)
        for cost, entry in zip(costs(Measured(run)), made, strict=True):
            assert cost.digest is not None
            assert entry["digest_server_cpu_us_per_request"]["estimate"] == cost.digest.estimate
            assert entry["request_server_cpu_us"]["low"] == cost.request.low

    def test_what_was_set_aside_says_why(self, content: dict[str, object]) -> None:
        made = content["set_aside"]
        assert isinstance(made, list)
        assert [(entry["doubts"], entry["used"]) for entry in made] == [([DOUBT], "server CPU")]

    def test_nan_in_a_file_is_null(self, run: Run) -> None:
        header = replace(run.header, environment={"load": math.nan, "list": [math.inf]})
        found = as_json.run_report(folder_of(Run(header, run.trials)))
        assert found["environment"] == {"load": None, "list": [None]}


def tables(markdown: str) -> Iterator[list[str]]:
    lines: list[str] = []
    for line in [*markdown.splitlines(), ""]:
        if line.startswith("|"):
            lines.append(line)
        elif lines:
            yield lines
            lines = []


def numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from numbers(inner)
    elif isinstance(value, float):
        yield value


def intervals(value: object, key: str = "") -> Iterator[tuple[str, dict[str, object]]]:
    if isinstance(value, dict):
        if "estimate" in value:
            yield key, value
        else:
            for name, inner in value.items():
                yield from intervals(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from intervals(inner, key)
