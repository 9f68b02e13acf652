"""docs/report.md explains the report, all of it and nothing else: held against pages of runs that fill every section.

The sections are taken as `harness.report.page` lays them out, before they become HTML. A deployment is a name of the
user's choice and no figure: columns and marks that are called after one need no explanation.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from typing import Any, Final

import pytest

from deployments import DeploymentError, find
from harness.calibration.evaluation import Outcome as Calibrated
from harness.environment import describe_environment
from harness.handshakes.figures import Block
from harness.measured import SCENARIO_WORDS
from harness.pinning import Pinning
from harness.plan import Cell
from harness.prediction import Axes
from harness.report import decisions, first_screen, flips, page, provenance, what_if
from harness.report.content import Column, Section, Table
from harness.report.what_if import Panel
from harness.trials import Run
from harness.words import DASH, TIMES
from tests.docs.explanations import Chapter, Explained, chapters, plain, stands_for
from tests.docs.pages import ROOT
from tests.harness import synthetic
from tests.harness.capacity.searching import run_with_searches
from tests.harness.handshakes.synthetic_blocks import blocks
from tests.harness.report.runs import FLASK, QUART, changed, crowded_plan, failed, quick_run

PAGE: Final = ROOT / "docs" / "report.md"
FEW_POINTS: Final = Axes(requests_per_connection=(1, 10, None), slow_share=(0.0, 0.2))  # predicted in no time
WORDS: Final = "Words that are the same everywhere"
FIRST_SCREEN: Final = "What to choose"
WHAT_IF: Final = "Would it be so for me?"
FILES: Final = "Files to take along"
SAID_OF_WORDS: Final = "words"

NUMBER: Final = r"[\u2212-]?\d[\d,.]*"  # a real minus sign, or a hyphen
UNITS: Final[Mapping[str, str]] = {
    # What a cell must hold, by the unit that the page gives its column.
    "µs, ms or s": rf"{NUMBER} (?:µs|ms|s)\b",
    "µs, ms or s; processors": rf"{NUMBER} (?:µs|ms|s)\b.*; {NUMBER} of {NUMBER}$",
    "µs, ms or s; requests/s": rf"{NUMBER} (?:µs|ms|s|/s)\b",
    "requests/s": rf"^{NUMBER}(?: {DASH} {NUMBER})?(?: /s)?$|{NUMBER} /s\b",
    TIMES: rf"{NUMBER} {TIMES}|{NUMBER} {DASH} {NUMBER}",
    "%": rf"{NUMBER} %",
    "MB": rf"{NUMBER} MB",
    "bytes": rf"^{NUMBER}$",
    "processors": rf"{NUMBER} of {NUMBER}",
    **dict.fromkeys(
        ("requests", "blocks", "clients", "trials", "round trips", "number"), rf"^{NUMBER}(?: (?:{DASH}|of) {NUMBER})?$"
    ),
}


@dataclass(frozen=True)
class Laid:
    """A page's sections, and its HTML."""

    sections: tuple[Section, ...]
    panel: Panel | None
    html: str


def costly_run() -> Run:
    """Everything that costs are made of, with a proxy among it, and trials to hold predictions against."""
    plan = synthetic.plan("costs", blocks=6)
    names = {FLASK: "flask-gunicorn-gthread", QUART: "flask-gunicorn-gthread@nginx"}
    cells = [
        replace(cell, server=replace(cell.server, deployment=names[cell.server.deployment]))
        for cell in plan.cells
        if cell.server.deployment in names
    ]
    return synthetic.run(replace(plan, cells=tuple(cells), window_s=0.5), drift=0.03)


def searched_run() -> Run:
    plan = synthetic.plan("capacity")
    wanted = {FLASK, "quart-uvicorn-uvloop"}
    searches = tuple(each for each in plan.searches if each.server.deployment in wanted)
    return run_with_searches(replace(plan, searches=searches), generator_per_s={"quart-uvicorn-uvloop": 2500.0})


def doubtful_run() -> Run:
    """A run in which one deployment fails, and the generator was in the way now and then."""
    spoilt = changed(quick_run(), lambda trial: failed(trial, 3) if trial.deployment == QUART else trial)
    return changed(
        spoilt, lambda trial: replace(trial, doubts=("the generator was the limit",)) if trial.block == 1 else trial
    )


def lay(run: Run, handshakes: Sequence[Block] = ()) -> Laid:
    sections: list[Section] = []
    panels: list[Panel | None] = []
    lay_out = page.lay_out

    def kept(given: Sequence[Section], **said: Any) -> str:  # noqa: ANN401 - as the template's variables are
        sections.extend(given)
        panels.append(said["panel"])
        return lay_out(given, **said)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "lay_out", kept)
        patch.setattr(what_if, "axes_for", lambda _: FEW_POINTS)
        html = page.render(run, handshakes)
    return Laid(tuple(sections), panels[0], html)


@pytest.fixture(scope="module")
def laid() -> list[Laid]:
    """Pages that together have every section, plot and table."""
    few = replace(crowded_plan(), cells=tuple(cell for cell in crowded_plan().cells if is_one_of_many(cell)))
    return [
        lay(quick_run(), blocks(6)),
        lay(costly_run()),
        lay(searched_run()),
        lay(synthetic.run(few)),
        lay(doubtful_run()),
    ]


def is_one_of_many(cell: Cell) -> bool:
    """Enough deployments for groups of abilities and for the plot of all: some of each application, with a proxy."""
    return cell.server.deployment in {
        FLASK,
        "flask-waitress@nginx",
        "flask-waitress@caddy",
        "flask-cheroot",
        "flask-granian",
        QUART,
        "quart-granian",
        "quart-uvicorn-uvloop@nginx",
        "quart-uvicorn-uvloop@caddy",
    }


@pytest.fixture(scope="module")
def explained() -> dict[str, Chapter]:
    return chapters(PAGE)


def walk(sections: Sequence[Section], above: str = "") -> Iterator[tuple[Section, str]]:
    """Every section and part, with the question of the section that it is a part of."""
    for section in sections:
        yield section, above
        yield from walk(section.parts, section.question)


def chapter_of(section: Section, above: str, explained: Mapping[str, Chapter]) -> Chapter:
    """The chapter with the section's question; a part may be explained in its section's, which then names it."""
    if section.question in explained:
        return explained[section.question]
    assert above in explained, f"no chapter explains {section.question!r}"
    assert section.question in explained[above].text, f"{above!r} does not name its part {section.question!r}"
    return explained[above]


def everything(laid: Sequence[Laid], explained: Mapping[str, Chapter]) -> Iterator[tuple[Section, Chapter]]:
    for one in laid:
        for section, above in walk(one.sections):
            yield section, chapter_of(section, above, explained)


def tables(laid: Sequence[Laid], explained: Mapping[str, Chapter]) -> Iterator[tuple[Table, Chapter]]:
    """Every table, those too that the page's template has of its own."""
    for section, chapter in everything(laid, explained):
        for table in section.tables:
            yield table, chapter
    for one in laid:
        for caption, columns in Headings(one.html).of("decisions", "cost", "what-if-table"):
            chapter = explained[WHAT_IF if caption.startswith("Predicted") else FIRST_SCREEN]
            yield Table(caption, tuple(map(Column, columns)), ()), chapter


def is_deployment(name: str) -> bool:
    try:
        find(name)
    except DeploymentError:
        return False
    return True


def columns(table: Table) -> list[str]:
    """What of a table needs an explanation; where deployments are its columns, its rows are what they are in others."""
    named = [column.name for column in table.columns if not is_deployment(column.name)]
    return [*named, *(row[0] for row in table.rows)] if len(named) < len(table.columns) else named


def shared(explained: Mapping[str, Chapter]) -> Explained:
    (found,) = explained[WORDS].kind("column")
    return found


def about(table: Table, chapter: Chapter) -> Explained:
    found = [each for each in chapter.kind("column of") if each.is_about(table.caption)]
    assert len(found) == 1, f"{chapter.heading}: {len(found)} tables explain {table.caption!r}"
    return found[0]


def axes(spec: object) -> Iterator[str]:
    """The titles of a drawing's axes."""
    if isinstance(spec, Mapping):
        axis = spec.get("axis")
        if isinstance(axis, Mapping) and axis.get("title"):
            yield str(axis["title"])
        for value in spec.values():
            yield from axes(value)
    elif isinstance(spec, list):
        for value in spec:
            yield from axes(value)


class Headings(HTMLParser):
    """The captions and headings of a page's tables, and what class each table is of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str]]] = []
        self._classes: list[str] = []
        self._into: list[str] | None = None
        self.feed(html)

    def of(self, *classes: str) -> Iterator[tuple[str, list[str]]]:
        for known, (caption, *names) in zip(self._classes, (texts for _, texts in self.found), strict=True):
            if set(known.split()) & set(classes):
                yield caption, names

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "table":
            self._classes.append(given.get("class") or "")
            self.found.append((self._classes[-1], []))
        if tag == "caption" or (tag == "th" and given.get("scope") == "col"):
            self._into = self.found[-1][1]
            self._into.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"caption", "th"}:
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into[-1] += data.replace("\n", " ").strip()


class TestSections:
    def test_each_question_has_its_chapter_and_none_is_made_up(
        self, laid: list[Laid], explained: dict[str, Chapter]
    ) -> None:
        questions = {section.question for section, _ in everything(laid, explained)}
        asked = [heading for heading in explained if heading.endswith("?")]
        assert set(asked) <= questions

    def test_the_chapters_come_in_the_order_of_the_page(self, laid: list[Laid], explained: dict[str, Chapter]) -> None:
        order = [section.question for section in laid[0].sections]
        assert [heading for heading in explained if heading in order] == order

    def test_the_runs_fill_every_section_that_can_be_filled(self, laid: list[Laid]) -> None:
        filled = {section.question for one in laid for section, _ in walk(one.sections) if section.tables}
        without_tables = {section.question for one in laid for section, _ in walk(one.sections)} - filled
        assert without_tables == {
            "How many clients?",  # its parts have them
            "What breaks it?",
            "What should one mind?",
            "What was not measured here?",
        }

    def test_each_chapter_says_where_the_method_stands(self, laid: list[Laid], explained: dict[str, Chapter]) -> None:
        for section in laid[0].sections:
            chapter = explained[section.question]
            if any(
                row.cells[0] not in {SAID_OF_WORDS, ""} for table in chapter.kind("column of") for row in table.rows
            ):
                assert re.search(r"\]\((?:method|predict|capacity|handshakes|measure)\.md", chapter.text), (
                    section.question
                )


class TestTables:
    def test_each_column_is_explained(self, laid: list[Laid], explained: dict[str, Chapter]) -> None:
        known_everywhere = shared(explained)
        for table, chapter in tables(laid, explained):
            known = about(table, chapter)
            for name in columns(table):
                assert known.row(name) or known_everywhere.row(name), f"{chapter.heading}: {table.caption}: {name}"

    def test_each_explained_column_is_there(self, laid: list[Laid], explained: dict[str, Chapter]) -> None:
        there: dict[int, set[str]] = {}
        for table, chapter in tables(laid, explained):
            there.setdefault(id(about(table, chapter)), set()).update(columns(table))
        there[id(shared(explained))] = {name for names in there.values() for name in names}
        described = [
            table for chapter in explained.values() for kind in ("column of", "column") for table in chapter.kind(kind)
        ]
        for known in described:
            assert id(known) in there, f"no table of the report is called {known.of}"
            for name in known.names:
                assert any(stands_for(name, shown) for shown in there[id(known)]), f"{known.of} has no column {name!r}"

    def test_the_unit_of_each_figure_is_the_one_that_its_cells_have(
        self, laid: list[Laid], explained: dict[str, Chapter]
    ) -> None:
        gaps = [name for table in explained[WORDS].kind("instead of a figure") for name in table.names]
        for table, chapter in tables(laid, explained):
            for place, column in enumerate(table.columns):
                row = about(table, chapter).row(column.name) or shared(explained).row(column.name)
                if row is None:
                    continue  # called after a deployment
                unit = row.cells[0]
                assert unit == SAID_OF_WORDS or unit in UNITS, f"{table.caption}: {column.name}: {unit!r}"
                if unit == SAID_OF_WORDS:
                    continue
                for cell in (plain(cells[place]) for cells in table.rows):
                    is_gap = not cell or any(cell.startswith(gap) for gap in gaps)
                    assert is_gap or re.search(UNITS[unit], cell), f"{table.caption}: {column.name}: {cell!r}"

    def test_columns_of_figures_are_not_said_to_be_words(self, laid: list[Laid], explained: dict[str, Chapter]) -> None:
        for section, chapter in everything(laid, explained):
            for table in section.tables:
                for column in table.columns:
                    row = about(table, chapter).row(column.name) or shared(explained).row(column.name)
                    assert not column.numeric or (row and row.cells[0] != SAID_OF_WORDS), column.name

    def test_a_column_that_is_not_explained_would_be_found(self, explained: dict[str, Chapter]) -> None:
        (known,) = [
            each for each in explained["How many clients?"].kind("column of") if each.is_about("Throughput of x")
        ]
        assert known.row("memory")
        assert not known.row("memory at its peak")
        assert not known.is_about("Latency of x")


class TestPlots:
    def test_each_is_explained_with_its_axes(self, laid: list[Laid], explained: dict[str, Chapter]) -> None:
        seen: set[str] = set()
        for section, chapter in everything(laid, explained):
            for plot in section.plots:
                rows = [row for table in chapter.kind("plot") for row in table.rows if row.explains(plot.caption)]
                assert len(rows) == 1, plot.caption
                named = {plain(name) for name in re.findall(r"`([^`]+)`", rows[0].cells[0])}
                assert named == {plain(title) for title in axes(plot.spec)}, plot.caption
                seen.update(rows[0].names)
        made_up = {name for chapter in explained.values() for table in chapter.kind("plot") for name in table.names}
        assert made_up == seen

    def test_each_mark_that_is_no_deployment_is_explained(
        self, laid: list[Laid], explained: dict[str, Chapter]
    ) -> None:
        families_and_libraries = re.compile(r"Flask|Quart|standard library.*|pyOpenSSL.*")
        for section, chapter in everything(laid, explained):
            for mark in section.legend:
                label = str(mark.label)
                if is_deployment(label) or families_and_libraries.fullmatch(label):
                    continue
                assert any(table.row(label) for table in chapter.kind("part")), label


class TestFirstScreen:
    def test_each_need_stands_there_with_what_decides_it(self, explained: dict[str, Chapter]) -> None:
        (needs,) = explained[FIRST_SCREEN].kind("need")
        assert needs.names == [*(need.name for need in decisions.NEEDS), *decisions.NEEDS_WITHOUT_SCENARIO]
        for need in decisions.NEEDS:
            row = needs.row(need.name)
            assert row is not None
            assert ("/s" in row.cells[2]) == (need.measure is decisions.THROUGHPUT), need.name
            assert ("CPU" in row.cells[1]) == (need.measure is decisions.CPU), need.name

    def test_each_cost_is_explained(self, explained: dict[str, Chapter]) -> None:
        (costs,) = [each for each in explained[FIRST_SCREEN].kind("column of") if each.row("a 401 challenge")]
        assert set(costs.names) >= {name for name, _ in first_screen.COST_COLUMNS}


class TestWords:
    def test_what_stands_for_a_verdict(self, laid: list[Laid], explained: dict[str, Chapter]) -> None:
        (words,) = explained[WORDS].kind("word")
        assert {flips.NEVER, "a tie", "no verdict yet", "cannot tell", "nothing to compare with"} <= set(words.names)
        said = {plain(cell) for one in laid for cell in re.findall(r'<span class="result">([^<]+)<', one.html)}
        assert said
        for each in said:
            assert any(each.startswith(name) for name in words.names) or f" {TIMES} " in each, each

    def test_each_scenario(self, explained: dict[str, Chapter]) -> None:
        (scenarios,) = explained[WORDS].kind("scenario")
        assert set(scenarios.names) == set(map(str, SCENARIO_WORDS))

    def test_each_outcome_of_the_check_of_the_bench(self, explained: dict[str, Chapter]) -> None:
        text = explained["Can I believe it?"].text
        assert all(f"`{outcome}`" in text for outcome in Calibrated)


class TestWhatIf:
    def test_each_slider(self, laid: list[Laid], explained: dict[str, Chapter]) -> None:
        (sliders,) = explained[WHAT_IF].kind("slider")
        panel = laid[0].panel
        assert panel is not None
        assert sliders.names == [slider.label for slider in panel.sliders]


class TestFiles:
    def test_each_fact_about_the_run(self, explained: dict[str, Chapter]) -> None:
        (facts,) = explained["On what, and how again?"].kind("fact")
        pinned = Pinning(server=frozenset({0}), generator=frozenset({1}))
        environment = {**describe_environment(pinned), "notes": ["one"], "governor": "performance"}
        run = quick_run()
        whole = Run(replace(run.header, environment=environment), run.trials)
        shown = [row[0] for row in next(iter(provenance.environment_tables(whole))).rows]
        assert sorted(facts.names) == sorted(shown)

    def test_each_field(self, explained: dict[str, Chapter]) -> None:
        for name, data in (
            ("trials.csv", provenance.as_csv(quick_run().trials[:1])),
            ("handshakes.csv", provenance.handshakes_as_csv(blocks(1))),
        ):
            (fields,) = [each for each in explained[FILES].kind("field of") if each.of == (name,)]
            assert sorted(fields.names) == sorted(next(csv.reader(io.StringIO(data.decode()))))
