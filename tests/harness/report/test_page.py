"""The page as text: what it holds for whole, broken and hostile runs. test_browser.py opens it."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness import words
from harness.errors import UserError
from harness.measured import Measured
from harness.report import first_screen
from harness.report.decisions import NEEDS, decide
from harness.report.naming import Names, caution
from harness.report.page import render, with_commands, write_report
from harness.report.summary import findings
from harness.trials import FILE_NAME, Run, Trial, read_run
from tests.harness import synthetic
from tests.harness.report.runs import EVIL, FLASK, QUART, changed, crowded_plan, failed, hostile_run, quick_run, without


class Page(HTMLParser):
    """The page's elements, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.targets: list[str] = []  # of links within the page
        self.links: dict[str, str] = {}  # download name: address
        self.loads: list[str] = []  # addresses that a browser would fetch
        self.scripts: list[str] = []
        self.data: dict[str, object] = {}
        self.policy = ""
        self.text = ""
        self.tags: list[str] = []
        self._script: dict[str, str | None] | None = None
        self._hidden = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        if given.get("id"):
            self.ids.append(given["id"] or "")
        if tag == "a" and (address := given.get("href") or "").startswith("#"):
            self.targets.append(address[1:])
        if tag == "a" and given.get("download"):
            self.links[given["download"] or ""] = given["href"] or ""
        if given.get("src") or tag == "link":
            self.loads.append(given.get("src") or given.get("href") or "")
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        self._script = given if tag == "script" else None
        self._hidden = tag in {"script", "style"}

    def handle_endtag(self, tag: str) -> None:
        self._script, self._hidden = None, False
        del tag

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            if self._script.get("type") == "application/json":
                self.data[self._script["data-for"] or ""] = json.loads(data)
            else:
                self.scripts.append(data)
        elif not self._hidden:
            self.text += data


def is_plain(trial: Trial) -> bool:
    return trial.options.tls == "off"


BROKEN: dict[str, Callable[[Run], Run]] = {
    "only a header": lambda run: Run(run.header, ()),
    "one trial": lambda run: Run(run.header, run.trials[:1]),
    "one block": lambda run: without(run, lambda trial: trial.block > 0),
    "two blocks": lambda run: without(run, lambda trial: trial.block > 1),
    "one deployment": lambda run: without(run, lambda trial: trial.deployment == QUART),
    "no plain HTTP": lambda run: without(run, is_plain),
    "plain HTTP alone": lambda run: without(run, lambda trial: not is_plain(trial)),
    "no open connections": lambda run: without(run, lambda trial: trial.scenario == "keep-alive"),
    "open connections alone": lambda run: without(run, lambda trial: trial.scenario != "keep-alive"),
    "slow requests alone": lambda run: without(run, lambda trial: trial.scenario != "slow-io"),
    "no block whole": lambda run: without(run, lambda trial: (trial.order + trial.block) % 3 == 0),
    "no two share a block": lambda run: without(
        run, lambda trial: (trial.block % 2 == 0) == (trial.deployment == FLASK)
    ),
    "every trial failed": lambda run: changed(
        run, lambda trial: replace(trial, requests=0, latency_us={}, doubts=("the generator failed: killed",))
    ),
    "no CPU seen": lambda run: changed(run, lambda trial: replace(trial, server_cpu_us=0.0, rss_bytes=0)),
    "no latencies": lambda run: changed(run, lambda trial: replace(trial, latency_us={}, tls=None)),
    "unknown names": lambda run: changed(
        run, lambda trial: replace(trial, deployment=f"mine {trial.deployment}", scenario=trial.scenario.upper())
    ),
    "unknown deployments": lambda run: changed(
        run, lambda trial: replace(trial, deployment=f"mine {trial.deployment}")
    ),
    "several thread counts": lambda run: changed(
        run, lambda trial: replace(trial, options=replace(trial.options, threads=4 + trial.block % 2))
    ),
    "a bare environment": lambda run: Run(replace(run.header, environment={}, plan={}, started="?"), run.trials),
}


@pytest.fixture(scope="module")
def whole() -> Run:
    return quick_run()


@pytest.fixture(scope="module")
def page(whole: Run) -> Page:
    return Page(render(whole))


@pytest.fixture(scope="module")
def hostile() -> str:
    return render(hostile_run())


class TestCommands:
    """What is to be typed looks like it, and no name can be more than text."""

    @pytest.mark.parametrize(
        ("said", "html"),
        [
            ("plain & simple", "plain &amp; simple"),
            ("`bench run` has it", "<code>bench run</code> has it"),
            ("`a` and `<b>`", "<code>a</code> and <code>&lt;b&gt;</code>"),
            ("one ` alone", "one ` alone"),
            ("`a` and one ` alone", "<code>a</code> and one ` alone"),
        ],
    )
    def test_backquotes(self, said: str, html: str) -> None:
        assert with_commands(said) == html


class TestWholeRun:
    def test_opens_with_the_decision(self, page: Page) -> None:
        text = " ".join(page.text.split())
        assert "Flask or Quart, and served by what?" in text
        assert re.search(
            rf"Take {QUART} \(mind its warning\) for many slow requests \(\S+\s{words.TIMES} the throughput\)", text
        )
        first = text.index("If you have")
        assert first < text.index("Not measured here") < text.index("TLS costs") < text.index("Where does a request")

    def test_names_the_threads_beside_the_slow_verdict(self, page: Page) -> None:
        assert "flask-threaded (16 threads)" in page.text

    def test_says_what_was_not_measured(self, page: Page) -> None:
        assert "proxies such as nginx" in page.text
        assert "HTTP/2" in page.text

    def test_every_plot_stands_in_a_section_with_a_table(self, page: Page) -> None:
        assert len(page.data) >= 6
        assert set(page.data) <= set(page.ids)

    def test_links_lead_somewhere_and_ids_are_unique(self, page: Page) -> None:
        assert len(page.ids) == len(set(page.ids))
        assert set(page.targets) <= set(page.ids)

    def test_loads_nothing(self, page: Page) -> None:
        assert all(address.startswith("data:") for address in page.loads)

    def test_stays_small(self, whole: Run) -> None:
        assert len(render(whole).encode()) < 3_000_000

    def test_only_its_own_scripts_may_run(self, page: Page) -> None:
        hashes = {
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in page.scripts
        }
        directives = dict(part.strip().split(" ", 1) for part in page.policy.split(";"))
        assert directives["default-src"] == "'none'"
        assert set(directives["script-src"].split()) == hashes

    def test_the_raw_data_is_inside(self, page: Page, whole: Run, tmp_path: Path) -> None:
        raw = gzip.decompress(base64.b64decode(page.links["trials.jsonl.gz"].partition(",")[2]))
        (tmp_path / FILE_NAME).write_bytes(raw)
        assert read_run(tmp_path) == whole
        table = base64.b64decode(page.links["trials.csv"].partition(",")[2]).decode()
        rows = list(csv.DictReader(io.StringIO(table)))
        assert [int(row["requests"]) for row in rows] == [trial.requests for trial in whole.trials]

    def test_is_the_same_each_time(self, whole: Run) -> None:
        assert render(whole) == render(whole)


class TestNothingDiffers:
    def test_the_page_names_no_winner(self) -> None:
        run = quick_run(costs=synthetic.Costs().alike(), seed=3)
        text = render(run)
        assert '<tr class="winner"' not in text
        assert text.count('<tr class="tie" ') == 7
        assert "Nothing that was measured tells these deployments apart" in text
        assert not re.search(r"less CPU|the throughput of|shorter p99", Page(text).text)


class TestFirstScreen:
    """What the table must not pass over."""

    def test_a_warning_stands_beside_the_choice_that_carries_it(self, whole: Run, page: Page) -> None:
        assert caution(QUART)
        row = render(whole).partition('id="need-many-slow-requests"')[2].partition("</tr>")[0]
        assert row.index(QUART) < row.index(f'<a href="#abilities">{caution(QUART)}</a>') < row.index(FLASK)
        assert f"Mind of {QUART}: {caution(QUART)}." in " ".join(findings(whole))
        assert f"{QUART} (mind its warning)" in page.text

    def test_who_fails_requests_is_named_with_their_number_and_is_no_choice(self, whole: Run) -> None:
        run = changed(
            whole,
            lambda trial: (
                failed(trial, 2) if (trial.deployment, trial.scenario, trial.block) == (FLASK, "slow-io", 0) else trial
            ),
        )
        text = " ".join(Page(render(run)).text.split())
        asked = sum(
            trial.requests
            for trial in whole.trials
            if (trial.deployment, trial.scenario) == (FLASK, "slow-io") and not trial.options.is_calibration
        )
        assert f"{FLASK} (2 of {asked:,} failed) no choice for any need: some of its requests failed" in text
        assert text.count("nothing to compare with") == len(NEEDS)

    def test_needs_without_trials_or_scenario_stand_in_the_table(self, whole: Run) -> None:
        run = without(whole, lambda trial: trial.scenario == "resumed-handshake")
        table = render(run).partition('<table class="decisions" ')[2].partition("</table>")[0]
        said = " ".join(Page(table).text.split())
        assert "clients that come back not measured: this run has no trial of it that can be used" in said
        assert "event streams, big transfers not measured: this bench has no scenario" in said

    def test_of_many_that_tie_the_cheapest_is_named_and_the_others_counted(self) -> None:
        run = synthetic.run(crowded_plan(), costs=synthetic.Costs().alike())
        (row,) = (row for row in shown(run) if row.need == "many short connections")
        assert re.fullmatch(r"cheapest of \d+ that tie", row.others)
        assert row.result == "a tie"
        assert row.over is not None
        assert row.takes == (row.take, row.over)
        assert row.takes_left_out == int(row.others.split()[2]) - 2

    def test_too_few_blocks_give_a_ratio_and_no_verdict(self, whole: Run) -> None:
        (row,) = (
            row for row in shown(without(whole, lambda trial: trial.block > 4)) if row.need == "many slow requests"
        )
        assert row.take.label == QUART
        assert re.fullmatch(rf"no verdict yet \(\S+\s{words.TIMES}\)", row.result)
        assert (row.sure, row.flips) == ("5 blocks", "cannot tell")

    def test_the_fault_table_s_place_is_kept(self, page: Page) -> None:
        assert "faults" in page.targets
        assert "Not measured: this run broke nothing on purpose." in " ".join(page.text.split())


def shown(run: Run) -> tuple[first_screen.Row, ...]:
    measured = Measured(run)
    return first_screen.rows(decide(measured), measured, Names(measured.contenders))


class TestBrokenRuns:
    """The page is made from what is there, says what is missing, and draws nothing from nothing."""

    @pytest.mark.parametrize("name", BROKEN)
    def test_is_made(self, whole: Run, name: str) -> None:
        run = BROKEN[name](whole)
        made = Page(render(run))
        assert not re.search(r"\b(nan|inf|None)\b", made.text)
        assert set(made.targets) <= set(made.ids)
        assert len(findings(run)) <= 5
        assert not re.search(r"\b(nan|inf|None)\b", " ".join(findings(run)))

    def test_an_empty_run_has_no_plots_and_says_so(self, whole: Run) -> None:
        made = Page(render(BROKEN["only a header"](whole)))
        assert made.data == {}
        assert "no trial that can be used" in made.text
        assert made.text.count("Not measured") >= 3

    def test_failed_trials_are_listed_with_their_reason(self, whole: Run) -> None:
        run = changed(
            whole,
            lambda trial: (
                replace(trial, requests=0, latency_us={}, doubts=("the generator failed: killed",))
                if trial.order == 7
                else trial
            ),
        )
        made = Page(render(run))
        assert "137 of 138 trials used" in made.text
        assert "the generator failed: killed" in made.text

    def test_the_generator_as_limit_is_counted(self, whole: Run) -> None:
        run = changed(
            whole,
            lambda trial: (
                replace(trial, doubts=("the generator was the limit: 98 % of its processor",))
                if trial.order < 3
                else trial
            ),
        )
        assert "the generator was the limit in 3" in Page(render(run)).text

    def test_who_was_set_aside_is_named_where_it_is_missing(self, whole: Run) -> None:
        run = changed(
            whole,
            lambda trial: (
                replace(trial, doubts=("neighbours took 70% of the server's processor",))
                if (trial.deployment, trial.scenario) == (FLASK, "slow-io")
                else trial
            ),
        )
        text = Page(render(run)).text
        assert f"set aside: {FLASK}" in text
        assert "nothing to compare with" in text

    def test_too_few_blocks_and_a_noisy_machine_are_said_first(self, whole: Run) -> None:
        short = without(whole, lambda trial: trial.block > 3)
        assert "a verdict takes 6 that hold both sides of a comparison, this run has 4." in Page(render(short)).text
        noisy = changed(whole, lambda trial: replace(trial, doubts=("noise",)) if trial.order % 3 else trial)
        assert "measure again when the machine is quiet" in Page(render(noisy)).text

    def test_a_run_that_shares_a_processor_says_so_at_the_top(self, whole: Run) -> None:
        note = "server and generator share processor 0"
        header = replace(whole.header, environment={**whole.header.environment, "notes": [note]})
        made = Page(render(Run(header, whole.trials)))
        assert made.text.index(note) < made.text.index("Where does a request")

    def test_a_folder_without_trials_is_refused_in_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="holds no run"):
            write_report(tmp_path)
        assert list(tmp_path.iterdir()) == []


class TestHostileText:
    """Text from a trial stays text, in the page and in the data of its plots."""

    def test_no_element_comes_of_it(self, hostile: str, page: Page) -> None:
        made = Page(hostile)
        assert "img" not in made.tags
        assert len(made.scripts) == len(page.scripts)
        assert len(made.data) == len(page.data)
        assert EVIL in made.text

    def test_it_arrives_whole_in_the_plots(self, hostile: str) -> None:
        assert EVIL in json.dumps(Page(hostile).data, ensure_ascii=False).replace('\\"', '"')


class TestWriting:
    def test_writes_whole_or_not_at_all(self, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = synthetic.write(tmp_path / "run", whole)
        path = write_report(folder)
        assert path == folder / "report.html"
        before = path.read_bytes()

        def fail(*_: object) -> None:
            raise OSError("disk full")

        monkeypatch.setattr(Path, "replace", fail)
        with pytest.raises(UserError, match="disk full"):
            write_report(folder)
        assert path.read_bytes() == before
        assert sorted(entry.name for entry in folder.iterdir()) == ["report.html", FILE_NAME]


class TestFindings:
    def test_are_five_sentences_of_plain_text_with_the_page_s_facts(self, whole: Run, page: Page) -> None:
        found = findings(whole)
        assert len(found) == 5
        assert all(sentence.endswith(".") and "<" not in sentence for sentence in found)
        text = " ".join(page.text.split())
        for sentence in found[:3]:
            figure = re.search(rf"\S+\s{words.TIMES} \w+ \w+", sentence)
            assert figure is not None
            assert " ".join(figure.group().split()) in text

    def test_name_the_needs_that_the_issue_asks_for(self, whole: Run) -> None:
        starts = [sentence.partition(":")[0] for sentence in findings(whole)]
        assert starts[:3] == ["Many short connections", "Many slow requests", "Few busy clients"]


class TestConnectionsThatDidNotStayOpen:
    """A server that ends connections now and then has handshakes in what is said of open ones: the page tells."""

    @staticmethod
    def with_handshakes(each: int) -> Run:
        def reconnect(trial: Trial) -> Trial:
            if trial.deployment != QUART or trial.scenario != "keep-alive" or is_plain(trial):
                return trial
            return replace(trial, handshakes=replace(trial.handshakes, full=trial.requests // each))

        return changed(quick_run(), reconnect)

    def test_named_with_hypercorns_limit(self) -> None:
        text = Page(render(self.with_handshakes(100))).text
        assert f"{QUART} closed connections that its clients wanted to keep" in text
        assert "after 1,000 requests (keep_alive_max_requests)" in text

    def test_not_said_of_who_keeps_none_or_all(self, page: Page) -> None:
        assert "wanted to keep" not in page.text
        assert "wanted to keep" not in Page(render(self.with_handshakes(2))).text
