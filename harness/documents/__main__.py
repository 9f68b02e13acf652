"""`python -m harness.documents RUN_DIR…`: write a run's figures into the documents that speak of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from harness.documents.blocks import blocks
from harness.documents.markers import rewrite
from harness.errors import UserError
from harness.report.reading import RunFolder, read_folder
from harness.report.writing import write_whole

DOCUMENTS = ("README.md", "docs/deployments.md")


@click.command()
@click.argument("folders", metavar="RUN_DIR...", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where README.md and docs/ are; this folder otherwise.",
)
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a picture of the first run's report there too; it takes chromium and the packages of the tests.",
)
def main(folders: Sequence[Path], root: Path, picture: Path | None) -> None:
    """Rewrite what README.md and docs/deployments.md say was measured, from runs. Measures nothing.

    A run fills the blocks that are marked with its plan's name: <!-- measured: PLAN BLOCK --> … <!-- end -->.
    """
    try:
        found = [read_folder(folder) for folder in folders]
        for document, text in rewritten(found, root).items():
            if text != document.read_text("utf-8"):
                write_whole(document, text)
                click.echo(f"written: {document}")
            else:
                click.echo(f"as it was: {document}")
        if picture is not None:
            _take(found[0], picture)
    except UserError as error:
        click.echo(f"harness.documents: error: {error}", err=True)
        sys.exit(2)


def rewritten(found: Sequence[RunFolder], root: Path) -> Mapping[Path, str]:
    """Return each document with the runs' blocks in it. Raises UserError, also where a run is in no document."""
    texts = {root / name: _read(root / name) for name in DOCUMENTS}
    for run_folder in found:
        plan, said = str(run_folder.run.header.plan.get("name", "")), blocks(run_folder)
        made = {path: rewrite(text, plan, said, source=str(path)) for path, text in texts.items()}
        if not any(each.blocks for each in made.values()):
            raise UserError(
                f"no document has a block of the plan {plan!r}, which {run_folder.folder} is a run of",
                hint=f"mark one in {' or '.join(DOCUMENTS)}: <!-- measured: {plan} table --> … <!-- end -->",
            )
        texts = {path: each.text for path, each in made.items()}
    return texts


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror})", hint="start it in the project's folder, or give --root"
        ) from error


def _take(found: RunFolder, target: Path) -> None:
    try:
        # Playwright is a tool of the tests, and the documents' text can be made without it.
        from harness.documents import picture  # noqa: PLC0415 - see above
    except ImportError as error:
        raise UserError(
            f"the picture takes playwright ({error})",
            hint="pip install --require-hashes -r requirements/dev.txt, or leave out --picture",
        ) from error
    picture.take(found, target)
    click.echo(f"written: {target}")


if __name__ == "__main__":
    main()
