"""What the page says of handshakes in memory: replayed from blocks of known truth, nothing is measured."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from certs import KeyKind
from harness.handshakes.comparison import Comparison
from harness.handshakes.figures import POST_QUANTUM_GROUP, Block, Cannot, Figure, Part, Stack, Subject, append_block
from harness.report import in_memory
from harness.report.content import LONGEST_OPEN, Section
from harness.report.page import embedded_json, render, write_report
from harness.report.provenance import handshakes_as_csv
from harness.words import THIN, TIMES
from tests.harness import synthetic
from tests.harness.handshakes.synthetic_blocks import blocks, spoiled, truth_us
from tests.harness.report.runs import EVIL, quick_run

RESUMED = Subject(stack=Stack.STDLIB, part=Part.RESUMED, key_kind=KeyKind.RSA_2048)


def said(given: tuple[Block, ...]) -> Section:
    return in_memory.section(Comparison(given))


def row(section: Section, table: int, *first: str) -> tuple[str, ...]:
    """Return the one row of a table that begins so."""
    (found,) = (each for each in section.tables[table].rows if each[: len(first)] == first)
    return found


@pytest.fixture(scope="module")
def section() -> Section:
    return said(blocks(12))


class TestAnswer:
    """One sentence each on keys, stacks and the post-quantum group."""

    def test_how_many_times_dearer(self, section: Section) -> None:
        times = re.search(rf"standard library takes ([0-9.]+){THIN}{TIMES} the CPU with RSA-4096", section.answer)
        assert times is not None
        assert float(times[1]) == pytest.approx(4300 / 480, rel=0.02)
        assert "when resumed in TLS 1.2." in section.answer

    def test_another_ratio_in_the_other_library_is_named(self) -> None:
        def truth(subject: Subject) -> float:
            quick = subject.stack is Stack.PYOPENSSL and subject.key_kind == KeyKind.RSA_4096
            return truth_us(subject) * (0.4 if quick and subject.part is Part.FULL else 1.0)

        assert re.search(r"with RSA-4096 \(in pyOpenSSL 3\.[56]", said(blocks(12, truth=truth)).answer)

    def test_stacks(self, section: Section) -> None:
        assert "(X25519) pyOpenSSL's CPU to the standard library's is 0.8" in section.answer

    def test_alike_stacks_are_a_tie(self) -> None:
        tied = said(blocks(truth=lambda subject: truth_us(replace(subject, stack=Stack.STDLIB)))).answer
        assert "the standard library's is a tie (" in tied

    def test_post_quantum(self, section: Section) -> None:
        assert f"({POST_QUANTUM_GROUP}) adds 2" in section.answer
        assert "the standard library here cannot do it." in section.answer

    def test_a_post_quantum_group_that_cannot_be_told_from_the_usual(self) -> None:
        free = blocks(truth=lambda subject: truth_us(replace(subject, group="X25519")))
        assert "cannot be told from X25519 in pyOpenSSL" in said(free).answer

    def test_for_a_terminal(self) -> None:
        finding = in_memory.finding(Comparison(blocks()))
        assert finding.startswith("TLS alone: Against a full TLS 1.3 handshake with RSA-2048")
        assert in_memory.finding(Comparison(())) == ""


class TestTables:
    def test_ratios_to_the_reference_stand_beside_the_times(self, section: Section) -> None:
        name, stdlib, ratio, pyopenssl, other_ratio, between = row(section, 0, "TLS 1.3 · RSA-2048 · full")
        assert (ratio, other_ratio) == (f"1{THIN}{TIMES}",) * 2
        assert stdlib.endswith("µs")
        assert pyopenssl.endswith("µs")
        assert between.startswith("0.8")
        assert name

    def test_it_is_short_enough_to_stand_open(self, section: Section) -> None:
        assert [len(table.rows) <= LONGEST_OPEN for table in section.tables] == [True, True, True, False]

    def test_processor_and_versions_are_named(self, section: Section) -> None:
        assert "Synthetic Processor 3000" in section.tables[0].caption
        assert "Synthetic Processor 3000" in section.plots[0].caption
        names = [mark.label for mark in section.legend]
        assert names == ["standard library (OpenSSL 3.0.22)", "pyOpenSSL (OpenSSL 4.0.3)"]

    def test_who_cannot_says_so(self, section: Section) -> None:
        assert "cannot" in row(section, 1, "standard library (OpenSSL 3.0.22)")
        assert any("cannot be had from the standard library here: its OpenSSL 3.0.22" in note for note in section.notes)

    def test_records(self, section: Section) -> None:
        assert len(section.tables[2].rows) == 6
        assert row(section, 2, "1,000 bytes written")[3].startswith("1.7")

    def test_both_can(self) -> None:
        both = said(blocks(cannot=()))
        assert "cannot" not in both.answer
        assert len(both.tables[1].rows) == 6


class TestRefused:
    """A resumed handshake that was not resumed is not on the page as one."""

    def test_set_aside_and_named(self) -> None:
        resumed_in = [replace(RESUMED, key_kind=key) for key in KeyKind]
        given = blocks()
        for subject in resumed_in:
            given = spoiled(given, subject, lambda figure: replace(figure, resumed=0))
        section = said(given)
        assert row(section, 0, "TLS 1.3 · resumed")[1:3] == ("not measured", "not measured")
        assert any(
            note
            == "Set aside: TLS 1.3 · resumed in standard library, block 1: 64 of 64 resumed handshakes were full ones."
            for note in section.notes
        )
        assert "when resumed and" not in section.answer


def bare(block: Block) -> Block:
    return replace(block, openssl={}, processor="", clock_ns=0.0)


def only(wanted: Callable[[Figure], bool]) -> Callable[[Block], Block]:
    return lambda block: replace(block, figures=tuple(each for each in block.figures if wanted(each)))


THINNED: dict[str, Callable[[Block], Block]] = {
    "nothing": only(lambda _: False),
    "records alone": only(lambda figure: figure.subject.part in {Part.READ, Part.WRITE}),
    "no reference": only(lambda figure: figure.subject.key_kind != KeyKind.RSA_2048),
    "one stack": only(lambda figure: figure.subject.stack is Stack.PYOPENSSL),
    "resumed alone": only(lambda figure: figure.subject.part is Part.RESUMED),
    "post-quantum alone": only(lambda figure: figure.subject.group == POST_QUANTUM_GROUP),
    "bare": bare,
}


class TestPage:
    """The page stands whatever the run holds."""

    @pytest.mark.parametrize("count", [1, 2, 6])
    @pytest.mark.parametrize("thin", THINNED.values(), ids=THINNED)
    def test_stands(self, thin: Callable[[Block], Block], count: int) -> None:
        section = said(tuple(thin(block) for block in blocks(count)))
        for plot in section.plots:
            embedded_json(plot.spec)  # refuses what is no number
        shown = [
            section.answer,
            *section.notes,
            *(cell for table in section.tables for row in table.rows for cell in row),
        ]
        assert not [text for text in shown if "nan" in text.lower().split() or "inf" in text.lower().split()]
        assert section.answer.endswith(".")

    def test_an_old_run_says_that_it_was_not_measured(self, tmp_path: Path) -> None:
        page = write_report(synthetic.write(tmp_path, quick_run())).read_text()
        assert "Not measured in this run. <code>bench handshakes</code> measures it" in page

    def test_what_lies_in_the_folder_is_on_the_page(self, tmp_path: Path) -> None:
        folder = synthetic.write(tmp_path, quick_run())
        for block in blocks():
            append_block(folder, block)
        page = write_report(folder).read_text()
        assert 'id="plot-handshake-in-memory"' in page
        assert 'download="handshakes.csv"' in page

    def test_markup_in_a_block_stays_text(self) -> None:
        hostile = tuple(
            replace(block, processor=EVIL, openssl=dict.fromkeys(Stack, EVIL), started=EVIL)
            for block in blocks(cannot=[Cannot(Stack.STDLIB, POST_QUANTUM_GROUP, EVIL)])
        )
        assert EVIL not in render(quick_run(), hostile)

    def test_too_few_blocks_are_not_called_a_tie(self) -> None:
        few = row(said(blocks(3)), 0, "TLS 1.3 · RSA-4096 · full")[-1]
        assert few.endswith("too few blocks to tell")


def test_download_has_every_figure() -> None:
    given = blocks(2)
    rows = list(csv.DictReader(io.StringIO(handshakes_as_csv(given).decode())))
    assert len(rows) == sum(len(block.figures) for block in given)
    assert {each["stack"] for each in rows} == {"stdlib", "pyopenssl"}
    assert float(rows[0]["server_cpu_us"]) == pytest.approx(given[0].figures[0].server_cpu_us)
