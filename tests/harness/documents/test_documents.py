"""README.md and docs/deployments.md say what the kept runs measured, as the command writes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.documents.__main__ import DOCUMENTS, main, rewritten
from harness.documents.blocks import blocks
from harness.report.reading import RunFolder, read_folder
from harness.trials import Run
from tests.harness import synthetic
from tests.harness.report.runs import EVIL, changed, crowded_costs, crowded_plan, failed, hostile_run, quick_run

ROOT = Path(__file__).parents[3]
KEPT = [ROOT / "docs" / "sample-run" / plan for plan in ("quick", "matrix")]
MOST_BYTES = 1_500_000  # what all kept runs may take of everybody's clone


@pytest.fixture(scope="module")
def kept() -> list[RunFolder]:
    return [read_folder(folder) for folder in KEPT]


@pytest.fixture(scope="module")
def crowded() -> Run:
    return quick_run(plan=crowded_plan(), costs=crowded_costs())


def block(run: Run, name: str) -> str:
    return blocks(RunFolder(Path("run"), run))[name]


class TestCommitted:
    """What stands in the project is what `make docs` writes."""

    def test_the_documents_are_the_commands(self, kept: list[RunFolder]) -> None:
        for document, text in rewritten(kept, ROOT).items():
            assert document.read_text("utf-8") == text, f"{document.name} is not up to date: make docs"

    def test_the_kept_runs_are_whole(self, kept: list[RunFolder]) -> None:
        assert [found.lacks for found in kept] == [(), ()]

    def test_the_kept_runs_are_small(self) -> None:
        files = [path for path in (ROOT / "docs" / "sample-run").rglob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in files) < MOST_BYTES

    def test_every_deployment_was_measured(self, kept: list[RunFolder]) -> None:
        assert {trial.deployment for trial in kept[1].run.trials} == set(synthetic.DEPLOYMENTS)


class TestBlocks:
    """What a run has to say, from a run whose truth is known."""

    def test_the_table_has_a_line_for_each(self, crowded: Run) -> None:
        lines = block(crowded, "table").splitlines()
        assert len(lines) == 2 + len(synthetic.DEPLOYMENTS)
        assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1

    def test_the_ranking_names_the_cheapest_and_its_ties(self, crowded: Run) -> None:
        first = block(crowded, "ranking").splitlines()[0]
        cheapest, *_, dearest = synthetic.DEPLOYMENTS
        assert first.startswith("- Least CPU for a request on an open connection: ")
        assert cheapest in first.partition("At the other end")[0]
        assert dearest in first.partition("At the other end")[2]

    def test_a_proxy_is_held_against_the_same_server_without(self, crowded: Run) -> None:
        assert "| quart-uvicorn-uvloop@nginx | quart-uvicorn-uvloop |" in block(crowded, "ranking")

    def test_who_fails_is_no_choice_and_is_told_with_what_failed(self, crowded: Run) -> None:
        best = min(synthetic.DEPLOYMENTS, key=crowded_costs().request.__getitem__)
        run = changed(
            crowded, lambda trial: failed(trial, 3) if (trial.deployment, trial.block) == (best, 0) else trial
        )
        assert f": {best}, " not in block(run, "ranking")
        assert block(run, "failing").startswith(f"- {best}: failing: 3 of ")
        assert block(crowded, "failing").startswith("None: ")

    def test_when_where_and_with_what(self, crowded: Run) -> None:
        said = block(crowded, "machine")
        assert "24 Nov 2025" in said
        assert "Synthetic Processor 3000" in said
        assert "hypercorn 0.18.0" in said

    def test_findings_are_those_of_the_terminal(self, crowded: Run) -> None:
        assert "\n1. Many short connections: " in block(crowded, "findings")

    def test_text_from_a_run_stays_text(self) -> None:
        for name, said in blocks(RunFolder(Path("run"), hostile_run())).items():
            outside_code = said.partition("```")[0]
            assert EVIL not in outside_code, name
            assert "<script>" not in outside_code.replace(r"\<script\>", ""), name


class TestCommand:
    """`python -m harness.documents`: writes, or says in one line why not."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        (tmp_path / "docs").mkdir()
        for name in DOCUMENTS:
            (tmp_path / name).write_text("By hand.\n<!-- measured: quick failing -->\n<!-- end -->\n", "utf-8")
        return tmp_path

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return synthetic.write(tmp_path / "run", quick_run())

    def command(self, *arguments: object) -> Result:
        return CliRunner().invoke(main, [str(one) for one in arguments])

    def test_it_writes_once(self, root: Path, folder: Path) -> None:
        first = self.command("--root", root, folder)
        assert (first.exit_code, first.stdout.count("written: ")) == (0, len(DOCUMENTS))
        assert "None: " in (root / "README.md").read_text("utf-8")
        again = self.command("--root", root, folder)
        assert again.stdout.count("as it was: ") == len(DOCUMENTS)

    def test_a_run_that_no_document_speaks_of(self, root: Path, tmp_path: Path) -> None:
        other = synthetic.write(tmp_path / "smoke", synthetic.run(synthetic.plan("smoke")))
        said = self.command("--root", root, other)
        assert said.exit_code == 2
        assert "no document has a block of the plan 'smoke'" in said.stderr

    def test_no_document(self, folder: Path, tmp_path: Path) -> None:
        said = self.command("--root", tmp_path / "elsewhere", folder)
        assert said.exit_code == 2
        assert said.stderr.count("\n") == 1
        assert "README.md cannot be read" in said.stderr

    def test_no_run(self, root: Path) -> None:
        said = self.command("--root", root, root / "nothing")
        assert said.exit_code == 2
        assert "holds no run" in said.stderr

    def test_it_is_found_by_its_name(self) -> None:
        shown = subprocess.run(
            [sys.executable, "-m", "harness.documents", "--help"], cwd=ROOT, check=True, capture_output=True, text=True
        )
        assert "RUN_DIR" in shown.stdout
