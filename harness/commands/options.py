"""Options that several commands have, each with one meaning."""

from pathlib import Path

import click

from harness.commands import completing
from harness.outlines import RESULTS

state = click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=Path(".device"),
    show_default=True,
    envvar="DEVICE_STATE",
    help="Folder with CA, certificates, users and database; made if it is missing.",
)

out = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=RESULTS,
    show_default=True,
    help="Where a folder for what is measured is made.",
)

resume = click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="DIR",
    shell_complete=completing.run_folders,
    help="Go on where the measuring in DIR was stopped.",
)
