"""`bench handshakes`: what a handshake costs each TLS library, in memory; or one deployment, as a running server."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.table import Table

import deployments
from harness.commands import completing
from harness.commands.explained import ExplainedCommand
from harness.errors import unknown_name
from harness.handshakes.comparison import Comparison
from harness.handshakes.figures import Block, block_to_json
from harness.handshakes.live import BLOCK_S as LIVE_BLOCK_S
from harness.handshakes.live import measure_live_blocks
from harness.handshakes.live_figures import LiveBlock, LiveComparison, live_block_to_json
from harness.handshakes.measuring import BLOCK_S, certificates_in, measure_blocks
from harness.pinning import choose_pinning

if TYPE_CHECKING:
    from harness.report.content import Section  # its package takes a second to import

_WIDTH_WITHOUT_TERMINAL: Final = 160


@click.command(
    cls=ExplainedCommand,
    examples=[
        ("bench handshakes", "of both TLS libraries, in memory; about 36 seconds"),
        ("bench handshakes --deployment quart-uvicorn", "of a running server; about 2 minutes and a half"),
        ("bench handshakes --json > handshakes.json", "for a program"),
    ],
    statuses={0: "measured"},
)
@click.option(
    "--deployment",
    shell_complete=completing.deployment_names,
    help="Measure with this one as a running server; without it, in memory.",
)
@click.option("--blocks", type=click.IntRange(1, 1000), default=6, show_default=True, help="A verdict takes 6.")
@click.option("--seed", type=click.IntRange(0), help="Of the random order; drawn if it is not given.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=Path(".device"),
    show_default=True,
    envvar="DEVICE_STATE",
    help="Folder with CA and certificates; made if it is missing.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print every figure of every block as JSON; times in microseconds."
)
def handshakes(*, deployment: str | None, blocks: int, seed: int | None, state: Path, as_json: bool) -> None:
    """Measure handshakes and records of both TLS libraries, in memory: the server's CPU alone.

    By kind of key, TLS version, full and resumed, key-exchange group; about 6 seconds a block. No sockets, no server.

    With --deployment: handshakes with that server, running: its CPU by differences, the client's time, bytes and round
    trips, and what they make of a network. About 24 seconds a block.
    """
    seed = time.time_ns() if seed is None else seed
    if deployment is not None:
        _measure_live(deployment, blocks, seed, state, as_json=as_json)
        return
    certificates = certificates_in(state)
    click.echo(f"{blocks} blocks, about {blocks * BLOCK_S:.0f} s; seed {seed}", err=True)
    measured: list[Block] = []
    for block in measure_blocks(certificates, range(blocks), seed=seed, cpus=choose_pinning().server):
        measured.append(block)
        click.echo(f"block {len(measured)} of {blocks}", err=True)
    if as_json:
        click.echo(json.dumps({"seed": seed, "blocks": [block_to_json(block) for block in measured]}, indent=2))
    else:
        _show(Comparison(measured))


def _measure_live(deployment: str, blocks: int, seed: int, state: Path, *, as_json: bool) -> None:
    if deployment not in deployments.names():
        raise unknown_name("deployment", deployment, deployments.names(), hint="`bench list` shows all.")
    click.echo(f"{deployment}: {blocks} blocks, about {blocks * LIVE_BLOCK_S:.0f} s; seed {seed}", err=True)
    measured: list[LiveBlock] = []
    for block in measure_live_blocks(deployment, range(blocks), state=state, seed=seed, pinning=choose_pinning()):
        measured.append(block)
        click.echo(f"block {len(measured)} of {blocks}", err=True)
    if as_json:
        click.echo(json.dumps({"seed": seed, "blocks": [live_block_to_json(block) for block in measured]}, indent=2))
        return
    from harness.report import live_handshakes  # noqa: PLC0415 - plots take a second to import

    _print(live_handshakes.section(LiveComparison(measured)))


def _show(compared: Comparison) -> None:
    from harness.report import in_memory  # noqa: PLC0415 - plots take a second to import

    _print(in_memory.section(compared))


def _print(section: Section) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    console.print(section.answer)
    for table in section.tables:
        if table.is_folded and len(section.tables) > 1:
            continue  # the others say the most of it
        shown = Table(title=table.caption, title_justify="left", box=None, pad_edge=False, header_style="bold")
        for column in table.columns:
            shown.add_column(
                column.name, justify="right" if column.numeric else "left", no_wrap=not shown.columns, overflow="fold"
            )
        for row in table.rows:
            shown.add_row(*row)
        console.print()
        console.print(shown)
    console.print()
    for note in section.notes:
        console.print(note)
