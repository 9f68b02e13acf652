"""`bench list`: every deployment, what it can do, and whether it can be served here."""

import json
from collections.abc import Callable
from typing import Final

import click
from rich.console import Console
from rich.table import Table

import deployments
from deployments import Deployment, Resumption

_WIDTH_WITHOUT_TERMINAL: Final = 200  # a file or a pipe has no width of its own: everything on one line each
_WIDTH_OF_ALL: Final = 150  # what all columns need to be readable

_COLUMNS: Final[dict[str, Callable[[Deployment], str]]] = {
    "requests run in": lambda deployment: deployment.threads.meaning,
    "keep-alive": lambda deployment: "yes" if deployment.abilities.keep_alive else "no",
    "resumes TLS": lambda deployment: _resumes(deployment.abilities.resumption),
    "SIGTERM": lambda deployment: "finishes" if deployment.abilities.stop_finishes_requests else "cuts",
}
_MORE_COLUMNS: Final[dict[str, Callable[[Deployment], str]]] = {
    "TLS by": lambda deployment: deployment.abilities.tls_stack.value,
    "ALPN": lambda deployment: " ".join(deployment.abilities.alpn) or "none",
    "handshake": lambda deployment: deployment.abilities.handshake.value,
    "client certificate": lambda deployment: deployment.abilities.client_certificates.value,
    "new certificate": lambda deployment: deployment.abilities.reload,
    "raw target": lambda deployment: deployment.abilities.raw_target.value,
}


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with everything that is known.")
def list_deployments(*, as_json: bool) -> None:
    """Show every way to serve the API, and what each can do."""
    described = deployments.describe()
    if as_json:
        click.echo(json.dumps([item.row() for item in described], indent=2))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_WITHOUT_TERMINAL
    columns = _COLUMNS | _MORE_COLUMNS if console.width >= _WIDTH_OF_ALL else _COLUMNS
    console.print(_table(described, columns))
    console.print()
    for item in described:
        if item.deployment.warning is not None:
            console.print(f"{item.deployment.name}: {item.deployment.warning}")
        if item.missing:
            console.print(f"{item.deployment.name}: not installed here; {item.deployment.install}")
    console.print()
    console.print(
        f"{len(described)} deployments. All that is known of them: bench list --json. "
        f"Serve one: bench serve {described[1].deployment.name}"
    )


def _table(described: tuple[deployments.Described, ...], columns: dict[str, Callable[[Deployment], str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("deployment", no_wrap=True)
    for heading in columns:
        table.add_column(heading, overflow="fold")
    for item in described:
        table.add_row(str(item.deployment.name), *(show(item.deployment) for show in columns.values()))
    return table


def _resumes(resumption: Resumption) -> str:
    kinds = {
        "1.2": resumption.tls_1_2_ticket,
        "1.2 by id": resumption.tls_1_2_session_id,
        "1.3": resumption.tls_1_3_ticket,
    }
    return ", ".join(kind for kind, resumed in kinds.items() if resumed) or "never"
